/**
 * What is known of a 64-bit value: known bits and four ranges, set and asked. Values are pairs of 32-bit words here, because
 * this is the hottest code of the model.
 */

import {
  AUX,
  AUX2,
  FRAME,
  ID,
  MASK_HIGH,
  MASK_LOW,
  NOT_INIT,
  OFF,
  PRECISE,
  REF,
  S32_MAX,
  S32_MIN,
  SCALAR,
  SMAX_HIGH,
  SMAX_LOW,
  SMIN_HIGH,
  SMIN_LOW,
  TYPE,
  U32_MAX,
  U32_MIN,
  UMAX_HIGH,
  UMAX_LOW,
  UMIN_HIGH,
  UMIN_LOW,
  VALUE_HIGH,
  VALUE_LOW,
} from '../state/registers.ts'
import { INT_MAX, INT_MIN, slt, ultu } from './words.ts'

/** The value is exactly this; keeps type, ids and precision (the kernel's ___mark_reg_known). */
export function setKnown(m: Int32Array, b: number, low: number, high: number): void {
  m[b + VALUE_LOW] = low
  m[b + VALUE_HIGH] = high
  m[b + MASK_LOW] = 0
  m[b + MASK_HIGH] = 0
  m[b + SMIN_LOW] = low
  m[b + SMIN_HIGH] = high
  m[b + SMAX_LOW] = low
  m[b + SMAX_HIGH] = high
  m[b + UMIN_LOW] = low
  m[b + UMIN_HIGH] = high
  m[b + UMAX_LOW] = low
  m[b + UMAX_HIGH] = high
  m[b + S32_MIN] = low
  m[b + S32_MAX] = low
  m[b + U32_MIN] = low
  m[b + U32_MAX] = low
}

/** Known value without offset, map, range or ids; type and precision stay (__mark_reg_known). */
export function markKnown(m: Int32Array, b: number, low: number, high: number): void {
  m[b + OFF] = 0
  m[b + AUX] = 0
  m[b + AUX2] = 0
  m[b + ID] = 0
  m[b + REF] = 0
  setKnown(m, b, low, high)
}

/** A scalar constant with nothing left of what the register was. */
export function markConstant(m: Int32Array, b: number, low: number, high: number): void {
  markKnown(m, b, low, high)
  m[b + TYPE] = SCALAR
  m[b + FRAME] = 0
  m[b + PRECISE] = 0
}

/** A sign-extended 32-bit constant. */
export function markImmediate(m: Int32Array, b: number, value: number): void {
  markConstant(m, b, value, value >> 31)
}

export function unbound64(m: Int32Array, b: number): void {
  m[b + SMIN_LOW] = 0
  m[b + SMIN_HIGH] = INT_MIN
  m[b + SMAX_LOW] = -1
  m[b + SMAX_HIGH] = INT_MAX
  m[b + UMIN_LOW] = 0
  m[b + UMIN_HIGH] = 0
  m[b + UMAX_LOW] = -1
  m[b + UMAX_HIGH] = -1
}

export function unbound32(m: Int32Array, b: number): void {
  m[b + S32_MIN] = INT_MIN
  m[b + S32_MAX] = INT_MAX
  m[b + U32_MIN] = 0
  m[b + U32_MAX] = -1
}

export function unbound(m: Int32Array, b: number): void {
  unbound64(m, b)
  unbound32(m, b)
}

/** A scalar of which nothing is known. */
export function markUnknown(m: Int32Array, b: number): void {
  m[b + TYPE] = SCALAR
  m[b + OFF] = 0
  m[b + AUX] = 0
  m[b + AUX2] = 0
  m[b + VALUE_LOW] = 0
  m[b + VALUE_HIGH] = 0
  m[b + MASK_LOW] = -1
  m[b + MASK_HIGH] = -1
  m[b + ID] = 0
  m[b + REF] = 0
  m[b + FRAME] = 0
  m[b + PRECISE] = 0
  unbound(m, b)
}

