/**
 * Known bits and the four ranges of a value learn from each other (the mutual deduction of Linux 6.18), and contradictions
 * among them.
 */

import {
  MASK_HIGH,
  MASK_LOW,
  S32_MAX,
  S32_MIN,
  SMAX_HIGH,
  SMAX_LOW,
  SMIN_HIGH,
  SMIN_LOW,
  U32_MAX,
  U32_MIN,
  UMAX_HIGH,
  UMAX_LOW,
  UMIN_HIGH,
  UMIN_LOW,
  VALUE_HIGH,
  VALUE_LOW,
} from '../state/registers.ts'
import { setKnown, unbound } from './bounds.ts'
import { INT_MAX, INT_MIN, slt, ultu } from './words.ts'

/** 32-bit bounds from the known bits. */
export function update32(m: Int32Array, b: number): void {
  const value = m[b + VALUE_LOW]
  const mask = m[b + MASK_LOW]
  const smin = value | (mask & INT_MIN)
  const smax = value | (mask & INT_MAX)
  if (smin > m[b + S32_MIN]) m[b + S32_MIN] = smin
  if (smax < m[b + S32_MAX]) m[b + S32_MAX] = smax
  if (value >>> 0 > m[b + U32_MIN] >>> 0) m[b + U32_MIN] = value
  if ((value | mask) >>> 0 < m[b + U32_MAX] >>> 0) m[b + U32_MAX] = value | mask
}

/** 64-bit bounds from the known bits. */
export function update64(m: Int32Array, b: number): void {
  const vl = m[b + VALUE_LOW]
  const vh = m[b + VALUE_HIGH]
  const ml = m[b + MASK_LOW]
  const mh = m[b + MASK_HIGH]
  const sh = vh | (mh & INT_MIN)
  if (slt(m[b + SMIN_HIGH], m[b + SMIN_LOW], sh, vl)) {
    m[b + SMIN_HIGH] = sh
    m[b + SMIN_LOW] = vl
  }
  const xh = vh | (mh & INT_MAX)
  const xl = vl | ml
  if (slt(xh, xl, m[b + SMAX_HIGH], m[b + SMAX_LOW])) {
    m[b + SMAX_HIGH] = xh
    m[b + SMAX_LOW] = xl
  }
  if (ultu(m[b + UMIN_HIGH], m[b + UMIN_LOW], vh, vl)) {
    m[b + UMIN_HIGH] = vh
    m[b + UMIN_LOW] = vl
  }
  const uh = vh | mh
  if (ultu(uh, xl, m[b + UMAX_HIGH], m[b + UMAX_LOW])) {
    m[b + UMAX_HIGH] = uh
    m[b + UMAX_LOW] = xl
  }
  meetInOne(m, b)
}

const U64 = 0xffffffffffffffffn
const wide = new BigUint64Array(4)
const words = new Int32Array(wide.buffer)

/** The next value above `from` that fits the known bits; the largest there is when there is none. */
function nextFitting(value: bigint, mask: bigint, from: bigint): bigint {
  const most = value | mask
  if (from >= most) return most
  if (from < value) return value
  const distance = from - value
  const carried = distance & ~mask & U64
  const carry = carried === 0n ? 0n : (1n << BigInt(carried.toString(2).length)) - 1n
  const filled = (distance | carry | ~mask) & U64
  return value | ((filled + 1n) & mask)
}

function setKnownWide(m: Int32Array, b: number, value: bigint): void {
  wide[0] = value
  setKnown(m, b, words[0], words[1])
}

/** {@link nextFitting} of numbers below 2^32. */
function nextFittingLow(value: number, mask: number, from: number): number {
  const most = (value | mask) >>> 0
  if (from >= most) return most
  if (from < value) return value
  const distance = from - value
  const carried = distance & ~mask
  const carry = carried === 0 ? 0 : 0xffffffff >>> Math.clz32(carried)
  const filled = distance | carry | ~mask
  return (value | ((filled + 1) & mask)) >>> 0
}

/** {@link meetInOne} where all high words are zero. */
function meetInOneLow(m: Int32Array, b: number): void {
  const value = m[b + VALUE_LOW] >>> 0
  const mask = m[b + MASK_LOW]
  const umin = m[b + UMIN_LOW] >>> 0
  const umax = m[b + UMAX_LOW] >>> 0
  const step = nextFittingLow(value, mask, umin)
  if ((umin & ~mask) >>> 0 === value) {
    if (step > umax) setKnown(m, b, umin | 0, 0)
  } else if (step === (value | mask) >>> 0) setKnown(m, b, step | 0, 0)
  else if (step <= umax && nextFittingLow(value, mask, step) > umax) setKnown(m, b, step | 0, 0)
}

