/** Dynptrs as stack slots: their kinds, and what ends one (destroy_if_dynptr_stack_slot of Linux 6.18). */

import type { StackLiveness } from '../program/stack-liveness.ts'
import { markNotInit, markUnknown } from '../scalars/bounds.ts'
import type { Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { eachRegister, type Frame, slotBase } from '../state/state.ts'

const NAMES: ReadonlyMap<number, string> = new Map([
  [R.DYNPTR_LOCAL, 'local'],
  [R.DYNPTR_RINGBUF, 'ringbuf'],
  [R.DYNPTR_SKB, 'skb'],
  [R.DYNPTR_XDP, 'xdp'],
  [R.DYNPTR_SKB_META, 'skb_meta'],
])

/** The kind's name in messages. */
export function dynptrName(kind: number): string {
  return NAMES.get(kind) ?? '<invalid>'
}

/** A kind that is a reference to be given back. */
export function isCounted(kind: number): boolean {
  return kind === R.DYNPTR_RINGBUF
}

/** AUX2 of a slot's register is 1 in the first slot. */
function firstOf(frame: Frame, slot: number): number {
  return frame.m[slotBase(slot) + R.AUX2] === 1 ? slot : slot + 1
}

/** A write over a dynptr ends it, and with it the slices of it (destroy_if_dynptr_stack_slot). */
export function destroyDynptr(env: Env, liveness: StackLiveness, frame: Frame, slot: number): void {
  if (slot < 0 || frame.types[slot * 8] !== R.DYNPTR_SLOT) return
  const first = firstOf(frame, slot)
  const m = frame.m
  const b = slotBase(first)
  if (isCounted(m[b + R.AUX])) env.reject('cannot overwrite referenced dynptr')
  const id = m[b + R.ID]
  for (const at of [first, first - 1]) {
    env.scratchSlot(at)
    frame.types.fill(R.INVALID, at * 8, at * 8 + 8)
  }
  eachRegister(env.state, (n, c) => {
    const type = n[c + R.TYPE]
    if ((type === R.MEM || type === (R.MEM | R.MAYBE_NULL)) && n[c + R.AUX2] === id) markUnknown(n, c)
  })
  markNotInit(m, b)
  markNotInit(m, slotBase(first - 1))
  liveness.markWrite(frame.index, first)
  liveness.markWrite(frame.index, first - 1)
}
