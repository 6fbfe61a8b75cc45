/**
 * Precision: a scalar's exact value matters only where it was used as such. When it is, the path is walked backwards and
 * every register and stack slot that made the value is marked precise in the checkpoints on the way.
 */

import { TAIL_CALL } from '../kernel/helper-ids.ts'
import { writeState } from '../log/print.ts'
import { CALL, isHelperCall, isPseudoCall } from '../program/program.ts'
import { CALLS_CALLBACK, EFAULT, type Env } from './env.ts'
import { PRECISE, SCALAR, TYPE } from './registers.ts'
import {
  DST_IS_STACK,
  FRAME_POINTER,
  type Frame,
  type HistoryEntry,
  isSpilled,
  type LinkedRegister,
  MAIN_CALLSITE,
  MAX_FRAMES,
  registerBase,
  SRC_IS_STACK,
  STACK_ACCESS,
  type State,
  slotBase,
} from './state.ts'

const ARGUMENTS = 0x3e

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

/** Registers and stack slots, by frame, whose values are looked for. */
class Wanted {
  frame = 0
  readonly registers = new Int32Array(MAX_FRAMES)
  readonly slotsLow = new Int32Array(MAX_FRAMES)
  readonly slotsHigh = new Int32Array(MAX_FRAMES)

  clear(): void {
    this.frame = 0
    this.registers.fill(0)
    this.slotsLow.fill(0)
    this.slotsHigh.fill(0)
  }

  get empty(): boolean {
    for (let i = 0; i <= this.frame; i++)
      if ((this.registers[i] | this.slotsLow[i] | this.slotsHigh[i]) !== 0) return false
    return true
  }

  has(register: number): boolean {
    return (this.registers[this.frame] & (1 << register)) !== 0
  }

  add(register: number): void {
    this.registers[this.frame] |= 1 << register
  }

  drop(register: number): void {
    this.registers[this.frame] &= ~(1 << register)
  }

  hasSlot(frame: number, slot: number): boolean {
    return slot < 32 ? (this.slotsLow[frame] & (1 << slot)) !== 0 : (this.slotsHigh[frame] & (1 << (slot - 32))) !== 0
  }

  addSlot(frame: number, slot: number): void {
    if (slot < 32) this.slotsLow[frame] |= 1 << slot
    else this.slotsHigh[frame] |= 1 << (slot - 32)
  }

  dropSlot(frame: number, slot: number): void {
    if (slot < 32) this.slotsLow[frame] &= ~(1 << slot)
    else this.slotsHigh[frame] &= ~(1 << (slot - 32))
  }

  /** When one of several registers that shared an id is wanted, all are. */
  addLinked(linked: readonly LinkedRegister[] | undefined): void {
    if (linked === undefined) return
    const some = linked.some((e) =>
      e.isRegister ? (this.registers[e.frame] & (1 << e.index)) !== 0 : this.hasSlot(e.frame, e.index),
    )
    if (!some) return
    for (const e of linked) {
      if (e.isRegister) this.registers[e.frame] |= 1 << e.index
      else this.addSlot(e.frame, e.index)
    }
  }
}

const wanted = new Wanted()

/** Wants a register (slot when `isSlot`) of a frame, for {@link markWanted}. */
export function want(frame: number, index: number, isSlot: boolean): void {
  if (isSlot) wanted.addSlot(frame, index)
  else wanted.registers[frame] |= 1 << index
}

function registersText(mask: number): string {
  const names: string[] = []
  for (let i = 0; i < 32; i++) if ((mask & (1 << i)) !== 0) names.push(`r${i}`)
  return names.join(',')
}

export function slotsText(low: number, high: number): string {
  const names: number[] = []
  for (let i = 0; i < 64; i++) if (((i < 32 ? low >>> i : high >>> (i - 32)) & 1) !== 0) names.push(-(i + 1) * 8)
  return names.join(',')
}

class Impossible extends Error {}

function bug(env: Env, text: string): never {
  env.reject(`verifier bug: ${text}`, EFAULT)
}

/** One step backwards (backtrack_insn). Throws {@link Impossible} where the kernel gives up on being exact. */
function stepBack(env: Env, i: number, after: number, entry: HistoryEntry | undefined): void {
  const { code } = env
  const op = code.op[i]
  if (op === 0) return
  if (env.log.states) {
    env.log.write(
      `mark_precise: frame${wanted.frame}: regs=${registersText(wanted.registers[wanted.frame])} stack=${slotsText(
        wanted.slotsLow[wanted.frame],
        wanted.slotsHigh[wanted.frame],
      )} before ${i}: ${env.instructionText(i)}\n`,
    )
  }
  wanted.addLinked(entry?.linked)
  if (step(env, i, after, entry)) wanted.addLinked(entry?.linked)
}