/** Where range and known bits have one value in common, it is that one. */
function meetInOne(m: Int32Array, b: number): void {
  const ml = m[b + MASK_LOW]
  const mh = m[b + MASK_HIGH]
  // Known, and the range says the same.
  if ((ml | mh) === 0 && m[b + UMIN_LOW] === m[b + VALUE_LOW] && m[b + UMIN_HIGH] === m[b + VALUE_HIGH]) {
    if (m[b + UMAX_LOW] === m[b + UMIN_LOW] && m[b + UMAX_HIGH] === m[b + UMIN_HIGH]) return
  }
  // Unknown bits without a gap below them: every value of the range fits, where there is more than one.
  const gapless = mh === 0 ? (ml & (ml + 1)) === 0 : ml === -1 && (mh & (mh + 1)) === 0
  if (gapless && ultu(m[b + UMIN_HIGH], m[b + UMIN_LOW], m[b + UMAX_HIGH], m[b + UMAX_LOW])) return
  if ((m[b + VALUE_HIGH] | mh | m[b + UMIN_HIGH] | m[b + UMAX_HIGH]) === 0) {
    meetInOneLow(m, b)
    return
  }
  for (let i = 0; i < 4; i++) words[i] = m[b + VALUE_LOW + i]
  for (let i = 0; i < 4; i++) words[4 + i] = m[b + UMIN_LOW + i]
  const value = wide[0]
  const mask = wide[1]
  const umin = wide[2]
  const umax = wide[3]
  const step = nextFitting(value, mask, umin)
  const fits = (umin & ~mask & U64) === value
  if (fits) {
    if (step > umax) setKnownWide(m, b, umin)
  } else if (step === (value | mask)) setKnownWide(m, b, step)
  else if (step <= umax && nextFitting(value, mask, step) > umax) setKnownWide(m, b, step)
}

export function updateBounds(m: Int32Array, b: number): void {
  update32(m, b)
  update64(m, b)
}

function narrowS32(m: Int32Array, b: number, min: number, max: number): void {
  if (min > m[b + S32_MIN]) m[b + S32_MIN] = min
  if (max < m[b + S32_MAX]) m[b + S32_MAX] = max
}

function narrowU32(m: Int32Array, b: number, min: number, max: number): void {
  if (min >>> 0 > m[b + U32_MIN] >>> 0) m[b + U32_MIN] = min
  if (max >>> 0 < m[b + U32_MAX] >>> 0) m[b + U32_MAX] = max
}

function deduce32(m: Int32Array, b: number): void {
  const unl = m[b + UMIN_LOW]
  const unh = m[b + UMIN_HIGH]
  const uxl = m[b + UMAX_LOW]
  const uxh = m[b + UMAX_HIGH]
  const snl = m[b + SMIN_LOW]
  const snh = m[b + SMIN_HIGH]
  const sxl = m[b + SMAX_LOW]
  const sxh = m[b + SMAX_HIGH]
  if (unh === uxh) {
    narrowU32(m, b, unl, uxl)
    if (unl <= uxl) narrowS32(m, b, unl, uxl)
  }
  if (snh === sxh) {
    if (snl >>> 0 <= sxl >>> 0) narrowU32(m, b, snl, sxl)
    if (snl <= sxl) narrowS32(m, b, snl, sxl)
  }
  // A range over one change of the high word whose low words go from negative to positive.
  if (((unh + 1) | 0) === uxh && unl < 0 && uxl >= 0) narrowS32(m, b, unl, uxl)
  if (((snh + 1) | 0) === sxh && snl < 0 && sxl >= 0) narrowS32(m, b, snl, sxl)
  if (m[b + U32_MIN] <= m[b + U32_MAX]) narrowS32(m, b, m[b + U32_MIN], m[b + U32_MAX])
  const smin = m[b + S32_MIN]
  const smax = m[b + S32_MAX]
  if (smin >>> 0 <= smax >>> 0) narrowU32(m, b, smin, smax)
  else if (m[b + U32_MAX] >>> 0 < smin >>> 0) {
    // The signed range crosses zero, and the unsigned one meets only its part from zero on …
    m[b + S32_MIN] = m[b + U32_MIN]
    narrowU32(m, b, 0, smax)
  } else if (smax >>> 0 < m[b + U32_MIN] >>> 0) {
    // … or only its part below.
    m[b + S32_MAX] = m[b + U32_MAX]
    narrowU32(m, b, smin, -1)
  }
}

