import { ERRNO } from '../../uapi/index.ts'
import { setField } from '../contexts/index.ts'
import { SK_BUFF } from '../contexts/tables.ts'
import type { Machine } from '../machine.ts'
import { adjustRoom } from './adjust-room.ts'
import { packetAt } from './checksum.ts'
import {
  ETH_P_IP,
  ETH_P_IPV6,
  field,
  HASH,
  headers,
  MAX_LENGTH,
  makeHeadroom,
  moveHeaders,
  PROTOCOL,
  packetOf,
  pull,
  push,
  put,
  VLAN_PRESENT,
  VLAN_PROTO,
  VLAN_TCI,
} from './skb-headers.ts'
import type { HelperTable } from './table.ts'

const ETH_P_8021Q = 0x0081
const ETH_P_8021AD = 0xa888
const MAC_BYTES = 14

function isVlan(protocol: number): boolean {
  return protocol === ETH_P_8021Q || protocol === ETH_P_8021AD
}
function setVlan(m: Machine, proto: number, tci: number): void {
  put(m, 'vlan_present', 1)
  put(m, 'vlan_proto', proto)
  put(m, 'vlan_tci', tci)
}
/** The protocol that a type field means: below 0x600 it is a length, of raw 802.3 or of 802.2. */
function encapsulated(m: Machine, at: number): number {
  const { view } = m.memory
  if (view.getUint16(at, false) >= 0x600) return view.getUint16(at, true)
  return view.getUint16(at + 2, true) === 0xffff ? 0x0100 : 0x0400
}
/** Takes the tag out of the frame; undefined when the frame is too short. */
function popTag(m: Machine): number | undefined {
  const packet = packetOf(m)
  if (packet.dataEnd - packet.data < MAC_BYTES + 4) return undefined
  const { view } = m.memory
  const tci = view.getUint16(packet.data + MAC_BYTES, false)
  const protocol = encapsulated(m, packet.data + MAC_BYTES + 2)
  pull(m, 12, 4)
  put(m, 'protocol', protocol)
  return tci
}

function load(m: Machine, base: number, offset: number, to: number, size: number): number {
  const { packet } = m.run
  const at = base + offset
  if (packet === undefined || offset > 0x7fff_ffff || at < packet.start || at + size > packet.dataEnd) {
    m.memory.u8.fill(0, to, to + size)
    return -ERRNO.EFAULT
  }
  m.memory.u8.copyWithin(to, at, at + size)
  return 0
}

const STORE_FLAGS = 3n
const INVALIDATE_HASH = 2n

