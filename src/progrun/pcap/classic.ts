import { ByteReader, ByteWriter } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import { type Capture, type CapturedPacket, LINK_TYPES, normalize, type PacketToWrite } from './capture.ts'

const MICRO = 0xa1b2c3d4
const NANO = 0xa1b23c4d

export function isClassicMagic(littleEndianWord: number): boolean {
  const swapped = [0xd4c3b2a1, 0x4d3cb2a1]
  return littleEndianWord === MICRO || littleEndianWord === NANO || swapped.includes(littleEndianWord)
}

/**
 * A classic pcap file: both byte orders, micro- and nanoseconds. Packet bytes are views into `bytes`.
 * @throws InputError when it is none or ends inside a record
 */
export function readPcap(bytes: Uint8Array, what = 'pcap'): Capture {
  const magic = new ByteReader(bytes, { what }).u32()
  if (!isClassicMagic(magic)) throw new InputError('pcap.magic', `${what}: not a pcap file`)
  const littleEndian = magic === MICRO || magic === NANO
  const reader = new ByteReader(bytes, { littleEndian, what })
  const unit = reader.u32() === NANO ? 1n : 1000n
  const major = reader.u16()
  const minor = reader.u16()
  if (major !== 2) throw new InputError('pcap.version', `${what}: pcap version ${major}.${minor}, 2.4 is read`)
  reader.skip(8)
  const snapLength = reader.u32()
  const linkType = reader.u32() & 0x0fffffff
  const packets: CapturedPacket[] = []
  while (reader.remaining > 0) {
    const at = reader.offset
    if (reader.remaining < 16)
      throw new InputError(
        'pcap.truncated',
        `${what}: ${reader.remaining} bytes after record ${packets.length}, at ${at}`,
      )
    const seconds = reader.u32()
    const fraction = reader.u32()
    const length = reader.u32()
    const originalLength = reader.u32()
    if (length > reader.remaining)
      throw new InputError(
        'pcap.truncated',
        `${what}: record ${packets.length + 1} at offset ${at} tells ${length} bytes, ${reader.remaining} are left`,
      )
    const timeNs = BigInt(seconds) * 1_000_000_000n + BigInt(fraction) * unit
    packets.push({ timeNs, data: reader.take(length), originalLength })
  }
  return { format: 'pcap', linkType, interfaces: [{ linkType, snapLength }], packets }
}

/** A classic pcap file, little endian, nanosecond times (`microseconds: true` for readers that know only those). */
export function writePcap(
  packets: readonly PacketToWrite[],
  options: { readonly linkType?: number; readonly microseconds?: boolean; readonly snapLength?: number } = {},
): Uint8Array {
  const micro = options.microseconds ?? false
  const out = new ByteWriter()
    .u32(micro ? MICRO : NANO)
    .u16(2)
    .u16(4)
    .zeros(8)
    .u32(options.snapLength ?? 262144)
    .u32(options.linkType ?? LINK_TYPES.ethernet)
  packets.forEach((each, index) => {
    const { data, timeNs, originalLength } = normalize(each, index)
    const fraction = Number(timeNs % 1_000_000_000n)
    out
      .u32(Number(timeNs / 1_000_000_000n))
      .u32(micro ? Math.floor(fraction / 1000) : fraction)
      .u32(data.length)
      .u32(originalLength)
      .raw(data)
  })
  return out.toBytes()
}
