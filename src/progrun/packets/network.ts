import { ByteWriter } from '../../bytes/index.ts'
import { InputError, UsageError } from '../../errors/index.ts'
import { bytesToIpv4, bytesToIpv6, ipv4ToBytes, ipv6ToBytes } from './address.ts'
import { internetChecksum } from './checksum.ts'
import type { Checksum, Codec, DecodedLayer, Layer, Protocol } from './layer.ts'
import { concat, EMPTY } from './layer.ts'

/** Protocol numbers of the IPv4 header and next headers of IPv6, and the header that follows. */
export const IP_PROTOCOLS: readonly (readonly [number, Protocol])[] = [
  [1, 'icmp'],
  [4, 'ipv4'],
  [6, 'tcp'],
  [17, 'udp'],
  [41, 'ipv6'],
  [44, 'ipv6Fragment'],
  [47, 'gre'],
  [58, 'icmpv6'],
  [132, 'sctp'],
]
const EXTENSIONS = [
  [0, 'hopByHop'],
  [43, 'routing'],
  [60, 'destination'],
] as const

function protocolOfNumber(number: number, version: 4 | 6): Protocol | undefined {
  if (version === 6 && EXTENSIONS.some(([value]) => value === number)) return 'ipv6Extension'
  const protocol = IP_PROTOCOLS.find(([value]) => value === number)?.[1]
  return version === 4 && protocol === 'ipv6Fragment' ? undefined : protocol
}

function numberOf(next: Layer | undefined): number {
  if (next?.protocol === 'ipv6Extension')
    return EXTENSIONS.find(([, name]) => name === (next.fields.header ?? 'destination'))?.[0] ?? 60
  return IP_PROTOCOLS.find(([, protocol]) => protocol === next?.protocol)?.[0] ?? (next === undefined ? 59 : 253)
}

/** The checksum that goes into a field. */
export function chosenChecksum(wanted: Checksum | undefined, compute: () => number): number {
  if (typeof wanted === 'number') return wanted
  const value = compute()
  return wanted === 'wrong' ? ~value & 0xffff : value
}

/** What a bad checksum is called, and what it should be. */
export function checksumProblem(found: number, wanted: number): string[] {
  const hex = (value: number): string => `0x${value.toString(16).padStart(4, '0')}`
  return found === wanted ? [] : [`checksum ${hex(found)}, should be ${hex(wanted)}`]
}

const withoutChecksum = (header: Uint8Array, at: number): Uint8Array => {
  const copy = header.slice()
  copy[at] = 0
  copy[at + 1] = 0
  return copy
}

/** The addresses of the IP header around a transport header. */
type IpHeader = Layer<'ipv4' | 'ipv6'> | DecodedLayer<'ipv4' | 'ipv6'>

export function enclosingIp(outer: readonly (Layer | DecodedLayer)[]): IpHeader | undefined {
  for (let i = outer.length - 1; i >= 0; i--) {
    const layer = outer[i]
    if (layer.protocol === 'ipv4' || layer.protocol === 'ipv6') return layer
    if (layer.protocol === 'ethernet') return undefined
  }
  return undefined
}

const DEFAULT_V4 = ['10.0.0.1', '10.0.0.2'] as const
const DEFAULT_V6 = ['2001:db8::1', '2001:db8::2'] as const

/** The pseudo header that TCP, UDP and ICMPv6 sum up (RFC 9293 section 3.1, RFC 8200 section 8.1); empty without an IP header around. */
export function pseudoHeader(outer: readonly (Layer | DecodedLayer)[], protocol: number, length: number): Uint8Array {
  const ip = enclosingIp(outer)
  if (ip === undefined) return EMPTY
  const out = new ByteWriter({ littleEndian: false })
  if (ip.protocol === 'ipv4')
    return out
      .raw(ipv4ToBytes(ip.fields.src ?? DEFAULT_V4[0]))
      .raw(ipv4ToBytes(ip.fields.dst ?? DEFAULT_V4[1]))
      .u16(protocol)
      .u16(length)
      .toBytes()
  return out
    .raw(ipv6ToBytes(ip.fields.src ?? DEFAULT_V6[0]))
    .raw(ipv6ToBytes(ip.fields.dst ?? DEFAULT_V6[1]))
    .u32(length)
    .u32(protocol)
    .toBytes()
}

