/** Loads and moves that keep only the low bytes, with zeros or the sign above them. */

import {
  type Bank,
  MASK,
  MASK_HIGH,
  MASK_LOW,
  S32_MAX,
  S32_MIN,
  SMAX,
  SMAX_HIGH,
  SMAX_LOW,
  SMIN,
  SMIN_HIGH,
  SMIN_LOW,
  U32_MAX,
  U32_MIN,
  UMAX,
  UMAX_HIGH,
  UMAX_LOW,
  UMIN,
  UMIN_HIGH,
  UMIN_LOW,
  VALUE,
  VALUE_HIGH,
  VALUE_LOW,
} from '../state/registers.ts'
import { isConst, setKnown, unbound32 } from './bounds.ts'
import { sync } from './sync.ts'
import * as tnum from './tnum.ts'

/** Keeps `size` (1, 2 or 4) bytes, zeros above (coerce_reg_to_size). */
export function narrow(m: Int32Array, b: number, size: number): void {
  const mask = size === 4 ? -1 : (1 << (size * 8)) - 1
  m[b + VALUE_LOW] &= mask
  m[b + MASK_LOW] &= mask
  m[b + VALUE_HIGH] = 0
  m[b + MASK_HIGH] = 0
  const same = m[b + UMIN_HIGH] === m[b + UMAX_HIGH] && (m[b + UMIN_LOW] & ~mask) === (m[b + UMAX_LOW] & ~mask)
  const min = same ? m[b + UMIN_LOW] & mask : 0
  const max = same ? m[b + UMAX_LOW] & mask : mask
  m[b + UMIN_LOW] = m[b + SMIN_LOW] = min
  m[b + UMAX_LOW] = m[b + SMAX_LOW] = max
  m[b + UMIN_HIGH] = m[b + SMIN_HIGH] = m[b + UMAX_HIGH] = m[b + SMAX_HIGH] = 0
  if (size < 4) unbound32(m, b)
  sync(m, b)
}

function setSigned64(d: Bank, b: number, min: bigint, max: bigint): void {
  const i = b / 2
  d.s[i + SMIN] = min
  d.s[i + SMAX] = max
}

/** Keeps `size` (1, 2 or 4) bytes, their sign above, 64 bits wide (coerce_reg_to_size_sx). */
export function narrowSigned(d: Bank, b: number, size: number): void {
  const m = d.m
  const bits = size * 8
  const i = b / 2
  if (isConst(m, b)) {
    const shift = 32 - bits
    const low = (m[b + VALUE_LOW] << shift) >> shift
    setKnown(m, b, low, low >> 31)
    return
  }
  const smin = d.s[i + SMIN]
  const smax = d.s[i + SMAX]
  const wide = BigInt(bits)
  if (smin >> wide === smax >> wide) {
    const first = BigInt.asIntN(bits, smax)
    const second = BigInt.asIntN(bits, smin)
    const max = first > second ? first : second
    const min = first > second ? second : first
    if (max >= 0n === min >= 0n) {
      setSigned64(d, b, min, max)
      d.u[i + UMIN] = BigInt.asUintN(64, min)
      d.u[i + UMAX] = BigInt.asUintN(64, max)
      m[b + S32_MIN] = m[b + U32_MIN] = Number(BigInt.asIntN(32, min))
      m[b + S32_MAX] = m[b + U32_MAX] = Number(BigInt.asIntN(32, max))
      tnum.range(BigInt.asUintN(64, min), BigInt.asUintN(64, max))
      d.u[i + VALUE] = tnum.result.value
      d.u[i + MASK] = tnum.result.mask
      return
    }
  }
  const limit = 1n << BigInt(bits - 1)
  setSigned64(d, b, -limit, limit - 1n)
  m[b + S32_MIN] = Number(-limit)
  m[b + S32_MAX] = Number(limit - 1n)
  d.u[i + UMIN] = 0n
  d.u[i + UMAX] = 0xffffffffffffffffn
  m[b + U32_MIN] = 0
  m[b + U32_MAX] = -1
  d.u[i + VALUE] = 0n
  d.u[i + MASK] = 0xffffffffffffffffn
}

/** As {@link narrowSigned} for 1 or 2 bytes in 32 bits (coerce_subreg_to_size_sx); the caller zero-extends and syncs. */
export function narrowSigned32(d: Bank, b: number, size: number): void {
  const m = d.m
  const bits = size * 8
  const shift = 32 - bits
  const i = b / 2
  if (isConst(m, b)) {
    const low = (m[b + VALUE_LOW] << shift) >> shift
    m[b + VALUE_LOW] = low
    m[b + VALUE_HIGH] = low >> 31
    m[b + S32_MIN] = m[b + S32_MAX] = m[b + U32_MIN] = m[b + U32_MAX] = low
    return
  }
  const smin = m[b + S32_MIN]
  const smax = m[b + S32_MAX]
  if (smin >> bits === smax >> bits) {
    const first = (smax << shift) >> shift
    const second = (smin << shift) >> shift
    const max = Math.max(first, second)
    const min = Math.min(first, second)
    if (max >= 0 === min >= 0) {
      m[b + S32_MIN] = m[b + U32_MIN] = min
      m[b + S32_MAX] = m[b + U32_MAX] = max
      tnum.range(BigInt.asUintN(64, BigInt(min)), BigInt.asUintN(64, BigInt(max)))
      d.u[i + VALUE] = tnum.result.value & 0xffffffffn
      d.u[i + MASK] = tnum.result.mask & 0xffffffffn
      return
    }
  }
  m[b + S32_MIN] = -(1 << (bits - 1))
  m[b + S32_MAX] = (1 << (bits - 1)) - 1
  m[b + U32_MIN] = 0
  m[b + U32_MAX] = -1
  m[b + VALUE_LOW] = m[b + VALUE_HIGH] = 0
  m[b + MASK_LOW] = -1
  m[b + MASK_HIGH] = 0
}
