import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { HandleMap } from '../maps/index.ts'
import type { PacketState } from '../run-state.ts'
import { packetAt } from './checksum.ts'
import type { HelperTable } from './table.ts'

/** sizeof(struct xdp_frame) lies at the start of the buffer and stays free. */
const FRAME_BYTES = 40
const ETHERNET_BYTES = 14
const MAX_OFFSET = 0xffff
const MAX_METADATA = 255

function packetOf(m: Machine): PacketState {
  return m.run.packet ?? m.fail('invalid-argument', 'R1 is no context with a packet')
}

/** XDP_REDIRECT or TC_ACT_REDIRECT, and what the helpers answer to bad flags. */
function redirectAnswer(m: Machine): { yes: number; no: number } {
  return m.run.contextKind === 'xdp_md' ? { yes: 4, no: 0 } : { yes: 7, no: 2 }
}

export const XDP_CALLS: HelperTable = {
  xdp_adjust_head: (m) => {
    const packet = packetOf(m)
    const offset = m.int(2)
    const metadata = packet.data - packet.meta
    const data = packet.data + offset
    if (data < packet.start + FRAME_BYTES + metadata || data > packet.dataEnd - ETHERNET_BYTES) return -ERRNO.EINVAL
    m.memory.u8.copyWithin(packet.meta + offset, packet.meta, packet.data)
    packet.meta += offset
    packet.data = data
    m.run.moved()
    return 0
  },
  xdp_adjust_tail: (m) => {
    const packet = packetOf(m)
    const offset = m.int(2)
    const end = packet.dataEnd + offset
    if (end > packet.end || end < packet.data + ETHERNET_BYTES) return -ERRNO.EINVAL
    if (offset > 0) m.memory.u8.fill(0, packet.dataEnd, end)
    packet.dataEnd = end
    m.run.moved()
    return 0
  },
  xdp_adjust_meta: (m) => {
    const packet = packetOf(m)
    const meta = packet.meta + m.int(2)
    if (meta < packet.start + FRAME_BYTES || meta > packet.data) return -ERRNO.EINVAL
    const size = packet.data - meta
    if ((size & 3) !== 0 || size > MAX_METADATA) return -ERRNO.EACCES
    packet.meta = meta
    m.run.moved()
    return 0
  },
  xdp_get_buff_len: (m) => packetOf(m).dataEnd - packetOf(m).data,
  xdp_load_bytes: (m) => {
    const offset = m.low(2)
    const size = m.low(4)
    const to = m.writable(3, size)
    if (offset > MAX_OFFSET || size > MAX_OFFSET) return -ERRNO.EFAULT
    const from = packetAt(m, offset, size)
    if (from === 0) return -ERRNO.EINVAL
    m.memory.u8.copyWithin(to, from, from + size)
    return 0
  },
  xdp_store_bytes: (m) => {
    const offset = m.low(2)
    const size = m.low(4)
    const from = m.readable(3, size)
    if (offset > MAX_OFFSET || size > MAX_OFFSET) return -ERRNO.EFAULT
    const to = packetAt(m, offset, size)
    if (to === 0) return -ERRNO.EINVAL
    m.memory.u8.copyWithin(to, from, from + size)
    return 0
  },
  redirect: (m) => {
    const flags = m.get64(2)
    const answer = redirectAnswer(m)
    if (m.run.contextKind === 'xdp_md' ? flags !== 0n : (flags & ~1n) !== 0n) return answer.no
    m.run.redirect = { ifindex: m.low(1), flags }
    return answer.yes
  },
  redirect_neigh: (m) => {
    if (m.get64(4) !== 0n) return redirectAnswer(m).no
    m.run.redirect = { ifindex: m.low(1), flags: 0n }
    return redirectAnswer(m).yes
  },
  redirect_peer: (m) => {
    if (m.get64(2) !== 0n) return redirectAnswer(m).no
    m.run.redirect = { ifindex: m.low(1), flags: 0n }
    return redirectAnswer(m).yes
  },
  redirect_map: (m) => {
    const map = m.map(1)
    if (!(map instanceof HandleMap)) return m.fail('invalid-argument', `R1: map ${map.name} is no target of redirects`)
    const key = m.low(2)
    const flags = m.get64(3)
    const device = map.typeName.startsWith('devmap')
    if ((flags & ~(device ? 0x1bn : 3n)) !== 0n) return 0
    const target = map.targetAt(key)
    if (target === undefined && (flags & 8n) === 0n) return flags & 3n
    m.run.redirect = { map: map.name, key, flags, ...(device && target !== undefined ? { ifindex: target } : {}) }
    return redirectAnswer(m).yes
  },
  clone_redirect: (m) => {
    const flags = m.get64(3)
    if ((flags & ~1n) !== 0n) return -ERRNO.EINVAL
    const packet = packetOf(m)
    const data = m.memory.u8.slice(packet.data, packet.dataEnd)
    m.run.events.push({ kind: 'clone', map: 'clone_redirect', data, ifindex: m.low(2) })
    return 0
  },
}