export function markNotInit(m: Int32Array, b: number): void {
  markUnknown(m, b)
  m[b + TYPE] = NOT_INIT
}

export function isConst(m: Int32Array, b: number): boolean {
  return (m[b + MASK_LOW] | m[b + MASK_HIGH]) === 0
}

export function isConst32(m: Int32Array, b: number): boolean {
  return m[b + MASK_LOW] === 0
}

export function isZero(m: Int32Array, b: number): boolean {
  return (m[b + MASK_LOW] | m[b + MASK_HIGH] | m[b + VALUE_LOW] | m[b + VALUE_HIGH]) === 0
}

/** A scalar that is the constant 0. */
export function isNull(m: Int32Array, b: number): boolean {
  return m[b + TYPE] === SCALAR && isZero(m, b)
}

/** Bits that the largest unsigned value needs. */
export function width(m: Int32Array, b: number): number {
  const high = m[b + UMAX_HIGH]
  return high !== 0 ? 64 - Math.clz32(high) : 32 - Math.clz32(m[b + UMAX_LOW])
}

/** The largest unsigned value as a number (exact below 2^53). */
export function umaxNumber(m: Int32Array, b: number): number {
  return (m[b + UMAX_HIGH] >>> 0) * 4294967296 + (m[b + UMAX_LOW] >>> 0)
}

export function uminNumber(m: Int32Array, b: number): number {
  return (m[b + UMIN_HIGH] >>> 0) * 4294967296 + (m[b + UMIN_LOW] >>> 0)
}

export function sminNumber(m: Int32Array, b: number): number {
  return m[b + SMIN_HIGH] * 4294967296 + (m[b + SMIN_LOW] >>> 0)
}

export function smaxNumber(m: Int32Array, b: number): number {
  return m[b + SMAX_HIGH] * 4294967296 + (m[b + SMAX_LOW] >>> 0)
}

/** The constant part as a signed number. */
export function valueNumber(m: Int32Array, b: number): number {
  return m[b + VALUE_HIGH] * 4294967296 + (m[b + VALUE_LOW] >>> 0)
}

/** Every value of `c` is one of `b` by range (range_within). */
export function rangeWithin(m: Int32Array, b: number, n: Int32Array, c: number): boolean {
  return (
    !ultu(n[c + UMIN_HIGH], n[c + UMIN_LOW], m[b + UMIN_HIGH], m[b + UMIN_LOW]) &&
    !ultu(m[b + UMAX_HIGH], m[b + UMAX_LOW], n[c + UMAX_HIGH], n[c + UMAX_LOW]) &&
    !slt(n[c + SMIN_HIGH], n[c + SMIN_LOW], m[b + SMIN_HIGH], m[b + SMIN_LOW]) &&
    !slt(m[b + SMAX_HIGH], m[b + SMAX_LOW], n[c + SMAX_HIGH], n[c + SMAX_LOW]) &&
    m[b + U32_MIN] >>> 0 <= n[c + U32_MIN] >>> 0 &&
    m[b + U32_MAX] >>> 0 >= n[c + U32_MAX] >>> 0 &&
    m[b + S32_MIN] <= n[c + S32_MIN] &&
    m[b + S32_MAX] >= n[c + S32_MAX]
  )
}

/** Every value of `c` fits the known bits of `b` (tnum_in). */
export function bitsWithin(m: Int32Array, b: number, n: Int32Array, c: number): boolean {
  const ml = m[b + MASK_LOW]
  const mh = m[b + MASK_HIGH]
  return (
    (n[c + MASK_LOW] & ~ml) === 0 &&
    (n[c + MASK_HIGH] & ~mh) === 0 &&
    (n[c + VALUE_LOW] & ~ml) === m[b + VALUE_LOW] &&
    (n[c + VALUE_HIGH] & ~mh) === m[b + VALUE_HIGH]
  )
}
