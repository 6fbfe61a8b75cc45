/** Fields of struct bpf_sock, bpf_tcp_sock and bpf_xdp_sock that programs may read (include/uapi/linux/bpf.h). */
import { SOCK_COMMON, SOCKET, TCP_SOCK, XDP_SOCK } from '../state/registers.ts'

const SOCK_SIZE = 80
/** Offsets of four-byte fields whose first bytes may be read alone. */
const NARROW = new Set([4, 8, 12, 44, 72, 76])
const DST_PORT = 48
const TCP_SOCK_SIZE = 112
const TCP_WIDE = new Set([80, 88])

function isAddress(off: number): boolean {
  return (off >= 24 && off < 44) || (off >= 52 && off < 72)
}

function sock(off: number, size: number): boolean {
  if (off < 0 || off >= SOCK_SIZE || off % size !== 0) return false
  if (NARROW.has(off) || isAddress(off)) return size <= 4
  if (off === DST_PORT || off === DST_PORT + 1) return size === 4 || size <= 2
  if (off === DST_PORT + 2 || off === DST_PORT + 3) return false
  return size === 4
}

/** A read of `size` bytes at `off` of a socket pointer is legal. */
export function socketAccess(type: number, off: number, size: number): boolean {
  switch (type) {
    case SOCK_COMMON:
      return !(off >= 8 && off < 24) && sock(off, size)
    case SOCKET:
      return sock(off, size)
    case TCP_SOCK:
      if (off < 0 || off >= TCP_SOCK_SIZE || off % size !== 0) return false
      return size === (TCP_WIDE.has(off) ? 8 : 4)
    case XDP_SOCK:
      return off === 0 && size === 4
    default:
      return false
  }
}
