/**
 * What arithmetic does to a scalar's bits and bounds (adjust_scalar_min_max_vals of Linux 6.18). The destination is changed
 * in place; both operands are registers of a {@link Bank}. Constants take a short way with the same result.
 */

import {
  ADD_CONST,
  type Bank,
  createBank,
  ID,
  MASK,
  MASK_LOW,
  OFF,
  S32_MAX,
  S32_MIN,
  SMAX,
  SMIN,
  U32_MAX,
  U32_MIN,
  UMAX,
  UMIN,
  VALUE,
  VALUE_HIGH,
  VALUE_LOW,
  WORDS,
} from '../state/registers.ts'
import { isConst, isConst32, markUnknown, setKnown, unbound32, unbound64 } from './bounds.ts'
import { narrow } from './casts.ts'
import { sync, update32, updateBounds, zeroExtend } from './sync.ts'
import * as tnum from './tnum.ts'

export const ALU_ADD = 0x00
export const ALU_SUB = 0x10
export const ALU_MUL = 0x20
export const ALU_DIV = 0x30
export const ALU_OR = 0x40
export const ALU_AND = 0x50
export const ALU_LSH = 0x60
export const ALU_RSH = 0x70
export const ALU_NEG = 0x80
export const ALU_MOD = 0x90
export const ALU_XOR = 0xa0
export const ALU_MOV = 0xb0
export const ALU_ARSH = 0xc0
export const ALU_END = 0xd0

const S64_MIN = -(1n << 63n)
const S64_MAX = (1n << 63n) - 1n
const U64_MAX = (1n << 64n) - 1n
const INT_MIN = -0x80000000
const INT_MAX = 0x7fffffff
const U32 = 0xffffffffn

const scratch = createBank(1)

function put(d: Bank, b: number): void {
  d.u[b / 2 + VALUE] = tnum.result.value
  d.u[b / 2 + MASK] = tnum.result.mask
}

function add32(m: Int32Array, b: number, n: Int32Array, c: number): void {
  const smin = m[b + S32_MIN] + n[c + S32_MIN]
  const smax = m[b + S32_MAX] + n[c + S32_MAX]
  const over = smin !== (smin | 0) || smax !== (smax | 0)
  m[b + S32_MIN] = over ? INT_MIN : smin
  m[b + S32_MAX] = over ? INT_MAX : smax
  const umin = (m[b + U32_MIN] >>> 0) + (n[c + U32_MIN] >>> 0)
  const umax = (m[b + U32_MAX] >>> 0) + (n[c + U32_MAX] >>> 0)
  const unknown = umin <= 0xffffffff && umax > 0xffffffff
  m[b + U32_MIN] = unknown ? 0 : umin
  m[b + U32_MAX] = unknown ? -1 : umax
}

function sub32(m: Int32Array, b: number, n: Int32Array, c: number): void {
  const smin = m[b + S32_MIN] - n[c + S32_MAX]
  const smax = m[b + S32_MAX] - n[c + S32_MIN]
  const over = smin !== (smin | 0) || smax !== (smax | 0)
  m[b + S32_MIN] = over ? INT_MIN : smin
  m[b + S32_MAX] = over ? INT_MAX : smax
  const umin = (m[b + U32_MIN] >>> 0) - (n[c + U32_MAX] >>> 0)
  const umax = (m[b + U32_MAX] >>> 0) - (n[c + U32_MIN] >>> 0)
  const unknown = umin < 0 && umax >= 0
  m[b + U32_MIN] = unknown ? 0 : umin
  m[b + U32_MAX] = unknown ? -1 : umax
}

function setSigned(d: Bank, i: number, min: bigint, max: bigint, over: boolean): void {
  d.s[i + SMIN] = over ? S64_MIN : min
  d.s[i + SMAX] = over ? S64_MAX : max
}

function setUnsigned(d: Bank, i: number, min: bigint, max: bigint, over: boolean): void {
  d.u[i + UMIN] = over ? 0n : min
  d.u[i + UMAX] = over ? U64_MAX : max
}

function fitsSigned(value: bigint): boolean {
  return value >= S64_MIN && value <= S64_MAX
}

function add64(d: Bank, b: number, a: Bank, c: number): void {
  const i = b / 2
  const j = c / 2
  const smin = d.s[i + SMIN] + a.s[j + SMIN]
  const smax = d.s[i + SMAX] + a.s[j + SMAX]
  setSigned(d, i, smin, smax, !fitsSigned(smin) || !fitsSigned(smax))
  const umin = d.u[i + UMIN] + a.u[j + UMIN]
  const umax = d.u[i + UMAX] + a.u[j + UMAX]
  setUnsigned(d, i, umin, umax, umin <= U64_MAX && umax > U64_MAX)
}

