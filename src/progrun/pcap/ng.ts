import { ByteReader, ByteWriter } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import {
  type Capture,
  type CapturedPacket,
  type CaptureInterface,
  LINK_TYPES,
  normalize,
  type PacketToWrite,
} from './capture.ts'

// Block and option numbers: the pcapng draft (draft-ietf-opsawg-pcapng), sections 4.1 to 4.4 and 3.5.
const SECTION = 0x0a0d0d0a
const INTERFACE = 1
const SIMPLE = 3
const ENHANCED = 6
const OBSOLETE_PACKET = 2
const BYTE_ORDER = 0x1a2b3c4d
const OPTION = { end: 0, comment: 1, name: 2, resolution: 9, offset: 14 } as const

export const PCAPNG_MAGIC: number = SECTION

interface Interface extends CaptureInterface {
  /** Time units in a second. */
  readonly perSecond: bigint
  readonly offsetSeconds: bigint
}

function options(reader: ByteReader): Map<number, Uint8Array> {
  const out = new Map<number, Uint8Array>()
  while (reader.remaining >= 4) {
    const code = reader.u16()
    const length = reader.u16()
    if (code === OPTION.end) break
    const value = reader.take(length)
    if (!out.has(code)) out.set(code, value)
    reader.skip(Math.min((4 - (length % 4)) % 4, reader.remaining))
  }
  return out
}

const utf8 = new TextDecoder()

function readInterface(body: ByteReader): Interface {
  const linkType = body.u16()
  body.skip(2)
  const snapLength = body.u32()
  const found = options(body)
  const name = found.get(OPTION.name)
  const resolution = found.get(OPTION.resolution)?.[0] ?? 6
  const exponent = BigInt(resolution & 0x7f)
  const offset = found.get(OPTION.offset)
  return {
    linkType,
    snapLength,
    ...(name === undefined ? {} : { name: utf8.decode(name) }),
    perSecond: resolution & 0x80 ? 2n ** exponent : 10n ** exponent,
    offsetSeconds:
      offset?.length === 8 ? new ByteReader(offset, { littleEndian: body.littleEndian, what: body.what }).i64() : 0n,
  }
}

/**
 * A pcapng file: any number of sections and interfaces, enhanced, simple and obsolete packet blocks; other blocks are passed over.
 * Packet bytes are views into `bytes`.
 * @throws InputError when it is none or a block does not fit
 */
export function readPcapng(bytes: Uint8Array, what = 'pcapng'): Capture {
  const interfaces: Interface[] = []
  const packets: CapturedPacket[] = []
  let littleEndian = true
  let base = 0
  let offset = 0
  if (new ByteReader(bytes, { what }).u32() !== SECTION)
    throw new InputError('pcap.magic', `${what}: not a pcapng file`)
  while (offset < bytes.length) {
    let reader = new ByteReader(bytes, { littleEndian, what, offset })
    if (reader.u32() === SECTION) {
      const order = new ByteReader(bytes, { what, offset }).skip(8).u32()
      littleEndian = order === BYTE_ORDER
      if (!littleEndian && order !== 0x4d3c2b1a)
        throw new InputError('pcap.magic', `${what}: section at offset ${offset} has no byte-order mark`)
      base = interfaces.length
    }
    reader = new ByteReader(bytes, { littleEndian, what, offset })
    const type = reader.u32()
    const length = reader.u32()
    if (length < 12 || length % 4 !== 0 || length > bytes.length - offset)
      throw new InputError(
        'pcap.truncated',
        `${what}: block at offset ${offset} tells ${length} bytes, ${bytes.length - offset} are left`,
      )
    const body = new ByteReader(bytes.subarray(offset + 8, offset + length - 4), { littleEndian, what })
    if (type === INTERFACE) interfaces.push(readInterface(body))
    else if (type === ENHANCED || type === OBSOLETE_PACKET)
      packets.push(readPacket(body, type === ENHANCED, interfaces, base, offset))
    else if (type === SIMPLE) {
      const source = interfaces[base]
      if (source === undefined)
        throw new InputError('pcap.interface', `${what}: packet at offset ${offset} before any interface`)
      const originalLength = body.u32()
      const limit = source.snapLength === 0 ? originalLength : Math.min(originalLength, source.snapLength)
      packets.push({
        timeNs: 0n,
        data: body.take(Math.min(limit, body.remaining)),
        originalLength,
        interfaceIndex: base,
      })
    }
    offset += length
  }
  return {
    format: 'pcapng',
    linkType: interfaces[0]?.linkType ?? LINK_TYPES.ethernet,
    interfaces: interfaces.map(({ perSecond: _, offsetSeconds: __, ...rest }) => rest),
    packets,
  }
}

function readPacket(
  body: ByteReader,
  enhanced: boolean,
  interfaces: readonly Interface[],
  base: number,
  at: number,
): CapturedPacket {
  const interfaceIndex = base + (enhanced ? body.u32() : body.u16())
  if (!enhanced) body.skip(2)
  const source = interfaces[interfaceIndex]
  if (source === undefined)
    throw new InputError(
      'pcap.interface',
      `${body.what}: packet at offset ${at} names interface ${interfaceIndex - base}`,
    )
  const units = (BigInt(body.u32()) << 32n) | BigInt(body.u32())
  const length = body.u32()
  const originalLength = body.u32()
  const data = body.take(length)
  body.skip(Math.min((4 - (length % 4)) % 4, body.remaining))
  const comment = options(body).get(OPTION.comment)
  const timeNs = source.offsetSeconds * 1_000_000_000n + (units * 1_000_000_000n) / source.perSecond
  return { timeNs, data, originalLength, interfaceIndex, ...(comment ? { comment: utf8.decode(comment) } : {}) }
}

function option(out: ByteWriter, code: number, value: Uint8Array): void {
  out.u16(code).u16(value.length).raw(value).align(4)
}

function block(out: ByteWriter, type: number, body: ByteWriter): void {
  const bytes = body.align(4).toBytes()
  out
    .u32(type)
    .u32(bytes.length + 12)
    .raw(bytes)
    .u32(bytes.length + 12)
}

/** A pcapng file of one section and one interface, little endian, nanosecond times, with the packets' comments. */
export function writePcapng(
  packets: readonly PacketToWrite[],
  options: { readonly linkType?: number; readonly name?: string; readonly application?: string } = {},
): Uint8Array {
  const encoder = new TextEncoder()
  const out = new ByteWriter()
  const section = new ByteWriter().u32(BYTE_ORDER).u16(1).u16(0).u64(0xffff_ffff_ffff_ffffn)
  option(section, 4, encoder.encode(options.application ?? 'typebpf'))
  block(out, SECTION, section.u32(OPTION.end))
  const source = new ByteWriter()
    .u16(options.linkType ?? LINK_TYPES.ethernet)
    .u16(0)
    .u32(0)
  if (options.name !== undefined) option(source, OPTION.name, encoder.encode(options.name))
  option(source, OPTION.resolution, Uint8Array.of(9))
  block(out, INTERFACE, source.u32(OPTION.end))
  packets.forEach((each, index) => {
    const { data, timeNs, originalLength, comment } = normalize(each, index)
    const body = new ByteWriter()
      .u32(0)
      .u32(Number(timeNs >> 32n))
      .u32(Number(timeNs & 0xffff_ffffn))
      .u32(data.length)
      .u32(originalLength)
      .raw(data)
      .align(4)
    if (comment !== undefined) {
      option(body, OPTION.comment, encoder.encode(comment))
      body.u32(OPTION.end)
    }
    block(out, ENHANCED, body)
  })
  return out.toBytes()
}