function raiseUmin(m: Int32Array, b: number, high: number, low: number): void {
  if (ultu(m[b + UMIN_HIGH], m[b + UMIN_LOW], high, low)) {
    m[b + UMIN_HIGH] = high
    m[b + UMIN_LOW] = low
  }
}

function lowerUmax(m: Int32Array, b: number, high: number, low: number): void {
  if (ultu(high, low, m[b + UMAX_HIGH], m[b + UMAX_LOW])) {
    m[b + UMAX_HIGH] = high
    m[b + UMAX_LOW] = low
  }
}

function raiseSmin(m: Int32Array, b: number, high: number, low: number): void {
  if (slt(m[b + SMIN_HIGH], m[b + SMIN_LOW], high, low)) {
    m[b + SMIN_HIGH] = high
    m[b + SMIN_LOW] = low
  }
}

function lowerSmax(m: Int32Array, b: number, high: number, low: number): void {
  if (slt(high, low, m[b + SMAX_HIGH], m[b + SMAX_LOW])) {
    m[b + SMAX_HIGH] = high
    m[b + SMAX_LOW] = low
  }
}

function deduce64(m: Int32Array, b: number): void {
  if (!slt(m[b + UMAX_HIGH], m[b + UMAX_LOW], m[b + UMIN_HIGH], m[b + UMIN_LOW])) {
    raiseSmin(m, b, m[b + UMIN_HIGH], m[b + UMIN_LOW])
    lowerSmax(m, b, m[b + UMAX_HIGH], m[b + UMAX_LOW])
  }
  const snh = m[b + SMIN_HIGH]
  const snl = m[b + SMIN_LOW]
  const sxh = m[b + SMAX_HIGH]
  const sxl = m[b + SMAX_LOW]
  if (!ultu(sxh, sxl, snh, snl)) {
    raiseUmin(m, b, snh, snl)
    lowerUmax(m, b, sxh, sxl)
  } else if (ultu(m[b + UMAX_HIGH], m[b + UMAX_LOW], snh, snl)) {
    m[b + SMIN_HIGH] = m[b + UMIN_HIGH]
    m[b + SMIN_LOW] = m[b + UMIN_LOW]
    lowerUmax(m, b, sxh, sxl)
  } else if (ultu(sxh, sxl, m[b + UMIN_HIGH], m[b + UMIN_LOW])) {
    m[b + SMAX_HIGH] = m[b + UMAX_HIGH]
    m[b + SMAX_LOW] = m[b + UMAX_LOW]
    raiseUmin(m, b, snh, snl)
  }
}

function deduceMixed(m: Int32Array, b: number): void {
  raiseUmin(m, b, m[b + UMIN_HIGH], m[b + U32_MIN])
  lowerUmax(m, b, m[b + UMAX_HIGH], m[b + U32_MAX])
  raiseSmin(m, b, m[b + SMIN_HIGH], m[b + U32_MIN])
  lowerSmax(m, b, m[b + SMAX_HIGH], m[b + U32_MAX])
  const s32min = m[b + S32_MIN]
  if (
    s32min >= 0 &&
    !slt(m[b + SMIN_HIGH], m[b + SMIN_LOW], -1, INT_MIN) &&
    !slt(0, INT_MAX, m[b + SMAX_HIGH], m[b + SMAX_LOW])
  ) {
    const s32max = m[b + S32_MAX]
    m[b + SMIN_HIGH] = m[b + UMIN_HIGH] = 0
    m[b + SMIN_LOW] = m[b + UMIN_LOW] = s32min
    m[b + SMAX_HIGH] = m[b + UMAX_HIGH] = s32max >> 31
    m[b + SMAX_LOW] = m[b + UMAX_LOW] = s32max
    intersectRange(m, b, 0, s32min, s32max >> 31, s32max)
  }
}

/** The known bits of a range: every bit above the highest in which its ends differ. Result in {@link rangeMask}. */
let rangeMaskLow = 0
let rangeMaskHigh = 0
function rangeMask(minHigh: number, minLow: number, maxHigh: number, maxLow: number): void {
  const high = minHigh ^ maxHigh
  if (high !== 0) {
    const clz = Math.clz32(high)
    rangeMaskHigh = clz === 0 ? -1 : (1 << (32 - clz)) - 1
    rangeMaskLow = -1
    return
  }
  rangeMaskHigh = 0
  const low = minLow ^ maxLow
  if (low === 0) {
    rangeMaskLow = 0
    return
  }
  const clz = Math.clz32(low)
  rangeMaskLow = clz === 0 ? -1 : (1 << (32 - clz)) - 1
}