function sub64(d: Bank, b: number, a: Bank, c: number): void {
  const i = b / 2
  const j = c / 2
  const smin = d.s[i + SMIN] - a.s[j + SMAX]
  const smax = d.s[i + SMAX] - a.s[j + SMIN]
  setSigned(d, i, smin, smax, !fitsSigned(smin) || !fitsSigned(smax))
  const umin = d.u[i + UMIN] - a.u[j + UMAX]
  const umax = d.u[i + UMAX] - a.u[j + UMIN]
  setUnsigned(d, i, umin, umax, umin < 0n && umax >= 0n)
}

/** Bounds of a sum without the known bits; {@link sync} is the caller's. */
export function addBounds(d: Bank, b: number, a: Bank, c: number): void {
  add32(d.m, b, a.m, c)
  add64(d, b, a, c)
}

/** Known bits of a sum. */
export function addBits(d: Bank, b: number, a: Bank, c: number): void {
  tnum.add(d.u[b / 2 + VALUE], d.u[b / 2 + MASK], a.u[c / 2 + VALUE], a.u[c / 2 + MASK])
  put(d, b)
}

export function subBits(d: Bank, b: number, a: Bank, c: number): void {
  tnum.sub(d.u[b / 2 + VALUE], d.u[b / 2 + MASK], a.u[c / 2 + VALUE], a.u[c / 2 + MASK])
  put(d, b)
}

function least(values: readonly bigint[]): bigint {
  return values.reduce((a, b) => {
    if (b < a) return b
    return a
  })
}

function greatest(values: readonly bigint[]): bigint {
  return values.reduce((a, b) => {
    if (b > a) return b
    return a
  })
}

function mul(d: Bank, b: number, a: Bank, c: number): void {
  const i = b / 2
  const j = c / 2
  const m = d.m
  const n = a.m
  tnum.mul(d.u[i + VALUE], d.u[i + MASK], a.u[j + VALUE], a.u[j + MASK])
  put(d, b)
  const umax32 = BigInt(m[b + U32_MAX] >>> 0) * BigInt(n[c + U32_MAX] >>> 0)
  const umin32 = BigInt(m[b + U32_MIN] >>> 0) * BigInt(n[c + U32_MIN] >>> 0)
  const over32 = umax32 > U32 || umin32 > U32
  m[b + U32_MIN] = over32 ? 0 : Number(umin32)
  m[b + U32_MAX] = over32 ? -1 : Number(umax32)
  const smin32 = BigInt(m[b + S32_MIN])
  const smax32 = BigInt(m[b + S32_MAX])
  const omin32 = BigInt(n[c + S32_MIN])
  const omax32 = BigInt(n[c + S32_MAX])
  const products32 = [smin32 * omin32, smin32 * omax32, smax32 * omin32, smax32 * omax32]
  const bad32 = products32.some((p) => p < BigInt(INT_MIN) || p > BigInt(INT_MAX))
  m[b + S32_MIN] = bad32 ? INT_MIN : Number(least(products32))
  m[b + S32_MAX] = bad32 ? INT_MAX : Number(greatest(products32))
  const umax = d.u[i + UMAX] * a.u[j + UMAX]
  const umin = d.u[i + UMIN] * a.u[j + UMIN]
  setUnsigned(d, i, umin, umax, umax > U64_MAX || umin > U64_MAX)
  const smin = d.s[i + SMIN]
  const smax = d.s[i + SMAX]
  const omin = a.s[j + SMIN]
  const omax = a.s[j + SMAX]
  const products = [smin * omin, smin * omax, smax * omin, smax * omax]
  setSigned(d, i, least(products), greatest(products), !products.every(fitsSigned))
}

/** Signed 32-bit bounds from the unsigned ones, when those do not cross the sign. */
function signed32FromUnsigned(m: Int32Array, b: number): void {
  const fits = m[b + U32_MIN] <= m[b + U32_MAX]
  m[b + S32_MIN] = fits ? m[b + U32_MIN] : INT_MIN
  m[b + S32_MAX] = fits ? m[b + U32_MAX] : INT_MAX
}

function signed64FromUnsigned(d: Bank, i: number): void {
  const min = BigInt.asIntN(64, d.u[i + UMIN])
  const max = BigInt.asIntN(64, d.u[i + UMAX])
  setSigned(d, i, min, max, min > max)
}

type Bitwise = 'and' | 'or' | 'xor'

/** Known bits of a bitwise operation, word by word (tnum_and, tnum_or, tnum_xor). */
function bitwiseBits(m: Int32Array, b: number, n: Int32Array, c: number, op: Bitwise): void {
  for (let k = 0; k < 2; k++) {
    const av = m[b + VALUE_LOW + k]
    const am = m[b + MASK_LOW + k]
    const bv = n[c + VALUE_LOW + k]
    const bm = n[c + MASK_LOW + k]
    const either = am | bm
    const value = op === 'and' ? av & bv : op === 'or' ? av | bv : (av ^ bv) & ~either
    m[b + VALUE_LOW + k] = value
    m[b + MASK_LOW + k] = op === 'and' ? (av | am) & (bv | bm) & ~value : op === 'or' ? either & ~value : either
  }
}

