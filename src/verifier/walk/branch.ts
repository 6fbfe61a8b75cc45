/**
 * Conditional jumps: whether the outcome is known, and what each side learns about both operands and everything linked
 * to them (check_cond_jmp_op of Linux 6.18).
 */

import { writeInstructionState } from '../log/print.ts'
import { markNotNull, markPointerOrNull } from '../memory/nullness.ts'
import { copyRegister } from '../memory/stack.ts'
import { isMayGoto } from '../program/program.ts'
import { addBits, addBounds } from '../scalars/alu.ts'
import {
  checkInvariants,
  isConst,
  isConst32,
  isZero,
  markImmediate,
  markKnown,
  sync,
  umaxNumber,
  unbound,
  zeroExtend,
} from '../scalars/bounds.ts'
import * as tnum from '../scalars/tnum.ts'
import { findPrevious } from '../state/checkpoints.ts'
import { EFAULT, type Env } from '../state/env.ts'
import { widen } from '../state/equivalence.ts'
import { registerForRead } from '../state/operands.ts'
import { markPrecise, pushHistory } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import {
  DST_IS_STACK,
  eachRegister,
  FRAME_POINTER,
  isSpilled,
  type LinkedRegister,
  registerBase,
  SRC_IS_STACK,
  type State,
  slotBase,
} from '../state/state.ts'
import { isTrusted } from '../state/trust.ts'

export const JEQ = 0x10
export const JGT = 0x20
export const JGE = 0x30
export const JSET = 0x40
export const JNE = 0x50
export const JSGT = 0x60
export const JSGE = 0x70
export const JLT = 0xa0
export const JLE = 0xb0
export const JSLT = 0xc0
export const JSLE = 0xd0
/** The reverse of JSET, which has no opcode. */
const NOT_SET = JSET | 8

const FLIPPED: Readonly<Record<number, number>> = {
  [JEQ]: JEQ,
  [JNE]: JNE,
  [JSET]: JSET,
  [JGE]: JLE,
  [JGT]: JLT,
  [JLE]: JGE,
  [JLT]: JGT,
  [JSGE]: JSLE,
  [JSGT]: JSLT,
  [JSLE]: JSGE,
  [JSLT]: JSGT,
}
const REVERSED: Readonly<Record<number, number>> = {
  [JEQ]: JNE,
  [JNE]: JEQ,
  [JSET]: NOT_SET,
  [JGE]: JLT,
  [JGT]: JLE,
  [JLE]: JGT,
  [JLT]: JGE,
  [JSGE]: JSLT,
  [JSGT]: JSLE,
  [JSLE]: JSGT,
  [JSLT]: JSGE,
}

const M32 = 0xffffffffn
const MAX_PACKET_OFFSET = 0xffff
const LINKED_MAX = 6

const first = R.createBank(1)
const second = R.createBank(1)
const constant = R.createBank(1)

function constIn(bank: R.Bank, b: number, narrow: boolean): boolean {
  return bank.m[b + R.TYPE] === R.SCALAR && (narrow ? isConst32(bank.m, b) : isConst(bank.m, b))
}

interface Ranges {
  value: bigint
  mask: bigint
  umin: bigint
  umax: bigint
  smin: bigint
  smax: bigint
}

function ranges(bank: R.Bank, b: number, narrow: boolean): Ranges {
  const i = b / 2
  const { m, s, u } = bank
  if (!narrow)
    return {
      value: u[i + R.VALUE],
      mask: u[i + R.MASK],
      umin: u[i + R.UMIN],
      umax: u[i + R.UMAX],
      smin: s[i + R.SMIN],
      smax: s[i + R.SMAX],
    }
  return {
    value: u[i + R.VALUE] & M32,
    mask: u[i + R.MASK] & M32,
    umin: BigInt(m[b + R.U32_MIN] >>> 0),
    umax: BigInt(m[b + R.U32_MAX] >>> 0),
    smin: BigInt(m[b + R.S32_MIN]),
    smax: BigInt(m[b + R.S32_MAX]),
  }
}

