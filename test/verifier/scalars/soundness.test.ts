import fc from 'fast-check'
import { expect, test } from 'vitest'
import * as A from '../../../src/verifier/scalars/alu.ts'
import { unbound } from '../../../src/verifier/scalars/bounds.ts'
import { narrow, narrowSigned } from '../../../src/verifier/scalars/casts.ts'
import {
  JEQ,
  JGE,
  JGT,
  JLE,
  JLT,
  JNE,
  JSET,
  JSGE,
  JSGT,
  JSLE,
  JSLT,
  refine,
  scalarTaken,
} from '../../../src/verifier/scalars/conditions.ts'
import { checkInvariants, sync } from '../../../src/verifier/scalars/sync.ts'
import {
  type Bank,
  createBank,
  MASK,
  S32_MAX,
  S32_MIN,
  SCALAR,
  SMAX,
  SMIN,
  TYPE,
  U32_MAX,
  U32_MIN,
  UMAX,
  UMIN,
  VALUE,
} from '../../../src/verifier/state/registers.ts'

const M64 = (1n << 64n) - 1n
const s64 = (x: bigint) => BigInt.asIntN(64, x)
const u64 = (x: bigint) => BigInt.asUintN(64, x)
const s32 = (x: bigint) => BigInt.asIntN(32, x)
const u32 = (x: bigint) => BigInt.asUintN(32, x)

/** A register that may hold any of `values`: each bound and each known bit is the best for them. */
function abstract(values: readonly bigint[]): Bank {
  const bank = createBank(1)
  const { m, s, u } = bank
  m[TYPE] = SCALAR
  unbound(m, 0)
  const least = <T>(xs: T[]) => [...xs].sort((a, b) => (a < b ? -1 : 1))[0]
  const most = <T>(xs: T[]) => [...xs].sort((a, b) => (a > b ? -1 : 1))[0]
  u[UMIN] = least(values.map(u64))
  u[UMAX] = most(values.map(u64))
  s[SMIN] = least(values.map(s64))
  s[SMAX] = most(values.map(s64))
  m[U32_MIN] = Number(least(values.map(u32)))
  m[U32_MAX] = Number(most(values.map(u32)))
  m[S32_MIN] = Number(least(values.map(s32)))
  m[S32_MAX] = Number(most(values.map(s32)))
  const and = values.reduce((a, b) => a & u64(b), M64)
  const or = values.reduce((a, b) => a | u64(b), 0n)
  u[MASK] = and ^ or
  u[VALUE] = and
  return bank
}

/** The value is one of those that the register stands for. */
function contains(bank: Bank, value: bigint): boolean {
  const { m, s, u } = bank
  const v = u64(value)
  return (
    v >= u[UMIN] &&
    v <= u[UMAX] &&
    s64(v) >= s[SMIN] &&
    s64(v) <= s[SMAX] &&
    Number(u32(v)) >= m[U32_MIN] >>> 0 &&
    Number(u32(v)) <= m[U32_MAX] >>> 0 &&
    Number(s32(v)) >= m[S32_MIN] &&
    Number(s32(v)) <= m[S32_MAX] &&
    (v & ~u[MASK] & M64) === u[VALUE]
  )
}

const edges = [0n, 1n, -1n, 7n, 1n << 31n, (1n << 31n) - 1n, 1n << 32n, (1n << 32n) - 1n, 1n << 63n, (1n << 63n) - 1n]
const value = fc
  .oneof(
    fc.constantFrom(...edges),
    fc.bigInt({ min: 0n, max: M64 }),
    fc.bigInt({ min: -300n, max: 300n }).map(u64),
    fc.bigInt({ min: (1n << 31n) - 9n, max: (1n << 32n) + 9n }),
  )
  .map(u64)
const values = fc.array(value, { minLength: 1, maxLength: 4 })

const OPERATIONS: readonly (readonly [string, number, (x: bigint, y: bigint) => bigint])[] = [
  ['add', A.ALU_ADD, (x, y) => x + y],
  ['sub', A.ALU_SUB, (x, y) => x - y],
  ['mul', A.ALU_MUL, (x, y) => x * y],
  ['and', A.ALU_AND, (x, y) => x & y],
  ['or', A.ALU_OR, (x, y) => x | y],
  ['xor', A.ALU_XOR, (x, y) => x ^ y],
]
const SHIFTS: readonly (readonly [string, number, (x: bigint, by: bigint, bits: number) => bigint])[] = [
  ['lsh', A.ALU_LSH, (x, by) => x << by],
  ['rsh', A.ALU_RSH, (x, by, bits) => BigInt.asUintN(bits, x) >> by],
  ['arsh', A.ALU_ARSH, (x, by, bits) => BigInt.asIntN(bits, x) >> by],
]
const runs = { numRuns: 1500 }

for (const [name, op, concrete] of OPERATIONS)
  for (const narrow32 of [false, true])
    test(`${name} in ${narrow32 ? 32 : 64} bits keeps every possible result`, () => {
      fc.assert(
        fc.property(values, values, (xs, ys) => {
          const x = abstract(xs)
          A.scalarAlu(x, 0, abstract(ys), 0, op, narrow32)
          for (const a of xs)
            for (const b of ys) expect(contains(x, narrow32 ? u32(concrete(a, b)) : u64(concrete(a, b)))).toBe(true)
        }),
        runs,
      )
    })

