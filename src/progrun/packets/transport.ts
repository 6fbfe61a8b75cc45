import { type ByteReader, ByteWriter } from '../../bytes/index.ts'
import { InputError, UsageError } from '../../errors/index.ts'
import { bytesToIpv6, ipv6ToBytes } from './address.ts'
import { crc32c, internetChecksum } from './checksum.ts'
import type { BuildContext, Checksum, Codec, DecodedLayer, Protocol, SctpChunk, TcpFlag, TypedData } from './layer.ts'
import { concat, EMPTY } from './layer.ts'
import { checksumProblem, chosenChecksum, enclosingIp, isFragment, pseudoHeader } from './network.ts'
import { readTcpOptions, writeTcpOptions } from './tcp-options.ts'

const TCP_FLAGS: readonly TcpFlag[] = ['FIN', 'SYN', 'RST', 'PSH', 'ACK', 'URG', 'ECE', 'CWR', 'AE']

/** Destination or source ports of UDP whose payload is decoded. */
const UDP_PORTS: readonly (readonly [number, Protocol])[] = [
  [53, 'dns'],
  [5353, 'dns'],
  [4789, 'vxlan'],
  [6081, 'geneve'],
]

/** Puts the checksum of pseudo header, header and payload at byte `at` of the header. */
function seal(
  header: Uint8Array,
  at: number,
  wanted: Checksum | undefined,
  context: BuildContext,
  pseudoProtocol: number | undefined,
  zeroIsNone = false,
): Uint8Array {
  const value = chosenChecksum(wanted, () => {
    const length = header.length + context.payload.length
    const pseudo = pseudoProtocol === undefined ? EMPTY : pseudoHeader(context.outer, pseudoProtocol, length)
    const sum = internetChecksum(pseudo, concat(header, context.payload))
    return zeroIsNone && sum === 0 ? 0xffff : sum
  })
  header[at] = value >> 8
  header[at + 1] = value & 255
  return header
}

/** Compares the checksum at byte `at` of the transport bytes that start at `start` and end with the reader's bytes. */
function verify(
  reader: ByteReader,
  start: number,
  at: number,
  outer: readonly DecodedLayer[],
  pseudoProtocol: number | undefined,
  length = reader.length - start,
): string[] {
  if (isFragment(outer) || length > reader.length - start) return []
  // a length field beyond the end: the capture cut the packet, its sum cannot be checked
  const ip = enclosingIp(outer) as DecodedLayer<'ipv4' | 'ipv6'> | undefined
  if (ip?.problems.some((problem) => problem.includes('length'))) return []
  const whole = reader.bytes.slice(start, start + length)
  const found = (whole[at] << 8) | whole[at + 1]
  whole[at] = 0
  whole[at + 1] = 0
  const pseudo = pseudoProtocol === undefined ? EMPTY : pseudoHeader(outer, pseudoProtocol, length)
  const wanted = internetChecksum(pseudo, whole)
  return checksumProblem(found, pseudoProtocol === 17 && wanted === 0 ? 0xffff : wanted)
}

export const tcp: Codec<'tcp'> = {
  encode(fields, context) {
    const options = writeTcpOptions(fields.options ?? [])
    if (options.length > 40) throw new UsageError('packet.option', `${options.length} bytes of TCP options, 40 fit`)
    const headerLength = fields.headerLength ?? 20 + options.length
    const flags = (fields.flags ?? ['ACK']).reduce((bits, flag) => bits | (1 << TCP_FLAGS.indexOf(flag)), 0)
    const header = new ByteWriter({ littleEndian: false })
      .u16(fields.srcPort ?? 40000)
      .u16(fields.dstPort ?? 80)
      .u32(fields.sequence ?? 0)
      .u32(fields.acknowledgement ?? 0)
      .u16(((headerLength >> 2) << 12) | ((fields.reserved ?? 0) << 9) | flags)
      .u16(fields.window ?? 65535)
      .u16(0)
      .u16(fields.urgentPointer ?? 0)
      .raw(options)
      .toBytes()
    return seal(header, 16, fields.checksum, context, 6)
  },
  decode(reader, outer) {
    const start = reader.offset
    const srcPort = reader.u16()
    const dstPort = reader.u16()
    const sequence = reader.u32()
    const acknowledgement = reader.u32()
    const word = reader.u16()
    const window = reader.u16()
    const checksum = reader.u16()
    const urgentPointer = reader.u16()
    const headerLength = (word >> 12) * 4
    if (headerLength < 20) throw new InputError('packet.malformed', `tcp data offset of ${headerLength} bytes`)
    const options = readTcpOptions(reader.take(headerLength - 20))
    return {
      fields: {
        srcPort,
        dstPort,
        sequence,
        acknowledgement,
        headerLength,
        reserved: (word >> 9) & 7,
        flags: TCP_FLAGS.filter((_, bit) => (word >> bit) & 1),
        window,
        checksum,
        urgentPointer,
        options,
      },
      problems: verify(reader, start, 16, outer, 6),
    }
  },
}

export const udp: Codec<'udp'> = {
  encode(fields, context) {
    const port = UDP_PORTS.find(([, protocol]) => protocol === context.next?.protocol)?.[0]
    const header = new ByteWriter({ littleEndian: false })
      .u16(fields.srcPort ?? 40000)
      .u16(fields.dstPort ?? port ?? 9)
      .u16(fields.length ?? 8 + context.payload.length)
      .u16(0)
      .toBytes()
    return seal(header, 6, fields.checksum, context, 17, true)
  },
  decode(reader, outer) {
    const start = reader.offset
    const fields = { srcPort: reader.u16(), dstPort: reader.u16(), length: reader.u16(), checksum: reader.u16() }
    const rest = fields.length - 8
    const fits = rest >= 0 && rest <= reader.remaining
    const problems: string[] = []
    if (!fits && !isFragment(outer)) problems.push(`length ${fields.length}, ${reader.length - start} bytes are there`)
    if (fits && (fields.checksum !== 0 || enclosingIp(outer)?.protocol === 'ipv6'))
      problems.push(...verify(reader, start, 6, outer, 17, fields.length))
    const known = UDP_PORTS.find(([port]) => port === fields.dstPort || port === fields.srcPort)?.[1]
    return { fields, next: isFragment(outer) ? undefined : known, payloadLength: fits ? rest : undefined, problems }
  },
}

