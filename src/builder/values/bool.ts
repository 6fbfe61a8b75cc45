import { buildError, building, type FunctionContext, here, inside } from '../context.ts'
import type { Condition } from '../ir/emitter.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { Value } from './value.ts'

/**
 * A condition of the running program. `and` and `or` with a function evaluate their right side only when needed.
 * A host `if (bool)` cannot see it: use `b.if`.
 */
export class Bool extends Value {
  declare private readonly brand: 'Bool'
  readonly owner: FunctionContext | undefined
  readonly condition: Condition

  constructor(condition: Condition, owner: FunctionContext | undefined) {
    super()
    this.condition = condition
    this.owner = owner
  }

  and(other: Bool | (() => Bool)): Bool {
    return new Bool({ kind: 'and', left: this.condition, right: lazily(other) }, ownerOf(this, other))
  }
  or(other: Bool | (() => Bool)): Bool {
    return new Bool({ kind: 'or', left: this.condition, right: lazily(other) }, ownerOf(this, other))
  }
  not(): Bool {
    return new Bool({ kind: 'not', of: this.condition }, this.owner)
  }
  xor(other: Bool): Bool {
    return this.and(other.not()).or(this.not().and(other))
  }
}

const ownerOf = (left: Bool, right: Bool | (() => Bool)): FunctionContext | undefined =>
  left.owner ?? (typeof right === 'function' ? undefined : right.owner)

function lazily(other: Bool | (() => Bool)): () => Condition {
  return () => conditionOf(typeof other === 'function' ? other() : other)
}

/** The condition of what a user passed where a Bool is expected. */
export function conditionOf(value: unknown): Condition {
  if (value instanceof Bool) {
    const fn = inside()
    const { owner } = value
    if (owner === undefined || fn === undefined || owner === fn) return value.condition
    // a condition from around a callback: decided there
    const made = building(owner, () => boolOperand(value))
    return { kind: 'compare', cmp: 'ne', width: 64, a: fn.reach(owner, made), b: constant(0), site: fn.emitter.site }
  }
  if (typeof value === 'boolean') return { kind: 'constant', value }
  throw buildError(
    'build.condition',
    'a condition is a comparison of BPF values such as x.eq(5)',
    'compare integers with .eq(), .ne(), .lt() …; test a bit with .hasBits(mask)',
  )
}

/** 0 or 1 as a register. */
export function boolOperand(value: Bool): Operand {
  const { emitter } = here('a condition as a number')
  const { condition } = value
  if (condition.kind === 'constant') return constant(condition.value ? 1 : 0)
  const result = emitter.variable(constant(0), 1n)
  emitter.choose(condition, () => emitter.setVariable(result, constant(1)))
  return emitter.getVariable(result)
}
