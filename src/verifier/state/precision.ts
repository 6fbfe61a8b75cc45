/**
 * Precision: a scalar's exact value matters only where it was used as such. When it is, the path is walked backwards and
 * every register and stack slot that made the value is marked precise in the checkpoints on the way.
 */

import { writeState } from '../log/print.ts'
import { ARGUMENTS, bug, Impossible, registersText, slotsText, stepBack, wanted } from './backtrack.ts'
import type { Env } from './env.ts'
import { PRECISE, SCALAR, TYPE } from './registers.ts'
import {
  FRAME_POINTER,
  type Frame,
  isSpilled,
  type LinkedRegister,
  MAIN_CALLSITE,
  registerBase,
  type State,
  slotBase,
} from './state.ts'

/** Remembers the step to the current instruction, or adds to what is remembered of it (push_jmp_history). */
export function pushHistory(
  env: Env,
  state: State,
  flags: number,
  linked: readonly LinkedRegister[] | undefined,
): void {
  const history = state.history
  if (env.hasHistory) {
    const last = history[history.length - 1]
    history[history.length - 1] = { ...last, flags: last.flags | flags, linked }
    return
  }
  history.push({ index: env.insn, previous: env.previousInsn, flags, linked })
  env.hasHistory = true
}

function forceFrame(env: Env, frame: Frame, index: number): void {
  const m = frame.m
  for (let r = 0; r < FRAME_POINTER; r++) {
    const b = registerBase(r)
    if (m[b + TYPE] !== SCALAR || m[b + PRECISE] !== 0) continue
    m[b + PRECISE] = 1
    if (env.log.states) env.say(`force_precise: frame${index}: forcing r${r} to be precise`)
  }
  for (let slot = 0; slot < frame.slots; slot++) {
    if (!isSpilled(frame, slot)) continue
    const b = slotBase(slot)
    if (m[b + TYPE] !== SCALAR || m[b + PRECISE] !== 0) continue
    m[b + PRECISE] = 1
    if (env.log.states) env.say(`force_precise: frame${index}: forcing fp${-(slot + 1) * 8} to be precise`)
  }
}

/** Every scalar of every checkpoint above is precise: what is done when the way back cannot be followed. */
export function forcePrecision(env: Env, from: State): void {
  if (env.log.states) env.say(`mark_precise: frame${from.current}: falling back to forcing all scalars precise`)
  for (let state = from.parent; state !== undefined; state = state.parent)
    for (let i = 0; i <= state.current; i++) forceFrame(env, state.frames[i], i)
}

/** Forgets precision of a state that becomes a checkpoint: its own future decides. */
export function forgetPrecision(state: State): void {
  for (let i = 0; i <= state.current; i++) {
    const frame = state.frames[i]
    const m = frame.m
    for (let r = 0; r < FRAME_POINTER; r++) if (m[registerBase(r) + TYPE] === SCALAR) m[registerBase(r) + PRECISE] = 0
    for (let slot = 0; slot < frame.slots; slot++)
      if (isSpilled(frame, slot) && m[slotBase(slot) + TYPE] === SCALAR) m[slotBase(slot) + PRECISE] = 0
  }
}

/** A register of the current state must be exact. Only numbers can be: 6.18 takes a pointer here for a fault of its own. */
export function markPrecise(env: Env, register: number): void {
  if (env.frame.m[registerBase(register) + TYPE] !== SCALAR) bug(env, 'backtracking misuse')
  wanted.registers[env.state.current] |= 1 << register
  markWanted(env, env.state)
}

let remaining = 0
function previousInsn(state: State, i: number): number {
  const history = state.history
  if (i === state.firstInsn && (remaining === 0 || (remaining === 1 && history[0].index === i))) return -1
  if (remaining > 0 && history[remaining - 1].index === i) return history[--remaining].previous
  return i - 1
}

/**
 * Walks back from `from` for everything {@link want}ed. Answers whether a checkpoint was changed.
 * The kernel's __mark_chain_precision.
 */
