import { unknown, value } from './objects.ts'
import type { SiteProgram } from './program.ts'
import { THING, TYPES } from './world.ts'

const END = 'out: r0 = 0; exit'
const tc = { type: 'sched_cls' } as const
const task = 'call bpf_get_current_task_btf'
const stack = (register: number, offset: number): string => `r${register} = r10; r${register} += -${offset}`
const percpu = `r1 = ${TYPES.scalars}; r2 = 0; call bpf_percpu_obj_new_impl; if r0 == 0 goto out; r6 = r0`

/** Accesses through pointers to kernel types, and fields that hold pointers. */
export const POINTERS: readonly SiteProgram[] = [
  {
    ...tc,
    name: 'a read of a kernel object without a licence for the kernel',
    license: 'Proprietary',
    program: `${value('things')}; r1 = *(u64 *)(r6 + ${THING.plain}); if r1 == 0 goto out; r1 = *(u32 *)(r1 + 0); ${END}`,
    says: "Cannot access kernel 'struct task_struct' from non-GPL compatible program",
  },
  {
    ...tc,
    name: 'a kernel object at an unknown offset',
    program: `${unknown(6)}; ${task}; r0 += r6; r1 = *(u32 *)(r0 + 0); r0 = 0; exit`,
    says: 'R0 is ptr_task_struct invalid variable offset: off=0, var_off=(0x0; 0x8)',
  },
  {
    ...tc,
    name: 'a kernel object before its beginning',
    program: `${task}; r1 = *(u32 *)(r0 - 8); r0 = 0; exit`,
    says: 'R0 is ptr_task_struct invalid negative access: off=-8',
  },
  {
    ...tc,
    name: 'an object of another CPU',
    program: `${percpu}; r1 = *(u32 *)(r6 + 0); ${END}`,
    says: 'R6 is ptr_site_scalars access percpu memory: off=0',
  },
  {
    ...tc,
    name: 'a write to a map',
    program: 'r1 = array ll; *(u32 *)(r1 + 0) = 0; r0 = 0; exit',
    says: 'only read from bpf_array is supported',
  },
  {
    ...tc,
    name: 'a read before a map',
    program: 'r1 = array ll; r0 = *(u32 *)(r1 - 8); r0 = 0; exit',
    says: 'R1 is bpf_array invalid negative access: off=-8',
  },
  {
    ...tc,
    name: 'a store to a page of the user',
    program: `r1 = storage_of_tasks ll; r6 = r1; ${task}; r2 = r0; r1 = r6; r3 = 0; r4 = 0; call bpf_task_storage_get; if r0 == 0 goto out; r6 = r0; *(u64 *)(r6 + 0) = 0; ${END}`,
    says: 'store to uptr disallowed',
  },
  {
    ...tc,
    name: 'a store to a pointer that is counted',
    program: `${value('things')}; *(u64 *)(r6 + ${THING.task}) = 0; ${END}`,
    says: 'store to referenced kptr disallowed',
  },
  {
    ...tc,
    name: 'a number stored as a pointer',
    program: `${value('things')}; *(u64 *)(r6 + ${THING.plain}) = 1; ${END}`,
    says: `BPF_ST imm must be 0 when storing to kptr at off=${THING.plain}`,
  },
  {
    ...tc,
    name: 'an exchange of a pointer that is not counted',
    program: `${value('things')}; r1 = r6; r1 += ${THING.plain}; r2 = 0; call bpf_kptr_xchg; ${END}`,
    says: `off=${THING.plain} kptr isn't referenced kptr`,
  },
  {
    ...tc,
    name: 'an exchange in a map without types',
    program: `${value('untyped')}; r1 = r6; r2 = 0; call bpf_kptr_xchg; ${END}`,
    says: "map 'untyped' has to have BTF in order to use bpf_kptr_xchg",
  },
  {
    ...tc,
    name: 'an exchange in a map without pointers',
    program: `${value('numbers')}; r1 = r6; r2 = 0; call bpf_kptr_xchg; ${END}`,
    says: 'R1 has no valid kptr',
  },
  {
    ...tc,
    name: 'an exchange at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; r1 = r6; r1 += ${THING.task}; r1 += r8; r2 = 0; call bpf_kptr_xchg; ${END}`,
    says: "R1 doesn't have constant offset. kptr has to be at the constant offset",
  },
  {
    ...tc,
    name: 'a pointer field that a helper reads',
    program: `${value('things')}; r1 = r6; r1 += ${THING.task}; r2 = 8; r3 = 0; r4 = 0; r5 = 0; call bpf_csum_diff; ${END}`,
    says: 'kptr cannot be accessed indirectly by helper',
  },
  {
    ...tc,
    name: 'pointer fields at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; r6 += r8; r1 = *(u64 *)(r6 + ${THING.task}); ${END}`,
    says: 'kptr access cannot have variable offset',
  },
  {
    ...tc,
    name: 'half a pointer field',
    program: `${value('things')}; r1 = *(u32 *)(r6 + ${THING.task}); ${END}`,
    says: 'kptr access size must be BPF_DW',
  },
  {
    ...tc,
    name: 'a pointer field from its middle',
    program: `${value('things')}; r1 = *(u32 *)(r6 + ${THING.task + 4}); ${END}`,
    says: `kptr access misaligned expected=${THING.task} off=${THING.task + 4}`,
  },
  {
    ...tc,
    name: 'a timer of another map',
    program: `${value('things')}; r1 = r6; r2 = others ll; r3 = 0; call bpf_timer_init; ${END}`,
    says: "timer pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0",
  },
  {
    ...tc,
    name: 'a timer in a map without types',
    program: `${value('untyped')}; r1 = r6; r2 = untyped ll; r3 = 0; call bpf_timer_init; ${END}`,
    says: "map 'untyped' has to have BTF in order to use bpf_timer",
  },
  {
    ...tc,
    name: 'a timer in a map without one',
    program: `${value('numbers')}; r1 = r6; r2 = numbers ll; r3 = 0; call bpf_timer_init; ${END}`,
    says: "map 'numbers' has no valid bpf_timer",
  },
  {
    ...tc,
    name: 'a timer at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; r1 = r6; r1 += r8; r2 = things ll; r3 = 0; call bpf_timer_init; ${END}`,
    says: "R1 doesn't have constant offset. bpf_timer has to be at the constant offset",
  },
]