const ECHO = { icmp: [0, 8, 13, 14, 15, 16], icmpv6: [128, 129] } as const

function restOf(fields: { rest?: number; id?: number; sequence?: number }): number {
  if (fields.rest !== undefined) return fields.rest
  return (((fields.id ?? 0) << 16) | (fields.sequence ?? 0)) >>> 0
}

function readRest(reader: ByteReader, echo: boolean): { rest?: number; id?: number; sequence?: number } {
  return echo ? { id: reader.u16(), sequence: reader.u16() } : { rest: reader.u32() }
}

export const icmp: Codec<'icmp'> = {
  encode(fields, context) {
    const header = new ByteWriter({ littleEndian: false })
      .u8(fields.type ?? 8)
      .u8(fields.code ?? 0)
      .u16(0)
      .u32(restOf(fields))
      .toBytes()
    return seal(header, 2, fields.checksum, context, undefined)
  },
  decode(reader, outer) {
    const start = reader.offset
    const type = reader.u8()
    const code = reader.u8()
    const checksum = reader.u16()
    const rest = readRest(
      reader,
      ECHO.icmp.some((value) => value === type),
    )
    return { fields: { type, code, checksum, ...rest }, problems: verify(reader, start, 2, outer, undefined) }
  },
}

function readNeighbourOptions(reader: ByteReader): TypedData[] {
  const out: TypedData[] = []
  while (reader.remaining >= 2) {
    const type = reader.u8()
    const units = reader.u8()
    if (units === 0) throw new InputError('packet.malformed', 'an icmpv6 option of length 0')
    out.push({ type, data: reader.take(units * 8 - 2).slice() })
  }
  return out
}

export const icmpv6: Codec<'icmpv6'> = {
  encode(fields, context) {
    const out = new ByteWriter({ littleEndian: false })
      .u8(fields.type ?? 128)
      .u8(fields.code ?? 0)
      .u16(0)
      .u32(restOf(fields))
    if (fields.target !== undefined) {
      out.raw(ipv6ToBytes(fields.target))
      for (const { type, data } of fields.options ?? [])
        out
          .u8(type)
          .u8(Math.ceil((data.length + 2) / 8))
          .raw(data)
          .zeros((8 - ((data.length + 2) % 8)) % 8)
    }
    return seal(out.toBytes(), 2, fields.checksum, context, 58)
  },
  decode(reader, outer) {
    const start = reader.offset
    const type = reader.u8()
    const code = reader.u8()
    const checksum = reader.u16()
    const rest = readRest(
      reader,
      ECHO.icmpv6.some((value) => value === type),
    )
    const neighbour = (type === 135 || type === 136) && !isFragment(outer) && reader.remaining >= 16
    const body = neighbour ? { target: bytesToIpv6(reader.take(16)), options: readNeighbourOptions(reader) } : {}
    return { fields: { type, code, checksum, ...rest, ...body }, problems: verify(reader, start, 2, outer, 58) }
  },
}

export const sctp: Codec<'sctp'> = {
  encode(fields, { payload }) {
    const out = new ByteWriter({ littleEndian: false })
      .u16(fields.srcPort ?? 40000)
      .u16(fields.dstPort ?? 3868)
      .u32(fields.verificationTag ?? 0)
      .u32(0)
    for (const chunk of fields.chunks ?? [])
      out
        .u8(chunk.type)
        .u8(chunk.flags)
        .u16(chunk.value.length + 4)
        .raw(chunk.value)
        .align(4)
    const header = out.toBytes()
    const wanted = fields.checksum
    const sum = typeof wanted === 'number' ? wanted : crc32c(concat(header, payload))
    new DataView(header.buffer).setUint32(8, wanted === 'wrong' ? ~sum >>> 0 : sum, true)
    return header
  },
  decode(reader, outer) {
    const start = reader.offset
    const srcPort = reader.u16()
    const dstPort = reader.u16()
    const verificationTag = reader.u32()
    const raw = reader.take(4)
    const checksum = new DataView(raw.buffer, raw.byteOffset, 4).getUint32(0, true)
    const whole = reader.bytes.slice(start)
    whole.fill(0, 8, 12)
    const chunks: SctpChunk[] = []
    // chunks that are cut short or carry padding that is not zero stay behind as payload
    while (reader.remaining >= 4) {
      const at = reader.offset
      const type = reader.u8()
      const flags = reader.u8()
      const length = reader.u16()
      const padded = (length + 3) & ~3
      const padding = reader.bytes.subarray(at + length, at + padded)
      if (length < 4 || at + padded > reader.length || padding.some((byte) => byte !== 0)) {
        reader.seek(at)
        break
      }
      chunks.push({ type, flags, value: reader.bytes.slice(at + 4, at + length) })
      reader.seek(at + padded)
    }
    const sum = crc32c(whole)
    const wrong = sum !== checksum && !isFragment(outer)
    return {
      fields: { srcPort, dstPort, verificationTag, checksum, chunks },
      problems: wrong ? [`checksum 0x${checksum.toString(16)}, should be 0x${sum.toString(16)}`] : [],
    }
  },
}
