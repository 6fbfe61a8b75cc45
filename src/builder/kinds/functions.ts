import { UsageError } from '../../errors/index.ts'
import { buildError, building, FunctionContext, here } from '../context.ts'
import type { IntName } from '../types/forms.ts'
import type { IntType } from '../types/types.ts'
import { canonical, Int, type Like, operandOf } from '../values/int.ts'
import { Body, maxOf } from './body.ts'

type Params = { readonly [name: string]: IntType }
type Arguments<P extends Params> = { [K in keyof P]: P[K] extends IntType<infer N> ? Int<N> : never }
type Likes<P extends Params> = { [K in keyof P]: P[K] extends IntType<infer N> ? Like<N> : never }

class FunctionBody<N extends IntName> extends Body<Like<N>> {}

export type { FunctionBody }

/** A BPF function of integers: compiled once, called from several places. Linux 4.16; `global` 5.6. */
export type BpfFunction<P extends Params, N extends IntName> = (args: Likes<P>) => Int<N>

/**
 * Defines a function that programs call: `const mix = fn('mix', { a: u32 }, u32, (b, { a }) => a.mul(31))`, then
 * `mix({ a: x })`. Five parameters at most. A plain TypeScript function is inlined instead.
 */
export function fn<const P extends Params, N extends IntName>(
  name: string,
  params: P,
  result: IntType<N>,
  build: (b: FunctionBody<N>, args: Arguments<P>) => Like<N>,
  options: { readonly global?: boolean } = {},
): BpfFunction<P, N> {
  const entries = Object.entries(params) as [string, IntType][]
  if (entries.length > 5)
    throw new UsageError('build.parameters', `${name}: ${entries.length} parameters`, {
      details: ['a BPF function takes five; pass more in a map'],
    })
  return (args) => {
    const caller = here(name)
    const { unit } = caller
    if (options.global) unit.need(5, 6, 'a global function')
    if (!unit.functions.has(name)) {
      const inner = new FunctionContext(unit, name, (context, code) => operandOf(context, result, code as Like<N>))
      unit.functions.set(name, {
        name,
        linkage: options.global ? 'global' : 'static',
        fn: inner,
        params: entries.map(([param, type]) => ({ name: param, type })),
        result,
      })
      building(inner, () => {
        const own = Object.fromEntries(
          entries.map(([param, type]) => {
            const raw = inner.emitter.param(options.global ? (1n << 64n) - 1n : maxOf(type))
            return [param, new Int(type, options.global ? canonical(inner.emitter, type.id, raw) : raw, inner)]
          }),
        )
        const value = build(new FunctionBody<N>(), own as Arguments<P>)
        if (inner.emitter.isOpen) {
          if (value === undefined) throw buildError('build.return', `${name}: a path returns nothing`, 'return a value')
          inner.leave(value)
        }
      })
    } else if (unit.functions.get(name)?.result !== result)
      throw buildError('build.function-name', `two functions are named "${name}"`, 'give each a name of its own')
    const operands = entries.map(([param, type]) =>
      operandOf(caller, type, (args as Record<string, Like<IntName>>)[param]),
    )
    const raw = caller.emitter.call({ kind: 'function', name }, operands)
    return new Int(result, canonical(caller.emitter, result.id, raw), caller)
  }
}
