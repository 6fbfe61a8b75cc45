import type { HelperTable } from './table.ts'

/** Kernel functions by name without `bpf_`. */
export const KFUNCS: HelperTable = {
  rcu_read_lock: () => 0,
  rcu_read_unlock: () => 0,
  preempt_disable: () => 0,
  preempt_enable: () => 0,
  local_irq_save: () => 0,
  local_irq_restore: () => 0,
}
