import type * as FastCheck from 'fast-check'
import type { MapSpec } from '../../spec/index.ts'
import { bytesToIpv4, bytesToIpv6, bytesToMac } from '../packets/address.ts'
import { buildPacket, decodePacket, type Layer, type LayerFields, type Protocol } from '../packets/index.ts'

/** fast-check itself, by `import fc from` or `import * as fc from`. */
type Fc = Omit<typeof FastCheck, 'default'>
type Arbitrary<T> = FastCheck.Arbitrary<T>

/** Generators of packets, contexts and map states, shrinking to fewer headers, fewer bytes and smaller numbers. */
export interface BpfArbitraries {
  readonly mac: Arbitrary<string>
  readonly ipv4: Arbitrary<string>
  readonly ipv6: Arbitrary<string>
  /** Header stacks that make sense, from Ethernet to payload. */
  readonly layers: Arbitrary<Layer[]>
  /** Well-formed packets as bytes. */
  readonly packet: Arbitrary<Uint8Array>
  /** Packets with one thing wrong: cut short, a length or checksum that lies, flipped bytes, an endless chain of headers. */
  readonly malformedPacket: Arbitrary<Uint8Array>
  /** Both, and plain noise. */
  readonly anyPacket: Arbitrary<Uint8Array>
  /** Settable fields of struct __sk_buff. */
  readonly skbContext: Arbitrary<{ mark: number; priority: number; cb: number[] }>
  /** Entries for a map, as bytes, at most its max_entries, keys distinct. */
  mapState(spec: MapSpec): Arbitrary<[key: Uint8Array, value: Uint8Array][]>
}

/**
 * The generators; fast-check is handed in, so that this package does not bring its own copy.
 *
 * ```ts
 * import fc from 'fast-check'
 * const { packet } = bpfArbitraries(fc)
 * ```
 */
