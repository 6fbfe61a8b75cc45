/** References and locks that a path holds. */
import { markUnknown } from '../scalars/bounds.ts'
import type { Env } from './env.ts'
import { BASE_MASK, DYNPTR_SKB, DYNPTR_SKB_META, DYNPTR_XDP, isPacketOrEnd, MEM, REF, TYPE } from './registers.ts'
import { eachRegister, type LockKind, type Reference, type State } from './state.ts'

/** A new reference, taken at an instruction; answers its id. */
export function acquireReference(env: Env, insn: number): number {
  const id = env.newId()
  env.state.references = [...env.state.references, { kind: 'pointer', id, insn, owner: 0 }]
  return id
}

/** False when no such reference is held. */
export function dropReference(state: State, id: number): boolean {
  const at = state.references.findIndex((r) => r.kind === 'pointer' && r.id === id)
  if (at < 0) return false
  state.references = state.references.filter((_, i) => i !== at)
  return true
}

/** Gives a reference back: every pointer that came with it is dead. */
export function releaseReference(env: Env, id: number): boolean {
  if (!dropReference(env.state, id)) return false
  eachRegister(env.state, (m, b) => {
    if (m[b + REF] === id) markUnknown(m, b)
  })
  return true
}

export function acquireLock(env: Env, insn: number, kind: LockKind, id: number, owner: number): void {
  const state = env.state
  state.references = [...state.references, { kind, id, insn, owner }]
  state.activeLocks++
  state.lockId = id
  state.lockOwner = owner
}

export function isLock(reference: Reference): boolean {
  return reference.kind !== 'pointer' && reference.kind !== 'irq'
}

/** The lock of this kind is held. */
export function holdsLockOf(state: State, kind: LockKind, id: number, owner: number): boolean {
  return state.references.some((r) => r.kind === kind && r.id === id && r.owner === owner)
}

/** Gives a held lock back; the one taken before it is the innermost again. */
export function releaseLock(state: State, kind: LockKind, id: number, owner: number): void {
  const at = state.references.findIndex((r) => r.kind === kind && r.id === id && r.owner === owner)
  const before = state.references.slice(0, at).findLast(isLock)
  state.references = state.references.filter((_, i) => i !== at)
  state.activeLocks--
  state.lockId = before?.id ?? 0
  state.lockOwner = before?.owner ?? 0
}

const PACKET_DYNPTRS = DYNPTR_SKB | DYNPTR_SKB_META | DYNPTR_XDP

/** A helper moved the packet: no pointer into it is good any more. */
export function clearPacketPointers(env: Env): void {
  eachRegister(env.state, (m, b) => {
    const type = m[b + TYPE]
    const slice = (type & BASE_MASK) === MEM && (type & PACKET_DYNPTRS) !== 0
    if (slice || isPacketOrEnd(type)) markUnknown(m, b)
  })
}

/** Nothing may be held where a program ends (check_reference_leak). */
export function checkLeaks(env: Env, prefix: string, checkLock: boolean, everyFrame = false): void {
  const state = env.state
  if (checkLock && state.activeLocks > 0) env.reject(`${prefix} cannot be used inside bpf_spin_lock-ed region`)
  if (env.frame.index !== 0 && !everyFrame) {
    if (checkLock) checkSections(env, prefix)
    return
  }
  let leaks = false
  for (const reference of state.references) {
    if (reference.kind !== 'pointer') continue
    env.say(`Unreleased reference id=${reference.id} alloc_insn=${reference.insn}`)
    leaks = true
  }
  if (leaks) env.reject(`${prefix} would lead to reference leak`)
  if (checkLock) checkSections(env, prefix)
}

function checkSections(env: Env, prefix: string): void {
  const { state } = env
  if (state.irqId !== 0) env.reject(`${prefix} cannot be used inside bpf_local_irq_save-ed region`)
  if (state.rcuLocks > 0) env.reject(`${prefix} cannot be used inside bpf_rcu_read_lock-ed region`)
  if (state.preemptLocks > 0) env.reject(`${prefix} cannot be used inside bpf_preempt_disable-ed region`)
}

/** Interrupts are off: a section, known by the id that is answered. */
export function acquireIrq(env: Env, insn: number): number {
  const id = env.newId()
  const { state } = env
  state.references = [...state.references, { kind: 'irq', id, insn, owner: 0 }]
  state.irqId = id
  return id
}

/** False when another section was opened later. */
export function releaseIrq(state: State, id: number): boolean {
  if (id !== state.irqId) return false
  state.references = state.references.filter((r) => r.kind !== 'irq' || r.id !== id)
  state.irqId = state.references.findLast((r) => r.kind === 'irq')?.id ?? 0
  return true
}