export const SKB_CALLS: HelperTable = {
  skb_load_bytes: (m) => {
    const size = m.low(4)
    return load(m, packetOf(m).data, m.low(2), m.writable(3, size), size)
  },
  skb_load_bytes_relative: (m) => {
    const size = m.low(4)
    const to = m.writable(3, size)
    const start = m.low(5)
    const { mac, net } = headers(m)
    if (start > 1 || m.low(2) > 0xffff) {
      m.memory.u8.fill(0, to, to + size)
      return -ERRNO.EFAULT
    }
    return load(m, start === 0 ? mac : net, m.low(2), to, size)
  },
  skb_store_bytes: (m) => {
    const offset = m.low(2)
    const size = m.low(4)
    const from = m.readable(3, size)
    const flags = m.get64(5)
    if ((flags & ~STORE_FLAGS) !== 0n) return -ERRNO.EINVAL
    if (offset > 0x7fff_ffff) return -ERRNO.EFAULT
    const to = packetAt(m, offset, size)
    if (to === 0) return -ERRNO.EFAULT
    m.memory.u8.copyWithin(to, from, from + size)
    if ((flags & INVALIDATE_HASH) !== 0n) put(m, 'hash', 0)
    return 0
  },
  skb_pull_data: (m) => (m.low(2) > packetOf(m).dataEnd - packetOf(m).data ? -ERRNO.ENOMEM : 0),
  skb_change_type: (m) => {
    if (m.low(2) > 3 || field(m, 4) > 3) return -ERRNO.EINVAL
    put(m, 'pkt_type', m.low(2))
    return 0
  },
  skb_change_tail: (m) => {
    const packet = packetOf(m)
    const length = m.low(2)
    const transport = m.run.extra.get('transport') ?? 0
    const minimum = Math.max(0, (transport > packet.data ? transport : headers(m).net) - packet.data)
    if (m.get64(3) !== 0n || length > MAX_LENGTH || length < minimum || packet.data + length > packet.end)
      return -ERRNO.EINVAL
    if (m.run.extra.has('encapsulated')) return -ERRNO.ENOTSUPP
    if (packet.data + length > packet.dataEnd) m.memory.u8.fill(0, packet.dataEnd, packet.data + length)
    packet.dataEnd = packet.data + length
    m.run.moved()
    return 0
  },
  skb_change_head: (m) => {
    const packet = packetOf(m)
    const room = m.low(2)
    if (m.get64(3) !== 0n || m.int(2) < 0 || packet.dataEnd - packet.data + room > MAX_LENGTH) return -ERRNO.EINVAL
    if (!makeHeadroom(m, room)) return -ERRNO.ENOMEM
    packet.data -= room
    packet.meta = packet.data
    m.memory.u8.fill(0, packet.data, packet.data + room)
    moveHeaders(m, packet.data, headers(m).net)
    m.run.moved()
    return 0
  },
  skb_adjust_room: adjustRoom,
  skb_change_proto: (m) => {
    const protocol = field(m, PROTOCOL)
    const wanted = m.low(2) & 0xffff
    if (m.get64(3) !== 0n) return -ERRNO.EINVAL
    const { mac, net } = headers(m)
    if (protocol === ETH_P_IP && wanted === ETH_P_IPV6) {
      if (!push(m, net - mac, 20)) return -ERRNO.ENOMEM
    } else if (protocol === ETH_P_IPV6 && wanted === ETH_P_IP) {
      const packet = packetOf(m)
      if (packet.dataEnd - packet.data < net - mac + 20) return -ERRNO.ENOMEM
      pull(m, net - mac, 20)
    } else return -ERRNO.ENOTSUPP
    put(m, 'protocol', wanted)
    put(m, 'hash', 0)
    m.run.moved()
    return 0
  },
  skb_vlan_push: (m) => {
    const given = m.low(2) & 0xffff
    const proto = isVlan(given) ? given : ETH_P_8021Q
    if (field(m, VLAN_PRESENT) !== 0) {
      const old = field(m, VLAN_PROTO)
      if (!push(m, 12, 4)) return -ERRNO.ENOMEM
      const { data } = packetOf(m)
      m.memory.view.setUint16(data + 12, old, true)
      m.memory.view.setUint16(data + 14, field(m, VLAN_TCI), false)
      put(m, 'protocol', old)
    }
    setVlan(m, proto, m.low(3) & 0xffff)
    m.run.moved()
    return 0
  },
  skb_vlan_pop: (m) => {
    if (field(m, VLAN_PRESENT) !== 0) {
      put(m, 'vlan_present', 0)
      put(m, 'vlan_tci', 0)
      put(m, 'vlan_proto', 0)
    } else {
      if (!isVlan(field(m, PROTOCOL))) return 0
      if (popTag(m) === undefined) return -ERRNO.ENOMEM
    }
    const protocol = field(m, PROTOCOL)
    if (isVlan(protocol)) {
      const tci = popTag(m)
      if (tci === undefined) return -ERRNO.ENOMEM
      setVlan(m, protocol, tci)
    }
    m.run.moved()
    return 0
  },
  get_hash_recalc: (m) => field(m, HASH),
  set_hash_invalid: (m) => {
    put(m, 'hash', 0)
    return 0
  },
  set_hash: (m) => {
    put(m, 'hash', m.low(2))
    return 0
  },
  get_cgroup_classid: () => 0,
  get_route_realm: () => 0,
  skb_ecn_set_ce: (m) => setCongestion(m),
  skb_set_tstamp: (m) => {
    setField(m, SK_BUFF, m.run.ctx, 'tstamp', m.get64(2))
    return 0
  },
}

/** Marks an ECN-capable packet as having met congestion; 1 when it is marked afterwards. */
function setCongestion(m: Machine): number {
  const { net } = headers(m)
  const packet = packetOf(m)
  const { u8 } = m.memory
  const protocol = field(m, PROTOCOL)
  if (protocol === ETH_P_IP && net + 20 <= packet.dataEnd) {
    const ecn = u8[net + 1] & 3
    if (ecn === 0) return 0
    if (ecn === 3) return 1
    const before = u8[net + 1]
    u8[net + 1] = before | 3
    const checksum = m.memory.view.getUint16(net + 10, false)
    // the sum is over big-endian words: only the low byte of the first one grew
    let sum = (~checksum & 0xffff) + ((before | 3) - before)
    sum = (sum & 0xffff) + (sum >> 16)
    m.memory.view.setUint16(net + 10, ~sum & 0xffff, false)
    return 1
  }
  if (protocol === ETH_P_IPV6 && net + 40 <= packet.dataEnd) {
    const ecn = (u8[net + 1] >> 4) & 3
    if (ecn === 0) return 0
    u8[net + 1] |= 0x30
    return 1
  }
  return 0
}
