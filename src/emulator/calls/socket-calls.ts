import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { HandleMap } from '../maps/index.ts'
import type { HelperTable } from './table.ts'

/** SK_PASS and SK_DROP. */
const PASS = 1
const DROP = 0

/** Redirects to a socket of a map, which has one where the test wrote an entry. */
function redirect(m: Machine, byKey: boolean): number {
  const map = socketsOf(m)
  const flags = m.get64(4)
  if ((flags & ~1n) !== 0n) return DROP
  const at = byKey ? m.readable(3, map.spec.keySize) : 0
  const there = byKey ? map.target(at) : map.targetAt(m.low(3))
  if (there === undefined) return DROP
  m.run.redirect = { map: map.name, key: byKey ? m.memory.view.getUint32(at, true) : m.low(3), flags }
  return PASS
}

function socketsOf(m: Machine): HandleMap {
  const map = m.map(2)
  return map instanceof HandleMap ? map : m.fail('invalid-argument', `R2: map ${map.name} holds no sockets`)
}

/** bpf_msg_pull_data: the message is linear here, so only the range is looked at. */
function pull(m: Machine): number {
  const { packet } = m.run
  if (packet === undefined) return -ERRNO.EINVAL
  const [start, end] = [m.low(2), m.low(3)]
  if (m.get64(4) !== 0n || end <= start) return -ERRNO.EINVAL
  return end > packet.dataEnd - packet.data ? -ERRNO.EINVAL : 0
}

/** bpf_msg_push_data and pop_data: bytes put in (zeroed) or taken out. */
function resize(m: Machine, grow: boolean): number {
  const { packet } = m.run
  if (packet === undefined) return -ERRNO.EINVAL
  const [start, length] = [m.low(2), m.low(3)]
  const size = packet.dataEnd - packet.data
  if (m.get64(4) !== 0n) return -ERRNO.EINVAL
  if (grow ? start > size : start >= size || start + length > size) return -ERRNO.EINVAL
  if (length === 0) return 0
  const { u8 } = m.memory
  const at = packet.data + start
  if (grow) {
    if (packet.dataEnd + length > packet.end) return -ERRNO.ENOMEM
    u8.copyWithin(at + length, at, packet.dataEnd)
    u8.fill(0, at, at + length)
    packet.dataEnd += length
  } else {
    u8.copyWithin(at, at + length, packet.dataEnd)
    packet.dataEnd -= length
  }
  m.run.moved()
  return 0
}

/** SO_REUSEPORT: the key must have an entry. */
function select(m: Machine): number {
  const map = socketsOf(m)
  if (m.get64(4) !== 0n) return -ERRNO.EINVAL
  const key = m.readable(3, map.spec.keySize)
  if (map.target(key) === undefined) return -ERRNO.ENOENT
  m.run.redirect = { map: map.name, key: m.memory.view.getUint32(key, true), flags: 0n }
  return 0
}

/** Sockets: those of look-ups and conversions are not there unless the test mocks them. */
export const SOCKET_CALLS: HelperTable = {
  sk_redirect_map: (m) => redirect(m, false),
  sk_redirect_hash: (m) => redirect(m, true),
  msg_redirect_map: (m) => redirect(m, false),
  msg_redirect_hash: (m) => redirect(m, true),
  msg_apply_bytes: (m) => remember(m, 'applyBytes'),
  msg_cork_bytes: (m) => remember(m, 'corkBytes'),
  msg_pull_data: pull,
  msg_push_data: (m) => resize(m, true),
  msg_pop_data: (m) => resize(m, false),
  sk_select_reuseport: select,
  sk_assign: (m) => ((m.get64(3) & ~3n) === 0n ? 0 : -ERRNO.EINVAL),
  sock_ops_cb_flags_set: (m) => remember(m, 'callbackFlags') | 0,
  get_listener_sock: () => 0,
  skc_to_tcp_sock: () => 0,
  skc_to_tcp6_sock: () => 0,
  skc_to_tcp_timewait_sock: () => 0,
  skc_to_tcp_request_sock: () => 0,
  skc_to_udp6_sock: () => 0,
  skc_to_unix_sock: () => 0,
  skc_to_mptcp_sock: () => 0,
  sock_from_file: () => 0,
  sk_cgroup_id: (m) => m.environment.task.cgroupId,
  sk_ancestor_cgroup_id: (m) => m.environment.cgroupAncestors[m.int(2)] ?? 0n,
  skb_cgroup_classid: () => 0,
}

function remember(m: Machine, what: string): number {
  m.run.extra.set(what, m.low(2))
  return 0
}