export function bpfArbitraries(fc: Fc): BpfArbitraries {
  const bytes = (length: number): Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length })
  const mac = bytes(6).map((value) => bytesToMac(value))
  const ipv4 = fc.oneof(
    fc.constantFrom('10.0.0.1', '192.0.2.1', '127.0.0.1'),
    bytes(4).map((value) => bytesToIpv4(value)),
  )
  const ipv6 = fc.oneof(
    fc.constantFrom('2001:db8::1', 'fe80::1', '::1'),
    bytes(16).map((value) => bytesToIpv6(value)),
  )
  const port = fc.oneof(fc.constantFrom(22, 53, 80, 443, 8080), fc.nat(65535))
  const word = fc.nat(0xffff_ffff)
  const layer = <K extends Protocol>(protocol: K, fields: Arbitrary<Partial<LayerFields[K]>>): Arbitrary<Layer> =>
    fields.map((value) => ({ protocol, fields: value }) as unknown as Layer)
  const payload = layer(
    'payload',
    fc.uint8Array({ maxLength: 64 }).map((data) => ({ data })),
  )

  const tcp = layer(
    'tcp',
    fc.record({
      srcPort: port,
      dstPort: port,
      sequence: word,
      acknowledgement: word,
      flags: fc.subarray(['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG'] as const) as unknown as Arbitrary<
        LayerFields['tcp']['flags']
      >,
      options: fc.constantFrom<LayerFields['tcp']['options']>(
        [],
        [{ kind: 'mss', value: 1460 }],
        [{ kind: 'mss', value: 1460 }, { kind: 'sackPermitted' }, { kind: 'nop' }, { kind: 'windowScale', shift: 7 }],
      ),
    }),
  )
  // ports whose payload means something to the decoder stay out: the payload is noise
  const meaningful = [53, 5353, 4789, 6081]
  const plainPort = port.filter((value) => !meaningful.includes(value))
  const udp = layer('udp', fc.record({ srcPort: plainPort, dstPort: plainPort }))
  const transport = (icmp: 'icmp' | 'icmpv6'): Arbitrary<Layer> =>
    fc.oneof(
      tcp,
      udp,
      layer(icmp, fc.record({ type: fc.constantFrom(0, 3, 8, 128, 129), id: fc.nat(65535) })),
      layer('sctp', fc.constant({})),
    )
  const header4 = fc.record(
    {
      src: ipv4,
      dst: ipv4,
      ttl: fc.nat(255),
      tos: fc.nat(255),
      id: fc.nat(65535),
      options: fc.constantFrom(new Uint8Array(0), new Uint8Array(4)),
    },
    { requiredKeys: ['src', 'dst'] },
  )
  const header6 = fc.record(
    { src: ipv6, dst: ipv6, hopLimit: fc.nat(255), flowLabel: fc.nat(0xfffff) },
    { requiredKeys: ['src', 'dst'] },
  )
  const ip = fc.oneof(
    fc.tuple(layer('ipv4', header4), transport('icmp'), payload).map((list): Layer[] => list),
    fc.tuple(layer('ipv6', header6), transport('icmpv6'), payload).map((list): Layer[] => list),
    fc
      .tuple(
        layer('ipv6', header6),
        layer('ipv6Extension', fc.record({ header: fc.constantFrom('hopByHop' as const, 'destination' as const) })),
        transport('icmpv6'),
        payload,
      )
      .map((list): Layer[] => list),
    fc
      .tuple(
        layer(
          'ipv4',
          header4.map((fields) => ({ ...fields, moreFragments: true })),
        ),
        payload,
      )
      .map((list): Layer[] => list),
  )
  const network = fc.oneof(
    { weight: 4, arbitrary: ip },
    fc
      .tuple(layer('arp', fc.record({ operation: fc.constantFrom(1, 2), senderIp: ipv4, targetIp: ipv4 })))
      .map((list): Layer[] => list),
    fc.tuple(payload).map((list): Layer[] => list),
  )
  const tags = fc.array(layer('vlan', fc.record({ id: fc.nat(4095), priority: fc.nat(7) })), { maxLength: 2 })
  const link = layer('ethernet', fc.record({ dst: mac, src: mac }))
  const layers = fc.tuple(link, tags, network).map(([first, vlans, rest]): Layer[] => [first, ...vlans, ...rest])
  const packet = layers.map((list) => buildPacket(list))

  const anywhere = fc
    .tuple(packet, fc.nat(200))
    .map(([value, length]) => value.subarray(0, 1 + (length % value.length)))
  // where bounds checks go wrong: a byte before, at and behind the end of a header
  const atHeader = fc.tuple(packet, fc.nat(31), fc.integer({ min: -1, max: 2 })).map(([value, index, more]) => {
    const headers = decodePacket(value)
    const { offset, length } = headers[index % headers.length]
    return value.subarray(0, Math.max(1, offset + length + more))
  })
  const cut = fc.oneof({ weight: 3, arbitrary: atHeader }, { weight: 1, arbitrary: anywhere })
  const flipped = fc
    .tuple(packet, fc.array(fc.tuple(fc.nat(200), fc.nat(255)), { minLength: 1, maxLength: 4 }))
    .map(([value, edits]) => {
      const copy = value.slice()
      for (const [at, byte] of edits) copy[at % copy.length] = byte
      return copy
    })
  const lying = fc.tuple(layers, fc.nat(65535), fc.nat(15)).map(([list, length, words]) =>
    buildPacket(
      list.map((each): Layer => {
        if (each.protocol === 'ipv4')
          return { protocol: 'ipv4', fields: { ...each.fields, length, headerLength: words * 4, checksum: 'wrong' } }
        if (each.protocol === 'tcp') return { protocol: 'tcp', fields: { ...each.fields, headerLength: words * 4 } }
        if (each.protocol === 'udp') return { protocol: 'udp', fields: { ...each.fields, length, checksum: 'wrong' } }
        if (each.protocol === 'ipv6') return { protocol: 'ipv6', fields: { ...each.fields, payloadLength: length } }
        return each
      }),
    ),
  )
  const chain = fc
    .tuple(link, fc.integer({ min: 3, max: 12 }))
    .map(([first, count]) =>
      buildPacket([
        first,
        { protocol: 'ipv6', fields: {} },
        ...Array.from(
          { length: count },
          (): Layer => ({ protocol: 'ipv6Extension', fields: { header: 'destination' } }),
        ),
        { protocol: 'udp', fields: {} },
      ]),
    )
  const malformedPacket = fc.oneof(
    { weight: 3, arbitrary: cut },
    { weight: 1, arbitrary: flipped },
    { weight: 1, arbitrary: lying },
    { weight: 1, arbitrary: chain },
  )
  return {
    mac,
    ipv4,
    ipv6,
    layers,
    packet,
    malformedPacket,
    anyPacket: fc.oneof(
      { weight: 2, arbitrary: packet },
      { weight: 3, arbitrary: malformedPacket },
      { weight: 1, arbitrary: fc.uint8Array({ minLength: 1, maxLength: 128 }) },
    ),
    skbContext: fc.record({ mark: word, priority: word, cb: fc.array(word, { minLength: 5, maxLength: 5 }) }),
    mapState: ({ keySize, valueSize, maxEntries }) =>
      fc.uniqueArray(fc.tuple(bytes(keySize), bytes(valueSize)), {
        maxLength: Math.min(maxEntries, 32),
        selector: ([key]) => key.join(),
      }) as Arbitrary<[Uint8Array, Uint8Array][]>,
  }
}