/** Whether the transport bytes are only a part of the datagram: a fragment. */
export function isFragment(outer: readonly DecodedLayer[]): boolean {
  for (let i = outer.length - 1; i >= 0; i--) {
    const layer = outer[i]
    if (layer.protocol === 'ipv4' || layer.protocol === 'ipv6Fragment')
      return layer.fields.moreFragments || layer.fields.fragmentOffset > 0
    if (layer.protocol === 'ipv6') return false
  }
  return false
}

function padded(bytes: Uint8Array, unit: number): Uint8Array {
  return bytes.length % unit === 0 ? bytes : concat(bytes, new Uint8Array(unit - (bytes.length % unit)))
}

export const ipv4: Codec<'ipv4'> = {
  encode(fields, { next, payload }) {
    const options = padded(fields.options ?? EMPTY, 4)
    if (options.length > 40) throw new UsageError('packet.option', `${options.length} bytes of IPv4 options, 40 fit`)
    const headerLength = fields.headerLength ?? 20 + options.length
    const offset = fields.fragmentOffset ?? 0
    if (offset % 8 !== 0) throw new UsageError('packet.option', `fragment offset ${offset} is no multiple of 8`)
    const header = new ByteWriter({ littleEndian: false })
      .u8(0x40 | (headerLength >> 2))
      .u8(fields.tos ?? 0)
      .u16(fields.length ?? 20 + options.length + payload.length)
      .u16(fields.id ?? 0)
      .u16(
        (fields.reservedFlag ? 0x8000 : 0) |
          (fields.dontFragment ? 0x4000 : 0) |
          (fields.moreFragments ? 0x2000 : 0) |
          (offset >> 3),
      )
      .u8(fields.ttl ?? 64)
      .u8(fields.protocol ?? numberOf(next))
      .u16(0)
      .raw(ipv4ToBytes(fields.src ?? DEFAULT_V4[0]))
      .raw(ipv4ToBytes(fields.dst ?? DEFAULT_V4[1]))
      .raw(options)
      .toBytes()
    const checksum = chosenChecksum(fields.checksum, () => internetChecksum(header))
    header[10] = checksum >> 8
    header[11] = checksum & 255
    return header
  },
  decode(reader) {
    const start = reader.offset
    const first = reader.u8()
    const headerLength = (first & 15) * 4
    if (first >> 4 !== 4 || headerLength < 20)
      throw new InputError('packet.malformed', `ipv4 header that starts with 0x${first.toString(16).padStart(2, '0')}`)
    const tos = reader.u8()
    const length = reader.u16()
    const id = reader.u16()
    const fragment = reader.u16()
    const ttl = reader.u8()
    const protocol = reader.u8()
    const checksum = reader.u16()
    const src = bytesToIpv4(reader.take(4))
    const dst = bytesToIpv4(reader.take(4))
    const options = reader.take(headerLength - 20).slice()
    const header = reader.bytes.subarray(start, reader.offset)
    const problems = checksumProblem(checksum, internetChecksum(withoutChecksum(header, 10)))
    const rest = length - headerLength
    if (rest < 0) problems.push(`length ${length} is less than the header's ${headerLength} bytes`)
    if (rest > reader.remaining) problems.push(`length ${length}, ${headerLength + reader.remaining} bytes are there`)
    const fragmentOffset = (fragment & 0x1fff) * 8
    return {
      fields: {
        headerLength,
        tos,
        length,
        id,
        reservedFlag: (fragment & 0x8000) !== 0,
        dontFragment: (fragment & 0x4000) !== 0,
        moreFragments: (fragment & 0x2000) !== 0,
        fragmentOffset,
        ttl,
        protocol,
        checksum,
        src,
        dst,
        options,
      },
      next: fragmentOffset > 0 ? undefined : protocolOfNumber(protocol, 4),
      payloadLength: rest >= 0 && rest <= reader.remaining ? rest : undefined,
      problems,
    }
  },
}

