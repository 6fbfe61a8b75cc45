/** Which pointers the kernel takes for valid objects (is_trusted_reg, is_rcu_reg of Linux 6.18). */
import type { Env } from './env.ts'
import * as R from './registers.ts'

/** Kernel structs that registers of other types stand for where a BTF pointer is wanted (reg2btf_ids). */
export const STRUCT_OF_REGISTER: ReadonlyMap<number, string> = new Map([
  [R.SOCKET, 'sock'],
  [R.SOCK_COMMON, 'sock_common'],
  [R.TCP_SOCK, 'tcp_sock'],
  [R.MAP_PTR, 'bpf_map'],
])
const TRUSTED_MODIFIERS = R.ALLOC | R.TRUSTED | R.NON_OWN

/** A flag other than those that make a pointer trusted (bpf_type_has_unsafe_modifiers). */
export function hasUnsafeModifiers(type: number): boolean {
  return (type & ~R.BASE_MASK & ~TRUSTED_MODIFIERS) !== 0
}

export function isTrusted(type: number, referenced: boolean): boolean {
  if (referenced) return true
  if (hasUnsafeModifiers(type)) return false
  return STRUCT_OF_REGISTER.has(type & R.BASE_MASK) || (type & TRUSTED_MODIFIERS) !== 0
}

export function isRcu(type: number): boolean {
  return (type & R.RCU) !== 0
}

/** RCU protects what the program reads: a section of its own, a lock, or a program that cannot sleep. */
export function inRcuSection(env: Env): boolean {
  const { state } = env
  return state.rcuLocks > 0 || state.activeLocks > 0 || !state.sleepable
}