function disjoint32(m: Int32Array, b: number, n: Int32Array, c: number): boolean {
  return (
    m[b + R.U32_MIN] >>> 0 > n[c + R.U32_MAX] >>> 0 ||
    m[b + R.U32_MAX] >>> 0 < n[c + R.U32_MIN] >>> 0 ||
    m[b + R.S32_MIN] > n[c + R.S32_MAX] ||
    m[b + R.S32_MAX] < n[c + R.S32_MIN]
  )
}

/** 1: taken, 0: not taken, -1: either. */
export function scalarTaken(x: R.Bank, b: number, y: R.Bank, c: number, op: number, narrow: boolean): number {
  const a = ranges(x, b, narrow)
  const z = ranges(y, c, narrow)
  switch (op) {
    case JEQ:
    case JNE: {
      const equal = op === JEQ ? 1 : 0
      if (a.mask === 0n && z.mask === 0n) return a.value === z.value ? equal : 1 - equal
      if (!tnum.overlap(a.value, a.mask, z.value, z.mask)) return 1 - equal
      if (a.umin > z.umax || a.umax < z.umin || a.smin > z.smax || a.smax < z.smin) return 1 - equal
      if (!narrow && disjoint32(x.m, b, y.m, c)) return 1 - equal
      return -1
    }
    case JSET: {
      const swap = !constIn(y, c, narrow)
      if (swap && !constIn(x, b, narrow)) return -1
      const p = swap ? z : a
      const q = swap ? a : z
      if ((~p.mask & p.value & q.value) !== 0n) return 1
      return ((p.mask | p.value) & q.value) === 0n ? 0 : -1
    }
    case JGT:
      return a.umin > z.umax ? 1 : a.umax <= z.umin ? 0 : -1
    case JSGT:
      return a.smin > z.smax ? 1 : a.smax <= z.smin ? 0 : -1
    case JLT:
      return a.umax < z.umin ? 1 : a.umin >= z.umax ? 0 : -1
    case JSLT:
      return a.smax < z.smin ? 1 : a.smin >= z.smax ? 0 : -1
    case JGE:
      return a.umin >= z.umax ? 1 : a.umax < z.umin ? 0 : -1
    case JSGE:
      return a.smin >= z.smax ? 1 : a.smax < z.smin ? 0 : -1
    case JLE:
      return a.umax <= z.umin ? 1 : a.umin > z.umax ? 0 : -1
    default:
      return a.smax <= z.smin ? 1 : a.smin > z.smax ? 0 : -1
  }
}

const NEVER_NULL: ReadonlySet<number> = new Set([
  R.SOCKET,
  R.TCP_SOCK,
  R.MAP_VALUE,
  R.MAP_KEY,
  R.SOCK_COMMON,
  R.MEM,
  R.MAP_PTR,
])

function notNull(m: Int32Array, b: number): boolean {
  const type = m[b + R.TYPE]
  if ((type & R.MAYBE_NULL) !== 0) return false
  const base = type & R.BASE_MASK
  if (base === R.BTF_ID) return isTrusted(type, m[b + R.REF] !== 0)
  if (base === R.MEM) return (type & R.UNTRUSTED) === 0
  return NEVER_NULL.has(base)
}

function packetTaken(m: Int32Array, b: number, c: number, op: number): number {
  let packet: number
  if (m[c + R.TYPE] === R.PACKET_END) packet = b
  else if (m[b + R.TYPE] === R.PACKET_END) {
    packet = c
    op = FLIPPED[op]
  } else return -1
  const range = m[packet + R.AUX]
  if (range >= 0) return -1
  if (op === JLE || op === JGT) return range === R.BEYOND_PKT_END ? (op === JGT ? 1 : 0) : -1
  if (op === JLT || op === JGE) return op === JGE ? 1 : 0
  return -1
}

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

