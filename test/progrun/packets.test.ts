import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bytesToHex, hexToBytes } from '../../src/bytes/index.ts'
import {
  arp,
  buildPacket,
  bytesToIpv6,
  crc32c,
  decodePacket,
  describePacket,
  diffPackets,
  dns,
  eth,
  formatPacket,
  geneve,
  gre,
  hexdump,
  icmp,
  icmpv6,
  ipv4,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  ipv6ToBytes,
  type Layer,
  layerOf,
  packet,
  padTo,
  payload,
  readCapture,
  sctp,
  tcp,
  trailer,
  udp,
  vlan,
  vxlan,
} from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'

const capturePath = new URL('../../programs/xdp-count/capture.pcap', import.meta.url).pathname
const frames = readCapture(readFileSync(capturePath)).packets.map(({ data }) => data)

describe('building', () => {
  test('writes the bytes of RFC examples: a TCP SYN with lengths, protocol and checksums filled in', () => {
    const bytes = packet(
      eth({ dst: '02:00:00:00:00:02', src: '02:00:00:00:00:01' }),
      ipv4({ src: '192.0.2.1', dst: '198.51.100.7', ttl: 64, id: 0x1234 }),
      tcp({
        srcPort: 4660,
        dstPort: 80,
        sequence: 1,
        flags: ['SYN'],
        window: 1024,
        options: [{ kind: 'mss', value: 1460 }],
      }),
    )
    expect(bytesToHex(bytes)).toBe(
      '020000000002' +
        '020000000001' +
        '0800' +
        '4500002c12340000400638a5c0000201c6336407'.replace('38a5', hex16(sum(bytes, 14, 20, 10))) +
        `1234005000000001000000006002040${'0'}${hex16(tcpSum(bytes))}0000020405b4`,
    )
  })

  test('fills in every kind of next-header number', () => {
    const inner = [ipv4(), udp(), payload('x')]
    const kinds: [Layer[], string][] = [
      [[eth(), vlan({ id: 5 }), ...inner], 'ethernet.etherType: 33024'],
      [[eth(), vlan({ id: 5 }), vlan({ id: 6 }), ...inner], 'ethernet.etherType: 34984'],
      [[eth(), arp()], 'ethernet.etherType: 2054'],
      [[eth(), ipv6(), icmpv6()], 'ipv6.nextHeader: 58'],
      [[eth(), ipv6(), ipv6Extension({ header: 'hopByHop' }), ipv6Fragment(), udp()], 'ipv6.nextHeader: 0'],
      [[eth(), ipv4(), gre(), ...inner], 'gre.protocol: 2048'],
      [[eth(), ipv4(), udp(), vxlan({ vni: 9 }), eth(), ...inner], 'udp.dstPort: 4789'],
      [[eth(), ipv4(), udp(), geneve({ vni: 9 }), eth(), ...inner], 'geneve.protocol: 25944'],
      [[eth(), ipv4(), sctp()], 'ipv4.protocol: 132'],
      [[eth(), ipv4(), ipv4(), icmp()], 'ipv4.protocol: 4'],
      [[eth(), ipv4(), udp(), dns({ questions: [{ name: 'a.b', type: 1, class: 1 }] })], 'udp.dstPort: 53'],
    ]
    for (const [layers, line] of kinds) {
      const [name, value] = line.split(': ')
      const [protocol, field] = name.split('.')
      const bytes = packet(...layers)
      const found = decodePacket(bytes).find((layer) => layer.protocol === protocol)
      expect((found as { fields: Record<string, unknown> } | undefined)?.fields[field], describePacket(bytes)).toBe(
        Number(value),
      )
      expect(decodePacket(bytes).map((layer) => layer.protocol)).toEqual(layers.map((layer) => layer.protocol))
      expect(decodePacket(bytes).flatMap((layer) => layer.problems)).toEqual([])
    }
  })

  test('a checksum can be wrong on purpose, and decoding says so', () => {
    const layers = decodePacket(packet(eth(), ipv4({ checksum: 'wrong' }), tcp({ checksum: 0xbeef })))
    expect(layerOf(layers, 'ipv4')?.problems[0]).toMatch(/^checksum 0x[0-9a-f]{4}, should be 0x[0-9a-f]{4}$/)
    expect(layerOf(layers, 'tcp')?.fields.checksum).toBe(0xbeef)
    expect(layerOf(layers, 'tcp')?.problems).toHaveLength(1)
    const wrongSctp = decodePacket(packet(eth(), ipv4(), sctp({ checksum: 'wrong' })))
    expect(layerOf(wrongSctp, 'sctp')?.problems).toHaveLength(1)
  })

  test('padding stays outside the IP length', () => {
    const bytes = packet(eth(), ipv4(), udp(), trailer(new Uint8Array(18)))
    const layers = decodePacket(bytes)
    expect(layerOf(layers, 'ipv4')?.fields.length).toBe(28)
    expect(layerOf(layers, 'trailer')?.fields.data).toHaveLength(18)
    expect(decodePacket(padTo(packet(eth(), arp()), 60)).at(-1)).toMatchObject({ protocol: 'trailer', length: 18 })
  })

  test('refuses addresses and options that cannot be written', () => {
    expect(() => packet(eth({ dst: 'nonsense' }))).toThrow(/no MAC address/)
    expect(() => packet(ipv4({ src: '1.2.3' }))).toThrow(/no IPv4 address/)
    expect(() => packet(ipv6({ src: '1::2::3' }))).toThrow(/no IPv6 address/)
    expect(() => packet(ipv4({ options: new Uint8Array(44) }))).toThrow(/40 fit/)
    expect(() => packet(ipv4({ fragmentOffset: 5 }))).toThrow(/multiple of 8/)
  })
})

