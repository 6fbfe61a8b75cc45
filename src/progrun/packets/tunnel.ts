import { ByteWriter } from '../../bytes/index.ts'
import { internetChecksum } from './checksum.ts'
import type { Codec, GeneveOption } from './layer.ts'
import { concat } from './layer.ts'
import { etherTypeOf, protocolOfEtherType } from './link.ts'
import { checksumProblem, chosenChecksum } from './network.ts'

const GRE_CHECKSUM = 0x8000
const GRE_KEY = 0x2000
const GRE_SEQUENCE = 0x1000

/** GRE (RFC 2784, RFC 2890). */
export const gre: Codec<'gre'> = {
  encode(fields, { next, payload }) {
    const out = new ByteWriter({ littleEndian: false })
      .u16(
        (fields.checksum === undefined ? 0 : GRE_CHECKSUM) |
          (fields.key === undefined ? 0 : GRE_KEY) |
          (fields.sequence === undefined ? 0 : GRE_SEQUENCE) |
          (fields.otherFlags ?? 0) |
          (fields.version ?? 0),
      )
      .u16(fields.protocol ?? etherTypeOf(next))
    if (fields.checksum !== undefined) out.u32(0)
    if (fields.key !== undefined) out.u32(fields.key)
    if (fields.sequence !== undefined) out.u32(fields.sequence)
    const header = out.toBytes()
    if (fields.checksum !== undefined) {
      const sum = chosenChecksum(fields.checksum, () => internetChecksum(concat(header, payload)))
      header[4] = sum >> 8
      header[5] = sum & 255
    }
    return header
  },
  decode(reader) {
    const start = reader.offset
    const flags = reader.u16()
    const protocol = reader.u16()
    let checksum: number | undefined
    const problems: string[] = []
    if (flags & GRE_CHECKSUM) {
      checksum = reader.u16()
      reader.skip(2)
      const whole = reader.bytes.slice(start)
      whole.fill(0, 4, 6)
      problems.push(...checksumProblem(checksum, internetChecksum(whole)))
    }
    const key = flags & GRE_KEY ? reader.u32() : undefined
    const sequence = flags & GRE_SEQUENCE ? reader.u32() : undefined
    return {
      fields: {
        protocol,
        version: flags & 7,
        otherFlags: flags & ~(GRE_CHECKSUM | GRE_KEY | GRE_SEQUENCE | 7),
        ...(checksum === undefined ? {} : { checksum }),
        ...(key === undefined ? {} : { key }),
        ...(sequence === undefined ? {} : { sequence }),
      },
      next: protocolOfEtherType(protocol),
      problems,
    }
  },
}

/** VXLAN (RFC 7348). */
export const vxlan: Codec<'vxlan'> = {
  encode: (fields) =>
    new ByteWriter({ littleEndian: false })
      .u32((((fields.flags ?? 8) << 24) | (fields.reserved ?? 0)) >>> 0)
      .u32((((fields.vni ?? 1) << 8) | (fields.reserved2 ?? 0)) >>> 0)
      .toBytes(),
  decode(reader) {
    const first = reader.u32()
    const second = reader.u32()
    return {
      fields: { flags: first >>> 24, reserved: first & 0xffffff, vni: second >>> 8, reserved2: second & 255 },
      next: 'ethernet',
    }
  },
}

/** Geneve (RFC 8926). Option data is padded to a multiple of 4 bytes. */
export const geneve: Codec<'geneve'> = {
  encode(fields, { next }) {
    const options = new ByteWriter({ littleEndian: false })
    for (const option of fields.options ?? [])
      options
        .u16(option.class)
        .u8(option.type)
        .u8(Math.ceil(option.data.length / 4))
        .raw(option.data)
        .align(4)
    return new ByteWriter({ littleEndian: false })
      .u8(((fields.version ?? 0) << 6) | (options.length / 4))
      .u8(fields.flags ?? 0)
      .u16(fields.protocol ?? etherTypeOf(next))
      .u32((((fields.vni ?? 1) << 8) | (fields.reserved ?? 0)) >>> 0)
      .raw(options.toBytes())
      .toBytes()
  },
  decode(reader) {
    const first = reader.u8()
    const flags = reader.u8()
    const protocol = reader.u16()
    const word = reader.u32()
    const end = reader.offset + (first & 63) * 4
    const options: GeneveOption[] = []
    while (reader.offset < end) {
      const optionClass = reader.u16()
      const type = reader.u8()
      // the three high bits of the length byte are reserved
      options.push({ class: optionClass, type, data: reader.take((reader.u8() & 31) * 4).slice() })
    }
    return {
      fields: { version: first >> 6, flags, protocol, vni: word >>> 8, reserved: word & 255, options },
      next: protocolOfEtherType(protocol),
    }
  },
}
