import { UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { tracefs } from '../events/tracefs.ts'
import { cStrings } from '../sys/c-string.ts'
import type { Sys } from '../sys/sys.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'
import { wildcard } from './symbols.ts'

export interface KprobeMultiOptions {
  /** A name with `*` and `?`, names, or addresses of /proc/kallsyms. */
  readonly functions: string | readonly string[] | readonly bigint[]
  readonly returns?: boolean
  /** One program at entry and return. Linux 6.10. */
  readonly session?: boolean
  /** One for each function; needs names or addresses, not a pattern. */
  readonly cookies?: readonly bigint[]
  /** Where tracefs is mounted: a pattern is looked up there. */
  readonly tracefs?: string
}

const F_RETURN = 1

/**
 * Functions that a pattern means, from tracefs. A name that several functions have is left out: the kernel could not tell
 * which of them is meant.
 */
export function traceableFunctions(sys: Sys, pattern: string, folder?: string): string[] {
  const place = sys.kind === 'kernel' ? tracefs(folder) : (folder ?? '')
  const matches = wildcard(pattern)
  const seen = new Map<string, number>()
  for (const line of (sys.readText(`${place}/available_filter_functions`) ?? '').split('\n')) {
    const end = line.search(/[\s]|$/)
    const name = line.slice(0, end)
    if (name !== '' && matches(name)) seen.set(name, (seen.get(name) ?? 0) + 1)
  }
  return [...seen].filter(([, count]) => count === 1).map(([name]) => name)
}

/** Runs a program at many kernel functions with one link. Linux 5.18, CONFIG_FPROBE. */
export function attachKprobeMulti(program: ProgramHandle, options: KprobeMultiOptions): Link {
  const { sys } = program
  const { functions, cookies } = options
  const given = typeof functions === 'string' && !/[*?]/.test(functions) ? [functions] : functions
  const targets: readonly string[] | readonly bigint[] =
    typeof given === 'string' ? traceableFunctions(sys, given, options.tracefs) : given
  if (targets.length === 0)
    throw new UsageError('link.function', `the running kernel has no traceable function ${String(functions)}`)
  if (cookies !== undefined && cookies.length !== targets.length)
    throw new UsageError('link.cookies', `${targets.length} functions need as many cookies`)
  const names = targets.filter((target) => typeof target === 'string')
  const addresses = targets.filter((target) => typeof target === 'bigint')
  if (names.length > 0 && addresses.length > 0)
    throw new UsageError('link.function', 'functions are given by name or by address, not both')
  using symbols = cStrings(sys, names)
  using numbers = sys.alloc(16 * targets.length)
  addresses.forEach((address, index) => {
    numbers.view.setBigUint64(8 * index, address, true)
  })
  cookies?.forEach((cookie, index) => {
    numbers.view.setBigUint64(8 * (targets.length + index), cookie, true)
  })
  return createLink(
    program,
    `kprobe_multi on ${targets.length} functions`,
    options.session === true ? '6.10' : '5.18',
    {
      attach_type: options.session === true ? ATTACH_TYPES.trace_kprobe_session : ATTACH_TYPES.trace_kprobe_multi,
      'kprobe_multi.flags': options.returns === true ? F_RETURN : 0,
      'kprobe_multi.cnt': targets.length,
      'kprobe_multi.syms': names.length > 0 ? symbols.address : 0,
      'kprobe_multi.addrs': addresses.length > 0 ? numbers.address : 0,
      'kprobe_multi.cookies': cookies === undefined ? 0 : numbers.address + 8 * targets.length,
    },
  )
}