/** Objects that lost the reference that keeps them. */
export const UNHELD: readonly SiteProgram[] = [
  {
    ...tc,
    name: 'a read through a sum that forgot its reference',
    program: `r1 = ${TYPES.scalars}; r2 = 0; call bpf_obj_new_impl; if r0 == 0 goto out; r6 = r0; r2 = 0; r2 += r6; r2 = *(u32 *)(r2 + 0); r1 = r6; r2 = 0; call bpf_obj_drop_impl; ${END}`,
    says: 'verifier bug: ref_obj_id for allocated object must be non-zero',
  },
  {
    ...tc,
    name: 'an exchange for an object that may be null',
    program: `${value('things')}; r1 = ${TYPES.node}; r2 = 0; call bpf_obj_new_impl; r2 = r0; r1 = r6; r1 += ${THING.node}; call bpf_kptr_xchg; ${END}`,
    says: 'verifier bug: invalid PTR_TO_BTF_ID register for type match',
  },
  {
    type: 'syscall',
    flags: ['sleepable'],
    name: 'a read of what RCU kept, after its section',
    program: `${value('keepers')}; call bpf_rcu_read_lock; r7 = *(u64 *)(r6 + 0); if r7 == 0 goto none; call bpf_rcu_read_unlock; r0 = *(u32 *)(r7 + 0); r0 = 0; exit; none: call bpf_rcu_read_unlock; ${END}`,
    says: 'verifier bug: ref_obj_id for allocated object must be non-zero',
  },
]