function intersectBits(x: R.Bank, b: number, y: R.Bank, c: number, narrow: boolean): void {
  const ml = x.m[b + R.MASK_LOW] & y.m[c + R.MASK_LOW]
  const vl = (x.m[b + R.VALUE_LOW] | y.m[c + R.VALUE_LOW]) & ~ml
  x.m[b + R.MASK_LOW] = y.m[c + R.MASK_LOW] = ml
  x.m[b + R.VALUE_LOW] = y.m[c + R.VALUE_LOW] = vl
  if (narrow) return
  const mh = x.m[b + R.MASK_HIGH] & y.m[c + R.MASK_HIGH]
  const vh = (x.m[b + R.VALUE_HIGH] | y.m[c + R.VALUE_HIGH]) & ~mh
  x.m[b + R.MASK_HIGH] = y.m[c + R.MASK_HIGH] = mh
  x.m[b + R.VALUE_HIGH] = y.m[c + R.VALUE_HIGH] = vh
}

function maxBig(a: bigint, b: bigint): bigint {
  return a > b ? a : b
}

function minBig(a: bigint, b: bigint): bigint {
  return a < b ? a : b
}

function refineEqual(x: R.Bank, b: number, y: R.Bank, c: number, narrow: boolean): void {
  const m = x.m
  const n = y.m
  if (narrow) {
    m[b + R.U32_MIN] = n[c + R.U32_MIN] = Math.max(m[b + R.U32_MIN] >>> 0, n[c + R.U32_MIN] >>> 0)
    m[b + R.U32_MAX] = n[c + R.U32_MAX] = Math.min(m[b + R.U32_MAX] >>> 0, n[c + R.U32_MAX] >>> 0)
    m[b + R.S32_MIN] = n[c + R.S32_MIN] = Math.max(m[b + R.S32_MIN], n[c + R.S32_MIN])
    m[b + R.S32_MAX] = n[c + R.S32_MAX] = Math.min(m[b + R.S32_MAX], n[c + R.S32_MAX])
  } else {
    const i = b / 2
    const j = c / 2
    x.u[i + R.UMIN] = y.u[j + R.UMIN] = maxBig(x.u[i + R.UMIN], y.u[j + R.UMIN])
    x.u[i + R.UMAX] = y.u[j + R.UMAX] = minBig(x.u[i + R.UMAX], y.u[j + R.UMAX])
    x.s[i + R.SMIN] = y.s[j + R.SMIN] = maxBig(x.s[i + R.SMIN], y.s[j + R.SMIN])
    x.s[i + R.SMAX] = y.s[j + R.SMAX] = minBig(x.s[i + R.SMAX], y.s[j + R.SMAX])
  }
  intersectBits(x, b, y, c, narrow)
}

/** x is not the constant y: a bound that equals it moves by one. */
function refineUnequal(x: R.Bank, b: number, y: R.Bank, c: number, narrow: boolean): void {
  const m = x.m
  if (narrow) {
    const value = y.m[c + R.VALUE_LOW]
    if (m[b + R.U32_MIN] === value) m[b + R.U32_MIN]++
    if (m[b + R.U32_MAX] === value) m[b + R.U32_MAX]--
    if (m[b + R.S32_MIN] === value) m[b + R.S32_MIN]++
    if (m[b + R.S32_MAX] === value) m[b + R.S32_MAX]--
    return
  }
  const i = b / 2
  const value = y.u[c / 2 + R.VALUE]
  const signed = BigInt.asIntN(64, value)
  if (x.u[i + R.UMIN] === value) x.u[i + R.UMIN]++
  if (x.u[i + R.UMAX] === value) x.u[i + R.UMAX]--
  if (x.s[i + R.SMIN] === signed) x.s[i + R.SMIN]++
  if (x.s[i + R.SMAX] === signed) x.s[i + R.SMAX]--
}

/** Bits of the constant y are set in x (one must be), or none is. */
function refineSet(x: R.Bank, b: number, y: R.Bank, c: number, op: number, narrow: boolean): void {
  const i = b / 2
  const value = narrow ? y.u[c / 2 + R.VALUE] & M32 : y.u[c / 2 + R.VALUE]
  if (op === JSET) {
    if (value === 0n || (value & (value - 1n)) !== 0n) return
    x.u[i + R.VALUE] |= value
    x.u[i + R.MASK] &= ~value
    return
  }
  unbound(x.m, b)
  x.u[i + R.VALUE] &= ~value
  x.u[i + R.MASK] &= ~value
}

