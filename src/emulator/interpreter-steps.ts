import type { LinkedProgram } from './program.ts'
import { divide32Signed } from './wide.ts'

/** The 32-bit operations: the low half of the result; the caller clears the high half. */
export function arithmetic32(operation: number, a: number, b: number): number {
  switch (operation) {
    case 0x0c:
      return a + b
    case 0x1c:
      return a - b
    case 0x2c:
      return Math.imul(a, b)
    case 0x3c:
      return b === 0 ? 0 : (a >>> 0) / (b >>> 0)
    case 0x4c:
      return a | b
    case 0x5c:
      return a & b
    case 0x6c:
      return a << (b & 31)
    case 0x7c:
      return a >>> (b & 31)
    case 0x84:
      return -a
    case 0x9c:
      return b === 0 ? a : (a >>> 0) % (b >>> 0)
    case 0xac:
      return a ^ b
    case 0xbc:
      return b
    case 0xcc:
      return a >> (b & 31)
    case 0x102:
      return divide32Signed(a, b)
    case 0x103:
      return b === 0 ? a : a % b
    default:
      return a
  }
}

/** Whether a conditional jump jumps: `d` and `s` are the operands' word indices. */
export function isTaken(w: Int32Array, operation: number, d: number, s: number): boolean {
  switch (operation) {
    case 0x1d:
      return w[d] === w[s] && w[d + 1] === w[s + 1]
    case 0x5d:
      return w[d] !== w[s] || w[d + 1] !== w[s + 1]
    case 0x4d:
      return ((w[d] & w[s]) | (w[d + 1] & w[s + 1])) !== 0
    case 0x2d:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 > w[s] >>> 0 : w[d + 1] >>> 0 > w[s + 1] >>> 0
    case 0x3d:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 >= w[s] >>> 0 : w[d + 1] >>> 0 > w[s + 1] >>> 0
    case 0xad:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 < w[s] >>> 0 : w[d + 1] >>> 0 < w[s + 1] >>> 0
    case 0xbd:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 <= w[s] >>> 0 : w[d + 1] >>> 0 < w[s + 1] >>> 0
    case 0x6d:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 > w[s] >>> 0 : w[d + 1] > w[s + 1]
    case 0x7d:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 >= w[s] >>> 0 : w[d + 1] > w[s + 1]
    case 0xcd:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 < w[s] >>> 0 : w[d + 1] < w[s + 1]
    case 0xdd:
      return w[d + 1] === w[s + 1] ? w[d] >>> 0 <= w[s] >>> 0 : w[d + 1] < w[s + 1]
    case 0x1e:
      return w[d] === w[s]
    case 0x5e:
      return w[d] !== w[s]
    case 0x4e:
      return (w[d] & w[s]) !== 0
    case 0x2e:
      return w[d] >>> 0 > w[s] >>> 0
    case 0x3e:
      return w[d] >>> 0 >= w[s] >>> 0
    case 0xae:
      return w[d] >>> 0 < w[s] >>> 0
    case 0xbe:
      return w[d] >>> 0 <= w[s] >>> 0
    case 0x6e:
      return w[d] > w[s]
    case 0x7e:
      return w[d] >= w[s]
    case 0xce:
      return w[d] < w[s]
    case 0xde:
      return w[d] <= w[s]
    default:
      return false
  }
}

/** Bytes of a load-acquire or store-release. */
export function accessSize(p: LinkedProgram, slot: number): number {
  return [4, 2, 1, 8][(p.image.insns[slot * 8] >> 3) & 3]
}

export function loadAcquire(w: Int32Array, view: DataView, d: number, at: number, size: number): void {
  w[d + 1] = size === 8 ? view.getInt32(at + 4, true) : 0
  w[d] = size >= 4 ? view.getInt32(at, true) : size === 2 ? view.getUint16(at, true) : view.getUint8(at)
}

export function storeRelease(w: Int32Array, view: DataView, s: number, at: number, size: number): void {
  if (size === 1) view.setInt8(at, w[s])
  else if (size === 2) view.setInt16(at, w[s], true)
  else view.setInt32(at, w[s], true)
  if (size === 8) view.setInt32(at + 4, w[s + 1], true)
}
