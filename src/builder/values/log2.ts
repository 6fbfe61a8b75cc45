import type { FunctionContext } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'

/** The position of the highest set bit of a 64-bit register; 0 for 0. */
export function log2(fn: FunctionContext, value: Operand): Operand {
  const { emitter } = fn
  const rest = emitter.variable(value, (1n << 64n) - 1n)
  const result = emitter.variable(constant(0), 63n)
  const widest = emitter.bound(value)
  for (const step of [32, 16, 8, 4, 2, 1]) {
    if (widest >> BigInt(step) === 0n) continue
    const now = emitter.getVariable(rest)
    const high = emitter.alu('rsh', 64, now, constant(step))
    const some = { kind: 'compare', cmp: 'ne', width: 64, a: high, b: constant(0), site: emitter.site } as const
    emitter.choose(some, () => {
      if (step > 1) emitter.setVariable(rest, high)
      emitter.setVariable(result, emitter.alu('add', 64, emitter.getVariable(result), constant(step)))
    })
  }
  return emitter.getVariable(result)
}
