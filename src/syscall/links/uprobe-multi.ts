import { UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'
import { findFunctions, wildcard } from './symbols.ts'

export interface UprobeMultiOptions {
  readonly binary: string
  /** Function names with `*` and `?`, or file offsets. */
  readonly functions: string | readonly number[]
  readonly returns?: boolean
  /** One program at entry and return. Linux 6.13. */
  readonly session?: boolean
  readonly pid?: number
  /** One for each function, in their order. */
  readonly cookies?: readonly bigint[]
}

const F_RETURN = 1

/** Runs a program at many user-space functions with one link. Linux 6.6. */
export function attachUprobeMulti(program: ProgramHandle, options: UprobeMultiOptions): Link {
  const { sys } = program
  const offsets =
    typeof options.functions === 'string'
      ? findFunctions(options.binary, wildcard(options.functions)).map(({ offset }) => offset)
      : [...options.functions]
  const unique = [...new Set(offsets)]
  if (unique.length === 0)
    throw new UsageError('link.function', `${options.binary} has no function that matches ${options.functions}`)
  if (options.cookies !== undefined && options.cookies.length !== unique.length)
    throw new UsageError('link.cookies', `${unique.length} functions need as many cookies`)
  const path = new TextEncoder().encode(`${options.binary}\0`)
  using pathBlock = sys.alloc(path.length)
  using numbers = sys.alloc(unique.length * 16)
  pathBlock.bytes.set(path)
  unique.forEach((offset, i) => {
    numbers.view.setBigUint64(8 * i, BigInt(offset), true)
    numbers.view.setBigUint64(8 * (unique.length + i), options.cookies?.[i] ?? 0n, true)
  })
  return createLink(program, `uprobe_multi on ${unique.length} functions of ${options.binary}`, '6.6', {
    attach_type: options.session === true ? ATTACH_TYPES.trace_uprobe_session : ATTACH_TYPES.trace_uprobe_multi,
    'uprobe_multi.path': pathBlock.address,
    'uprobe_multi.offsets': numbers.address,
    'uprobe_multi.cookies': options.cookies === undefined ? 0 : numbers.address + 8 * unique.length,
    'uprobe_multi.cnt': unique.length,
    'uprobe_multi.flags': options.returns === true ? F_RETURN : 0,
    'uprobe_multi.pid': options.pid ?? 0,
  })
}
