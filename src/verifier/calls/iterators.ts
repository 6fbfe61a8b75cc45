/** Open-coded iterators: bpf_iter_*_new, _next, _destroy and their state on the stack (process_iter_arg of Linux 6.18). */

import type { Kfunc } from '../kernel/kfunc-prototype.ts'
import { checkMemory } from '../memory/memory.ts'
import { markNotNull } from '../memory/nullness.ts'
import {
  allBytes,
  anyByte,
  clearSlots,
  firstSlot,
  OUT_OF_RANGE,
  objectFrame,
  readSlots,
} from '../memory/stack-objects.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markConstant, markKnown } from '../scalars/bounds.ts'
import { findPrevious, sameCallsites } from '../state/checkpoints.ts'
import { EFAULT, type Env } from '../state/env.ts'
import { widen } from '../state/equivalence.ts'
import { ACTIVE, DRAINED, ITER_DEPTH, ITER_STATE } from '../state/iterator-slots.ts'
import { acquireReference, releaseReference } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { type Frame, registerBase, type State, slotBase } from '../state/state.ts'
import { inRcuSection } from '../state/trust.ts'
import { ITER_DESTROY, ITER_NEW, RCU_PROTECTED } from '../tables/kfuncs.ts'

/** Where an iterator is that a call named. */
export interface IteratorPlace {
  readonly frame: number
  readonly slot: number
}

function slotOf(state: State, place: IteratorPlace): { m: Int32Array; b: number } {
  return { m: state.frames[place.frame].m, b: slotBase(place.slot) }
}

/** The iterator argument of a call; answers where an initialised one is. */
export function checkIterator(
  env: Env,
  liveness: StackLiveness,
  kfunc: Kfunc,
  register: number,
): (IteratorPlace & { readonly reference: number }) | undefined {
  const m = env.frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] !== R.STACK) env.reject(`arg#${register - 1} expected pointer to an iterator on stack`)
  const types = env.typesOf(0)
  const type = types?.pointedStruct(kfunc.params[register - 1].type)
  if (types === undefined || type === undefined) env.reject(`expected valid iter pointer as arg #${register - 1}`)
  const slots = (types.btf.sizeOf(type) ?? 0) / 8
  const name = types.name(type).slice('bpf_'.length)
  if ((kfunc.flags & ITER_NEW) !== 0) {
    const first = firstSlot(env, register, 'iter', slots)
    const free =
      first === OUT_OF_RANGE || (first >= 0 && !anyByte(objectFrame(env, register), first, slots, R.ITER_SLOT))
    if (!free) env.reject(`expected uninitialized ${name} as arg #${register - 1}`)
    for (let i = 0; i < slots; i++) checkMemory(env, liveness, register, i * 8, 8, true, -1, false, false)
    create(env, liveness, kfunc, register, type, slots)
    return undefined
  }
  return existing(env, liveness, kfunc, register, type, slots, name)
}

function create(env: Env, liveness: StackLiveness, kfunc: Kfunc, register: number, type: number, slots: number): void {
  const first = firstSlot(env, register, 'iter', slots)
  const frame = objectFrame(env, register)
  const reference = acquireReference(env, env.insn)
  const protection = (kfunc.flags & RCU_PROTECTED) === 0 ? 0 : inRcuSection(env) ? R.RCU : R.UNTRUSTED
  for (let i = 0; i < slots; i++) {
    const slot = first - i
    const m = frame.m
    const b = slotBase(slot)
    markKnown(m, b, 0, 0)
    m[b + R.TYPE] = R.STACK | protection
    m[b + R.REF] = i === 0 ? reference : 0
    m[b + R.AUX] = type
    m[b + ITER_STATE] = ACTIVE
    m[b + ITER_DEPTH] = 0
    frame.types.fill(R.ITER_SLOT, slot * 8, slot * 8 + 8)
    env.scratchSlot(slot)
    liveness.markWrite(frame.index, slot)
  }
}

type Validity = 'valid' | 'invalid' | 'unprotected'

function validity(frame: Frame, first: number, slots: number, type: number): Validity {
  if (first < 0) return 'invalid'
  for (let i = 0; i < slots; i++) {
    const m = frame.m
    const b = slotBase(first - i)
    if ((m[b + R.TYPE] & R.UNTRUSTED) !== 0) return 'unprotected'
    if ((i === 0) !== (m[b + R.REF] !== 0) || m[b + R.AUX] !== type) return 'invalid'
    if (!allBytes(frame, first - i, 1, R.ITER_SLOT)) return 'invalid'
  }
  return 'valid'
}

function existing(
  env: Env,
  liveness: StackLiveness,
  kfunc: Kfunc,
  register: number,
  type: number,
  slots: number,
  name: string,
): IteratorPlace & { readonly reference: number } {
  const first = firstSlot(env, register, 'iter', slots)
  const frame = objectFrame(env, register)
  const found = validity(frame, first, slots, type)
  if (found === 'invalid') env.reject(`expected an initialized ${name} as arg #${register - 1}`)
  if (found === 'unprotected') env.reject(`expected an RCU CS when using ${kfunc.name}`, 71)
  readSlots(env, liveness, frame, first, slots)
  const reference = frame.m[slotBase(first) + R.REF]
  if ((kfunc.flags & ITER_DESTROY) !== 0) {
    releaseReference(env, reference)
    clearSlots(env, liveness, frame, first, slots)
  }
  return { frame: frame.index, slot: first, reference }
}

/** The iterator's elements are RCU protected. */
export function isProtected(env: Env, place: IteratorPlace): boolean {
  const { m, b } = slotOf(env.state, place)
  return (m[b + R.TYPE] & R.RCU) !== 0
}

/** A `next` gives an element on one branch and null, for good, on the other (process_iter_next_call). */
export function branchIterator(env: Env, place: IteratorPlace, insn: number): void {
  const { state } = env
  const { m, b } = slotOf(state, place)
  if (m[b + ITER_STATE] === ACTIVE) {
    const { parent } = state
    if (parent === undefined || parent.insn !== insn || !sameCallsites(parent, state))
      env.reject('verifier bug: bad parent state for iter next call', EFAULT)
    const previous = findPrevious(env, parent, insn)
    const queued = env.pushBranch(insn + 1, insn)
    const other = slotOf(queued, place)
    other.m[other.b + ITER_STATE] = ACTIVE
    other.m[other.b + ITER_DEPTH]++
    if (previous !== undefined) widen(env, previous, queued)
    markNotNull(env, queued.frame.m, 0)
  }
  const at = slotOf(state, place)
  at.m[at.b + ITER_STATE] = DRAINED
  markConstant(env.frame.m, 0, 0, 0)
}
