import { UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { cString } from '../sys/c-string.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'
import { findBinary, findFunctions, wildcard } from './symbols.ts'

export interface UprobeMultiOptions {
  /** Path, or a name that is searched. */
  readonly binary: string
  /** Function names with `*` and `?`, or file offsets. */
  readonly functions: string | readonly number[]
  readonly returns?: boolean
  /** One program at entry and return. Linux 6.13. */
  readonly session?: boolean
  readonly pid?: number
  /** One for each function, in their order. */
  readonly cookies?: readonly bigint[]
  /** File offsets of USDT semaphores, one for each function; 0 for none. */
  readonly semaphores?: readonly number[]
}

const F_RETURN = 1

/** Runs a program at many user-space functions with one link. Linux 6.6. */
export function attachUprobeMulti(program: ProgramHandle, options: UprobeMultiOptions): Link {
  const { sys } = program
  const binary = findBinary(options.binary, options.pid)
  const offsets =
    typeof options.functions === 'string'
      ? findFunctions(binary, wildcard(options.functions)).map(({ offset }) => offset)
      : [...options.functions]
  const unique = [...new Set(offsets)]
  if (unique.length === 0)
    throw new UsageError('link.function', `${binary} has no function that matches ${options.functions}`)
  const count = unique.length
  const lists = { cookies: options.cookies, semaphores: options.semaphores?.map(BigInt) }
  for (const [name, list] of Object.entries(lists))
    if (list !== undefined && list.length !== count)
      throw new UsageError('link.cookies', `${count} functions need as many ${name}`)
  using path = cString(sys, binary)
  using numbers = sys.alloc(count * 24)
  unique.forEach((offset, i) => {
    numbers.view.setBigUint64(8 * i, BigInt(offset), true)
    numbers.view.setBigUint64(8 * (count + i), lists.cookies?.[i] ?? 0n, true)
    numbers.view.setBigUint64(8 * (2 * count + i), lists.semaphores?.[i] ?? 0n, true)
  })
  return createLink(program, `uprobe_multi on ${count} functions of ${binary}`, '6.6', {
    attach_type: options.session === true ? ATTACH_TYPES.trace_uprobe_session : ATTACH_TYPES.trace_uprobe_multi,
    'uprobe_multi.path': path.address,
    'uprobe_multi.offsets': numbers.address,
    'uprobe_multi.cookies': lists.cookies === undefined ? 0 : numbers.address + 8 * count,
    'uprobe_multi.ref_ctr_offsets': lists.semaphores === undefined ? 0 : numbers.address + 16 * count,
    'uprobe_multi.cnt': count,
    'uprobe_multi.flags': options.returns === true ? F_RETURN : 0,
    'uprobe_multi.pid': options.pid ?? 0,
  })
}