describe('decoding', () => {
  test('building what was decoded gives the same bytes: every frame of the capture', () => {
    expect(frames.length).toBeGreaterThan(200)
    for (const frame of frames) expect(bytesToHex(buildPacket(decodePacket(frame)))).toBe(bytesToHex(frame))
  })

  test('and any bytes at all, also mutated frames', () => {
    const mutated = fc
      .tuple(fc.constantFrom(...frames), fc.array(fc.tuple(fc.nat(1500), fc.nat(255)), { maxLength: 8 }), fc.nat(1500))
      .map(([frame, edits, cut]) => {
        const copy = frame.slice(0, Math.max(1, cut))
        for (const [at, value] of edits) if (at < copy.length) copy[at] = value
        return copy
      })
    const bytes = fc.oneof(fc.uint8Array({ maxLength: 200 }), mutated)
    fc.assert(
      fc.property(bytes, (input) => {
        expect(bytesToHex(buildPacket(decodePacket(input)))).toBe(bytesToHex(input))
      }),
      { numRuns: 5000 },
    )
  })

  test('names what is cut short', () => {
    const whole = packet(eth(), ipv4(), tcp())
    expect(decodePacket(whole.subarray(0, 10))[0].problems[0]).toBe('ethernet header cut short: 10 bytes are there')
    expect(decodePacket(whole.subarray(0, 40)).at(-1)?.problems[0]).toBe('tcp header cut short: 6 bytes are there')
    expect(decodePacket(new Uint8Array(0))).toHaveLength(1)
  })

  test('IPv6 text is canonical both ways', () => {
    for (const text of ['::', '::1', '2001:db8::1', 'fe80::1:0:0:2', '1:2:3:4:5:6:7:8', '1:0:0:2::3'])
      expect(bytesToIpv6(ipv6ToBytes(text))).toBe(text)
    expect(bytesToIpv6(ipv6ToBytes('::ffff:10.0.0.1'))).toBe('::ffff:a00:1')
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(ipv6ToBytes(bytesToIpv6(bytes))).toEqual(bytes)
      }),
    )
  })

  test('crc32c has its check value', () => {
    expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283)
  })
})

describe('text', () => {
  test('a difference is named by field, not by offset', () => {
    const one = packet(eth(), ipv4({ ttl: 64 }), tcp({ flags: ['SYN'] }))
    const two = packet(eth(), ipv4({ ttl: 63 }), tcp({ flags: ['SYN', 'ACK'] }))
    expect(diffPackets(one, one)).toEqual([])
    expect(diffPackets(one, two).map(({ path }) => path)).toEqual([
      'ipv4.ttl',
      'ipv4.checksum',
      'tcp.flags',
      'tcp.checksum',
    ])
    expect(diffPackets(one, two)[2]).toEqual({ path: 'tcp.flags', actual: 'SYN', expected: 'SYN+ACK' })
  })

  test('a difference is found exactly when the bytes differ', () => {
    const bytes = fc.oneof(fc.constantFrom(...frames), fc.uint8Array({ maxLength: 80 }))
    fc.assert(
      fc.property(bytes, bytes, (left, right) => {
        expect(diffPackets(left, right).length === 0).toBe(bytesToHex(left) === bytesToHex(right))
      }),
      { numRuns: 1000 },
    )
  })

  test('hexdump, one line, all fields', () => {
    const bytes = packet(eth(), ipv4(), udp({ dstPort: 7 }), payload('hello'))
    expect(hexdump(hexToBytes('00414243'))).toBe('0000  00 41 42 43                                       .ABC')
    expect(describePacket(bytes)).toBe(
      'ethernet 02:00:00:00:00:01 > 02:00:00:00:00:02 / ipv4 10.0.0.1 > 10.0.0.2 / udp 40000 > 7 / payload 5 B',
    )
    expect(formatPacket(bytes)).toContain('udp (8 B at 34)\n  srcPort: 40000\n  dstPort: 7\n  length: 13')
  })
})