for (const [name, op, concrete] of SHIFTS)
  for (const bits of [32, 64])
    test(`${name} in ${bits} bits keeps every possible result`, () => {
      fc.assert(
        fc.property(values, fc.integer({ min: 0, max: bits - 1 }), (xs, by) => {
          const x = abstract(xs)
          A.scalarAlu(x, 0, abstract([BigInt(by)]), 0, op, bits === 32)
          for (const a of xs) expect(contains(x, BigInt.asUintN(bits, concrete(a, BigInt(by), bits)))).toBe(true)
        }),
        runs,
      )
    })

test('negation keeps every possible result', () => {
  fc.assert(
    fc.property(values, fc.boolean(), (xs, narrow32) => {
      const x = abstract(xs)
      A.scalarAlu(x, 0, x, 0, A.ALU_NEG, narrow32)
      for (const a of xs) expect(contains(x, narrow32 ? u32(-a) : u64(-a))).toBe(true)
    }),
    runs,
  )
})

test('byte swaps keep every possible result', () => {
  fc.assert(
    fc.property(values, fc.constantFrom(16, 32, 64), fc.boolean(), (xs, bits, swap) => {
      const x = abstract(xs)
      A.byteSwap(x, 0, swap, bits)
      for (const a of xs) {
        let result = 0n
        const low = BigInt.asUintN(bits, a)
        for (let i = 0; i < bits / 8; i++) result = (result << 8n) | ((low >> BigInt(8 * i)) & 0xffn)
        expect(contains(x, swap ? result : low)).toBe(true)
      }
    }),
    runs,
  )
})

test('narrowing casts keep every possible result', () => {
  fc.assert(
    fc.property(values, fc.constantFrom(1, 2, 4), (xs, size) => {
      const unsigned = abstract(xs)
      const signed = abstract(xs)
      narrow(unsigned.m, 0, size)
      narrowSigned(signed, 0, size)
      for (const a of xs) {
        expect(contains(unsigned, BigInt.asUintN(size * 8, a))).toBe(true)
        expect(contains(signed, u64(BigInt.asIntN(size * 8, a)))).toBe(true)
      }
    }),
    runs,
  )
})

test('deduction loses no value and keeps its own invariants', () => {
  fc.assert(
    fc.property(values, (xs) => {
      const x = abstract(xs)
      sync(x.m, 0)
      for (const a of xs) expect(contains(x, a)).toBe(true)
      expect(checkInvariants(x.m, 0)).toBe(true)
    }),
    { numRuns: 5000 },
  )
})

const CONDITIONS: readonly (readonly [number, (x: bigint, y: bigint, bits: number) => boolean])[] = [
  [JEQ, (x, y) => x === y],
  [JNE, (x, y) => x !== y],
  [JGT, (x, y) => x > y],
  [JGE, (x, y) => x >= y],
  [JLT, (x, y) => x < y],
  [JLE, (x, y) => x <= y],
  [JSET, (x, y) => (x & y) !== 0n],
  [JSGT, (x, y, bits) => BigInt.asIntN(bits, x) > BigInt.asIntN(bits, y)],
  [JSGE, (x, y, bits) => BigInt.asIntN(bits, x) >= BigInt.asIntN(bits, y)],
  [JSLT, (x, y, bits) => BigInt.asIntN(bits, x) < BigInt.asIntN(bits, y)],
  [JSLE, (x, y, bits) => BigInt.asIntN(bits, x) <= BigInt.asIntN(bits, y)],
]

for (const bits of [32, 64])
  test(`branches in ${bits} bits are foretold only when sure, and keep the values that take them`, () => {
    fc.assert(
      fc.property(values, values, fc.constantFrom(...CONDITIONS), (xs, ys, [op, holds]) => {
        const known = scalarTaken(abstract(xs), 0, abstract(ys), 0, op, bits === 32)
        const x = abstract(xs)
        const y = abstract(ys)
        refine(x, 0, y, 0, op, bits === 32)
        sync(x.m, 0)
        sync(y.m, 0)
        for (const a of xs)
          for (const b of ys) {
            const outcome = holds(BigInt.asUintN(bits, a), BigInt.asUintN(bits, b), bits)
            if (known >= 0) expect(outcome).toBe(known === 1)
            if (outcome) {
              expect(contains(x, a)).toBe(true)
              expect(contains(y, b)).toBe(true)
            }
          }
      }),
      { numRuns: 4000 },
    )
  })

test('every pair of 4-bit ranges: add, sub, and, or, xor, mul', () => {
  const ranges: bigint[][] = []
  for (let low = -8n; low < 8n; low++)
    for (let high = low; high < 8n; high += 3n) {
      const row: bigint[] = []
      for (let v = low; v <= high; v++) row.push(v)
      ranges.push(row)
    }
  for (const [, op, concrete] of OPERATIONS)
    for (const xs of ranges)
      for (const ys of ranges) {
        const x = abstract(xs)
        A.scalarAlu(x, 0, abstract(ys), 0, op, false)
        for (const a of xs)
          for (const b of ys) if (!contains(x, u64(concrete(a, b)))) expect([op, xs, ys]).toBe('sound')
      }
})
