/**
 * Conditions between two scalars, in 64 or 32 bits: whether the outcome is known (is_scalar_branch_taken of Linux 6.18) and
 * what bounds and known bits learn when one holds (regs_refine_cond_op).
 */

import * as R from '../state/registers.ts'
import { isConst, isConst32, unbound } from './bounds.ts'
import { slt, ultu } from './words.ts'

const M32 = 0xffffffffn

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

/** The condition with its operands exchanged. */
export const FLIPPED: Readonly<Record<number, number>> = {
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
/** The condition that holds where this one does not. */
export const REVERSED: Readonly<Record<number, number>> = {
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

/** A scalar of which all 64 (32) bits are known. */
export function constIn(bank: R.Bank, b: number, narrow: boolean): boolean {
  return bank.m[b + R.TYPE] === R.SCALAR && (narrow ? isConst32(bank.m, b) : isConst(bank.m, b))
}

/** umax of the first < umin of the second. */
function belowMin(m: Int32Array, b: number, n: Int32Array, c: number, narrow: boolean): boolean {
  return narrow
    ? m[b + R.U32_MAX] >>> 0 < n[c + R.U32_MIN] >>> 0
    : ultu(m[b + R.UMAX_HIGH], m[b + R.UMAX_LOW], n[c + R.UMIN_HIGH], n[c + R.UMIN_LOW])
}

/** umin of the first < umax of the second. */
function belowMax(m: Int32Array, b: number, n: Int32Array, c: number, narrow: boolean): boolean {
  return narrow
    ? m[b + R.U32_MIN] >>> 0 < n[c + R.U32_MAX] >>> 0
    : ultu(m[b + R.UMIN_HIGH], m[b + R.UMIN_LOW], n[c + R.UMAX_HIGH], n[c + R.UMAX_LOW])
}

/** As {@link belowMin}, signed. */
function signedBelowMin(m: Int32Array, b: number, n: Int32Array, c: number, narrow: boolean): boolean {
  return narrow
    ? m[b + R.S32_MAX] < n[c + R.S32_MIN]
    : slt(m[b + R.SMAX_HIGH], m[b + R.SMAX_LOW], n[c + R.SMIN_HIGH], n[c + R.SMIN_LOW])
}

/** As {@link belowMax}, signed. */
function signedBelowMax(m: Int32Array, b: number, n: Int32Array, c: number, narrow: boolean): boolean {
  return narrow
    ? m[b + R.S32_MIN] < n[c + R.S32_MAX]
    : slt(m[b + R.SMIN_HIGH], m[b + R.SMIN_LOW], n[c + R.SMAX_HIGH], n[c + R.SMAX_LOW])
}

/** Bits that are known of both and differ. */
function bitsDiffer(m: Int32Array, b: number, n: Int32Array, c: number, narrow: boolean): boolean {
  const low = (m[b + R.VALUE_LOW] ^ n[c + R.VALUE_LOW]) & ~(m[b + R.MASK_LOW] | n[c + R.MASK_LOW])
  if (narrow) return low !== 0
  const high = (m[b + R.VALUE_HIGH] ^ n[c + R.VALUE_HIGH]) & ~(m[b + R.MASK_HIGH] | n[c + R.MASK_HIGH])
  return (low | high) !== 0
}

function allKnown(m: Int32Array, b: number, narrow: boolean): boolean {
  return narrow ? m[b + R.MASK_LOW] === 0 : (m[b + R.MASK_LOW] | m[b + R.MASK_HIGH]) === 0
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
  const m = x.m
  const n = y.m
  switch (op) {
    case JEQ:
    case JNE: {
      const equal = op === JEQ ? 1 : 0
      if (bitsDiffer(m, b, n, c, narrow)) return 1 - equal
      if (allKnown(m, b, narrow) && allKnown(n, c, narrow)) return equal
      if (belowMin(n, c, m, b, narrow) || belowMin(m, b, n, c, narrow)) return 1 - equal
      if (signedBelowMin(n, c, m, b, narrow) || signedBelowMin(m, b, n, c, narrow)) return 1 - equal
      if (!narrow && disjoint32(m, b, n, c)) return 1 - equal
      return -1
    }
    case JSET: {
      if (!constIn(y, c, narrow)) return constIn(x, b, narrow) ? bitsTaken(n, c, m, b, narrow) : -1
      return bitsTaken(m, b, n, c, narrow)
    }
    case JGT:
      return belowMin(n, c, m, b, narrow) ? 1 : belowMax(n, c, m, b, narrow) ? -1 : 0
    case JSGT:
      return signedBelowMin(n, c, m, b, narrow) ? 1 : signedBelowMax(n, c, m, b, narrow) ? -1 : 0
    case JLT:
      return belowMin(m, b, n, c, narrow) ? 1 : belowMax(m, b, n, c, narrow) ? -1 : 0
    case JSLT:
      return signedBelowMin(m, b, n, c, narrow) ? 1 : signedBelowMax(m, b, n, c, narrow) ? -1 : 0
    case JGE:
      return !belowMax(m, b, n, c, narrow) ? 1 : belowMin(m, b, n, c, narrow) ? 0 : -1
    case JSGE:
      return !signedBelowMax(m, b, n, c, narrow) ? 1 : signedBelowMin(m, b, n, c, narrow) ? 0 : -1
    case JLE:
      return !belowMax(n, c, m, b, narrow) ? 1 : belowMin(n, c, m, b, narrow) ? 0 : -1
    default:
      return !signedBelowMax(n, c, m, b, narrow) ? 1 : signedBelowMin(n, c, m, b, narrow) ? 0 : -1
  }
}

/** Whether a scalar has one of a constant's bits: 1, 0, or -1 when it is not known. */
function bitsTaken(m: Int32Array, b: number, constant: Int32Array, c: number, narrow: boolean): number {
  const low = constant[c + R.VALUE_LOW]
  const high = narrow ? 0 : constant[c + R.VALUE_HIGH]
  const set = (m[b + R.VALUE_LOW] & ~m[b + R.MASK_LOW] & low) | (m[b + R.VALUE_HIGH] & ~m[b + R.MASK_HIGH] & high)
  if (set !== 0) return 1
  const may = ((m[b + R.VALUE_LOW] | m[b + R.MASK_LOW]) & low) | ((m[b + R.VALUE_HIGH] | m[b + R.MASK_HIGH]) & high)
  return may === 0 ? 0 : -1
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