function bitwise(d: Bank, b: number, a: Bank, c: number, op: Bitwise): void {
  const i = b / 2
  const j = c / 2
  const m = d.m
  const n = a.m
  const bothKnown = isConst(m, b) && isConst(n, c)
  bitwiseBits(m, b, n, c, op)
  const value = m[b + VALUE_LOW]
  const most = value | m[b + MASK_LOW]
  // The kernel asks for the destination's constness after the operation.
  if (isConst32(n, c) && isConst32(m, b)) {
    m[b + S32_MIN] = m[b + S32_MAX] = m[b + U32_MIN] = m[b + U32_MAX] = value
  } else {
    if (op === 'and') {
      m[b + U32_MIN] = value
      if (n[c + U32_MAX] >>> 0 < m[b + U32_MAX] >>> 0) m[b + U32_MAX] = n[c + U32_MAX]
    } else if (op === 'or') {
      if (n[c + U32_MIN] >>> 0 > m[b + U32_MIN] >>> 0) m[b + U32_MIN] = n[c + U32_MIN]
      m[b + U32_MAX] = most
    } else {
      m[b + U32_MIN] = value
      m[b + U32_MAX] = most
    }
    signed32FromUnsigned(m, b)
  }
  if (bothKnown || (isConst(n, c) && isConst(m, b))) {
    setKnown(m, b, m[b + VALUE_LOW], m[b + VALUE_HIGH])
    m[b + ID] = 0
    return
  }
  if (op === 'and') {
    d.u[i + UMIN] = d.u[i + VALUE]
    if (a.u[j + UMAX] < d.u[i + UMAX]) d.u[i + UMAX] = a.u[j + UMAX]
  } else if (op === 'or') {
    if (a.u[j + UMIN] > d.u[i + UMIN]) d.u[i + UMIN] = a.u[j + UMIN]
    d.u[i + UMAX] = d.u[i + VALUE] | d.u[i + MASK]
  } else {
    d.u[i + UMIN] = d.u[i + VALUE]
    d.u[i + UMAX] = d.u[i + VALUE] | d.u[i + MASK]
  }
  signed64FromUnsigned(d, i)
  updateBounds(m, b)
}

function shiftLeft32(m: Int32Array, b: number, by: number): void {
  m[b + S32_MIN] = INT_MIN
  m[b + S32_MAX] = INT_MAX
  if (by > 31 || m[b + U32_MAX] >>> 0 > 2 ** (31 - by)) {
    m[b + U32_MIN] = 0
    m[b + U32_MAX] = -1
  } else {
    m[b + U32_MIN] <<= by
    m[b + U32_MAX] <<= by
  }
}

function shift(d: Bank, b: number, op: number, by: number, alu32: boolean): void {
  const i = b / 2
  const m = d.m
  const wide = BigInt(by)
  const mask = alu32 ? U32 : U64_MAX
  const value = d.u[i + VALUE] & mask
  const unknown = d.u[i + MASK] & mask
  if (op === ALU_LSH) {
    if (!alu32) {
      const s32 = by === 32
      d.s[i + SMAX] = s32 ? BigInt(m[b + S32_MAX]) << 32n : S64_MAX
      d.s[i + SMIN] = s32 ? BigInt(m[b + S32_MIN]) << 32n : S64_MIN
      const lost = d.u[i + UMAX] > 1n << BigInt(63 - by)
      setUnsigned(d, i, d.u[i + UMIN] << wide, d.u[i + UMAX] << wide, lost)
    }
    shiftLeft32(m, b, by)
    tnum.shiftLeft(value, unknown, wide)
    if (alu32) {
      tnum.result.value &= U32
      tnum.result.mask &= U32
    }
    put(d, b)
  } else if (op === ALU_RSH) {
    tnum.shiftRight(value, unknown, wide)
    put(d, b)
    if (alu32) {
      m[b + S32_MIN] = INT_MIN
      m[b + S32_MAX] = INT_MAX
      m[b + U32_MIN] = m[b + U32_MIN] >>> by
      m[b + U32_MAX] = m[b + U32_MAX] >>> by
    } else {
      setSigned(d, i, 0n, 0n, true)
      setUnsigned(d, i, d.u[i + UMIN] >> wide, d.u[i + UMAX] >> wide, false)
      unbound32(m, b)
    }
  } else {
    tnum.shiftRightSigned(value, unknown, wide, alu32 ? 32 : 64)
    put(d, b)
    if (alu32) {
      m[b + S32_MIN] >>= by
      m[b + S32_MAX] >>= by
      m[b + U32_MIN] = 0
      m[b + U32_MAX] = -1
    } else {
      d.s[i + SMIN] >>= wide
      d.s[i + SMAX] >>= wide
      setUnsigned(d, i, 0n, 0n, true)
      unbound32(m, b)
    }
  }
  if (alu32) {
    unbound64(m, b)
    update32(m, b)
  } else updateBounds(m, b)
}

