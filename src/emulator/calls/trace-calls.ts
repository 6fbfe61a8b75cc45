import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { StackTraceMap, UserRingMap } from '../maps/index.ts'
import { FUNCTION_HIGH } from '../program.ts'
import { localDynptr } from './dynptr-calls.ts'
import { formatText, textBytes } from './format.ts'
import { callSlot } from './map-calls.ts'
import type { HelperTable } from './table.ts'

/** The arguments of a BTF-typed program that the context can hold. */
const MAX_ARGUMENTS = 12
/** BPF_F_USER_STACK; the low byte says how many frames to skip. */
const USER_STACK = 1n << 8n
const MAX_SAMPLES = 128 * 1024

/** The test's stack from the frame that the flags say, at most `bytes` long. */
function stackOf(m: Machine, flags: bigint, bytes: number): Uint8Array | undefined {
  const frames = (flags & USER_STACK) !== 0n ? m.environment.userStack : m.environment.kernelStack
  const chosen = frames.slice(Number(flags & 0xffn), Number(flags & 0xffn) + Math.floor(bytes / 8))
  if (chosen.length === 0) return undefined
  const out = new Uint8Array(chosen.length * 8)
  const view = new DataView(out.buffer)
  chosen.forEach((address, i) => {
    view.setBigUint64(8 * i, BigInt.asUintN(64, address), true)
  })
  return out
}

function stackId(m: Machine): number {
  const map = m.map(2)
  if (!(map instanceof StackTraceMap)) return m.fail('invalid-argument', `R2: map ${map.name} holds no stacks`)
  const flags = m.get64(3)
  if ((flags & ~0x7ffn) !== 0n) return -ERRNO.EINVAL
  const stack = stackOf(m, flags, map.spec.valueSize)
  return stack === undefined ? -ERRNO.EFAULT : map.store(stack, Number(flags))
}

function stack(m: Machine): number {
  const size = m.low(3)
  const flags = m.get64(4)
  const to = m.writable(2, size)
  const { u8 } = m.memory
  const found = size % 8 === 0 ? stackOf(m, flags, size) : undefined
  u8.fill(0, to, to + size)
  if (found === undefined) return size % 8 === 0 ? -ERRNO.EFAULT : -ERRNO.EINVAL
  u8.set(found, to)
  return found.length
}

/** How many arguments the traced function has: the test says, the last one that it gave counts. */
function argument(m: Machine): number {
  const index = m.low(2)
  const to = m.writable(3, 8)
  if (index >= m.environment.argumentCount || index >= MAX_ARGUMENTS) return -ERRNO.EINVAL
  m.memory.setU64(to, m.memory.u64(m.run.ctx + 8 * index))
  return 0
}

function returned(m: Machine): number {
  const to = m.writable(2, 8)
  // the context of fexit has it behind the arguments
  m.memory.setU64(to, m.memory.u64(m.run.ctx + 8 * Math.min(m.environment.argumentCount, MAX_ARGUMENTS - 1)))
  return 0
}

function sequence(m: Machine, bytes: Uint8Array): number {
  m.run.events.push({ kind: 'seq', map: 'seq_file', data: bytes.slice() })
  return 0
}

function printSequence(m: Machine): number {
  const size = m.low(3)
  const format = m.text(m.readable(2, size), size)
  const length = m.low(5)
  if (length % 8 !== 0) return -ERRNO.EINVAL
  const at = length === 0 ? 0 : m.readable(4, length)
  const text = formatText(
    m,
    format,
    Array.from({ length: length / 8 }, (_, i) => m.memory.u64(at + 8 * i)),
  )
  return typeof text === 'number' ? text : sequence(m, textBytes(text))
}

/** bpf_user_ringbuf_drain: the callback sees each queued sample as a read-only dynptr; an answer of 1 ends it. */
function drain(m: Machine): number {
  const map = m.map(1)
  if (!(map instanceof UserRingMap)) return m.fail('invalid-argument', `R1: map ${map.name} is no user ring`)
  const index = m.high(2) - FUNCTION_HIGH
  const slot = m.low(2)
  const context = m.get64(3)
  if (m.programs[index] === undefined) m.fail('invalid-argument', 'R2 is no function of the program')
  if ((m.get64(4) & ~3n) !== 0n) return -ERRNO.EINVAL
  let count = 0
  while (count < MAX_SAMPLES) {
    const sample = map.samples.shift()
    if (sample === undefined) break
    count++
    const pointer = localDynptr(m, sample)
    const answer = callSlot(m, index, slot, [pointer.at, context])
    pointer.release()
    if (answer === 1) break
    if (answer !== 0) return -ERRNO.EINVAL
  }
  return count
}

/** Stacks, arguments, sequence files, user rings, kernel pointers in maps. */
export const TRACE_CALLS: HelperTable = {
  get_stackid: stackId,
  get_stack: stack,
  get_task_stack: stack,
  get_func_arg: argument,
  get_func_ret: returned,
  get_func_arg_cnt: (m) => m.environment.argumentCount,
  get_retval: (m) => m.run.extra.get('retval') ?? 0,
  set_retval: (m) => {
    m.run.extra.set('retval', m.int(1))
    return 0
  },
  seq_write: (m) => {
    const size = m.low(3)
    return sequence(m, m.memory.bytes(m.readable(2, size), size))
  },
  seq_printf: printSequence,
  user_ringbuf_drain: drain,
  kptr_xchg: (m) => {
    const at = m.writable(1, 8)
    const old = m.memory.u64(at)
    m.memory.setU64(at, m.get64(2))
    return old
  },
  // no kernel symbols, files or objects of others
  kallsyms_lookup_name: (m) => {
    m.memory.setU64(m.writable(4, 8), 0n)
    return -ERRNO.ENOENT
  },
  btf_find_by_name_kind: () => -ERRNO.ENOENT,
  find_vma: () => -ERRNO.ENOENT,
  get_branch_snapshot: () => -ERRNO.ENOENT,
  read_branch_records: () => -ERRNO.ENOENT,
  task_pt_regs: () => 0,
  bprm_opts_set: () => 0,
}
