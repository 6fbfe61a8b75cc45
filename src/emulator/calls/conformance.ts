import { UnwindSignal } from '../faults.ts'
import type { Machine } from '../machine.ts'
import type { HelperFunction } from './table.ts'

function sign(value: bigint): bigint {
  return BigInt.asIntN(64, value)
}

/** The integer square root of a 64-bit value. */
function root(value: bigint): bigint {
  if (value < 2n) return value
  let low = BigInt(Math.floor(Math.sqrt(Number(value))))
  while (low * low > value) low--
  while ((low + 1n) * (low + 1n) <= value) low++
  return low
}

function compareText(m: Machine): bigint {
  const { u8 } = m.memory
  for (let i = 0; ; i++) {
    const a = u8[m.access((m.low(1) + i) >>> 0, m.high(1), 1, false)]
    const b = u8[m.access((m.low(2) + i) >>> 0, m.high(2), 1, false)]
    if (a !== b) return sign(BigInt(a - b))
    if (a === 0) return 0n
  }
}

/**
 * The functions that plugins of the public bpf_conformance protocol offer under small numbers: gather_bytes, memfrob,
 * trash_registers, sqrti, strcmp, unwind (which ends the program when its argument is 0).
 */
export const CONFORMANCE_HELPERS: ReadonlyMap<number, HelperFunction> = new Map<number, HelperFunction>([
  [
    0,
    (m) =>
      ((m.get64(1) & 0xffn) << 32n) |
      ((m.get64(2) & 0xffn) << 24n) |
      ((m.get64(3) & 0xffn) << 16n) |
      ((m.get64(4) & 0xffn) << 8n) |
      (m.get64(5) & 0xffn),
  ],
  [
    1,
    (m) => {
      const size = m.size(2)
      const at = m.writable(1, size)
      for (let i = 0; i < size; i++) m.memory.u8[at + i] ^= 42
      return m.get64(1)
    },
  ],
  [
    2,
    (m) => {
      for (let register = 1; register <= 5; register++) m.set64(register, 0xf1f1_f1f1_f1f1_f1f1n)
      return 0
    },
  ],
  [3, (m) => root(m.get64(1))],
  [4, compareText],
  [
    5,
    (m) => {
      const value = m.get64(1)
      if (value === 0n) throw new UnwindSignal(m.get64(0))
      return value
    },
  ],
])