function refineLess(x: R.Bank, b: number, y: R.Bank, c: number, narrow: boolean, signed: boolean, step: number): void {
  const m = x.m
  const n = y.m
  if (narrow) {
    if (signed) {
      m[b + R.S32_MAX] = Math.min(m[b + R.S32_MAX], (n[c + R.S32_MAX] - step) | 0)
      n[c + R.S32_MIN] = Math.max((m[b + R.S32_MIN] + step) | 0, n[c + R.S32_MIN])
    } else {
      m[b + R.U32_MAX] = Math.min(m[b + R.U32_MAX] >>> 0, (n[c + R.U32_MAX] - step) >>> 0)
      n[c + R.U32_MIN] = Math.max((m[b + R.U32_MIN] + step) >>> 0, n[c + R.U32_MIN] >>> 0)
    }
    return
  }
  const i = b / 2
  const j = c / 2
  const one = BigInt(step)
  if (signed) {
    x.s[i + R.SMAX] = minBig(x.s[i + R.SMAX], BigInt.asIntN(64, y.s[j + R.SMAX] - one))
    y.s[j + R.SMIN] = maxBig(BigInt.asIntN(64, x.s[i + R.SMIN] + one), y.s[j + R.SMIN])
  } else {
    x.u[i + R.UMAX] = minBig(x.u[i + R.UMAX], BigInt.asUintN(64, y.u[j + R.UMAX] - one))
    y.u[j + R.UMIN] = maxBig(BigInt.asUintN(64, x.u[i + R.UMIN] + one), y.u[j + R.UMIN])
  }
}

/** `x op y` is true (regs_refine_cond_op); {@link sync} both afterwards. */
export function refine(x: R.Bank, b: number, y: R.Bank, c: number, op: number, narrow: boolean): void {
  if (op === JGE || op === JGT || op === JSGE || op === JSGT) {
    refine(y, c, x, b, FLIPPED[op], narrow)
    return
  }
  switch (op) {
    case JEQ:
      refineEqual(x, b, y, c, narrow)
      return
    case JNE:
    case JSET:
    case NOT_SET: {
      const swap = !constIn(y, c, narrow)
      if (swap && !constIn(x, b, narrow)) return
      const p = swap ? y : x
      const pb = swap ? c : b
      const q = swap ? x : y
      const qb = swap ? b : c
      if (op === JNE) refineUnequal(p, pb, q, qb, narrow)
      else refineSet(p, pb, q, qb, op, narrow)
      return
    }
    case JLE:
    case JLT:
      refineLess(x, b, y, c, narrow, false, op === JLT ? 1 : 0)
      return
    default:
      refineLess(x, b, y, c, narrow, true, op === JSLT ? 1 : 0)
      return
  }
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

/** Live registers and spilled ones that share a scalar's id; beyond six the others lose theirs. */
function collectLinked(env: Env, state: State, id: number, into: LinkedRegister[]): void {
  const wanted = id & R.ID_MASK
  const take = (m: Int32Array, b: number, entry: LinkedRegister) => {
    if (m[b + R.TYPE] !== R.SCALAR || (m[b + R.ID] & R.ID_MASK) !== wanted) return
    if (into.length < LINKED_MAX) into.push(entry)
    else {
      if ((m[b + R.ID] & R.ADD_CONST) !== 0) m[b + R.OFF] = 0
      m[b + R.ID] = 0
    }
  }
  for (let frame = state.current; frame >= 0; frame--) {
    const f = state.frames[frame]
    const live = env.liveBefore[frame === state.current ? state.insn : state.frames[frame + 1].callsite]
    for (let r = 0; r < FRAME_POINTER; r++)
      if ((live & (1 << r)) !== 0) take(f.m, registerBase(r), { frame, isRegister: true, index: r })
    for (let slot = 0; slot < f.slots; slot++)
      if (isSpilled(f, slot)) take(f.m, slotBase(slot), { frame, isRegister: false, index: slot })
  }
}

/** Copies what was learned to everything that holds the same value, or the same plus a constant. */
function syncLinked(state: State, known: Int32Array, k: number, linked: readonly LinkedRegister[]): void {
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

/** A comparison with the packet's end proves a range for all pointers of the same base. */
function goodPackets(state: State, m: Int32Array, b: number, open: boolean): void {
  const off = m[b + R.OFF]
  const type = m[b + R.TYPE]
  const id = m[b + R.ID]
  if (off < 0 || (off === 0 && open)) return
  const umax = umaxNumber(m, b)
  if (umax > MAX_PACKET_OFFSET || umax + off > MAX_PACKET_OFFSET) return
  const range = open ? off + 1 : off
  eachRegister(state, (n, c) => {
    if (n[c + R.TYPE] === type && n[c + R.ID] === id) n[c + R.AUX] = Math.max(n[c + R.AUX], range)
  })
}

function markPacketEnd(state: State, register: number, open: boolean): void {
  const m = state.frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] === R.PACKET) m[b + R.AUX] = open ? R.BEYOND_PKT_END : R.AT_PKT_END
}

