import { type FunctionContext, here } from '../context.ts'
import type { Reg } from '../ir/ops.ts'
import type { IntName } from '../types/forms.ts'
import type { IntType } from '../types/types.ts'
import { Int, type Like, operandOf } from './int.ts'
import { hostValue } from './value.ts'

/** A variable of the running program. */
export class Variable<N extends IntName = IntName> {
  readonly type: IntType<N>
  readonly #fn: FunctionContext
  readonly #reg: Reg

  constructor(fn: FunctionContext, type: IntType<N>, reg: Reg) {
    this.#fn = fn
    this.type = type
    this.#reg = reg
  }
  /** Its value at this line. */
  get(): Int<N> {
    const fn = here('get')
    return new Int(this.type, fn.readVariable(this.#fn, this.#reg), fn)
  }
  /** Host-language conversion is always a mistake. */
  [Symbol.toPrimitive](hint: string): never {
    return hostValue(hint)
  }
  set(value: Like<N>): void {
    const fn = here('set')
    fn.writeVariable(this.#fn, this.#reg, operandOf(fn, this.type, value))
  }
  /** `v.update((x) => x.add(1))` */
  update(change: (value: Int<N>) => Like<N>): void {
    this.set(change(this.get()))
  }
}
