import { unknown, value } from './objects.ts'
import type { SiteProgram } from './program.ts'
import { THING } from './world.ts'

const END = 'out: r0 = 0; exit'
const tc = { type: 'sched_cls' } as const
const sleepable = { type: 'syscall', flags: ['sleepable'] } as const
const task = 'call bpf_get_current_task_btf'
/** A task that the program holds, as r6. */
const held = 'r1 = 1; call bpf_task_from_pid; if r0 == 0 goto out; r6 = r0'
const stack = (register: number, offset: number): string => `r${register} = r10; r${register} += -${offset}`

/** Calls of kernel functions. */
export const KFUNCS: readonly SiteProgram[] = [
  {
    ...tc,
    name: 'release of a task that is not held',
    program: `${task}; r1 = r0; call bpf_task_release; r0 = 0; exit`,
    says: 'release kernel function bpf_task_release expects refcounted PTR_TO_BTF_ID',
  },
  {
    ...tc,
    name: 'release of a task through a sum that forgot its reference',
    program: `${held}; r1 = 0; r1 += r6; call bpf_task_release; r1 = r6; call bpf_task_release; ${END}`,
    says: 'R1 must be referenced or trusted',
  },
  {
    ...tc,
    name: 'a constant argument that is unknown',
    program: `call bpf_get_prandom_u32; r1 = r0; r2 = 0; call bpf_obj_new_impl; r0 = 0; exit`,
    says: 'R1 must be a known constant',
  },
  {
    ...tc,
    name: 'a task iterator over cgroups in a program that cannot sleep',
    program: `${stack(1, 24)}; r2 = 0; r3 = 0; call bpf_iter_css_task_new; r0 = 0; exit`,
    says: 'css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs',
  },
  {
    ...tc,
    name: 'a work queue in a map without types',
    program: `${value('untyped')}; r1 = r6; r2 = untyped ll; r3 = 0; call bpf_wq_init; ${END}`,
    says: "map 'untyped' has to have BTF in order to use bpf_wq",
  },
  {
    ...tc,
    name: 'a work queue in a map without one',
    program: `${value('numbers')}; r1 = r6; r2 = numbers ll; r3 = 0; call bpf_wq_init; ${END}`,
    says: "map 'numbers' has no valid bpf_wq",
  },
  {
    ...tc,
    name: 'a work queue at an unknown offset',
    program: `${value('things')}; ${unknown(8)}; r1 = r6; r1 += r8; r2 = things ll; r3 = 0; call bpf_wq_init; ${END}`,
    says: "R1 doesn't have constant offset. bpf_wq has to be at the constant offset",
  },
  {
    ...tc,
    name: 'a work queue where there is none',
    program: `${value('things')}; r1 = r6; r2 = things ll; r3 = 0; call bpf_wq_init; ${END}`,
    says: `off 0 doesn't point to 'struct bpf_wq' that is at ${THING.queue}`,
  },
  {
    ...tc,
    name: 'a work queue of another map',
    program: `${value('things')}; r1 = r6; r1 += ${THING.queue}; r2 = others ll; r3 = 0; call bpf_wq_init; ${END}`,
    says: "workqueue pointer in R1 map_uid=0 doesn't match map pointer in R2 map_uid=0",
  },
  {
    ...tc,
    name: 'a work queue with a number for its map',
    program: `${value('things')}; r1 = r6; r1 += ${THING.queue}; r2 = 7; r3 = 0; call bpf_wq_init; ${END}`,
    says: "pointer in R2 isn't map pointer",
  },
  {
    ...tc,
    name: 'a work queue on the stack',
    program: `${stack(1, 16)}; r2 = things ll; r3 = 0; call bpf_wq_init; r0 = 0; exit`,
    says: "arg#0 doesn't point to a map value",
  },
  {
    ...tc,
    name: 'a queue that is to call no function',
    program: `${value('things')}; r1 = r6; r1 += ${THING.queue}; r2 = 0; r3 = 0; r4 = 0; call bpf_wq_set_callback_impl; ${END}`,
    says: 'arg1 expected pointer to func',
  },
  {
    ...tc,
    name: 'a socket for a task',
    program: `r1 = *(u64 *)(r1 + 168); if r1 == 0 goto out; call bpf_task_acquire; ${END}`,
    says: 'kernel function bpf_task_acquire args#0 expected pointer to STRUCT task_struct but R1 has a pointer to STRUCT sock_common',
  },
  {
    ...tc,
    name: 'the current task for a cgroup',
    program: `${task}; r1 = r0; call bpf_cgroup_acquire; ${END}`,
    says: 'kernel function bpf_cgroup_acquire args#0 expected pointer to STRUCT cgroup but R1 has a pointer to STRUCT task_struct',
  },
  {
    ...tc,
    name: 'a task that nobody keeps',
    program: `${value('things')}; r1 = *(u64 *)(r6 + ${THING.plain}); if r1 == 0 goto out; call bpf_task_acquire; ${END}`,
    says: 'R1 must be a rcu pointer',
  },
  {
    ...tc,
    name: 'a slice of unknown size',
    program: `r6 = r1; r2 = 0; ${stack(3, 16)}; call bpf_dynptr_from_skb; call bpf_get_prandom_u32; r4 = r0; r4 &= 7; ${stack(1, 16)}; r2 = 0; ${stack(3, 24)}; *(u64 *)(r10 - 24) = 0; call bpf_dynptr_slice; r0 = 0; exit`,
    says: 'R4 must be a known constant',
  },
  {
    ...tc,
    name: 'a task for a buffer',
    program: `r6 = r1; ${task}; r7 = r0; r1 = r6; r2 = 0; ${stack(3, 16)}; call bpf_dynptr_from_skb; ${stack(1, 16)}; r2 = 0; r3 = r7; r4 = 8; call bpf_dynptr_slice; r0 = 0; exit`,
    says: 'kernel function bpf_dynptr_slice args#2 pointer type UNKNOWN  is not supported',
  },
  {
    type: 'raw_tracepoint',
    name: 'a context whose kernel type is a number',
    program: 'call bpf_cast_to_kern_ctx; r0 = 0; exit',
    says: /^kern ctx type id \d+ is not a struct$/,
  },
  {
    type: 'kprobe',
    name: 'XDP metadata in a kprobe',
    program: `call bpf_xdp_metadata_rx_hash; r0 = 0; exit`,
    says: 'metadata kfuncs require device-bound program',
  },
  {
    type: 'xdp',
    name: 'a call to a trap',
    program: `call __bpf_trap; r0 = 0; exit`,
    says: 'unexpected __bpf_trap() due to uninitialized variable?',
  },
  {
    type: 'socket_filter',
    name: 'a function of other programs',
    program: `r2 = 0; ${stack(3, 16)}; call bpf_dynptr_from_xdp; r0 = 0; exit`,
    says: 'calling kernel function bpf_dynptr_from_xdp is not allowed',
  },
  {
    ...sleepable,
    name: 'children of a cgroup without RCU',
    program: `r1 = 1; call bpf_cgroup_from_id; if r0 == 0 goto out; r6 = r0; ${stack(1, 24)}; r2 = r6; r3 = 1; call bpf_iter_css_new; ${END}`,
    says: 'kernel func bpf_iter_css_new requires RCU critical section protection',
  },
  {
    ...sleepable,
    name: 'tasks after their RCU section',
    program: `call bpf_rcu_read_lock; ${stack(1, 24)}; r2 = 0; r3 = 0; call bpf_iter_task_new; call bpf_rcu_read_unlock; ${stack(1, 24)}; call bpf_iter_task_next; ${END}`,
    says: 'expected an RCU CS when using bpf_iter_task_next',
  },
  {
    ...sleepable,
    name: 'tasks without an RCU section',
    program: `${stack(1, 24)}; r2 = 0; r3 = 0; call bpf_iter_task_new; ${END}`,
    says: 'kernel func bpf_iter_task_new requires RCU critical section protection',
  },
  {
    ...sleepable,
    name: 'the end of an RCU section that did not begin',
    program: 'call bpf_rcu_read_unlock; r0 = 0; exit',
    says: 'unmatched rcu read unlock (kernel function bpf_rcu_read_unlock)',
  },
  {
    ...sleepable,
    name: 'preemption turned on that is on',
    program: 'call bpf_preempt_enable; r0 = 0; exit',
    says: 'unmatched attempt to enable preemption (kernel function bpf_preempt_enable)',
  },
  {
    ...sleepable,
    name: 'sleep without interrupts',
    program: `${stack(1, 8)}; call bpf_local_irq_save; ${stack(1, 24)}; r2 = 8; r3 = 0; r4 = 0; call bpf_copy_from_user_str; r0 = 0; exit`,
    says: 'kernel func bpf_copy_from_user_str is sleepable within IRQ-disabled region',
  },
  {
    ...sleepable,
    name: 'sleep in an RCU section',
    program: `call bpf_rcu_read_lock; ${stack(1, 24)}; r2 = 8; r3 = 0; r4 = 0; call bpf_copy_from_user_str; r0 = 0; exit`,
    says: 'kernel func bpf_copy_from_user_str is sleepable within rcu_read_lock region',
  },
  {
    ...sleepable,
    name: 'sleep without preemption',
    program: `call bpf_preempt_disable; ${stack(1, 24)}; r2 = 8; r3 = 0; r4 = 0; call bpf_copy_from_user_str; r0 = 0; exit`,
    says: 'kernel func bpf_copy_from_user_str is sleepable within non-preemptible region',
  },
  {
    ...sleepable,
    name: 'a helper that sleeps, in an RCU section',
    program: `call bpf_rcu_read_lock; ${stack(1, 8)}; r2 = 8; r3 = 0; call bpf_copy_from_user; r0 = 0; exit`,
    says: 'sleepable helper bpf_copy_from_user#148 in rcu_read_lock region',
  },
  {
    ...sleepable,
    name: 'a helper that sleeps, without preemption',
    program: `call bpf_preempt_disable; ${stack(1, 8)}; r2 = 8; r3 = 0; call bpf_copy_from_user; r0 = 0; exit`,
    says: 'sleepable helper bpf_copy_from_user#148 in non-preemptible region',
  },
  {
    ...sleepable,
    name: 'a helper that sleeps, without interrupts',
    program: `${stack(1, 16)}; call bpf_local_irq_save; ${stack(1, 8)}; r2 = 8; r3 = 0; call bpf_copy_from_user; r0 = 0; exit`,
    says: 'sleepable helper bpf_copy_from_user#148 in IRQ-disabled region',
  },
  {
    ...tc,
    name: 'a cast to a type that is not there',
    program: `${task}; r1 = r0; r2 = 0x7fffffff; call bpf_rdonly_cast; r0 = 0; exit`,
    says: 'Unknown type ID 2147483647 passed to kfunc bpf_rdonly_cast',
  },
  {
    ...tc,
    name: 'a cast to a number',
    program: `${task}; r1 = r0; r2 = 1; call bpf_rdonly_cast; r0 = 0; exit`,
    says: 'kfunc bpf_rdonly_cast type ID argument must be of a struct or void',
  },
  {
    ...tc,
    name: "the kernel's own flag for a lock",
    program: `${value('locks')}; ${stack(1, 24)}; call bpf_local_irq_save; r1 = r6; r1 += 8; ${stack(2, 32)}; call bpf_res_spin_lock_irqsave; if r0 != 0 goto fail; r1 = r6; r1 += 8; ${stack(2, 24)}; call bpf_res_spin_unlock_irqrestore; fail: ${stack(1, 24)}; call bpf_local_irq_restore; ${END}`,
    says: 'irq flag acquired by native kfuncs cannot be restored with lock kfuncs',
  },
  {
    ...tc,
    name: 'interrupts turned on out of order',
    program: `${stack(1, 8)}; call bpf_local_irq_save; ${stack(1, 16)}; call bpf_local_irq_save; ${stack(1, 8)}; call bpf_local_irq_restore; r0 = 0; exit`,
    says: 'cannot restore irq state out of order, expected id=2 acquired at insn_idx=5',
  },
  {
    ...tc,
    name: 'locks opened out of order',
    program: `${value('locks')}; r1 = r6; r1 += 8; call bpf_res_spin_lock; if r0 != 0 goto out; r1 = map[only_lock][0]+8; call bpf_res_spin_lock; if r0 != 0 goto one; r1 = r6; r1 += 8; call bpf_res_spin_unlock; r1 = map[only_lock][0]+8; call bpf_res_spin_unlock; r0 = 0; exit; one: r1 = r6; r1 += 8; call bpf_res_spin_unlock; ${END}`,
    says: 'bpf_res_spin_unlock cannot be out of order',
  },
  {
    ...tc,
    name: 'a map value for a dynptr',
    program: `${value('things')}; r1 = r6; call bpf_dynptr_size; ${END}`,
    says: 'arg#0 expected pointer to stack or const struct bpf_dynptr',
  },
  {
    ...tc,
    name: 'a map value for an iterator',
    program: `${value('things')}; r1 = r6; r2 = 0; r3 = 5; call bpf_iter_num_new; ${END}`,
    says: 'arg#0 expected pointer to an iterator on stack',
  },
  {
    ...tc,
    name: 'the stack for a context',
    program: `${stack(1, 16)}; r2 = 0; ${stack(3, 16)}; call bpf_dynptr_from_skb; r0 = 0; exit`,
    says: 'arg#0 expected pointer to ctx, but got fp',
  },
  {
    ...tc,
    name: 'a map value for the flag of interrupts',
    program: `${value('numbers')}; r1 = r6; call bpf_local_irq_save; ${END}`,
    says: "arg#0 doesn't point to an irq flag on stack",
  },
  {
    ...tc,
    name: 'a map value for a map',
    program: `${value('things')}; r1 = r6; r1 += ${THING.queue}; r2 = r6; r3 = 0; call bpf_wq_init; ${END}`,
    says: 'arg#1 is map_value expected map_value or socket',
  },
  {
    ...tc,
    name: 'the stack for a task',
    program: `*(u64 *)(r10 - 8) = 0; ${stack(1, 8)}; call bpf_task_acquire; r0 = 0; exit`,
    says: 'arg#0 pointer type STRUCT task_struct must point to scalar, or struct with scalar',
  },
  {
    ...tc,
    name: 'a lock on the stack',
    program: `*(u64 *)(r10 - 8) = 0; ${stack(1, 8)}; call bpf_res_spin_lock; r0 = 0; exit`,
    says: "arg#0 doesn't point to map value or allocated object",
  },
  {
    ...tc,
    name: 'a slice that only reads, for a buffer',
    program: `r6 = r1; r2 = 0; ${stack(3, 16)}; call bpf_dynptr_from_skb; ${stack(1, 16)}; r2 = 0; r3 = 0; r4 = 8; call bpf_dynptr_slice; if r0 == 0 goto out; ${stack(1, 16)}; r2 = 0; r3 = r0; r4 = 8; call bpf_dynptr_slice; ${END}`,
    says: 'arg#2 arg#3 memory, len pair leads to invalid memory access',
  },
]
