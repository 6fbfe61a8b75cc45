import { readFileSync } from 'node:fs'
import { SystemError } from '../../errors/index.ts'
import type { Link, ProgramHandle } from './link.ts'
import { attachToPerfEvent, openPerfEvent } from './perf-event.ts'
import { functionOffset } from './symbols.ts'

const PMU = '/sys/bus/event_source/devices/uprobe'

export interface UprobeOptions {
  /** Path of the binary or library. */
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

function returnBit(): bigint {
  try {
    return 1n << BigInt(/config:(\d+)/.exec(readFileSync(`${PMU}/format/retprobe`, 'utf8'))?.[1] ?? '0')
  } catch {
    return 1n
  }
}

/** Runs a kprobe-type program when a user-space function is entered or returns. Linux 4.17. */
export function attachUprobe(program: ProgramHandle, options: UprobeOptions): Link {
  const { sys } = program
  let type: number
  try {
    type = Number(readFileSync(`${PMU}/type`, 'utf8'))
  } catch (cause) {
    throw new SystemError('sys.no-uprobes', 'this kernel has no uprobes (CONFIG_UPROBE_EVENTS)', { cause })
  }
  const base = options.function === undefined ? 0 : functionOffset(options.binary, options.function)
  const path = new TextEncoder().encode(`${options.binary}\0`)
  using block = sys.alloc(path.length)
  block.bytes.set(path)
  const event = openPerfEvent(sys, {
    type,
    config: (options.returns === true ? returnBit() : 0n) | (BigInt(options.semaphoreOffset ?? 0) << 32n),
    config1: BigInt(block.address),
    config2: BigInt(base + (options.offset ?? 0)),
    pid: options.pid ?? -1,
  })
  const what = `${options.returns === true ? 'uretprobe' : 'uprobe'} ${options.binary}:${options.function ?? options.offset}`
  return attachToPerfEvent(program, event, what, options.cookie)
}
