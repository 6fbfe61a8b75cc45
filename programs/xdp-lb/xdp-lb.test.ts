import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  decodePacket,
  eth,
  type Harness,
  harness,
  icmp,
  ipv4,
  type Layer,
  packet,
  payload,
  tcp,
  udp,
} from 'typebpf/progrun'
import { collectObject, linkProgram } from 'typebpf/spec'
import { verify } from 'typebpf/verifier'
import { describe, expect, test } from 'vitest'
import { balancerRun } from '../../test/programs/balancer-traffic.ts'
import { Netns, offload, veth } from '../../test/programs/netns.ts'
import { startTool } from '../../test/programs/start-tool.ts'
import { testWith } from '../../test/requirements.ts'
import { LoadBalancer } from './load-balancer.ts'
import { maglev } from './maglev.ts'
import { parseServices } from './services.ts'
import * as program from './xdp-lb.bpf.ts'

const VIP = { addr: 0x0a000064, port: 80 }
const [CLIENT_MAC, VIP_MAC, OWN_MAC, BACKEND_MAC] = [1, 2, 3, 4].map((i) => `02:00:00:00:00:0${i}`)

/** One backend, 10.1.0.2:8080, behind interface 7, for both protocols. */
const open = (): Promise<Harness> =>
  harness(program, {
    backend: 'emulator',
    maps: {
      services: [6, 17].map((protocol) => [
        { ...VIP, protocol },
        { first: 3, size: 1 },
      ]),
      devices: [
        [5, 5],
        [7, 7],
      ],
      table: [[3, 9]],
      backends: [[9, { addr: 0x0a010002, port: 8080, mac: BACKEND_MAC, ownMac: OWN_MAC, pad: 0, ifindex: 7 }]],
    },
  })
const run = (t: Harness, ...layers: Layer[]) => t.run(program.xdpLb, { packet: layers, ctx: { ingress_ifindex: 5 } })
const link = eth({ src: CLIENT_MAC, dst: VIP_MAC })
const addresses = { src: '192.0.2.1', dst: '10.0.0.100' }

/** A decoded layer's fields. */
const layer = (bytes: Uint8Array | undefined, protocol: string): Record<string, unknown> =>
  (decodePacket(bytes ?? new Uint8Array()).find((it) => it.protocol === protocol)?.fields ?? {}) as Record<
    string,
    unknown
  >

describe('xdp_lb', () => {
  for (const [name, l4] of [
    ['tcp', tcp],
    ['udp', udp],
  ] as const)
    test(`${name} goes to the backend and its answer back, with addresses, ports and checksums as a fresh packet has them`, async () => {
      using t = await open()
      for (let i = 0; i < 40; i++) {
        const data = payload(`request ${i * 7919}`)
        const ports = { srcPort: 1000 + i * 1601, dstPort: 80 }
        const there = run(t, link, ipv4(addresses), l4(ports), data)
        const asIfSent = packet(
          eth({ src: OWN_MAC, dst: BACKEND_MAC }),
          ipv4({ ...addresses, dst: '10.1.0.2' }),
          l4({ ...ports, dstPort: 8080 }),
          data,
        )
        expect(there.verdict).toBe('XDP_REDIRECT')
        expect(there.packet).toEqual(asIfSent)
        const back = run(
          t,
          eth({ src: BACKEND_MAC, dst: OWN_MAC }),
          ipv4({ src: '10.1.0.2', dst: '192.0.2.1' }),
          l4({ srcPort: 8080, dstPort: ports.srcPort }),
          data,
        )
        expect(back.packet).toEqual(
          packet(
            eth({ src: VIP_MAC, dst: CLIENT_MAC }),
            ipv4({ src: '10.0.0.100', dst: '192.0.2.1' }),
            l4({ srcPort: 80, dstPort: ports.srcPort }),
            data,
          ),
        )
      }
    })

  test('a UDP packet without a checksum stays without one', async () => {
    using t = await open()
    const { packet: out } = run(t, link, ipv4(addresses), udp({ srcPort: 5, dstPort: 80, checksum: 0 }), payload('x'))
    expect(layer(out, 'udp')).toMatchObject({ dstPort: 8080, checksum: 0 })
  })

  test('what is not for a service, has options, is a fragment or no TCP or UDP passes untouched', async () => {
    using t = await open()
    const untouched: Layer[][] = [
      [link, ipv4({ ...addresses, dst: '10.0.0.101' }), tcp({ dstPort: 80 })],
      [link, ipv4(addresses), tcp({ dstPort: 81 })],
      [link, ipv4(addresses), icmp()],
      [link, ipv4({ ...addresses, options: new Uint8Array([1, 1, 1, 1]) }), tcp({ dstPort: 80 })],
      [link, ipv4({ ...addresses, fragmentOffset: 8 }), payload(new Uint8Array(40))],
    ]
    for (const layers of untouched) {
      const result = run(t, ...layers)
      expect(result.verdict).toBe('XDP_PASS')
      expect(result.packet).toEqual(packet(...layers))
    }
  })

  test('the model accepts it', () => {
    const result = verify(linkProgram(collectObject(program, { name: 'xdp-lb' }), 'xdp_lb'))
    expect(result.verdict, result.message).toBe('accept')
  })
})

