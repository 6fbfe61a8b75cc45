/** Locks in map values and in objects of the program: taken and given back (process_spin_lock of Linux 6.18). */
import { isConst, markNotInit, markUnknown } from '../scalars/bounds.ts'
import { sync } from '../scalars/sync.ts'
import { EACCES, type Env } from '../state/env.ts'
import { acquireLock, holdsLockOf, releaseLock } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { type LockKind, REGISTERS, registerBase } from '../state/state.ts'
import { dropNonOwning, inTreeCallback, lockOwner } from './graph-objects.ts'
import type { KfuncCall } from './kfunc-arguments.ts'

const CLOBBERED = 6
const MAX_ERRNO = 4095

/** Kernel functions of the locks that may fail: whether each takes the lock, and whether it turns interrupts off. */
const RESILIENT: Readonly<Record<string, { readonly take: boolean; readonly kind: LockKind }>> = {
  bpf_res_spin_lock: { take: true, kind: 'res_lock' },
  bpf_res_spin_unlock: { take: false, kind: 'res_lock' },
  bpf_res_spin_lock_irqsave: { take: true, kind: 'res_lock_irq' },
  bpf_res_spin_unlock_irqrestore: { take: false, kind: 'res_lock_irq' },
}

/** The functions that take a lock which may fail. */
export function takesResilientLock(name: string): boolean {
  return RESILIENT[name]?.take === true
}

/** The lock that bpf_spin_lock and bpf_spin_unlock are given. */
export function checkSpinLock(env: Env, register: number, take: boolean): void {
  if (inTreeCallback(env)) env.reject("can't spin_{lock,unlock} in rbtree cb", EACCES)
  processLock(env, register, take, 'lock')
}

/** The lock that a bpf_res_spin_* function is given; unlike later kernels 6.18 takes it in a tree's comparison too. */
export function checkResilientLock(env: Env, call: KfuncCall, i: number): void {
  const type = env.frame.m[registerBase(i + 1) + R.TYPE]
  if (type !== R.MAP_VALUE && type !== (R.BTF_ID | R.ALLOC))
    env.reject(`arg#${i} doesn't point to map value or allocated object`)
  const what = RESILIENT[call.kfunc.name]
  if (what === undefined) env.unmodelled(`locks as arguments of ${call.kfunc.name}`)
  processLock(env, i + 1, what.take, what.kind)
}

/** Taking the lock fails on a branch of its own, with an error below zero. */
export function branchFailedLock(env: Env, insn: number): void {
  const queued = env.pushBranch(insn + 1, insn)
  const { m } = queued.frames[queued.current]
  for (let r = 1; r < Math.min(CLOBBERED, REGISTERS); r++) markNotInit(m, registerBase(r))
  markUnknown(m, 0)
  m[R.S32_MIN] = m[R.SMIN_LOW] = -MAX_ERRNO
  m[R.S32_MAX] = m[R.SMAX_LOW] = -1
  m[R.SMIN_HIGH] = m[R.SMAX_HIGH] = -1
  sync(m, 0)
}

function processLock(env: Env, register: number, take: boolean, kind: LockKind): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(register)
  const name = kind === 'lock' ? 'bpf_spin' : 'bpf_res_spin'
  if (!isConst(m, b))
    env.reject(`R${register} doesn't have constant offset. ${name}_lock has to be at the constant offset`)
  const inMap = m[b + R.TYPE] === R.MAP_VALUE
  const map = inMap ? env.map(m[b + R.AUX]) : undefined
  if (map !== undefined && (env.btf === undefined || (map.spec.btfValueTypeId ?? 0) === 0))
    env.reject(`map '${map.name}' has to have BTF in order to use ${name}_lock`)
  const fields = map?.fields ?? env.fieldsOf(m[b + R.AUX])
  const field = fields.find((f) => f.kind === `${name}_lock`)
  if (field === undefined)
    env.reject(
      map === undefined ? `local 'kptr' has no valid ${name}_lock` : `map '${map.name}' has no valid ${name}_lock`,
    )
  const at = frame.u[b / 2 + R.VALUE] + BigInt(m[b + R.OFF])
  if (at !== BigInt(field.offset))
    env.reject(`off ${at} doesn't point to 'struct ${name}_lock' that is at ${field.offset}`)
  const { state } = env
  const id = m[b + R.ID]
  const owner = lockOwner(env, register)
  if (take) {
    const held =
      kind !== 'lock' && (holdsLockOf(state, 'res_lock', id, owner) || holdsLockOf(state, 'res_lock_irq', id, owner))
    if (held) env.reject('Acquiring the same lock again, AA deadlock detected')
    acquireLock(env, env.insn, kind, id, owner)
    return
  }
  if (state.activeLocks === 0) env.reject(`${name}_unlock without taking a lock`)
  if (!holdsLockOf(state, kind, id, owner)) env.reject(`${name}_unlock of different lock`)
  if (id !== state.lockId || owner !== state.lockOwner) env.reject(`${name}_unlock cannot be out of order`)
  releaseLock(state, kind, id, owner)
  dropNonOwning(env, markUnknown)
}
