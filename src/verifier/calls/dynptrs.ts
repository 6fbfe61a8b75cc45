/** Dynptrs: two stack slots that stand for memory of a size known at run time (process_dynptr_func of Linux 6.18). */

import { destroyDynptr, dynptrName, isCounted } from '../memory/dynptr-slots.ts'
import { checkMemory } from '../memory/memory.ts'
import { allBytes, clearSlots, firstSlot, OUT_OF_RANGE, objectFrame, readSlots } from '../memory/stack-objects.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markKnown } from '../scalars/bounds.ts'
import { EINVAL, type Env } from '../state/env.ts'
import { acquireReference, releaseReference } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { registerBase, slotBase } from '../state/state.ts'

const SLOTS = 2
/** What a call learns of an initialised dynptr. */
export interface Dynptr {
  readonly id: number
  readonly kind: number
  readonly reference: number
}

function create(env: Env, liveness: StackLiveness, register: number, kind: number, cloneOf: number): void {
  const frame = objectFrame(env, register)
  const first = firstSlot(env, register, 'dynptr', SLOTS)
  destroyDynptr(env, liveness, frame, first)
  destroyDynptr(env, liveness, frame, first - 1)
  const id = env.newId()
  const m = frame.m
  for (const slot of [first, first - 1]) {
    const b = slotBase(slot)
    frame.types.fill(R.DYNPTR_SLOT, slot * 8, slot * 8 + 8)
    markKnown(m, b, 0, 0)
    m[b + R.TYPE] = R.DYNPTR
    m[b + R.FRAME] = 0
    m[b + R.ID] = id
    m[b + R.AUX] = kind
    m[b + R.AUX2] = slot === first ? 1 : 0
  }
  if (isCounted(kind)) {
    const reference = cloneOf === 0 ? acquireReference(env, env.insn) : cloneOf
    m[slotBase(first) + R.REF] = reference
    m[slotBase(first - 1) + R.REF] = reference
  }
  liveness.markWrite(frame.index, first)
  liveness.markWrite(frame.index, first - 1)
}

function isInitialised(env: Env, register: number): boolean {
  if (env.frame.m[registerBase(register) + R.TYPE] === R.DYNPTR) return true
  const first = firstSlot(env, register, 'dynptr', SLOTS)
  if (first < 0) return false
  const frame = objectFrame(env, register)
  return frame.m[slotBase(first) + R.AUX2] === 1 && allBytes(frame, first, SLOTS, R.DYNPTR_SLOT)
}

/** The register that describes an initialised dynptr: a stack slot's, or the argument's own. */
function describe(env: Env, register: number): Dynptr {
  let m = env.frame.m
  let b = registerBase(register)
  if (m[b + R.TYPE] === R.STACK) {
    const first = firstSlot(env, register, 'dynptr', SLOTS)
    m = objectFrame(env, register).m
    b = slotBase(first)
  }
  return { id: m[b + R.ID], kind: m[b + R.AUX], reference: m[b + R.REF] }
}

/**
 * A dynptr argument: made, when `flags` say it is uninitialised, of the kind in `flags` (sharing the reference `cloneOf`),
 * else used, when it is of that kind (any, without one). Answers the used one.
 */
export function checkDynptr(
  env: Env,
  liveness: StackLiveness,
  register: number,
  flags: number,
  cloneOf: number,
): Dynptr | undefined {
  const m = env.frame.m
  const type = m[registerBase(register) + R.TYPE]
  if (type !== R.STACK && type !== R.DYNPTR)
    env.reject(`arg#${register - 1} expected pointer to stack or const struct bpf_dynptr`)
  const kind = flags & R.DYNPTR_ANY
  if ((flags & R.UNINIT) !== 0) {
    const first = type === R.DYNPTR ? EINVAL * -1 : firstSlot(env, register, 'dynptr', SLOTS)
    if (first < 0 && first !== OUT_OF_RANGE) env.reject('Dynptr has to be an uninitialized dynptr')
    for (let i = 0; i < SLOTS; i++) checkMemory(env, liveness, register, i * 8, 8, true, -1, false, false)
    create(env, liveness, register, kind, cloneOf)
    return undefined
  }
  if (type === R.DYNPTR && (flags & R.RDONLY) === 0)
    env.reject('cannot pass pointer to const bpf_dynptr, the helper mutates it')
  if (!isInitialised(env, register)) env.reject(`Expected an initialized dynptr as arg #${register - 1}`)
  const found = describe(env, register)
  if (kind !== 0 && found.kind !== kind)
    env.reject(`Expected a dynptr of type ${dynptrName(kind)} as arg #${register - 1}`)
  if (type === R.STACK)
    readSlots(env, liveness, objectFrame(env, register), firstSlot(env, register, 'dynptr', SLOTS), SLOTS)
  return found
}

/** A dynptr that a release helper takes owns something. */
export function checkOwned(env: Env, register: number): void {
  if (env.frame.m[registerBase(register) + R.TYPE] !== R.STACK) env.reject('cannot release unowned const bpf_dynptr')
  const first = firstSlot(env, register, 'dynptr', SLOTS)
  if (first < 0 || objectFrame(env, register).m[slotBase(first) + R.REF] === 0)
    env.reject(`arg ${register} is an unacquired reference`)
}

/** Ends a dynptr that was given back, and its clones (unmark_stack_slots_dynptr). */
export function releaseDynptr(env: Env, liveness: StackLiveness, register: number): void {
  const first = firstSlot(env, register, 'dynptr', SLOTS)
  if (first < 0) env.reject('verifier bug: a released dynptr is not on the stack')
  const frame = objectFrame(env, register)
  const { m } = frame
  const reference = m[slotBase(first) + R.REF]
  if (!isCounted(m[slotBase(first) + R.AUX])) {
    clearSlots(env, liveness, frame, first, SLOTS)
    return
  }
  releaseReference(env, reference)
  for (let slot = 1; slot < frame.slots; slot++) {
    const b = slotBase(slot)
    if (m[b + R.REF] !== reference || frame.types[slot * 8] !== R.DYNPTR_SLOT) continue
    if (m[b + R.AUX2] === 1) clearSlots(env, liveness, frame, slot, SLOTS)
  }
}
