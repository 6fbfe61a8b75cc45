/**
 * Objects that live on the stack under the verifier's eyes: iterators, dynptrs, flags of interrupt sections. Their slots
 * hold bytes of a type of their own; the register of the object's first slot (the one at the lowest address) says what it is.
 */

import type { StackLiveness } from '../program/stack-liveness.ts'
import { isConst, markNotInit, valueNumber } from '../scalars/bounds.ts'
import type { Env } from '../state/env.ts'
import { FRAME, INVALID, OFF } from '../state/registers.ts'
import { type Frame, registerBase, slotBase } from '../state/state.ts'

/** The slot is below what the frame has used so far. */
export const OUT_OF_RANGE = -34
const EINVAL = -22

/** The frame that a stack pointer points into. */
export function objectFrame(env: Env, register: number): Frame {
  return env.state.frames[env.frame.m[registerBase(register) + FRAME]]
}

/** First slot of an object of `slots` slots, or below zero {@link OUT_OF_RANGE} or another error that the log tells. */
export function firstSlot(env: Env, register: number, kind: string, slots: number): number {
  const m = env.frame.m
  const b = registerBase(register)
  if (!isConst(m, b)) {
    env.say(`${kind} has to be at a constant offset`)
    return EINVAL
  }
  const off = m[b + OFF] + valueNumber(m, b)
  // Divided as C does: the frame pointer itself counts as the first slot.
  const slot = ((-off - 1) / 8) | 0
  if (off % 8 !== 0 || slot + 1 < slots) {
    env.say(`cannot pass in ${kind} at an offset=${off}`)
    return EINVAL
  }
  return slot < objectFrame(env, register).slots ? slot : OUT_OF_RANGE
}

/** All bytes of `slots` slots from the first one down are of a type. */
export function allBytes(frame: Frame, first: number, slots: number, type: number): boolean {
  for (let slot = first; slot > first - slots; slot--)
    for (let j = 0; j < 8; j++) if (frame.types[slot * 8 + j] !== type) return false
  return true
}

export function anyByte(frame: Frame, first: number, slots: number, type: number): boolean {
  for (let slot = first; slot > first - slots; slot--)
    for (let j = 0; j < 8; j++) if (frame.types[slot * 8 + j] === type) return true
  return false
}

/** The object is gone: its slots are as if never written. */
export function clearSlots(env: Env, liveness: StackLiveness, frame: Frame, first: number, slots: number): void {
  for (let slot = first; slot > first - slots; slot--) {
    markNotInit(frame.m, slotBase(slot))
    frame.types.fill(INVALID, slot * 8, slot * 8 + 8)
    if (frame === env.frame) env.scratchSlot(slot)
    liveness.markWrite(frame.index, slot)
  }
}

export function readSlots(env: Env, liveness: StackLiveness, frame: Frame, first: number, slots: number): void {
  for (let slot = first; slot > first - slots; slot--) {
    liveness.markRead(frame.index, env.insn, slot)
    env.scratchSlot(slot)
  }
}