export function markWanted(env: Env, from: State): boolean {
  let state = from
  let first = from.firstInsn
  let last = from.insn
  let after = -1
  let skip = true
  let changed = false
  wanted.frame = from.current
  if (wanted.empty) return false
  try {
    for (;;) {
      remaining = state.history.length
      if (env.log.states)
        env.log.write(`mark_precise: frame${wanted.frame}: last_idx ${last} first_idx ${first} subseq_idx ${after} \n`)
      if (last < 0) return enterFunction(env, state) || changed
      for (let i = last; ; ) {
        if (skip) skip = false
        else {
          const entry = remaining > 0 ? state.history[remaining - 1] : undefined
          stepBack(env, i, after, entry?.index === i ? entry : undefined)
        }
        if (wanted.empty) return changed
        after = i
        const atStart = i === state.firstInsn
        i = previousInsn(state, i)
        if (i === -1 && atStart) break
        if (i < 0 || i >= env.code.length) bug(env, `backtracking idx ${i >>> 0}`)
      }
      const parent = state.parent
      if (parent === undefined) break
      state = parent
      if (markState(env, state)) changed = true
      if (wanted.empty) return changed
      after = first
      last = state.lastInsn
      first = state.firstInsn
    }
    forcePrecision(env, from)
    return changed
  } catch (error) {
    if (!(error instanceof Impossible)) throw error
    forcePrecision(env, from)
    return changed
  } finally {
    wanted.clear()
  }
}

/** The way back reached the start of a global function: its arguments become precise. */
function enterFunction(env: Env, state: State): boolean {
  const frame = state.frames[0]
  const mask = wanted.registers[wanted.frame]
  if (
    state.current !== 0 ||
    frame.subprogram === 0 ||
    frame.callsite !== MAIN_CALLSITE ||
    (wanted.slotsLow[wanted.frame] | wanted.slotsHigh[wanted.frame]) !== 0 ||
    (mask & ~ARGUMENTS) !== 0
  )
    bug(env, `backtracking func entry subprog ${frame.subprogram} reg_mask ${mask.toString(16)} stack_mask 0`)
  let changed = false
  for (let r = 1; r <= 5; r++) {
    const b = registerBase(r)
    if ((mask & (1 << r)) === 0 || frame.m[b + TYPE] !== SCALAR) continue
    frame.m[b + PRECISE] = 1
    changed = true
  }
  return changed
}

/** How the answer begins for programs that this kernel's own verifier does not survive: they must not be loaded. */
export const KERNEL_FAULT =
  "a fault of this kernel's verifier: it follows a pointer to nothing, and the loading thread dies; do not load this program on Linux 6.18"

/** Marks what is wanted in a checkpoint and stops looking for what it marked before. */
function markState(env: Env, state: State): boolean {
  let changed = false
  for (let index = wanted.frame; index >= 0; index--) {
    const frame = state.frames[index]
    // 6.18 reads past its frames here: an oops, which ends the loading thread and leaves its process hanging
    if (frame === undefined) env.unmodelled(KERNEL_FAULT)
    const m = frame.m
    for (let mask = wanted.registers[index]; mask !== 0; mask &= mask - 1) {
      const bit = mask & -mask
      const b = registerBase(31 - Math.clz32(bit))
      if (m[b + TYPE] !== SCALAR || m[b + PRECISE] !== 0) wanted.registers[index] &= ~bit
      else {
        m[b + PRECISE] = 1
        changed = true
      }
    }
    for (let half = 0; half < 2; half++) {
      const slots = half === 0 ? wanted.slotsLow : wanted.slotsHigh
      for (let mask = slots[index]; mask !== 0; mask &= mask - 1) {
        const bit = mask & -mask
        const slot = half * 32 + 31 - Math.clz32(bit)
        if (slot >= frame.slots) bug(env, `stack slot ${slot}, total slots ${frame.slots}`)
        const b = slotBase(slot)
        if (!isSpilled(frame, slot) || m[b + TYPE] !== SCALAR || m[b + PRECISE] !== 0) slots[index] &= ~bit
        else {
          m[b + PRECISE] = 1
          changed = true
        }
      }
    }
    if (env.log.states) {
      env.log.write(
        `mark_precise: frame${index}: parent state regs=${registersText(wanted.registers[index])} stack=${slotsText(
          wanted.slotsLow[index],
          wanted.slotsHigh[index],
        )}: `,
      )
      writeState(env, state, index, true)
    }
  }
  return changed
}
