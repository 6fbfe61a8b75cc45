import type { Sys } from '../../syscall/index.ts'

const AF_INET = 2
const SOCK_DGRAM = 2
const SIOCGIFNAME = 0x8910

/** The interface with that index in this network namespace, by ioctl: /sys may be another namespace's. */
export function interfaceName(sys: Sys, index: number): string | undefined {
  const socket = sys.call('socket', AF_INET, SOCK_DGRAM, 0)
  if (socket < 0) return undefined
  try {
    // struct ifreq: 16 bytes of name, then the index
    using request = sys.alloc(40)
    request.view.setInt32(16, index, true)
    if (sys.call('ioctl', socket, SIOCGIFNAME, request.address) < 0) return undefined
    const end = request.bytes.indexOf(0)
    return new TextDecoder().decode(request.bytes.slice(0, end))
  } finally {
    sys.call('close', socket)
  }
}
