import { SystemError, UsageError } from '../../errors/index.ts'
import { cString } from '../sys/c-string.ts'
import type { Link, ProgramHandle } from './link.ts'
import { attachToPerfEvent, openPerfEvent, probeEventSource } from './perf-event.ts'
import { findBinary, functionOffset } from './symbols.ts'

export interface UprobeOptions {
  /** Path of the binary or library, or its name (`bash`, `libc.so.6`, `libc`): then it is searched. */
  readonly binary: string
  readonly function?: string
  /** Bytes after the function, or into the file when no function is named. */
  readonly offset?: number
  /** At the return instead of the entry. */
  readonly returns?: boolean
  /** Only this process; default all. */
  readonly pid?: number
  readonly cookie?: bigint
  /** File offset of a USDT semaphore: the kernel counts it up while the probe is there. */
  readonly semaphoreOffset?: number
}

/** Runs a kprobe-type program when a user-space function is entered or returns. Linux 4.17. */
export function attachUprobe(program: ProgramHandle, options: UprobeOptions): Link {
  const { sys } = program
  const source = probeEventSource(sys, 'uprobe')
  if (source === undefined) throw new SystemError('sys.no-uprobes', 'this kernel has no uprobes (CONFIG_UPROBE_EVENTS)')
  const binary = findBinary(options.binary, options.pid)
  if (options.function === undefined && options.offset === undefined)
    throw new UsageError('link.function', `${binary}: a function or an offset must be said`)
  const base = options.function === undefined ? 0 : functionOffset(binary, options.function)
  using path = cString(sys, binary)
  const event = openPerfEvent(sys, {
    type: source.type,
    config: (options.returns === true ? source.returnBit : 0n) | (BigInt(options.semaphoreOffset ?? 0) << 32n),
    config1: BigInt(path.address),
    config2: BigInt(base + (options.offset ?? 0)),
    pid: options.pid ?? -1,
  })
  const what = `${options.returns === true ? 'uretprobe' : 'uprobe'} ${binary}:${options.function ?? options.offset}`
  return attachToPerfEvent(program, event, what, options.cookie)
}
