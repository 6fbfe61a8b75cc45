import { ERRNO } from './errno.ts'
import type { Sys } from './sys.ts'

const RLIMIT_MEMLOCK = 8
const tried = new WeakSet<Sys>()

/** Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK. */
function charges(sys: Sys): boolean {
  const [major, minor] = (sys.readText('/proc/sys/kernel/osrelease') ?? '').split('.').map(Number)
  return major > 0 && (major < 5 || (major === 5 && minor < 11))
}

/**
 * Lifts this process's limit of locked memory, once, where the kernel charges BPF objects to it (libbpf does so, too).
 * True: it is lifted now, ask again. Needs CAP_SYS_RESOURCE; without it the refusal stays as it was.
 */
export function liftMemlock(sys: Sys, errno: number): boolean {
  if (errno !== ERRNO.EPERM || tried.has(sys)) return false
  tried.add(sys)
  if (!charges(sys)) return false
  using limit = sys.alloc(16)
  limit.bytes.fill(0xff)
  return sys.call('prlimit64', 0, RLIMIT_MEMLOCK, limit.address, 0) === 0
}