function isInitialPacket(m: Int32Array, b: number): boolean {
  return m[b + R.TYPE] === R.PACKET && m[b + R.ID] === 0 && m[b + R.OFF] === 0 && isZero(m, b)
}

/** True when the comparison was one of packet pointers. */
function matchPackets(op: number, dst: number, src: number, m: Int32Array, here: State, other: State): boolean {
  if (op !== JGT && op !== JLT && op !== JGE && op !== JLE) return false
  const b = registerBase(dst)
  const c = registerBase(src)
  const left = m[b + R.TYPE]
  const right = m[c + R.TYPE]
  const greater = op === JGT || op === JGE
  if ((left === R.PACKET && right === R.PACKET_END) || (left === R.PACKET_META && isInitialPacket(m, c))) {
    // dst > end and dst >= end fall through to the good side; the open end belongs to the strict side.
    const good = greater ? here : other
    const bad = greater ? other : here
    goodPackets(good, m, b, op === JGE || op === JLT)
    markPacketEnd(bad, dst, op === JGT || op === JLE)
    return true
  }
  if ((left === R.PACKET_END && right === R.PACKET) || (isInitialPacket(m, b) && right === R.PACKET_META)) {
    const good = greater ? other : here
    const bad = greater ? here : other
    goodPackets(good, m, c, op === JGT || op === JLE)
    markPacketEnd(bad, src, op === JLT || op === JGE)
    return true
  }
  return false
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

/** What pointers learn: two pointers compared, a pointer against zero, packet pointers. */
function nullSides(env: Env, op: number, isX: boolean, narrow: boolean, dst: number, src: number, other: State): void {
  const m = env.frame.m
  const b = registerBase(dst)
  const c = registerBase(src)
  const left = m[b + R.TYPE]
  const right = m[c + R.TYPE]
  if (
    isX &&
    !narrow &&
    left !== R.SCALAR &&
    right !== R.SCALAR &&
    (left & R.MAYBE_NULL) !== (right & R.MAYBE_NULL) &&
    (left & R.BASE_MASK) !== R.BTF_ID &&
    (right & R.BASE_MASK) !== R.BTF_ID &&
    (op === JEQ || op === JNE)
  ) {
    const equal = op === JEQ ? other.frame.m : m
    markNotNull(env, equal, (right & R.MAYBE_NULL) !== 0 ? c : b)
  }
  const againstNull =
    !narrow && !isX && env.code.imm[env.insn] === 0 && (op === JEQ || op === JNE) && (left & R.MAYBE_NULL) !== 0
  if (againstNull) {
    markPointerOrNull(env, env.state, dst, op === JNE)
    markPointerOrNull(env, other, dst, op === JEQ)
  } else if (isX && !narrow) matchPackets(op, dst, src, m, env.state, other)
}