function isSingle(m: Int32Array, b: number, s: BigInt64Array, u: BigUint64Array, alu32: boolean): boolean {
  if (alu32) return isConst32(m, b) && m[b + S32_MIN] === m[b + S32_MAX] && m[b + U32_MIN] === m[b + U32_MAX]
  const i = b / 2
  return isConst(m, b) && s[i + SMIN] === s[i + SMAX] && u[i + UMIN] === u[i + UMAX]
}

function negate(d: Bank, b: number): void {
  scratch.m.set(d.m.subarray(b, b + WORDS))
  d.m[b + ID] = 0
  setKnown(d.m, b, 0, 0)
  sub32(d.m, b, scratch.m, 0)
  sub64(d, b, scratch, 0)
  tnum.sub(0n, 0n, scratch.u[VALUE], scratch.u[MASK])
  put(d, b)
}

function swapBytes(value: bigint, bytes: number): bigint {
  let result = 0n
  for (let i = 0; i < bytes; i++) {
    result = (result << 8n) | (value & 0xffn)
    value >>= 8n
  }
  return result
}

/** Byte order conversions: `swap` reverses the low `bits`, the rest is cut off (scalar_byte_swap). */
export function byteSwap(d: Bank, b: number, swap: boolean, bits: number): void {
  const m = d.m
  const i = b / 2
  if (swap || bits < 64) {
    if ((m[b + ID] & ADD_CONST) !== 0) m[b + OFF] = 0
    m[b + ID] = 0
  }
  if (swap) {
    d.u[i + VALUE] = swapBytes(d.u[i + VALUE], bits / 8)
    d.u[i + MASK] = swapBytes(d.u[i + MASK], bits / 8)
    unbound64(m, b)
    unbound32(m, b)
  }
  if (bits < 64) narrow(m, b, bits / 8)
  sync(m, b)
}

/** 32-bit operation on constants. */
function fold32(op: number, x: number, y: number): number {
  switch (op) {
    case ALU_ADD:
      return (x + y) | 0
    case ALU_SUB:
      return (x - y) | 0
    case ALU_MUL:
      return Math.imul(x, y)
    case ALU_OR:
      return x | y
    case ALU_AND:
      return x & y
    case ALU_XOR:
      return x ^ y
    case ALU_LSH:
      return x << y
    case ALU_RSH:
      return (x >>> y) | 0
    default:
      return x >> y
  }
}

/**
 * `d[b] op= a[c]` for scalars. Division and modulo give unknown values, as do shifts by anything but one
 * known amount below the width.
 */
export function scalarAlu(d: Bank, b: number, a: Bank, c: number, op: number, alu32: boolean): void {
  const m = d.m
  const isShift = op === ALU_LSH || op === ALU_RSH || op === ALU_ARSH
  const bits = alu32 ? 32 : 64
  if (
    op === ALU_DIV ||
    op === ALU_MOD ||
    op === ALU_END ||
    (isShift && !(isSingle(a.m, c, a.s, a.u, alu32) && a.u[c / 2 + UMAX] < BigInt(bits)))
  ) {
    markUnknown(m, b)
    return
  }
  if (a === d && b === c) {
    scratch.m.set(m.subarray(c, c + WORDS))
    a = scratch
    c = 0
  }
  if (op !== ALU_NEG && alu32 && isConst32(m, b) && isConst32(a.m, c)) {
    setKnown(m, b, fold32(op, m[b + VALUE_LOW], a.m[c + VALUE_LOW]), 0)
    return
  }
  switch (op) {
    case ALU_ADD:
      addBounds(d, b, a, c)
      addBits(d, b, a, c)
      break
    case ALU_SUB:
      sub32(m, b, a.m, c)
      sub64(d, b, a, c)
      subBits(d, b, a, c)
      break
    case ALU_MUL:
      mul(d, b, a, c)
      break
    case ALU_NEG:
      negate(d, b)
      break
    case ALU_AND:
      bitwise(d, b, a, c, 'and')
      break
    case ALU_OR:
      bitwise(d, b, a, c, 'or')
      break
    case ALU_XOR:
      bitwise(d, b, a, c, 'xor')
      break
    default:
      shift(d, b, op, Number(a.u[c / 2 + UMIN]), alu32)
  }
  if (alu32) zeroExtend(m, b)
  sync(m, b)
}