export const ipv6: Codec<'ipv6'> = {
  encode: (fields, { next, payload }) =>
    new ByteWriter({ littleEndian: false })
      .u32(((6 << 28) | ((fields.trafficClass ?? 0) << 20) | (fields.flowLabel ?? 0)) >>> 0)
      .u16(fields.payloadLength ?? payload.length)
      .u8(fields.nextHeader ?? numberOf(next))
      .u8(fields.hopLimit ?? 64)
      .raw(ipv6ToBytes(fields.src ?? DEFAULT_V6[0]))
      .raw(ipv6ToBytes(fields.dst ?? DEFAULT_V6[1]))
      .toBytes(),
  decode(reader) {
    const first = reader.u32()
    if (first >>> 28 !== 6) throw new InputError('packet.malformed', `ipv6 header of version ${first >>> 28}`)
    const payloadLength = reader.u16()
    const nextHeader = reader.u8()
    const hopLimit = reader.u8()
    const src = bytesToIpv6(reader.take(16))
    const dst = bytesToIpv6(reader.take(16))
    const fits = payloadLength <= reader.remaining
    return {
      fields: {
        trafficClass: (first >>> 20) & 255,
        flowLabel: first & 0xfffff,
        payloadLength,
        nextHeader,
        hopLimit,
        src,
        dst,
      },
      next: protocolOfNumber(nextHeader, 6),
      payloadLength: fits ? payloadLength : undefined,
      problems: fits ? [] : [`payload length ${payloadLength}, ${reader.remaining} bytes are there`],
    }
  },
}

export const ipv6Extension: Codec<'ipv6Extension'> = {
  encode(fields, { next }) {
    const given = fields.data ?? EMPTY
    const size = Math.max(1, Math.ceil((given.length + 2) / 8)) * 8
    const data = new Uint8Array(size - 2)
    data.set(given)
    // PadN (RFC 8200 section 4.2) fills options; a routing header takes zeros
    const gap = data.length - given.length
    if (fields.header !== 'routing' && gap >= 2) data.set([1, gap - 2], given.length)
    return concat(Uint8Array.of(fields.nextHeader ?? numberOf(next), size / 8 - 1), data)
  },
  decode(reader, outer) {
    const previous = outer[outer.length - 1]
    const number =
      previous?.protocol === 'ipv6' || previous?.protocol === 'ipv6Extension' || previous?.protocol === 'ipv6Fragment'
        ? previous.fields.nextHeader
        : 60
    const header = EXTENSIONS.find(([value]) => value === number)?.[1] ?? 'destination'
    const nextHeader = reader.u8()
    const data = reader.take((reader.u8() + 1) * 8 - 2).slice()
    return { fields: { header, nextHeader, data }, next: protocolOfNumber(nextHeader, 6) }
  },
}

export const ipv6Fragment: Codec<'ipv6Fragment'> = {
  encode(fields, { next }) {
    const offset = fields.fragmentOffset ?? 0
    if (offset % 8 !== 0) throw new UsageError('packet.option', `fragment offset ${offset} is no multiple of 8`)
    return new ByteWriter({ littleEndian: false })
      .u8(fields.nextHeader ?? numberOf(next))
      .u8(fields.reserved ?? 0)
      .u16(offset | ((fields.reservedBits ?? 0) << 1) | (fields.moreFragments ? 1 : 0))
      .u32(fields.id ?? 0)
      .toBytes()
  },
  decode(reader) {
    const nextHeader = reader.u8()
    const reserved = reader.u8()
    const word = reader.u16()
    const fragmentOffset = word & 0xfff8
    return {
      fields: {
        nextHeader,
        reserved,
        fragmentOffset,
        reservedBits: (word >> 1) & 3,
        moreFragments: (word & 1) !== 0,
        id: reader.u32(),
      },
      next: fragmentOffset > 0 ? undefined : protocolOfNumber(nextHeader, 6),
    }
  },
}
