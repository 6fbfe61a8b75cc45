import { SystemError } from '../../errors/index.ts'
import { cString } from '../sys/c-string.ts'
import { ERRNO } from '../sys/errno.ts'
import type { Link, ProgramHandle } from './link.ts'
import { attachToPerfEvent, openPerfEvent, probeEventSource } from './perf-event.ts'

export interface KprobeOptions {
  /** A kernel function's name, or an address of /proc/kallsyms. */
  readonly function: string | bigint
  /** Bytes after it; entry only. */
  readonly offset?: number
  /** At the return instead of the entry. */
  readonly returns?: boolean
  /** Linux 5.15. */
  readonly cookie?: bigint
}

/**
 * Runs a kprobe program when a kernel function is entered or returns. Linux 4.17, CONFIG_KPROBE_EVENTS.
 * @throws SystemError `sys.no-kprobes` when this kernel has none; `sys.enoent` when it has no such function
 */
export function attachKprobe(program: ProgramHandle, options: KprobeOptions): Link {
  const { sys } = program
  const source = probeEventSource(sys, 'kprobe')
  if (source === undefined)
    throw new SystemError('sys.no-kprobes', 'this kernel has no kprobes (CONFIG_KPROBE_EVENTS)', {
      details: ['raw tracepoints and tp_btf programs need none'],
    })
  const { function: target, offset = 0 } = options
  using name = typeof target === 'string' ? cString(sys, target) : undefined
  const event = openPerfEvent(sys, {
    type: source.type,
    config: options.returns === true ? source.returnBit : 0n,
    config1: BigInt(name?.address ?? 0),
    config2: typeof target === 'string' ? BigInt(offset) : target + BigInt(offset),
  })
  const place = typeof target === 'string' ? target : `0x${target.toString(16)}`
  const what = `${options.returns === true ? 'kretprobe' : 'kprobe'} ${place}${offset === 0 ? '' : `+${offset}`}`
  return attachToPerfEvent(program, event, what, options.cookie)
}

/** What a kernel calls the functions behind its system calls, by Node's architecture. */
const SYSCALL_PREFIXES: Readonly<Record<string, string>> = { x64: '__x64_sys_', arm64: '__arm64_sys_' }

/** Runs a kprobe program when a system call is entered or returns, whatever its function is called here. */
export function attachKsyscall(
  program: ProgramHandle,
  options: Omit<KprobeOptions, 'function' | 'offset'> & { readonly syscall: string },
): Link {
  const names = [SYSCALL_PREFIXES[process.arch], '__se_sys_', 'sys_'].filter((prefix) => prefix !== undefined)
  for (const prefix of names.slice(0, -1))
    try {
      return attachKprobe(program, { ...options, function: `${prefix}${options.syscall}` })
    } catch (error) {
      if (!(error instanceof SystemError && error.errno === ERRNO.ENOENT)) throw error
    }
  return attachKprobe(program, { ...options, function: `${names[names.length - 1]}${options.syscall}` })
}
