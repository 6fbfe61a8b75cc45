import { ByteWriter } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import { bytesToIpv4, bytesToMac, ipv4ToBytes, macToBytes } from './address.ts'
import type { Codec, Layer, Protocol } from './layer.ts'

/** Ethertypes and the header that follows them. */
export const ETHER_TYPES: readonly (readonly [number, Protocol])[] = [
  [0x0800, 'ipv4'],
  [0x0806, 'arp'],
  [0x86dd, 'ipv6'],
  [0x8100, 'vlan'],
  [0x88a8, 'vlan'],
  [0x6558, 'ethernet'],
]

export function protocolOfEtherType(etherType: number): Protocol | undefined {
  return ETHER_TYPES.find(([number]) => number === etherType)?.[1]
}

/** The ethertype that announces `next`; a tag before another tag is a service tag. */
export function etherTypeOf(next: Layer | undefined, afterNext?: Layer): number {
  if (next?.protocol === 'vlan') return afterNext?.protocol === 'vlan' ? 0x88a8 : 0x8100
  return ETHER_TYPES.find(([, protocol]) => protocol === next?.protocol)?.[0] ?? 0x88b5 // local experimental use
}

export const ethernet: Codec<'ethernet'> = {
  encode: (fields, { next, afterNext }) =>
    new ByteWriter({ littleEndian: false })
      .raw(macToBytes(fields.dst ?? '02:00:00:00:00:02'))
      .raw(macToBytes(fields.src ?? '02:00:00:00:00:01'))
      .u16(fields.etherType ?? etherTypeOf(next, afterNext))
      .toBytes(),
  decode(reader) {
    const fields = { dst: bytesToMac(reader.take(6)), src: bytesToMac(reader.take(6)), etherType: reader.u16() }
    if (fields.etherType < 0x600)
      return fields.etherType <= reader.remaining ? { fields, payloadLength: fields.etherType } : { fields }
    return { fields, next: protocolOfEtherType(fields.etherType) }
  },
}

export const vlan: Codec<'vlan'> = {
  encode: (fields, { next, afterNext }) =>
    new ByteWriter({ littleEndian: false })
      .u16(((fields.priority ?? 0) << 13) | (fields.dropEligible ? 0x1000 : 0) | ((fields.id ?? 1) & 0xfff))
      .u16(fields.etherType ?? etherTypeOf(next, afterNext))
      .toBytes(),
  decode(reader) {
    const tag = reader.u16()
    const etherType = reader.u16()
    return {
      fields: { priority: tag >> 13, dropEligible: (tag & 0x1000) !== 0, id: tag & 0xfff, etherType },
      next: protocolOfEtherType(etherType),
    }
  },
}

export const arp: Codec<'arp'> = {
  encode: (fields) =>
    new ByteWriter({ littleEndian: false })
      .u16(fields.hardwareType ?? 1)
      .u16(fields.protocolType ?? 0x0800)
      .u8(6)
      .u8(4)
      .u16(fields.operation ?? 1)
      .raw(macToBytes(fields.senderMac ?? '02:00:00:00:00:01'))
      .raw(ipv4ToBytes(fields.senderIp ?? '10.0.0.1'))
      .raw(macToBytes(fields.targetMac ?? '00:00:00:00:00:00'))
      .raw(ipv4ToBytes(fields.targetIp ?? '10.0.0.2'))
      .toBytes(),
  decode(reader) {
    const hardwareType = reader.u16()
    const protocolType = reader.u16()
    const sizes = [reader.u8(), reader.u8()]
    if (sizes[0] !== 6 || sizes[1] !== 4)
      throw new InputError('packet.malformed', `arp with address sizes ${sizes[0]} and ${sizes[1]}`)
    return {
      fields: {
        hardwareType,
        protocolType,
        operation: reader.u16(),
        senderMac: bytesToMac(reader.take(6)),
        senderIp: bytesToIpv4(reader.take(4)),
        targetMac: bytesToMac(reader.take(6)),
        targetIp: bytesToIpv4(reader.take(4)),
      },
      payloadLength: 0,
    }
  },
}
