import { buildError, type FunctionContext, here } from '../context.ts'
import { Bool } from './bool.ts'
import { type Effect, effect, hostValue } from './value.ts'

/**
 * Something that may be missing: a map entry, a packet header, an array element. Its value exists only where the program
 * has looked: `orReturn` leaves the program when it is missing, `match` runs one of two functions.
 */
export class Maybe<T> {
  declare private readonly brand: T
  readonly #fn: FunctionContext
  readonly #there: Bool
  readonly #value: () => T
  #used = false

  /** @internal */
  constructor(fn: FunctionContext, there: Bool, value: () => T) {
    this.#fn = fn
    this.#there = there
    this.#value = value
  }

  /** @internal */
  take(what: string): FunctionContext {
    const fn = here(what)
    if (fn !== this.#fn)
      throw buildError(
        'build.foreign',
        'this value belongs to another BPF function',
        'look it up in the function that uses it',
      )
    this.#used = true
    return fn
  }
  get isUsed(): boolean {
    return this.#used
  }

  /** The value; when it is missing the program ends with `code`. */
  orReturn(code?: unknown): T {
    const fn = this.take('orReturn')
    fn.emitter.require(this.#there.condition, () => fn.leave(code))
    return this.#value()
  }
  /** The value; when it is missing `otherwise` runs and must leave (return, break, continue). */
  orElse(otherwise: () => void): T {
    const fn = this.take('orElse')
    fn.emitter.require(this.#there.condition, () => {
      otherwise()
      if (fn.emitter.isOpen)
        throw buildError(
          'build.or-else',
          'orElse goes on although the value is missing',
          'end it with b.return(…), b.break() or b.continue(), or use match(…)',
        )
    })
    return this.#value()
  }
  /** Runs `some` with the value, or `none`. */
  match(some: (value: T) => Effect, none?: () => Effect): void {
    const fn = this.take('match')
    fn.emitter.choose(this.#there.condition, () => effect(some)(this.#value()), none && effect(none))
  }
  /** Host-language conversion is always a mistake. */
  [Symbol.toPrimitive](hint: string): never {
    return hostValue(hint)
  }
  /** Whether it is there; this alone does not give the value. */
  exists(): Bool {
    this.take('exists')
    return this.#there
  }
  /** The value changed by `change`, still maybe. */
  map<U>(change: (value: T) => U): Maybe<U> {
    return new Maybe(this.#fn, this.#there, () => change(this.#value()))
  }
}

/** A pointer that is null when the thing is missing. */
export function nullable(fn: FunctionContext, pointer: import('../ir/ops.ts').Operand): Bool {
  return new Bool(
    { kind: 'compare', cmp: 'ne', width: 64, a: pointer, b: { kind: 'const', value: 0n }, site: fn.emitter.site },
    fn,
  )
}
