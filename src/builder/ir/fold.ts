import type { AluOperation, Comparison, Width } from './ops.ts'

const MASK64 = (1n << 64n) - 1n
const mask = (width: Width): bigint => (width === 64 ? MASK64 : 0xffff_ffffn)

/** What the kernel computes for `a op b` at a width: RFC 9669 (division by zero gives 0, remainder by zero the dividend, shift counts are masked). */
export function foldAlu(alu: AluOperation, width: Width, a: bigint, b: bigint): bigint {
  const m = mask(width)
  const x = a & m
  const y = b & m
  const shift = y & BigInt(width - 1)
  const sx = BigInt.asIntN(width, x)
  const sy = BigInt.asIntN(width, y)
  switch (alu) {
    case 'add':
      return (x + y) & m
    case 'sub':
      return (x - y) & m
    case 'mul':
      return (x * y) & m
    case 'div':
      return y === 0n ? 0n : x / y
    case 'mod':
      return y === 0n ? x : x % y
    case 'sdiv':
      return sy === 0n ? 0n : BigInt.asUintN(width, sx / sy)
    case 'smod':
      return sy === 0n ? x : BigInt.asUintN(width, sx % sy)
    case 'or':
      return x | y
    case 'and':
      return x & y
    case 'xor':
      return x ^ y
    case 'lsh':
      return (x << shift) & m
    case 'rsh':
      return x >> shift
    case 'arsh':
      return BigInt.asUintN(width, sx >> shift)
  }
}

/** The outcome of a comparison of two constants. */
export function foldComparison(cmp: Comparison, width: Width, a: bigint, b: bigint): boolean {
  const x = a & mask(width)
  const y = b & mask(width)
  const sx = BigInt.asIntN(width, x)
  const sy = BigInt.asIntN(width, y)
  switch (cmp) {
    case 'eq':
      return x === y
    case 'ne':
      return x !== y
    case 'gt':
      return x > y
    case 'ge':
      return x >= y
    case 'lt':
      return x < y
    case 'le':
      return x <= y
    case 'sgt':
      return sx > sy
    case 'sge':
      return sx >= sy
    case 'slt':
      return sx < sy
    case 'sle':
      return sx <= sy
    case 'set':
      return (x & y) !== 0n
  }
}

export function swapBytes(bits: 16 | 32 | 64, value: bigint): bigint {
  let out = 0n
  for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((value >> BigInt(i)) & 0xffn)
  return out
}

/** The upper bound of `a op b` when `a` and `b` are at most these. */
export function boundOf(alu: AluOperation, width: Width, a: bigint, b: bigint, constantB: boolean): bigint {
  const m = mask(width)
  const cap = (value: bigint): bigint => (value > m ? m : value)
  const bits = (value: bigint): bigint => (1n << BigInt(value.toString(2).length)) - 1n
  switch (alu) {
    case 'add':
      return cap(a + b)
    case 'mul':
      return cap(a * b)
    case 'and':
      return a < b ? cap(a) : cap(b)
    case 'or':
    case 'xor':
      return cap(bits(a > b ? a : b))
    case 'rsh':
      return constantB ? cap(a) >> (b & BigInt(width - 1)) : cap(a)
    case 'lsh':
      return constantB ? cap(a << (b & BigInt(width - 1))) : m
    case 'div':
      return constantB && b > 0n ? cap(a) / b : cap(a)
    case 'mod':
      return constantB && b > 0n ? (cap(a) < b - 1n ? cap(a) : b - 1n) : cap(a)
    default:
      return m
  }
}
