import { ERRNO } from '../sys/errno.ts'
import { callError } from '../sys/explain.ts'
import type { ProgramHandle } from './link.ts'
import { LinklessAttachment } from './linkless.ts'

/** Socket options of include/uapi/asm-generic/socket.h. */
const SOL_SOCKET = 1
const SO_DETACH_FILTER = 27
const SO_ATTACH_BPF = 50
const SO_ATTACH_REUSEPORT_EBPF = 52
const SO_DETACH_REUSEPORT_BPF = 68

/**
 * Attaches a socket filter to a socket (Linux 3.19), or a program that chooses the socket of a reuseport group (4.5; taking
 * it out 5.3). The kernel has no link here: the program leaves with the socket, or when this is closed.
 */
export function attachSocketFilter(
  program: ProgramHandle,
  socketFd: number,
  options: { reuseport?: boolean } = {},
): LinklessAttachment {
  const { sys } = program
  const [attach, detach, name] =
    options.reuseport === true
      ? ([SO_ATTACH_REUSEPORT_EBPF, SO_DETACH_REUSEPORT_BPF, 'SO_ATTACH_REUSEPORT_EBPF'] as const)
      : ([SO_ATTACH_BPF, SO_DETACH_FILTER, 'SO_ATTACH_BPF'] as const)
  const set = (option: number, number: number): number => {
    using value = sys.alloc(4)
    value.view.setUint32(0, number, true)
    return sys.call('setsockopt', socketFd, SOL_SOCKET, option, value.address, 4)
  }
  const result = set(attach, program.fd)
  if (result < 0) throw callError(`setsockopt(${name})`, -result)
  return new LinklessAttachment(sys, `program of socket ${socketFd}`, () => {
    const left = set(detach, 0)
    // The socket may be closed already: the program left with it.
    if (left < 0 && left !== -ERRNO.EBADF && left !== -ERRNO.ENOENT) throw callError('setsockopt(SO_DETACH)', -left)
  })
}

/** Takes a socket's filter out, whoever attached it. */
export function detachSocketFilter(program: ProgramHandle, socketFd: number): void {
  const { sys } = program
  using value = sys.alloc(4)
  const result = sys.call('setsockopt', socketFd, SOL_SOCKET, SO_DETACH_FILTER, value.address, 4)
  if (result < 0) throw callError('setsockopt(SO_DETACH_FILTER)', -result)
}