/** Memory that helpers take and give. */
export const HELPER_MEMORY: readonly SiteProgram[] = [
  {
    type: 'kprobe',
    name: 'a helper that writes into a task',
    program: `${task}; r1 = r0; r2 = 8; r3 = 0; call bpf_probe_read_kernel; r0 = 0; exit`,
    says: 'bpf_probe_read_kernel() may write into memory pointed by R1 type=trusted_ptr_',
  },
  {
    ...tc,
    name: 'an exchange for a task that may be null',
    program: `${value('things')}; r1 = 1; call bpf_task_from_pid; r1 = r6; r1 += ${THING.task}; r2 = r0; call bpf_kptr_xchg; ${END}`,
    says: 'Possibly NULL pointer passed to helper arg2',
  },
  {
    ...tc,
    name: 'a task for a socket',
    program: `${task}; r1 = r0; call bpf_skc_to_tcp_sock; ${END}`,
    says: 'R1 is of type task_struct but sock_common is expected',
  },
  {
    ...tc,
    name: 'memory of the stack as a dynptr',
    program: `*(u64 *)(r10 - 8) = 0; ${stack(1, 8)}; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; r0 = 0; exit`,
    says: 'Unsupported reg type fp for bpf_dynptr_from_mem data',
  },
  {
    type: 'kprobe',
    name: 'a helper that fills a dynptr with bytes',
    program: `${value('array')}; r1 = r6; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; ${stack(1, 24)}; r2 = 16; r3 = 0; call bpf_probe_read_kernel; ${END}`,
    says: 'potential write to dynptr at off=-24 disallowed',
  },
  {
    ...tc,
    name: 'an atomic instruction at an unknown place of the stack',
    program: `*(u64 *)(r10 - 8) = 0; *(u64 *)(r10 - 16) = 0; ${unknown(6)}; ${stack(2, 16)}; r2 += r6; r1 = 1; lock *(u64 *)(r2 + 0) += r1; r0 = 0; exit`,
    says: 'variable offset stack pointer cannot be passed into helper function; var_off=(0x0; 0x8) off=-16 size=8',
  },
  {
    type: 'raw_tracepoint_writable',
    name: 'a buffer of a tracepoint, before its beginning',
    program: 'r6 = *(u64 *)(r1 + 0); r0 = *(u64 *)(r6 - 8); r0 = 0; exit',
    says: 'R6 invalid tracepoint buffer access: off=-8, size=8',
  },
  {
    type: 'raw_tracepoint_writable',
    name: 'a buffer of a tracepoint at an unknown offset',
    program: `r7 = *(u64 *)(r1 + 0); ${unknown(6)}; r7 += r6; r0 = *(u64 *)(r7 + 0); r0 = 0; exit`,
    says: 'R7 invalid variable buffer offset: off=0, var_off=(0x0; 0x8)',
  },
  {
    type: 'kprobe',
    name: 'a released dynptr that the program was only lent',
    program: `r1 = from_user ll; r2 = drain ll; r3 = 0; r4 = 0; call bpf_user_ringbuf_drain; r0 = 0; exit; drain: r2 = 0; call bpf_ringbuf_submit_dynptr; r0 = 0; exit`,
    says: 'cannot release unowned const bpf_dynptr',
  },
  {
    type: 'kprobe',
    name: 'a dynptr that the program was only lent, made anew',
    program: `r1 = from_user ll; r2 = drain ll; r3 = 0; r4 = 0; call bpf_user_ringbuf_drain; r0 = 0; exit; drain: r4 = r1; r1 = map[byte][0]; r2 = 1; r3 = 0; call bpf_dynptr_from_mem; r0 = 0; exit`,
    says: 'Dynptr has to be an uninitialized dynptr',
  },
  {
    type: 'kprobe',
    name: 'submission of a dynptr that nobody holds',
    program: `${value('array')}; r1 = r6; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; ${stack(1, 24)}; r2 = 0; call bpf_ringbuf_submit_dynptr; ${END}`,
    says: 'arg 1 is an unacquired reference',
  },
  {
    type: 'kprobe',
    name: 'a record over a dynptr that is held',
    program: `r1 = ring ll; r2 = 8; r3 = 0; ${stack(4, 16)}; call bpf_ringbuf_reserve_dynptr; *(u64 *)(r10 - 16) = 0; r0 = 0; exit`,
    says: 'cannot overwrite referenced dynptr',
  },
  {
    type: 'kprobe',
    name: 'a helper that writes into a key',
    program: `r1 = array ll; r2 = each ll; r3 = 0; r4 = 0; call bpf_for_each_map_elem; r0 = 0; exit; each: r1 = r2; r2 = 4; r3 = 0; call bpf_probe_read_kernel; r0 = 0; exit`,
    says: 'R1 cannot write into map_key',
  },
  {
    type: 'kprobe',
    name: 'a string in a map whose addresses are not known',
    program: `*(u64 *)(r10 - 16) = 0; ${value('frozen_hash')}; ${stack(1, 16)}; r2 = 8; r3 = r6; call bpf_strncmp; ${END}`,
    says: 'no direct value access support for this map type',
  },
  {
    type: 'kprobe',
    name: 'a string in one of many values',
    program: `*(u64 *)(r10 - 16) = 0; ${value('frozen_array')}; ${stack(1, 16)}; r2 = 8; r3 = r6; call bpf_strncmp; ${END}`,
    says: 'direct value access on string failed',
  },
  {
    ...tc,
    name: 'two arguments that are held',
    program: `r6 = r1; r1 = ring ll; r2 = 64; r3 = 0; call bpf_ringbuf_reserve; if r0 == 0 goto out; r7 = r0; *(u64 *)(r10 - 8) = 0; *(u64 *)(r10 - 16) = 0; r1 = r6; ${stack(2, 16)}; r3 = 12; r4 = -1; r5 = 0; call bpf_skc_lookup_tcp; if r0 == 0 goto back; r8 = r0; r1 = r8; r2 = r7; r3 = 20; r4 = r7; r5 = 20; call bpf_tcp_check_syncookie; r1 = r8; call bpf_sk_release; back: r1 = r7; r2 = 0; call bpf_ringbuf_discard; ${END}`,
    says: 'more than one arg with ref_obj_id R2 2 4',
  },
  {
    ...tc,
    name: 'a map value before its beginning',
    program: `${value('array')}; call bpf_ktime_get_ns; r0 s>>= 60; r6 += r0; r0 = *(u8 *)(r6 + 0); ${END}`,
    says: 'R6 min value is negative, either use unsigned index or do a if (index >=0) check.',
  },
  {
    ...tc,
    name: 'a packet before its beginning',
    program: `r6 = *(u32 *)(r1 + 76); r7 = *(u32 *)(r1 + 80); call bpf_ktime_get_ns; r0 s>>= 60; r6 += r0; r2 = r6; r2 += 8; if r2 > r7 goto out; r0 = *(u8 *)(r6 + 0); ${END}`,
    says: 'R6 min value is negative, either use unsigned index or do a if (index >=0) check.',
  },
  {
    ...tc,
    name: 'a load from a dynptr',
    program: `${value('array')}; r1 = r6; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; r0 = *(u64 *)(r10 - 24); ${END}`,
    says: 'invalid read from stack off -24+0 size 8',
  },
  {
    ...tc,
    name: 'a load of one byte of a dynptr',
    program: `${value('array')}; r1 = r6; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; r0 = *(u8 *)(r10 - 23); ${END}`,
    says: 'invalid read from stack off -23+0 size 1',
  },
  {
    ...tc,
    name: 'a dynptr as a key',
    program: `${value('array')}; r1 = r6; r2 = 8; r3 = 0; ${stack(4, 24)}; call bpf_dynptr_from_mem; ${stack(2, 24)}; r1 = hash ll; call bpf_map_lookup_elem; ${END}`,
    says: 'invalid read from stack R2 off -24+0 size 8',
  },
]