describe('the table', () => {
  const names = Array.from({ length: 10 }, (_, i) => `10.0.0.${i}:80`)
  test('gives every backend its share within five percent', () => {
    const counts = names.map((_, i) => maglev(names).filter((index) => index === i).length)
    for (const count of counts) expect(Math.abs(count / (maglev(names).length / 10) - 1)).toBeLessThan(0.05)
  })
  test('a backend that goes away moves few entries of the others', () => {
    const size = 4093
    const before = maglev(names, size)
    const after = maglev(names.slice(0, 9), size)
    let moved = 0
    for (let i = 0; i < size; i++) if (before[i] !== 9 && before[i] !== after[i]) moved++
    expect(moved / size).toBeLessThan(0.1)
  })
})

describe('services', () => {
  test('are read with their backends', () => {
    const [web] = parseServices(
      'service 10.0.0.100:80 # web\n backend 10.1.0.2:8080 dev eth1 mac 02:00:00:00:00:04\n',
      's',
    )
    expect(web).toEqual({
      address: '10.0.0.100',
      port: 80,
      protocol: 'tcp',
      backends: [{ address: '10.1.0.2', port: 8080, device: 'eth1', mac: BACKEND_MAC }],
    })
  })
  for (const [text, why] of [
    ['backend 10.1.0.2:80', /s:1: a backend before the first service/],
    ['service 10.0.0.1', /s:1: .*no IPv4 address and port/],
    ['service 10.0.0.1:80/sctp', /s:1: /],
    ['service 10.0.0.1:70000', /s:1: /],
    ['service 10.0.0.1:80\nbackend 10.1.0.2:80 via eth0', /s:2: via is neither dev nor mac/],
    ['service 10.0.0.1:80\nbackend 10.1.0.2:80 mac 1', /s:2: 1 is no hardware address/],
    ['service 10.0.0.1:80', /10.0.0.1:80 has no backend/],
    ['# nothing', /there is no service/],
  ] as const)
    test(`${JSON.stringify(text)} is refused with its line`, () => {
      expect(() => parseServices(text, 's')).toThrow(why)
    })
})

/** Answers each request with its name and 100,000 bytes. */
const SERVER = `require('http').createServer((_, answer) => answer.end(process.argv[1] + 'x'.repeat(100_000)))
  .listen(8080, () => console.log('up'))`

