import { buildError, type FunctionContext } from '../context.ts'
import { constant, isConst, type Operand } from '../ir/ops.ts'
import { u32 } from '../types/types.ts'
import { Int, operandOf } from '../values/int.ts'
import { callback } from './closure.ts'
import { helper } from './helper-calls.ts'
import { numbers } from './iterators.ts'

/**
 * What a counted loop becomes. `unrolled`: the body again and again (constant counts). `bounded`: a jump back, which the
 * verifier walks round by round (Linux 5.3). `callback`: bpf_loop (5.17), `iterator`: bpf_iter_num (6.4): the verifier
 * looks at the body until nothing new comes, whatever the count.
 */
export type LoopForm = 'unrolled' | 'bounded' | 'callback' | 'iterator'
export interface RangeOptions {
  /** No more rounds than this. */
  readonly max: number
  readonly as?: LoopForm
}
type Round = (i: Int<'u32'>) => void

/** Up to this many rounds the verifier walks through them: the code is smallest and fastest. */
const WALKED = 1024

function chosen(fn: FunctionContext, max: number, isConstant: boolean): LoopForm {
  const { unit } = fn
  if (!unit.atLeast(5, 3)) return isConstant ? 'unrolled' : 'bounded'
  if (max <= WALKED) return 'bounded'
  // the verifier of Linux 6.18 does not survive iterators inside some callbacks
  if (unit.atLeast(6, 4) && fn.closure === undefined) return 'iterator'
  return unit.atLeast(5, 17) ? 'callback' : 'bounded'
}

export function range(
  fn: FunctionContext,
  count: number | Int<'u32'>,
  options: Partial<RangeOptions>,
  body: Round,
): void {
  const isConstant = typeof count === 'number'
  const whole = (value: number | undefined): value is number =>
    value !== undefined && Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff
  if (isConstant && !whole(count)) throw buildError('build.range', `b.range(${count})`, 'give a whole number of rounds')
  const max = isConstant ? count : options.max
  if (!whole(max))
    throw buildError('build.range', 'b.range without max', 'bound the count: b.range(count, { max: 64 }, …)')
  if (max === 0) return
  const form = options.as ?? chosen(fn, max, isConstant)
  switch (form) {
    case 'unrolled':
      if (!isConstant) throw buildError('build.range', 'a running count cannot be unrolled', 'give a constant count')
      unrolled(fn, count, body)
      return
    case 'bounded':
      if (isConstant) bounded(fn, count, body)
      else boundedBy(fn, operandOf(fn, u32, count), max, body)
      return
    case 'callback':
      callbackLoop(fn, isConstant ? constant(count) : atMost(fn, operandOf(fn, u32, count), max), body)
      return
    case 'iterator':
      if (fn.closure !== undefined)
        throw buildError(
          'build.range',
          "b.range as 'iterator' inside a callback: the verifier of Linux 6.18 does not survive some of these",
          "leave out as: 'iterator', or write as: 'bounded' or 'callback'",
        )
      numbers(fn, isConstant ? constant(count) : atMost(fn, operandOf(fn, u32, count), max), body)
  }
}

/** min(count, max) */
function atMost(fn: FunctionContext, count: Operand, max: number): Operand {
  const { emitter } = fn
  if (isConst(count) || emitter.bound(count) <= BigInt(max)) return count
  const limit = emitter.variable(count, 0xffff_ffffn)
  const { site } = emitter
  emitter.choose({ kind: 'compare', cmp: 'gt', width: 64, a: count, b: constant(max), site }, () =>
    emitter.setVariable(limit, constant(max)),
  )
  return emitter.getVariable(limit)
}

function unrolled(fn: FunctionContext, count: number, body: Round): void {
  fn.emitter.rounds(count, (i) => body(new Int(u32, constant(i), fn)))
}

function bounded(fn: FunctionContext, count: number, body: Round): void {
  fn.unit.need(5, 3, 'a loop', 'unroll it: b.range(count, { as: "unrolled" }, …)')
  const { emitter } = fn
  const i = emitter.variable(constant(0), BigInt(count))
  emitter.repeat(
    () => body(new Int(u32, emitter.getVariable(i), fn)),
    () => {
      const next = emitter.alu('add', 64, emitter.getVariable(i), constant(1))
      emitter.setVariable(i, next)
      return { kind: 'compare', cmp: 'ne', width: 64, a: next, b: constant(count), site: emitter.site }
    },
  )
}

function boundedBy(fn: FunctionContext, limit: Operand, max: number, body: Round): void {
  fn.unit.need(5, 3, 'a loop', 'use a constant count')
  const { emitter } = fn
  const i = emitter.variable(constant(0), BigInt(max))
  emitter.loop(
    () => {
      const now = emitter.getVariable(i)
      const { site } = emitter
      return {
        kind: 'and',
        left: { kind: 'compare', cmp: 'lt', width: 64, a: now, b: constant(max), site },
        right: () => ({ kind: 'compare', cmp: 'lt', width: 64, a: now, b: limit, site }),
      }
    },
    () => body(new Int(u32, emitter.getVariable(i), fn)),
    () => emitter.setVariable(i, emitter.alu('add', 64, emitter.getVariable(i), constant(1))),
  )
}

export function callbackLoop(fn: FunctionContext, count: Operand, body: Round): void {
  const target = helper('loop')
  const { emitter } = fn
  if (isConst(count) && count.value === 0n) return
  const { address, finish } = callback(fn, 'loop', [{ name: 'i', type: u32 }], (inner, [i]) => {
    inner.emitter.narrow(i, 0x7f_ffffn)
    body(new Int(u32, i, inner))
  })
  const loop = (): void => {
    finish((memory) => emitter.call(target, [count, address, memory, constant(0)]))
  }
  // Linux 6.18 drops a callback that the verifier knows is never called, and then misses it where the call names it
  if (isConst(count)) loop()
  else emitter.choose({ kind: 'compare', cmp: 'ne', width: 64, a: count, b: constant(0), site: emitter.site }, loop)
}
