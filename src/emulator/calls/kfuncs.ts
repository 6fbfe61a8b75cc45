import { ERRNO } from '../../uapi/index.ts'
import { ExceptionSignal } from '../faults.ts'
import type { Machine } from '../machine.ts'
import { ArenaMap } from '../maps/index.ts'
import {
  adjustDynptr,
  cloneDynptr,
  copyDynptr,
  dynptrAt,
  fillDynptr,
  packetDynptr,
  sliceDynptr,
} from './dynptr-calls.ts'
import type { HelperTable } from './table.ts'
import { TEXT_KFUNCS } from './text-kfuncs.ts'

/** bpf_iter_num: current and end as ints in the iterator's eight bytes. */
function numNew(m: Machine): number {
  const at = m.writable(1, 8)
  const start = m.int(2)
  const end = m.int(3)
  const { view } = m.memory
  view.setInt32(at, 0, true)
  view.setInt32(at + 4, 0, true)
  if (start > end) return -ERRNO.EINVAL
  if (end - start > 8 * 1024 * 1024) return -ERRNO.E2BIG
  // the first next steps onto start
  view.setInt32(at, start - 1, true)
  view.setInt32(at + 4, end, true)
  return 0
}
function numNext(m: Machine): number {
  const at = m.writable(1, 8)
  const { view } = m.memory
  const current = view.getInt32(at, true)
  const end = view.getInt32(at + 4, true)
  // the step wraps as an int does: a walk may start at INT_MIN
  if (((current + 1) | 0) >= end) {
    view.setInt32(at, 0, true)
    view.setInt32(at + 4, 0, true)
    return 0
  }
  view.setInt32(at, current + 1, true)
  return at
}

const MAX_BIT_WORDS = 511

/** bpf_iter_bits: the words' address, the number of bits, and the bit that was last given. */
function bitsNew(m: Machine): number {
  const at = m.writable(1, 16)
  const { view } = m.memory
  const words = m.low(3)
  view.setBigUint64(at, 0n, true)
  view.setBigUint64(at + 8, 0n, true)
  if (words === 0) return -ERRNO.EINVAL
  if (words > MAX_BIT_WORDS) return -ERRNO.E2BIG
  view.setUint32(at, m.readable(2, words * 8), true)
  view.setInt32(at + 8, words * 64, true)
  view.setInt32(at + 12, -1, true)
  return 0
}
function bitsNext(m: Machine): number {
  const at = m.writable(1, 16)
  const { view, u8 } = m.memory
  const base = view.getUint32(at, true)
  const count = view.getInt32(at + 8, true)
  for (let bit = view.getInt32(at + 12, true) + 1; bit < count; bit++)
    if (((u8[base + (bit >> 3)] >> (bit & 7)) & 1) !== 0) {
      view.setInt32(at + 12, bit, true)
      return at + 12
    }
  view.setInt32(at + 8, 0, true)
  return 0
}

/** bpf_res_spin_lock (Linux 6.15): a lock that the program holds already is a deadlock, which the kernel answers. */
function resilientLock(m: Machine): number {
  const key = `lock ${m.low(1)}`
  if (m.run.extra.has(key)) return -ERRNO.EDEADLK
  m.run.extra.set(key, 1)
  return 0
}
function resilientUnlock(m: Machine): number {
  m.run.extra.delete(`lock ${m.low(1)}`)
  return 0
}

function arenaOf(m: Machine): ArenaMap {
  const map = m.map(1)
  return map instanceof ArenaMap ? map : m.fail('invalid-argument', `R1: map ${map.name} is no arena`)
}

/** Kernel functions by name without `bpf_`. */
export const KFUNCS: HelperTable = {
  ...TEXT_KFUNCS,
  rcu_read_lock: () => 0,
  res_spin_lock: resilientLock,
  res_spin_unlock: resilientUnlock,
  res_spin_lock_irqsave: resilientLock,
  res_spin_unlock_irqrestore: resilientUnlock,
  // connection tracking: nothing is found unless the test mocks it
  xdp_ct_lookup: () => 0,
  skb_ct_lookup: () => 0,
  arena_alloc_pages: (m) => arenaOf(m).allocatePages(m.low(3)),
  arena_free_pages: (m) => {
    arenaOf(m).freePages(m.get64(2), m.low(3))
    return 0
  },
  rcu_read_unlock: () => 0,
  preempt_disable: () => 0,
  preempt_enable: () => 0,
  local_irq_save: () => 0,
  local_irq_restore: () => 0,
  iter_num_new: numNew,
  iter_num_next: numNext,
  iter_num_destroy: () => 0,
  iter_bits_new: bitsNew,
  iter_bits_next: bitsNext,
  iter_bits_destroy: () => 0,
  dynptr_from_xdp: packetDynptr,
  dynptr_from_skb: packetDynptr,
  dynptr_slice: (m) => sliceDynptr(m, false),
  dynptr_slice_rdwr: (m) => sliceDynptr(m, true),
  dynptr_adjust: adjustDynptr,
  dynptr_clone: cloneDynptr,
  dynptr_copy: copyDynptr,
  dynptr_memset: fillDynptr,
  dynptr_size: (m) => dynptrAt(m, 1).size,
  dynptr_is_null: (m) => (dynptrAt(m, 1).data === 0 ? 1 : 0),
  dynptr_is_rdonly: (m) => (dynptrAt(m, 1).readOnly ? 1 : 0),
  throw: (m) => {
    throw new ExceptionSignal(m.program, m.get64(1))
  },
  cast_to_kern_ctx: (m) => m.low(1),
  rdonly_cast: (m) => m.get64(1),
}
