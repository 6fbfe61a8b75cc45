/**
 * Conditional jumps: whether the outcome is known, and what each side learns about both operands
 * (check_cond_jmp_op of Linux 6.18).
 */

import { writeInstructionState } from '../log/print.ts'
import { copyRegister } from '../memory/stack.ts'
import { isMayGoto } from '../program/program.ts'
import { isZero, markImmediate } from '../scalars/bounds.ts'
import { constIn, FLIPPED, JEQ, JNE, REVERSED, refine, scalarTaken } from '../scalars/conditions.ts'
import { checkInvariants, sync } from '../scalars/sync.ts'
import { findPrevious } from '../state/checkpoints.ts'
import { EFAULT, type Env } from '../state/env.ts'
import { widen } from '../state/equivalence.ts'
import { registerForRead } from '../state/operands.ts'
import { markPrecise, pushHistory } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { DST_IS_STACK, type LinkedRegister, registerBase, SRC_IS_STACK } from '../state/state.ts'
import { collectLinked, syncLinked } from './linked-scalars.ts'
import { notNull, nullSides, packetTaken } from './pointer-conditions.ts'

const first = R.createBank(1)
const second = R.createBank(1)

/** 1: taken, 0: not taken, -1: either (is_branch_taken). */
function taken(x: R.Bank, b: number, y: R.Bank, c: number, op: number, narrow: boolean): number {
  const left = x.m[b + R.TYPE]
  const right = y.m[c + R.TYPE]
  if (!narrow && R.isPacketOrEnd(left) && R.isPacketOrEnd(right)) return packetTaken(x.m, b, c, op)
  if (left !== R.SCALAR || right !== R.SCALAR) {
    let pointer = x
    let p = b
    let scalar = y
    let q = c
    if (!constIn(y, c, narrow)) {
      op = FLIPPED[op]
      pointer = y
      p = c
      scalar = x
      q = b
    }
    if (!constIn(scalar, q, narrow) || !notNull(pointer.m, p)) return -1
    const zero = narrow ? scalar.m[q + R.VALUE_LOW] === 0 : isZero(scalar.m, q)
    if (!zero) return -1
    return op === JEQ ? 0 : op === JNE ? 1 : -1
  }
  return scalarTaken(x, b, y, c, op, narrow)
}

/** Both sides of a branch on scalars learn (reg_set_min_max). */
function learn(
  env: Env,
  taken: readonly [R.Bank, number, R.Bank, number],
  notTaken: readonly [R.Bank, number, R.Bank, number],
  op: number,
  narrow: boolean,
): void {
  const [x, b, y, c] = notTaken
  if (x.m[b + R.TYPE] !== R.SCALAR || y.m[c + R.TYPE] !== R.SCALAR) return
  refine(x, b, y, c, REVERSED[op], narrow)
  sync(x.m, b)
  sync(y.m, c)
  const [p, pb, q, qb] = taken
  refine(p, pb, q, qb, op, narrow)
  sync(p.m, pb)
  sync(q.m, qb)
  const good =
    checkInvariants(p.m, pb) && checkInvariants(q.m, qb) && checkInvariants(x.m, b) && checkInvariants(y.m, c)
  if (!good) {
    checkInvariants(q.m, qb)
    checkInvariants(x.m, b)
    checkInvariants(y.m, c)
    if ((env.image.flags & (1 << 7)) !== 0)
      env.reject('verifier bug: REG INVARIANTS VIOLATION (true_reg1): range bounds violation', EFAULT)
  }
}

function checkMayGoto(env: Env, i: number): void {
  const { code } = env
  if (!isMayGoto(code, i) || code.dst[i] !== 0 || code.imm[i] !== 0) env.reject(`invalid may_goto imm ${code.imm[i]}`)
  if (code.off[i] !== 0) env.mayGotos.add(i)
  const parent = env.state.parent
  const previous = parent === undefined ? undefined : findPrevious(env, parent, i)
  const queued = env.pushBranch(i + 1, i)
  queued.mayGotoDepth++
  if (previous !== undefined) widen(env, previous, queued)
  env.insn = i + code.off[i]
}

function finish(env: Env): void {
  if (env.log.verbose) writeInstructionState(env)
}

/** Simulates one conditional jump; `env.insn` is left one before the next instruction. */
export function checkBranch(env: Env, i: number): void {
  const { code } = env
  const opcode = code.op[i]
  const op = opcode & 0xf0
  if (op > 0xe0) env.reject(`invalid BPF_JMP/JMP32 opcode ${op.toString(16)}`)
  if (op === 0xe0) {
    checkMayGoto(env, i)
    return
  }
  const dst = code.dst[i]
  const src = code.src[i]
  const isX = (opcode & 8) !== 0
  const narrow = (opcode & 7) === 6
  registerForRead(env, dst)
  const state = env.state
  const frame = env.frame
  const m = frame.m
  const b = registerBase(dst)
  let y: R.Bank = frame
  let c = registerBase(src)
  let flags = 0
  if (isX) {
    if (code.imm[i] !== 0) env.reject('BPF_JMP/JMP32 uses reserved fields')
    registerForRead(env, src)
    if (m[c + R.TYPE] === R.STACK) flags |= SRC_IS_STACK
  } else {
    if (src !== 0) env.reject('BPF_JMP/JMP32 uses reserved fields')
    markImmediate(first.m, 0, code.imm[i])
    y = first
    c = 0
  }
  if (m[b + R.TYPE] === R.STACK) flags |= DST_IS_STACK
  if (flags !== 0) pushHistory(env, state, flags, undefined)
  const known = taken(frame, b, y, c, op, narrow)
  if (known >= 0) {
    if (m[b + R.TYPE] === R.SCALAR) markPrecise(env, dst)
    if (isX && m[c + R.TYPE] === R.SCALAR) markPrecise(env, src)
    finish(env)
    if (known === 1) env.insn = i + code.off[i]
    return
  }
  const linked: LinkedRegister[] = []
  if (isX && m[c + R.TYPE] === R.SCALAR && m[c + R.ID] !== 0) collectLinked(env, state, m[c + R.ID], linked)
  if (m[b + R.TYPE] === R.SCALAR && m[b + R.ID] !== 0) collectLinked(env, state, m[b + R.ID], linked)
  if (linked.length > 1) pushHistory(env, state, 0, linked)
  const other = env.pushBranch(i + code.off[i] + 1, i)
  const there = other.frame
  if (isX) learn(env, [there, b, there, c], [frame, b, frame, c], op, narrow)
  else {
    copyRegister(second.m, 0, first.m, 0)
    learn(env, [there, b, first, 0], [frame, b, second, 0], op, narrow)
  }
  if (isX && m[c + R.TYPE] === R.SCALAR && m[c + R.ID] !== 0) {
    syncLinked(state, m, c, linked)
    syncLinked(other, there.m, c, linked)
  }
  if (m[b + R.TYPE] === R.SCALAR && m[b + R.ID] !== 0) {
    syncLinked(state, m, b, linked)
    syncLinked(other, there.m, b, linked)
  }
  nullSides(env, op, isX, narrow, dst, src, other)
  finish(env)
}
