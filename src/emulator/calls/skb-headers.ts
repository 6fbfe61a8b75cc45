import { setField } from '../contexts/index.ts'
import { SK_BUFF } from '../contexts/tables.ts'
import type { Machine } from '../machine.ts'
import type { PacketState } from '../run-state.ts'

/** Ethertypes as an skb has them: big-endian words read as little-endian ones. */
export const ETH_P_IP = 0x0008
export const ETH_P_IPV6 = 0xdd86
const MAC_BYTES = 14
/** The longest packet that helpers make (SKB_MAX_ALLOC with pages of 4 KiB). */
export const MAX_LENGTH = 16_064

export function packetOf(m: Machine): PacketState {
  return m.run.packet ?? m.fail('invalid-argument', 'R1 is no context with a packet')
}
const offsetOf = (name: string): number => SK_BUFF.fields.find((field) => field.name === name)?.offset ?? 0
export const PROTOCOL = offsetOf('protocol')
export const HASH = offsetOf('hash')
export const VLAN_PRESENT = offsetOf('vlan_present')
export const VLAN_TCI = offsetOf('vlan_tci')
export const VLAN_PROTO = offsetOf('vlan_proto')

export function field(m: Machine, offset: number): number {
  return m.memory.view.getUint32(m.run.ctx + offset, true)
}
export function put(m: Machine, name: string, value: number): void {
  setField(m, SK_BUFF, m.run.ctx, name, value)
}
/** Addresses of the link and network headers. */
export function headers(m: Machine): { mac: number; net: number } {
  const mac = m.run.extra.get('mac') ?? packetOf(m).data
  return { mac, net: m.run.extra.get('net') ?? mac + MAC_BYTES }
}
export function moveHeaders(m: Machine, mac: number, net: number): void {
  // a transport header that is the network header goes along
  if (m.run.extra.has('transport') && m.run.extra.get('transport') === m.run.extra.get('net'))
    m.run.extra.set('transport', net)
  m.run.extra.set('mac', mac)
  m.run.extra.set('net', net)
}

/** Makes sure of `size` bytes in front of the data, by moving all of it where there are not enough. */
export function makeHeadroom(m: Machine, size: number): boolean {
  const packet = packetOf(m)
  const missing = packet.start + size - packet.data
  if (missing <= 0) return true
  if (packet.dataEnd + missing > packet.end) return false
  m.memory.u8.copyWithin(packet.data + missing, packet.data, packet.dataEnd)
  const { mac, net } = headers(m)
  const transport = m.run.extra.get('transport')
  m.run.extra.set('mac', mac + missing)
  m.run.extra.set('net', net + missing)
  if (transport !== undefined) m.run.extra.set('transport', transport + missing)
  packet.data += missing
  packet.meta = packet.data
  packet.dataEnd += missing
  return true
}

/** Opens `size` zero bytes behind the first `at` bytes of the data, by moving those forward. */
export function push(m: Machine, at: number, size: number): boolean {
  const packet = packetOf(m)
  if (!makeHeadroom(m, size)) return false
  m.memory.u8.copyWithin(packet.data - size, packet.data, packet.data + at)
  packet.data -= size
  packet.meta = packet.data
  m.memory.u8.fill(0, packet.data + at, packet.data + at + size)
  const { mac, net } = headers(m)
  moveHeaders(m, mac - size, net - size)
  return true
}
export function pull(m: Machine, at: number, size: number): void {
  const packet = packetOf(m)
  m.memory.u8.copyWithin(packet.data + size, packet.data, packet.data + at)
  packet.data += size
  packet.meta = packet.data
  const { mac, net } = headers(m)
  moveHeaders(m, mac + size, net + size)
}