describe('on the kernel', () => {
  testWith(
    'bpf',
    'program:ip',
    'program:curl',
  )('HTTP goes through it: whole answers of 100,000 bytes, from both backends', async () => {
    using client = new Netns()
    using middle = new Netns()
    using one = new Netns()
    using two = new Netns()
    const [clientEnd, front] = veth(client, 'client', middle, 'front')
    client.ip('addr', 'add', '192.0.2.1/24', 'dev', 'client')
    client.ip('neigh', 'add', '192.0.2.100', 'lladdr', front.mac, 'dev', 'client')
    // the stack shall write whole checksums, and a veth takes redirected frames only with GRO or a program at its end
    offload(clientEnd, 'tx', false)
    offload(clientEnd, 'gro', true)
    const backends = [one, two].map((space, i) => {
      const [inside, outside] = veth(space, 'eth0', middle, `back${i}`)
      space.ip('addr', 'add', `10.1.${i}.2/24`, 'dev', 'eth0')
      space.ip('route', 'add', 'default', 'via', `10.1.${i}.1`)
      space.ip('neigh', 'add', `10.1.${i}.1`, 'lladdr', outside.mac, 'dev', 'eth0')
      offload(inside, 'tx', false)
      offload(inside, 'gro', true)
      return { address: `10.1.${i}.2`, port: 8080, device: outside.name, mac: inside.mac }
    })
    const servers = [one, two].map((space, i) =>
      space.run(() =>
        spawn(process.execPath, ['-e', SERVER, `backend${i} `], { stdio: ['ignore', 'pipe', 'inherit'] }),
      ),
    )
    try {
      await Promise.all(servers.map((server) => new Promise((up) => server.stdout.once('data', up))))
      using balancer = middle.run(
        () =>
          new LoadBalancer({
            clients: ['front'],
            services: [{ address: '192.0.2.100', port: 80, protocol: 'tcp', backends }],
          }),
      )
      const seen = new Set<string>()
      for (let i = 0; i < 12; i++) {
        const answer = client.run(() => execFileSync('curl', ['-sm5', 'http://192.0.2.100/'], { encoding: 'utf8' }))
        expect(answer.length).toBe(100_009)
        seen.add(answer.slice(0, 8))
      }
      expect([...seen].sort()).toEqual(['backend0', 'backend1'])
      expect(balancer.connections).toBe(12)
    } finally {
      for (const server of servers) server.kill('SIGKILL')
    }
  })

  testWith('bpf', 'program:ip')(
    '20,000 frames in 10,000 connections go out and their answers come back, none wrong',
    () => {
      const { faults, answers } = balancerRun(20_000)
      expect(faults).toEqual([])
      expect(answers).toBe(20_000)
    },
  )

  testWith('bpf', 'program:ip')(
    'the tool says which backend it cannot find, reads its file again, and detaches at Ctrl-C',
    async () => {
      using here = new Netns()
      veth(here, 'va', here, 'vb')
      const folder = mkdtempSync(join(tmpdir(), 'xdp-lb-'))
      const file = join(folder, 'services')
      try {
        writeFileSync(file, 'service 10.0.0.100:80\nbackend 10.1.0.2:80\n')
        const lost = await startTool(here, ['xdp-lb', file, 'va']).end()
        expect(lost).toMatchObject({ code: 2, err: expect.stringMatching(/10\.1\.0\.2 is not in the neighbour table/) })
        const first = 'service 10.0.0.100:80\nbackend 10.1.0.2:80 dev vb mac 02:00:00:00:00:04\n'
        writeFileSync(file, first)
        const tool = startTool(here, ['xdp-lb', file, 'va', '--json'])
        await tool.said(/Balancing 1 services/)
        expect(here.ip('link', 'show').match(/prog\/xdp/g)).toHaveLength(2)
        writeFileSync(file, `${first}backend 10.1.0.3:80 dev vb mac 02:00:00:00:00:05\n`)
        await tool.said(/read again/)
        const { code, out } = await tool.interrupt()
        expect(code).toBe(0)
        const backends = out
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line).backend)
        expect(backends).toEqual(['10.1.0.2:80', '10.1.0.3:80'])
        expect(here.ip('link', 'show')).not.toMatch(/xdp/)
      } finally {
        rmSync(folder, { recursive: true })
      }
    },
  )
})
