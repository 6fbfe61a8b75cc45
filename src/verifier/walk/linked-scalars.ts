/** Scalars that hold the same value, or the same plus a constant: what one learns at a branch all learn (sync_linked_regs). */

import { copyRegister } from '../memory/stack.ts'
import { addBits, addBounds } from '../scalars/alu.ts'
import { markKnown } from '../scalars/bounds.ts'
import { sync, zeroExtend } from '../scalars/sync.ts'
import type { Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { FRAME_POINTER, isSpilled, type LinkedRegister, registerBase, type State, slotBase } from '../state/state.ts'

const LINKED_MAX = 6
const constant = R.createBank(1)

function isLinked(m: Int32Array, b: number, id: number): boolean {
  return m[b + R.TYPE] === R.SCALAR && (m[b + R.ID] & R.ID_MASK) === id
}

function take(m: Int32Array, b: number, entry: LinkedRegister, into: LinkedRegister[]): void {
  if (into.length < LINKED_MAX) {
    into.push(entry)
    return
  }
  if ((m[b + R.ID] & R.ADD_CONST) !== 0) m[b + R.OFF] = 0
  m[b + R.ID] = 0
}

/** Live registers and spilled ones that share a scalar's id; beyond six the others lose theirs. */
export function collectLinked(env: Env, state: State, id: number, into: LinkedRegister[]): void {
  const wanted = id & R.ID_MASK
  for (let frame = state.current; frame >= 0; frame--) {
    const f = state.frames[frame]
    const live = env.liveBefore[frame === state.current ? state.insn : state.frames[frame + 1].callsite]
    for (let r = 0; r < FRAME_POINTER; r++)
      if ((live & (1 << r)) !== 0 && isLinked(f.m, registerBase(r), wanted))
        take(f.m, registerBase(r), { frame, isRegister: true, index: r }, into)
    for (let slot = 0; slot < f.slots; slot++)
      if (isSpilled(f, slot) && isLinked(f.m, slotBase(slot), wanted))
        take(f.m, slotBase(slot), { frame, isRegister: false, index: slot }, into)
  }
}

/** Copies what was learned to everything that holds the same value, or the same plus a constant. */
export function syncLinked(state: State, known: Int32Array, k: number, linked: readonly LinkedRegister[]): void {
  for (const e of linked) {
    const frame = state.frames[e.frame]
    const m = frame.m
    const b = e.isRegister ? registerBase(e.index) : slotBase(e.index)
    if (m[b + R.TYPE] !== R.SCALAR || (m === known && b === k)) continue
    if ((m[b + R.ID] & R.ID_MASK) !== (known[k + R.ID] & R.ID_MASK)) continue
    // One sum in 64 and one in 32 bits say nothing of each other.
    if (((m[b + R.ID] ^ known[k + R.ID]) & R.ADD_CONST) === R.ADD_CONST) continue
    const plain = ((m[b + R.ID] | known[k + R.ID]) & R.ADD_CONST) === 0
    if (plain || m[b + R.OFF] === known[k + R.OFF]) {
      copyRegister(m, b, known, k)
      continue
    }
    const off = m[b + R.OFF]
    const id = m[b + R.ID]
    const delta = off - known[k + R.OFF]
    markKnown(constant.m, 0, delta | 0, Math.floor(delta / 4294967296))
    copyRegister(m, b, known, k)
    m[b + R.OFF] = off
    m[b + R.ID] = id
    addBounds(frame, b, constant, 0)
    addBits(frame, b, constant, 0)
    if (((id | known[k + R.ID]) & R.ADD_CONST32) !== 0) zeroExtend(m, b)
    sync(m, b)
  }
}
