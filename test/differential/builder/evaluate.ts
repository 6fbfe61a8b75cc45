import {
  type Condition,
  type Expression,
  type GeneratedProgram,
  INTS,
  type IntId,
  type Statement,
  usesPlaces,
  VARIABLES,
  wrap,
} from './language.ts'
import { type Kept, READS, seenState, state0, TESTS, WRITES } from './places.ts'

/** What a run gives: the result, or undefined when the program left early. */
export type Outcome = bigint | undefined
/** Thrown where the program leaves. */
class Left extends Error {}

/** What a run of the program must give: a direct evaluation of the same trees. `cells` and `kept` are maps, which runs change. */
export function evaluate(program: GeneratedProgram, input: Uint8Array, cells: bigint[], kept: Kept): Outcome {
  const view = new DataView(input.buffer, input.byteOffset, input.length)
  const variables = VARIABLES.map((type, i) => readInput(view, type, i))
  const members = VARIABLES.map(() => 0n)
  const elements = [1n, 2n, 3n, 4n]
  const state = state0(input, kept)

  const value = (e: Expression): bigint => {
    switch (e.k) {
      case 'literal':
        return e.value
      case 'input':
        return readInput(view, e.type, e.index)
      case 'variable':
        return variables[e.index]
      case 'member':
        return members[e.index]
      case 'unary':
        return wrap(e.type, e.op === 'not' ? ~value(e.a) : -value(e.a))
      case 'convert':
        return wrap(e.type, value(e.a))
      case 'swapped': {
        const { bits } = INTS[e.type]
        const a = value(e.a)
        let out = 0n
        for (let i = 0; i < bits; i += 8) out = (out << 8n) | ((a >> BigInt(i)) & 0xffn)
        return out
      }
      case 'select': {
        const a = value(e.a)
        const b = value(e.b)
        return holds(e.condition) ? a : b
      }
      case 'element':
        return elements[Number(value(e.index) & 3n)]
      case 'place':
        return READS[e.op].evaluate(state, e.n, value(e.a))
      case 'binary':
        return wrap(e.type, binary(e.type, e.op, value(e.a), value(e.b)))
    }
  }
  const holds = (c: Condition): boolean => {
    switch (c.k) {
      case 'not':
        return !holds(c.a)
      case 'place':
        return TESTS[c.op].evaluate(state, c.n, value(c.a))
      case 'and':
        return holds(c.a) && holds(c.b)
      case 'or':
        return holds(c.a) || holds(c.b)
      case 'compare': {
        const a = value(c.a)
        const b = value(c.b)
        switch (c.op) {
          case 'eq':
            return a === b
          case 'ne':
            return a !== b
          case 'gt':
            return a > b
          case 'ge':
            return a >= b
          case 'lt':
            return a < b
          case 'le':
            return a <= b
          case 'hasBits':
            return BigInt.asUintN(64, a & b) !== 0n
        }
      }
    }
  }
  const run = (list: readonly Statement[]): void => {
    for (const s of list)
      switch (s.k) {
        case 'set':
          variables[s.index] = value(s.value)
          break
        case 'store':
          members[s.index] = value(s.value)
          break
        case 'element':
          elements[s.index] = value(s.value)
          break
        case 'call':
          variables[1] = wrap('u64', value(s.value) * 3n + variables[1])
          break
        case 'place': {
          const first = value(s.a)
          WRITES[s.op].evaluate(state, s.n, first, value(s.c))
          break
        }
        case 'while':
          for (let round = 0; round < s.count && holds(s.condition); round++) run(s.body)
          break
        case 'times': {
          const count = value(s.count) & 3n
          for (let i = 0n; i < count; i++) {
            variables[0] ^= i
            run(s.body)
          }
          break
        }
        case 'atomic': {
          const before = members[1]
          const operand = value(s.value)
          members[1] = wrap(
            'u64',
            { add: before + operand, or: before | operand, and: before & operand, xor: before ^ operand }[s.op],
          )
          if (s.fetch) variables[1] = before
          break
        }
        case 'if':
          run(holds(s.condition) ? s.yes : s.no)
          break
        case 'switch': {
          const v = value(s.value)
          const found = s.cases.find(([n]) => BigInt(n) === v)
          run(found ? found[1] : s.otherwise)
          break
        }
        case 'cell': {
          const index = Number(value(s.cell) & 3n)
          const next = value(s.value)
          variables[1] = cells[index]
          cells[index] = wrap('u64', cells[index] * 3n + next)
          break
        }
        case 'function': {
          const a = value(s.value)
          const c = value(s.other)
          variables[1] = a > c ? wrap('u64', a * 31n + c) : a ^ 0xffn
          break
        }
        case 'poke': {
          const v = value(s.value)
          members[1] = wrap('u64', members[1] * 5n + v)
          if (v >= 1000n) elements[2] = wrap('u32', v)
          break
        }
        case 'each': {
          const outside = value(s.value)
          for (let i = 0; i < 4; i++) {
            variables[1] = wrap('u64', variables[1] + ((BigInt(i) * 7n) ^ cells[i]) + outside)
            if (s.stop && holds(s.stop)) break
            if (s.quit && holds(s.quit)) throw new Left()
          }
          break
        }
        case 'loop':
          for (let i = 0; i < s.count; i++) {
            variables[0] = wrap('u32', variables[0] + BigInt(i))
            if (s.quit && holds(s.quit)) throw new Left()
            if (s.leave && holds(s.leave)) break
            if (s.skip && holds(s.skip)) continue
            run(s.body)
          }
      }
  }
  try {
    run(program.statements)
  } catch (error) {
    if (error instanceof Left) return undefined
    throw error
  }
  let result = 0n
  VARIABLES.forEach((_, i) => {
    result = wrap('u64', result * 31n + wrap('u64', variables[i]))
    result = wrap('u64', result * 31n + wrap('u64', members[i]))
  })
  for (const element of elements) result = wrap('u64', result * 31n + element)
  if (usesPlaces(program.statements)) for (const number of seenState(state)) result = wrap('u64', result * 31n + number)
  return result
}

export function readInput(view: DataView, type: IntId, index: number): bigint {
  return wrap(type, view.getBigUint64(8 * index, true))
}

function binary(type: IntId, op: string, a: bigint, b: bigint): bigint {
  const { bits } = INTS[type]
  const width = bits === 64 ? 64n : 32n
  switch (op) {
    case 'add':
      return a + b
    case 'sub':
      return a - b
    case 'mul':
      return a * b
    case 'div':
      return b === 0n ? 0n : a / b
    case 'mod':
      return b === 0n ? a : a % b
    case 'and':
      return a & b
    case 'or':
      return a | b
    case 'xor':
      return a ^ b
    case 'shl':
      return a << (BigInt.asUintN(64, b) & (width - 1n))
    case 'shr':
      return a >> (BigInt.asUintN(64, b) & (width - 1n))
    case 'min':
      return a < b ? a : b
    default:
      return a > b ? a : b
  }
}
