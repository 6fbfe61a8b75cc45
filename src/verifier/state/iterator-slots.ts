/** What an iterator's first stack slot remembers: its state and how often it was moved on. */

import { valueNumber } from '../scalars/bounds.ts'
import * as R from './registers.ts'
import { registerBase, type State, slotBase } from './state.ts'

/** Words of the first slot's register: the state, and the depth, which no comparison looks at. */
export const ITER_STATE = R.FRAME
export const ITER_DEPTH = R.PRECISE
export const ACTIVE = 1
export const DRAINED = 2

/** The iterator of a `next` call (its first argument) still gives elements; asked where a state was seen before. */
export function isActiveAt(state: State): boolean {
  const m = state.frame.m
  const b = registerBase(1)
  const slot = ((-(m[b + R.OFF] + valueNumber(m, b)) - 1) / 8) | 0
  return state.frames[m[b + R.FRAME]].m[slotBase(slot) + ITER_STATE] === ACTIVE
}

/** Active iterators of two states were moved on differently often. */
export function depthsDiffer(old: State, current: State): boolean {
  for (let i = 0; i <= old.current; i++) {
    const frame = old.frames[i]
    const other = current.frames[i]
    for (let slot = 0; slot < frame.slots; slot++) {
      if (frame.types[slot * 8] !== R.ITER_SLOT) continue
      const b = slotBase(slot)
      if (frame.m[b + ITER_STATE] === ACTIVE && frame.m[b + ITER_DEPTH] !== other.m[b + ITER_DEPTH]) return true
    }
  }
  return false
}
