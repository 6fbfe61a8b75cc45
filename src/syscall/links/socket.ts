import { callError } from '../explain.ts'
import type { ProgramHandle } from './link.ts'

const SOL_SOCKET = 1
const SO_ATTACH_BPF = 50
const SO_DETACH_FILTER = 27
const SO_ATTACH_REUSEPORT_EBPF = 52

/**
 * Attaches a socket filter to a socket (Linux 3.19), or a program that chooses the socket of a reuseport group (4.5).
 * The kernel has no link here: the program leaves when the socket is closed, or with {@link detachSocketFilter}.
 */
export function attachSocketFilter(
  program: ProgramHandle,
  socketFd: number,
  options: { reuseport?: boolean } = {},
): void {
  const { sys } = program
  using value = sys.alloc(4)
  value.view.setUint32(0, program.fd, true)
  const option = options.reuseport === true ? SO_ATTACH_REUSEPORT_EBPF : SO_ATTACH_BPF
  const result = sys.call('setsockopt', socketFd, SOL_SOCKET, option, value.address, 4)
  if (result < 0) throw callError('setsockopt(SO_ATTACH_BPF)', -result)
}

export function detachSocketFilter(program: ProgramHandle, socketFd: number): void {
  const { sys } = program
  using value = sys.alloc(4)
  const result = sys.call('setsockopt', socketFd, SOL_SOCKET, SO_DETACH_FILTER, value.address, 4)
  if (result < 0) throw callError('setsockopt(SO_DETACH_FILTER)', -result)
}
