/**
 * Packets: build them from headers (`packet(eth(), ipv4(), tcp())`), decode any bytes back into headers, compare, print.
 * Building fills in lengths and checksums; decoding never throws, and building what was decoded gives the same bytes.
 */
import type { Layer, LayerFields } from './layer.ts'
import { buildPacket } from './packet.ts'

export * from './address.ts'
export { crc32c, internetChecksum } from './checksum.ts'
export type {
  Checksum,
  DecodedLayer,
  DnsQuestion,
  DnsRecord,
  GeneveOption,
  Layer,
  LayerFields,
  Protocol,
  SctpChunk,
  TcpFlag,
  TcpOption,
  TypedData,
} from './layer.ts'
export { buildPacket, type DecodeOptions, decodePacket, layerOf } from './packet.ts'
export { describePacket, diffPackets, formatPacket, hexdump, type PacketDifference } from './text.ts'

type Fields<K extends keyof LayerFields> = Readonly<Partial<LayerFields[K]>>

export const eth = (fields: Fields<'ethernet'> = {}): Layer<'ethernet'> => ({ protocol: 'ethernet', fields })
export const vlan = (fields: Fields<'vlan'> = {}): Layer<'vlan'> => ({ protocol: 'vlan', fields })
export const arp = (fields: Fields<'arp'> = {}): Layer<'arp'> => ({ protocol: 'arp', fields })
export const ipv4 = (fields: Fields<'ipv4'> = {}): Layer<'ipv4'> => ({ protocol: 'ipv4', fields })
export const ipv6 = (fields: Fields<'ipv6'> = {}): Layer<'ipv6'> => ({ protocol: 'ipv6', fields })
export const ipv6Extension = (fields: Fields<'ipv6Extension'> = {}): Layer<'ipv6Extension'> => ({
  protocol: 'ipv6Extension',
  fields,
})
export const ipv6Fragment = (fields: Fields<'ipv6Fragment'> = {}): Layer<'ipv6Fragment'> => ({
  protocol: 'ipv6Fragment',
  fields,
})
export const icmp = (fields: Fields<'icmp'> = {}): Layer<'icmp'> => ({ protocol: 'icmp', fields })
export const icmpv6 = (fields: Fields<'icmpv6'> = {}): Layer<'icmpv6'> => ({ protocol: 'icmpv6', fields })
export const tcp = (fields: Fields<'tcp'> = {}): Layer<'tcp'> => ({ protocol: 'tcp', fields })
export const udp = (fields: Fields<'udp'> = {}): Layer<'udp'> => ({ protocol: 'udp', fields })
export const sctp = (fields: Fields<'sctp'> = {}): Layer<'sctp'> => ({ protocol: 'sctp', fields })
export const gre = (fields: Fields<'gre'> = {}): Layer<'gre'> => ({ protocol: 'gre', fields })
export const vxlan = (fields: Fields<'vxlan'> = {}): Layer<'vxlan'> => ({ protocol: 'vxlan', fields })
export const geneve = (fields: Fields<'geneve'> = {}): Layer<'geneve'> => ({ protocol: 'geneve', fields })
export const dns = (fields: Fields<'dns'> = {}): Layer<'dns'> => ({ protocol: 'dns', fields })

/** Payload bytes; text is written as UTF-8. */
export function payload(data: Uint8Array | string): Layer<'payload'> {
  return { protocol: 'payload', fields: { data: typeof data === 'string' ? new TextEncoder().encode(data) : data } }
}

/** Bytes after the end of the IP packet (Ethernet padding): not counted in its length. */
export function trailer(data: Uint8Array): Layer<'trailer'> {
  return { protocol: 'trailer', fields: { data } }
}

/**
 * A packet from its headers, outermost first.
 *
 * ```ts
 * packet(eth(), ipv4({ src: '10.0.0.1', dst: '10.0.0.2' }), tcp({ dstPort: 80, flags: ['SYN'] }))
 * ```
 */
export function packet(...layers: readonly Layer[]): Uint8Array {
  return buildPacket(layers)
}

/** `bytes` with zeros behind it up to `length` bytes: 60 is the least Ethernet frame without its check sequence. */
export function padTo(bytes: Uint8Array, length: number): Uint8Array {
  const out = new Uint8Array(Math.max(length, bytes.length))
  out.set(bytes)
  return out
}
