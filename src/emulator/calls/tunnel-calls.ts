import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import type { HelperTable } from './table.ts'

/** sizeof(struct bpf_tunnel_key), and the shorter forms that older programs were built with. */
const KEY_BYTES = 44
const SHORTER_KEYS: ReadonlySet<number> = new Set([28, 24, 22, 8])
/** BPF_F_TUNINFO_IPV6 and BPF_F_TUNINFO_FLAGS; what set takes besides. */
const IPV6 = 1n
const GET_FLAGS = 0x11n
const SET_FLAGS = 0x1fn
/** IP_TUNNEL_OPTS_MAX */
const MAX_OPTIONS = 255
const LABEL = 24
const EXTENSION = 22
const REMOTE = 4
const LOCAL = 28

/** Sets the packet's tunnel metadata; bytes of addresses that the form does not have are 0. */
function setKey(m: Machine): number {
  const size = m.low(3)
  const flags = m.get64(4)
  const from = m.readable(2, size)
  if ((flags & ~SET_FLAGS) !== 0n) return -ERRNO.EINVAL
  if (size !== KEY_BYTES && !SHORTER_KEYS.has(size)) return -ERRNO.EINVAL
  const key = new Uint8Array(KEY_BYTES)
  key.set(m.memory.bytes(from, size))
  const view = new DataView(key.buffer)
  const ipv6 = (flags & IPV6) !== 0n
  if ((!ipv6 && view.getUint32(LABEL, true) !== 0) || view.getUint16(EXTENSION, true) !== 0) return -ERRNO.EINVAL
  if (!ipv6) {
    key.fill(0, REMOTE + 4, REMOTE + 16)
    key.fill(0, LOCAL + 4, LOCAL + 16)
  }
  m.run.tunnel = { key, ipv6, options: new Uint8Array(0) }
  return 0
}

/** What was set, or what the test put in front of the run; EINVAL without any. */
function getKey(m: Machine): number {
  const size = m.low(3)
  const flags = m.get64(4)
  const to = m.writable(2, size)
  const { u8 } = m.memory
  const refuse = (errno: number): number => {
    u8.fill(0, to, to + size)
    return -errno
  }
  const { tunnel } = m.run
  if (tunnel === undefined || (flags & ~GET_FLAGS) !== 0n) return refuse(ERRNO.EINVAL)
  const ipv6 = (flags & IPV6) !== 0n
  if (tunnel.ipv6 !== ipv6) return refuse(ERRNO.EPROTO)
  if (size !== KEY_BYTES && (!SHORTER_KEYS.has(size) || (size === 8 && ipv6))) return refuse(ERRNO.EINVAL)
  u8.set(tunnel.key.subarray(0, size), to)
  return 0
}

function setOptions(m: Machine): number {
  const size = m.low(3)
  const from = m.readable(2, size)
  const { tunnel } = m.run
  if (tunnel === undefined || size % 4 !== 0) return -ERRNO.EINVAL
  if (size > MAX_OPTIONS) return -ERRNO.ENOMEM
  m.run.tunnel = { ...tunnel, options: m.memory.u8.slice(from, from + size) }
  return 0
}

function getOptions(m: Machine): number {
  const size = m.low(3)
  const to = m.writable(2, size)
  const { u8 } = m.memory
  const options = m.run.tunnel?.options
  const answer =
    options === undefined || options.length === 0
      ? -ERRNO.ENOENT
      : size < options.length
        ? -ERRNO.ENOMEM
        : options.length
  u8.fill(0, to, to + size)
  if (answer > 0 && options !== undefined) u8.set(options, to)
  return answer
}

/** Tunnel metadata of an skb (Linux 4.3). */
export const TUNNEL_CALLS: HelperTable = {
  skb_set_tunnel_key: setKey,
  skb_get_tunnel_key: getKey,
  skb_set_tunnel_opt: setOptions,
  skb_get_tunnel_opt: getOptions,
}
