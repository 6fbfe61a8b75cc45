/**
 * One step of the way back: which registers and stack slots made the values that are wanted, instruction by instruction
 * (backtrack_insn of Linux 6.18).
 */

import { TAIL_CALL } from '../kernel/helper-ids.ts'
import { CALL, isHelperCall, isPseudoCall } from '../program/program.ts'
import { CALLS_CALLBACK, EFAULT, type Env } from './env.ts'
import {
  DST_IS_STACK,
  FRAME_POINTER,
  type HistoryEntry,
  type LinkedRegister,
  MAX_FRAMES,
  SRC_IS_STACK,
  STACK_ACCESS,
} from './state.ts'

/** Registers 1 to 5. */
export const ARGUMENTS = 0x3e

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
    let some = false
    for (const e of linked)
      if (e.isRegister ? (this.registers[e.frame] & (1 << e.index)) !== 0 : this.hasSlot(e.frame, e.index)) some = true
    if (!some) return
    for (const e of linked) {
      if (e.isRegister) this.registers[e.frame] |= 1 << e.index
      else this.addSlot(e.frame, e.index)
    }
  }
}

/** What the way back looks for now: there is one at a time. */
export const wanted = new Wanted()

/** Wants a register (slot when `isSlot`) of a frame, for {@link markWanted}. */
export function want(frame: number, index: number, isSlot: boolean): void {
  if (isSlot) wanted.addSlot(frame, index)
  else wanted.registers[frame] |= 1 << index
}

export function registersText(mask: number): string {
  const names: string[] = []
  for (let i = 0; i < 32; i++) if ((mask & (1 << i)) !== 0) names.push(`r${i}`)
  return names.join(',')
}

export function slotsText(low: number, high: number): string {
  const names: number[] = []
  for (let i = 0; i < 64; i++) if (((i < 32 ? low >>> i : high >>> (i - 32)) & 1) !== 0) names.push(-(i + 1) * 8)
  return names.join(',')
}

/** The kernel gives up on being exact here. */
export class Impossible extends Error {}

export function bug(env: Env, text: string): never {
  env.reject(`verifier bug: ${text}`, EFAULT)
}

/** One step backwards (backtrack_insn). Throws {@link Impossible} where the kernel gives up on being exact. */
export function stepBack(env: Env, i: number, after: number, entry: HistoryEntry | undefined): void {
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
