import fc from 'fast-check'
import { READS, TESTS, WRITES } from './places.ts'

/** The language of generated programs: expression trees and statements over the builder's own operations. */
export type IntId = 'u8' | 'u16' | 'u32' | 'u64' | 'i8' | 'i16' | 'i32' | 'i64'
export const INTS: Record<IntId, { bits: number; signed: boolean }> = {
  u8: { bits: 8, signed: false },
  u16: { bits: 16, signed: false },
  u32: { bits: 32, signed: false },
  u64: { bits: 64, signed: false },
  i8: { bits: 8, signed: true },
  i16: { bits: 16, signed: true },
  i32: { bits: 32, signed: true },
  i64: { bits: 64, signed: true },
}
export const IDS = Object.keys(INTS) as IntId[]
/** The program's variables, and members of its struct on the stack. */
export const VARIABLES: readonly IntId[] = ['u32', 'u64', 'i32', 'u16', 'i64', 'u8']
/** Bytes of input that expressions read, by type, at 8 × index. */
export const INPUTS = 6

export type Binary = 'add' | 'sub' | 'mul' | 'div' | 'mod' | 'and' | 'or' | 'xor' | 'shl' | 'shr' | 'min' | 'max'
export type Compare = 'eq' | 'ne' | 'gt' | 'ge' | 'lt' | 'le' | 'hasBits'
export type Expression =
  | { k: 'literal'; type: IntId; value: bigint }
  | { k: 'input'; type: IntId; index: number }
  | { k: 'variable'; type: IntId; index: number }
  | { k: 'member'; type: IntId; index: number }
  | { k: 'binary'; type: IntId; op: Binary; a: Expression; b: Expression }
  | { k: 'unary'; type: IntId; op: 'not' | 'neg'; a: Expression }
  | { k: 'convert'; type: IntId; from: IntId; a: Expression }
  | { k: 'swapped'; type: IntId; a: Expression }
  | { k: 'select'; type: IntId; condition: Condition; a: Expression; b: Expression }
  | { k: 'element'; type: 'u32'; index: Expression }
  /** A read of memory by a row of places.ts. */
  | { k: 'place'; type: IntId; op: string; n: number; a: Expression }
export type Condition =
  | { k: 'place'; op: string; n: number; a: Expression }
  | { k: 'compare'; type: IntId; op: Compare; a: Expression; b: Expression }
  | { k: 'and' | 'or'; a: Condition; b: Condition; lazy: boolean }
  | { k: 'not'; a: Condition }
export type Statement =
  | { k: 'set'; index: number; value: Expression }
  | { k: 'store'; index: number; value: Expression }
  | { k: 'element'; index: number; value: Expression }
  | { k: 'if'; condition: Condition; yes: Statement[]; no: Statement[] }
  | {
      k: 'loop'
      form: LoopForm
      count: number
      body: Statement[]
      leave?: Condition
      skip?: Condition
      quit?: Condition
    }
  /** Every entry of the map, added to a variable; ends when the condition holds. */
  | { k: 'each'; stop?: Condition; quit?: Condition; value: Expression }
  /** An entry of the map: read into a variable, then written. */
  | { k: 'cell'; cell: Expression; value: Expression }
  | { k: 'function'; value: Expression; other: Expression }
  | { k: 'poke'; value: Expression }
  | { k: 'switch'; value: Expression; cases: [number, Statement[]][]; otherwise: Statement[] }
  /** A write of memory by a row of places.ts. */
  | { k: 'place'; op: string; n: number; a: Expression; c: Expression }
  /** Rounds as long as the condition holds, at most `count`. */
  | { k: 'while'; count: number; condition: Condition; body: Statement[] }
  /** Rounds by a running number. */
  | { k: 'times'; count: Expression; form: LoopForm; body: Statement[] }
  | { k: 'atomic'; index: number; op: 'add' | 'or' | 'and' | 'xor'; fetch: boolean; value: Expression }
  | { k: 'call'; index: number; value: Expression }
export const FORMS = ['bounded', 'unrolled', 'callback', 'iterator'] as const
export type LoopForm = (typeof FORMS)[number]
export interface GeneratedProgram {
  readonly statements: Statement[]
  readonly inputs: readonly Uint8Array[]
}

/** Whether the program uses the memory of places.ts. */
export function usesPlaces(node: unknown): boolean {
  if (typeof node !== 'object' || node === null) return false
  return (node as { k?: unknown }).k === 'place' || Object.values(node).some(usesPlaces)
}

const INTERESTING = [
  0n,
  1n,
  2n,
  3n,
  7n,
  8n,
  31n,
  63n,
  127n,
  128n,
  255n,
  256n,
  32767n,
  32768n,
  65535n,
  0x7fffffffn,
  0x80000000n,
  0xffffffffn,
]
export const wrap = (type: IntId, value: bigint): bigint =>
  INTS[type].signed ? BigInt.asIntN(INTS[type].bits, value) : BigInt.asUintN(INTS[type].bits, value)