function intersectRange(m: Int32Array, b: number, minHigh: number, minLow: number, maxHigh: number, maxLow: number) {
  rangeMask(minHigh, minLow, maxHigh, maxLow)
  const ml = m[b + MASK_LOW] & rangeMaskLow
  const mh = m[b + MASK_HIGH] & rangeMaskHigh
  const tl = minLow & ~rangeMaskLow
  const th = minHigh & ~rangeMaskHigh
  m[b + VALUE_LOW] = (m[b + VALUE_LOW] | tl) & ~ml
  m[b + VALUE_HIGH] = (m[b + VALUE_HIGH] | th) & ~mh
  m[b + MASK_LOW] = ml
  m[b + MASK_HIGH] = mh
}

function boundOffset(m: Int32Array, b: number): void {
  intersectRange(m, b, m[b + UMIN_HIGH], m[b + UMIN_LOW], m[b + UMAX_HIGH], m[b + UMAX_LOW])
  const u32min = m[b + U32_MIN]
  rangeMask(0, u32min, 0, m[b + U32_MAX])
  const mask = m[b + MASK_LOW] & rangeMaskLow
  m[b + VALUE_LOW] = (m[b + VALUE_LOW] | (u32min & ~rangeMaskLow)) & ~mask
  m[b + MASK_LOW] = mask
}

const before = new Int32Array(16)
function changed(m: Int32Array, b: number): boolean {
  for (let i = 0; i < 16; i++) if (before[i] !== m[b + VALUE_LOW + i]) return true
  return false
}
function remember(m: Int32Array, b: number): void {
  for (let i = 0; i < 16; i++) before[i] = m[b + VALUE_LOW + i]
}

/** Lets bits and bounds learn from each other until the kernel would stop (reg_bounds_sync). */
export function sync(m: Int32Array, b: number): void {
  updateBounds(m, b)
  for (let pass = 0; pass < 3; pass++) {
    remember(m, b)
    deduce32(m, b)
    deduce64(m, b)
    deduceMixed(m, b)
    if (!changed(m, b)) break
  }
  boundOffset(m, b)
  updateBounds(m, b)
}

/**
 * False when the bounds contradict each other or the known bits, which happens on dead paths
 * (reg_bounds_sanity_check); the register is unbounded then.
 */
export function checkInvariants(m: Int32Array, b: number): boolean {
  let bad =
    ultu(m[b + UMAX_HIGH], m[b + UMAX_LOW], m[b + UMIN_HIGH], m[b + UMIN_LOW]) ||
    slt(m[b + SMAX_HIGH], m[b + SMAX_LOW], m[b + SMIN_HIGH], m[b + SMIN_LOW]) ||
    m[b + U32_MIN] >>> 0 > m[b + U32_MAX] >>> 0 ||
    m[b + S32_MIN] > m[b + S32_MAX]
  if (!bad && m[b + MASK_LOW] === 0) {
    const vl = m[b + VALUE_LOW]
    if (m[b + MASK_HIGH] === 0) {
      const vh = m[b + VALUE_HIGH]
      bad =
        m[b + UMIN_LOW] !== vl ||
        m[b + UMIN_HIGH] !== vh ||
        m[b + UMAX_LOW] !== vl ||
        m[b + UMAX_HIGH] !== vh ||
        m[b + SMIN_LOW] !== vl ||
        m[b + SMIN_HIGH] !== vh ||
        m[b + SMAX_LOW] !== vl ||
        m[b + SMAX_HIGH] !== vh
    }
    bad ||= m[b + U32_MIN] !== vl || m[b + U32_MAX] !== vl || m[b + S32_MIN] !== vl || m[b + S32_MAX] !== vl
  }
  if (bad) unbound(m, b)
  return !bad
}

/** The 32-bit result becomes the 64-bit value (zext_32_to_64); call {@link sync} afterwards. */
export function zeroExtend(m: Int32Array, b: number): void {
  m[b + VALUE_HIGH] = 0
  m[b + MASK_HIGH] = 0
  m[b + UMIN_LOW] = m[b + U32_MIN]
  m[b + UMIN_HIGH] = 0
  m[b + UMAX_LOW] = m[b + U32_MAX]
  m[b + UMAX_HIGH] = 0
  m[b + SMIN_HIGH] = 0
  m[b + SMAX_HIGH] = 0
  if (m[b + S32_MIN] >= 0 && m[b + S32_MAX] >= 0) {
    m[b + SMIN_LOW] = m[b + S32_MIN]
    m[b + SMAX_LOW] = m[b + S32_MAX]
  } else {
    m[b + SMIN_LOW] = 0
    m[b + SMAX_LOW] = -1
  }
}
