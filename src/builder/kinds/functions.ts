import { UsageError } from '../../errors/index.ts'
import { buildError, building, FunctionContext, here } from '../context.ts'
import type { IntName } from '../types/forms.ts'
import type { IntType } from '../types/types.ts'
import { canonical, Int, type Like, operandOf } from '../values/int.ts'
import { Body } from './body.ts'
import { type Arguments, bpfParameter, type Parameters, type Passed, passed, received } from './parameters.ts'

class FunctionBody<R> extends Body<R> {}

export type { FunctionBody }

/** What a function gives: an integer of a type, or nothing. */
export type FunctionResult = IntType | 'void'
type Given<R> = R extends IntType<infer N> ? Like<N> : undefined
/** What its code may end with. */
type Ending<R> = R extends IntType<infer N> ? Like<N> : unknown
type Result<R> = R extends IntType<infer N> ? Int<N> : undefined

/** A BPF function: compiled once, called from several places. Linux 4.16; `global` 5.6. */
export type BpfFunction<P extends Parameters, R extends FunctionResult> = (args: Passed<P>) => Result<R>

/**
 * Defines a function that programs call: `const mix = fn('mix', { a: u32 }, u32, (b, { a }) => a.mul(31))`, then
 * `mix({ a: x })`. Five parameters at most: integers, memory (`ref(Struct)`), the context (`context`), kernel objects.
 * Memory of a global function may be missing: it is a Maybe there. A plain TypeScript function is inlined instead.
 */
export function fn<const P extends Parameters, const R extends FunctionResult, const G extends boolean = false>(
  name: string,
  params: P,
  result: R,
  build: (b: FunctionBody<Given<R>>, args: Arguments<P, G>) => Ending<R>,
  options: { readonly global?: G } = {},
): BpfFunction<P, R> {
  const entries = Object.entries(params)
  if (entries.length > 5)
    throw new UsageError('build.parameters', `${name}: ${entries.length} parameters`, {
      details: ['a BPF function takes five; pass more in a struct: ref(Struct)'],
    })
  const isGlobal = options.global === true
  return (args) => {
    const caller = here(name)
    const { unit } = caller
    if (isGlobal) unit.need(5, 6, 'a global function')
    const known = unit.functions.get(name)
    if (known === undefined) {
      const inner = new FunctionContext(unit, name, (context, code) =>
        result === 'void' ? undefined : operandOf(context, result, code as Like<IntName>),
      )
      unit.functions.set(name, {
        name,
        linkage: isGlobal ? 'global' : 'static',
        fn: inner,
        params: entries.map(([param, type]) => ({ name: param, type: bpfParameter(type) })),
        result,
      })
      building(inner, () => {
        const own = Object.fromEntries(entries.map(([param, type]) => [param, received(inner, type, isGlobal)]))
        const value = build(new FunctionBody<Given<R>>(), own as Arguments<P, G>)
        if (!inner.emitter.isOpen) return
        if (result !== 'void' && value === undefined)
          throw buildError('build.return', `${name}: a path returns nothing`, 'return a value')
        inner.leave(value)
      })
    } else if (known.result !== result)
      throw buildError('build.function-name', `two functions are named "${name}"`, 'give each a name of its own')
    const operands = entries.map(([param, type]) =>
      passed(caller, param, type, (args as Record<string, unknown>)[param]),
    )
    const { emitter } = caller
    const moved = unit.functions.get(name)?.fn.emitter.packetMoved ?? false
    const raw = emitter.call({ kind: 'function', name }, operands, { result: result !== 'void', changesPacket: moved })
    if (moved) emitter.packetChanged()
    // memory that was passed may be any memory of the caller
    if (entries.some(([, type]) => type.kind === 'memory')) emitter.touchAll()
    if (result === 'void') return undefined as Result<R>
    return new Int(result, canonical(emitter, result.id, raw), caller) as Result<R>
  }
}