const literalOf = (type: IntId): fc.Arbitrary<Expression> =>
  fc
    .oneof(
      { weight: 3, arbitrary: fc.constantFrom(...INTERESTING) },
      { weight: 2, arbitrary: fc.bigInt(0n, 40n) },
      { weight: 1, arbitrary: fc.bigInt(0n, (1n << 64n) - 1n) },
    )
    .chain((value) => fc.constantFrom(value, -value))
    .map((value) => ({ k: 'literal', type, value: wrap(type, value) }) as Expression)

const BINARY: readonly Binary[] = ['add', 'sub', 'mul', 'div', 'mod', 'and', 'or', 'xor', 'shl', 'shr', 'min', 'max']
const COMPARE: readonly Compare[] = ['eq', 'ne', 'gt', 'ge', 'lt', 'le', 'hasBits']

const cache = new Map<string, fc.Arbitrary<Expression>>()
export function expression(type: IntId, depth: number): fc.Arbitrary<Expression> {
  const key = `${type}${depth}`
  const known = cache.get(key)
  if (known !== undefined) return known
  const leaf: fc.Arbitrary<Expression>[] = [
    literalOf(type),
    fc.nat(INPUTS - 1).map((index) => ({ k: 'input', type, index })),
  ]
  VARIABLES.forEach((id, index) => {
    if (id === type) {
      leaf.push(fc.constant({ k: 'variable', type, index }))
      leaf.push(fc.constant({ k: 'member', type, index }))
    }
  })
  let made: fc.Arbitrary<Expression>
  if (depth <= 0) made = fc.oneof(...leaf)
  else {
    const inner = (of: IntId): fc.Arbitrary<Expression> => expression(of, depth - 1)
    const { bits } = INTS[type]
    const more: fc.Arbitrary<Expression>[] = [
      ...leaf,
      fc
        .tuple(fc.constantFrom(...BINARY), inner(type), inner(type))
        .map(([op, a, b]) => ({ k: 'binary', type, op, a, b })),
      fc
        .tuple(fc.constantFrom(...BINARY), inner(type), literalOf(type))
        .map(([op, a, b]) => ({ k: 'binary', type, op, a, b })),
      fc.tuple(fc.constantFrom('not', 'neg'), inner(type)).map(([op, a]) => ({ k: 'unary', type, op: op as 'not', a })),
      fc.constantFrom(...IDS).chain((from) => inner(from).map((a): Expression => ({ k: 'convert', type, from, a }))),
      fc
        .tuple(condition(depth - 1), inner(type), inner(type))
        .map(([c, a, b]) => ({ k: 'select', type, condition: c, a, b })),
    ]
    if (bits > 8 && !INTS[type].signed) more.push(inner(type).map((a) => ({ k: 'swapped', type, a })))
    const reads = Object.keys(READS).filter((name) => READS[name].type === type)
    if (reads.length > 0)
      more.push(
        fc
          .tuple(fc.constantFrom(...reads), fc.nat(30), inner('u64'))
          .map(([op, n, a]) => ({ k: 'place', type, op, n, a })),
      )
    if (type === 'u32') more.push(inner('u32').map((index) => ({ k: 'element', type: 'u32', index })))
    made = fc.oneof(...more)
  }
  cache.set(key, made)
  return made
}
export function condition(depth: number): fc.Arbitrary<Condition> {
  const compare = fc
    .constantFrom(...IDS)
    .chain((type) =>
      fc
        .tuple(
          fc.constantFrom(...COMPARE),
          expression(type, Math.max(0, depth - 1)),
          expression(type, Math.max(0, depth - 2)),
        )
        .map(([op, a, b]): Condition => ({ k: 'compare', type, op, a, b })),
    )
  if (depth <= 0) return compare
  return fc.oneof(
    { weight: 3, arbitrary: compare },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom('and', 'or'), condition(depth - 1), condition(depth - 1), fc.boolean())
        .map(([k, a, b, lazy]): Condition => ({ k: k as 'and', a, b, lazy })),
    },
    { weight: 1, arbitrary: condition(depth - 1).map((a): Condition => ({ k: 'not', a })) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constantFrom(...Object.keys(TESTS)), fc.nat(30), expression('u64', depth - 1))
        .map(([op, n, a]): Condition => ({ k: 'place', op, n, a })),
    },
  )
}
export function statements(depth: number, inLoop: boolean): fc.Arbitrary<Statement[]> {
  const simple: fc.Arbitrary<Statement> = fc.nat(VARIABLES.length - 1).chain((index) =>
    fc.oneof(
      { weight: 3, arbitrary: expression(VARIABLES[index], 3).map((value): Statement => ({ k: 'set', index, value })) },
      {
        weight: 2,
        arbitrary: expression(VARIABLES[index], 2).map((value): Statement => ({ k: 'store', index, value })),
      },
      {
        weight: 3,
        arbitrary: fc
          .tuple(fc.constantFrom(...Object.keys(WRITES)), fc.nat(30), expression('u64', 2), expression('u64', 1))
          .map(([op, n, a, c]): Statement => ({ k: 'place', op, n, a, c })),
      },
      {
        weight: 1,
        arbitrary: expression('u32', 1).map((value): Statement => ({ k: 'element', index: index % 4, value })),
      },
      { weight: 1, arbitrary: expression('u64', 2).map((value): Statement => ({ k: 'call', index: 1, value })) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(expression('u32', 1), expression('u64', 1))
          .map(([cell, value]): Statement => ({ k: 'cell', cell, value })),
      },
      {
        weight: 1,
        arbitrary: fc
          .tuple(expression('u64', 1), expression('u32', 1))
          .map(([value, other]): Statement => ({ k: 'function', value, other })),
      },
      { weight: 1, arbitrary: expression('u64', 1).map((value): Statement => ({ k: 'poke', value })) },
      {
        weight: 1,
        arbitrary: fc
          .tuple(fc.constantFrom('add', 'or', 'and', 'xor'), fc.boolean(), expression('u64', 1))
          .map(([op, fetch, value]): Statement => ({ k: 'atomic', index: 1, op: op as 'add', fetch, value })),
      },
    ),
  )
  if (depth <= 0) return fc.array(simple, { minLength: 1, maxLength: 3 })
  const inner = statements(depth - 1, inLoop)
  const branch: fc.Arbitrary<Statement> = fc
    .tuple(condition(2), inner, fc.oneof(fc.constant<Statement[]>([]), inner))
    .map(([c, yes, no]) => ({ k: 'if', condition: c, yes, no }))
  const choice: fc.Arbitrary<Statement> = fc
    .tuple(
      expression('u32', 1),
      fc.uniqueArray(fc.tuple(fc.nat(9), inner), { maxLength: 3, selector: ([n]) => n }),
      inner,
    )
    .map(([value, cases, otherwise]) => ({ k: 'switch', value, cases, otherwise }))
  const loop: fc.Arbitrary<Statement> = fc
    .tuple(
      fc.integer({ min: 1, max: 5 }),
      statements(depth - 1, true),
      fc.option(condition(1), { nil: undefined }),
      fc.option(condition(1), { nil: undefined }),
      fc.option(condition(1), { nil: undefined, freq: 2 }),
      fc.constantFrom(...FORMS),
    )
    .map(([count, body, leave, skip, quit, form]) => ({ k: 'loop', form, count, body, leave, skip, quit }))
  const short = statements(depth - 1, true)
  const whilst: fc.Arbitrary<Statement> = fc
    .tuple(fc.integer({ min: 1, max: 4 }), condition(1), short)
    .map(([count, condition, body]) => ({ k: 'while', count, condition, body }))
  const times: fc.Arbitrary<Statement> = fc
    .tuple(expression('u32', 1), fc.constantFrom('bounded', 'callback', 'iterator'), short)
    .map(([count, form, body]) => ({ k: 'times', count, form: form as LoopForm, body }))
  const each: fc.Arbitrary<Statement> = fc
    .tuple(
      fc.option(condition(1), { nil: undefined }),
      fc.option(condition(1), { nil: undefined, freq: 2 }),
      expression('u64', 1),
    )
    .map(([stop, quit, value]) => ({ k: 'each', stop, quit, value }))
  const all = inLoop
    ? fc.oneof({ weight: 9, arbitrary: simple }, branch, choice, each, loop)
    : fc.oneof({ weight: 6, arbitrary: simple }, branch, choice, loop, whilst, times, each)
  return fc.array(all, { minLength: 1, maxLength: 4 })
}
const input = fc.oneof(
  fc.uint8Array({ minLength: 64, maxLength: 64 }),
  fc.array(fc.constantFrom(...INTERESTING), { minLength: 8, maxLength: 8 }).map((values) => {
    const bytes = new Uint8Array(64)
    const view = new DataView(bytes.buffer)
    values.forEach((value, i) => {
      view.setBigUint64(8 * i, BigInt.asUintN(64, i % 2 === 0 ? value : -value), true)
    })
    return bytes
  }),
)
export const generated: fc.Arbitrary<GeneratedProgram> = fc
  .tuple(statements(2, false), fc.array(input, { minLength: 3, maxLength: 3 }))
  .map(([list, inputs]) => ({ statements: list, inputs }))