/** Sum by another way than the product's: carries folded bit by bit. */
function sum(bytes: Uint8Array, start: number, length: number, field: number, initial = 0n): number {
  let total = initial
  for (let i = 0; i < length; i += 2)
    if (i !== field) total += BigInt((bytes[start + i] << 8) | (bytes[start + i + 1] ?? 0))
  return Number(0xffffn - (total % 0xffffn))
}
function tcpSum(bytes: Uint8Array): number {
  let pseudo = 6n + 24n
  for (let i = 26; i < 34; i += 2) pseudo += BigInt((bytes[i] << 8) | bytes[i + 1])
  return sum(bytes, 34, 24, 16, pseudo)
}
function hex16(value: number): string {
  return value.toString(16).padStart(4, '0')
}

interface TsharkRow {
  readonly [field: string]: string
}

const TSHARK_FIELDS = [
  'frame.len',
  'eth.type',
  'vlan.id',
  'arp.opcode',
  'ip.src',
  'ip.dst',
  'ip.ttl',
  'ip.proto',
  'ip.len',
  'ip.frag_offset',
  'ip.checksum.status',
  'ipv6.src',
  'ipv6.dst',
  'ipv6.hlim',
  'icmp.type',
  'icmpv6.type',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.seq_raw',
  'tcp.flags',
  'tcp.checksum.status',
  'tcp.options.mss_val',
  'udp.srcport',
  'udp.dstport',
  'udp.length',
  'udp.checksum.status',
  'dns.id',
  'dns.qry.name',
  'sctp.checksum.status',
  'vxlan.vni',
  'geneve.vni',
] as const

function tshark(): TsharkRow[] {
  const args = ['-r', capturePath, '-T', 'fields', '-E', 'separator=|', '-E', 'occurrence=f', '-n']
  for (const protocol of ['ip', 'tcp', 'udp']) args.push('-o', `${protocol}.check_checksum:TRUE`)
  args.push('-o', 'ip.defragment:FALSE', '-o', 'ipv6.defragment:FALSE', '-o', 'tcp.desegment_tcp_streams:FALSE')
  for (const field of TSHARK_FIELDS) args.push('-e', field)
  const out = execFileSync('tshark', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  const rows = out.replace(/\n$/, '').split('\n')
  return rows.map((row) => Object.fromEntries(row.split('|').map((value, i) => [TSHARK_FIELDS[i], value])))
}

testWith('program:tshark')('every field that tshark shows of the capture is what the decoder finds', () => {
  const rows = tshark()
  expect(rows).toHaveLength(frames.length)
  let compared = 0
  for (const [index, row] of rows.entries()) {
    const layers = decodePacket(frames[index])
    const first = (protocol: Layer['protocol']): Record<string, unknown> | undefined =>
      layers.find((layer) => layer.protocol === protocol)?.fields as Record<string, unknown> | undefined
    const ip = layerOf(layers, 'ipv4')
    const expected: Record<string, unknown> = {
      'eth.type': first('ethernet')?.['etherType'],
      'vlan.id': layers.findLast((layer) => layer.protocol === 'vlan')?.fields.id,
      'arp.opcode': first('arp')?.['operation'],
      'ip.src': ip?.fields.src,
      'ip.dst': ip?.fields.dst,
      'ip.ttl': ip?.fields.ttl,
      'ip.proto': ip?.fields.protocol,
      'ip.len': ip?.fields.length,
      'ip.frag_offset': ip && ip.fields.fragmentOffset / 8,
      'ipv6.src': first('ipv6')?.['src'],
      'ipv6.dst': first('ipv6')?.['dst'],
      'ipv6.hlim': first('ipv6')?.['hopLimit'],
      'icmp.type': first('icmp')?.['type'],
      'icmpv6.type': first('icmpv6')?.['type'],
      'tcp.srcport': first('tcp')?.['srcPort'],
      'tcp.dstport': first('tcp')?.['dstPort'],
      'tcp.seq_raw': first('tcp')?.['sequence'],
      'udp.srcport': first('udp')?.['srcPort'],
      'udp.dstport': first('udp')?.['dstPort'],
      'udp.length': first('udp')?.['length'],
      'dns.id': first('dns')?.['id'],
      'vxlan.vni': first('vxlan')?.['vni'],
      'geneve.vni': first('geneve')?.['vni'],
    }
    const where = `frame ${index + 1}: ${describePacket(frames[index])}`
    for (const [field, value] of Object.entries(expected)) {
      if (row[field] === '' || value === undefined) continue
      const shown = typeof value === 'number' ? Number(row[field]) : row[field]
      expect(shown, `${where}, ${field}`).toBe(value)
      compared++
    }
    for (const protocol of ['tcp', 'udp', 'ipv4'] as const) {
      // 0 bad, 1 good, 2 unverified, 3 not present
      const status = row[`${protocol === 'ipv4' ? 'ip' : protocol}.checksum.status`]
      const layer = layers.find((each) => each.protocol === protocol)
      if (layer === undefined || (status !== '0' && status !== '1')) continue
      const bad = layer.problems.some((problem) => problem.startsWith('checksum'))
      expect(bad, `${where}, ${protocol} checksum (tshark status ${status})`).toBe(status === '0')
      compared++
    }
  }
  expect(compared).toBeGreaterThan(1500)
})