/** False where the kernel returns early, before it looks at linked registers again. */
function step(env: Env, i: number, after: number, entry: HistoryEntry | undefined): boolean {
  const { code } = env
  const op = code.op[i]
  const dst = code.dst[i]
  const src = code.src[i]
  const flags = entry?.flags ?? 0
  const isX = (op & 8) !== 0
  switch (op & 7) {
    case 4:
    case 7: {
      if (!wanted.has(dst)) return false
      const kind = op & 0xf0
      if (kind === 0xd0 || kind === 0x80) return false
      if (kind === 0xb0) wanted.drop(dst)
      if (isX && src !== FRAME_POINTER) wanted.add(src)
      return true
    }
    case 3:
    case 2:
      if (!isAtomicLoad(env, i)) {
        if (wanted.has(dst)) throw new Impossible()
        if ((flags & STACK_ACCESS) === 0) return false
        const slot = (flags >> 3) & 63
        const frame = flags & 7
        if (!wanted.hasSlot(frame, slot)) return false
        wanted.dropSlot(frame, slot)
        if ((op & 7) === 3) wanted.add(src)
        return true
      }
      return stepLoad(dst, flags)
    case 1:
      return stepLoad(dst, flags)
    case 0:
      if (!wanted.has(dst)) return false
      wanted.drop(dst)
      if ((op & 0xe0) === 0x20 || (op & 0xe0) === 0x40) throw new Impossible()
      return true
    default:
      return stepJump(env, i, after, flags)
  }
}

function isAtomicLoad(env: Env, i: number): boolean {
  return (env.code.op[i] & 0xe7) === 0xc3 && env.code.imm[i] === 0x100
}

function stepLoad(dst: number, flags: number): boolean {
  if (!wanted.has(dst)) return false
  wanted.drop(dst)
  if ((flags & STACK_ACCESS) === 0) return false
  wanted.addSlot(flags & 7, (flags >> 3) & 63)
  return true
}

function stepJump(env: Env, i: number, after: number, flags: number): boolean {
  const { code } = env
  const op = code.op[i]
  const mask = wanted.registers[wanted.frame]
  if (isPseudoCall(code, i)) {
    const subprogram = env.subprograms[env.subprogramAt[i + code.imm[i] + 1]]
    if (subprogram.linkage === 'global') {
      if ((mask & ARGUMENTS) !== 0) bug(env, `global subprog unexpected regs ${mask.toString(16)}`)
      wanted.drop(0)
      return false
    }
    if ((mask & ~ARGUMENTS) !== 0) bug(env, `static subprog unexpected regs ${mask.toString(16)}`)
    if ((wanted.slotsLow[wanted.frame] | wanted.slotsHigh[wanted.frame]) !== 0)
      bug(env, 'static subprog leftover stack slots')
    wanted.registers[wanted.frame - 1] |= mask & ARGUMENTS
    wanted.registers[wanted.frame] = 0
    leave(env)
    return false
  }
  if ((env.marks[i] & CALLS_CALLBACK) !== 0 && i !== after - 1) {
    if ((mask & ~ARGUMENTS) !== 0) bug(env, `callback unexpected regs ${mask.toString(16)}`)
    if ((wanted.slotsLow[wanted.frame] | wanted.slotsHigh[wanted.frame]) !== 0)
      bug(env, 'callback leftover stack slots')
    wanted.registers[wanted.frame] &= ~ARGUMENTS
    leave(env)
    return false
  }
  if (op === CALL) {
    wanted.drop(0)
    if ((mask & ARGUMENTS) !== 0) bug(env, `backtracking call unexpected regs ${(mask & ~1).toString(16)}`)
    if (isHelperCall(code, i) && code.imm[i] === TAIL_CALL && after - i !== 1) enter(env)
    return true
  }
  if ((op & 0xf0) === 0x90) {
    if (after >= 0 && (env.marks[after] & CALLS_CALLBACK) !== 0) wanted.registers[wanted.frame] &= ~ARGUMENTS
    const left = wanted.registers[wanted.frame]
    if ((left & ARGUMENTS) !== 0) bug(env, `backtracking exit unexpected regs ${left.toString(16)}`)
    const precise = after - 1 >= 0 && isPseudoCall(code, after - 1) && wanted.has(0)
    wanted.drop(0)
    enter(env)
    if (precise) wanted.add(0)
    return false
  }
  if ((op & 8) !== 0) {
    const dst = code.dst[i]
    const src = code.src[i]
    if (!wanted.has(dst) && !wanted.has(src)) return false
    if ((flags & SRC_IS_STACK) === 0) wanted.add(src)
    if ((flags & DST_IS_STACK) === 0) wanted.add(dst)
  }
  return true
}

function enter(env: Env): void {
  if (wanted.frame === MAX_FRAMES - 1) bug(env, `subprog enter from frame ${wanted.frame}`)
  wanted.frame++
}

function leave(env: Env): void {
  if (wanted.frame === 0) bug(env, 'subprog exit from frame 0')
  wanted.frame--
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

/** A register of the current state must be exact. */
export function markPrecise(env: Env, register: number): void {
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
