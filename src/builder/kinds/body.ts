import type { Instruction } from '../../asm/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { LD_IMM64, MAP_TYPES } from '../../uapi/index.ts'
import { buildError, type FunctionContext, here, inside } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { materialize } from '../maps/keys.ts'
import type { IntName } from '../types/forms.ts'
import { type Fields, type IntType, type StructType, type Type, u32, u64 } from '../types/types.ts'
import { type Bool, conditionOf } from '../values/bool.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { log2 } from '../values/log2.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import type { Opaque } from '../values/opaque.ts'
import { CONTEXT, type Place, placeOf } from '../values/place.ts'
import { type Effect, effect } from '../values/value.ts'
import { Variable } from '../values/variable.ts'
import { type Init, type StructView, type View, view, zero } from '../values/views.ts'
import { HelperCalls, helper } from './helper-calls.ts'
import { callbackLoop, type LoopForm, type RangeOptions, range } from './loops.ts'
import { maxOf } from './widths.ts'

/** What every program's callback gets: control flow, variables, memory of its own. */
export abstract class Body<R> extends HelperCalls {
  declare protected readonly returns: R
  /** The function this body was made for: its context is what `b` stands for, in callbacks too. @internal */
  protected readonly home = inside();

  /** @internal */
  [CONTEXT](): Operand {
    const fn = here('the context')
    const { home } = this
    if (home?.context === undefined)
      throw buildError('build.context', 'a function has no context of its own', 'give it a parameter: { ctx: context }')
    return fn.reach(home, home.context)
  }

  /** Runs `then` where the condition holds, else `otherwise`. */
  if(condition: Bool, then: () => Effect, otherwise?: () => Effect): void {
    const { emitter } = here('b.if')
    emitter.choose(conditionOf(condition), effect(then), otherwise && effect(otherwise))
  }

  /** Ends the program with this code. */
  return(...code: undefined extends R ? [code?: R] : [code: R]): void {
    here('b.return').leave(code[0])
  }

  /** One of two integers of the same type. */
  select<N extends IntName>(condition: Bool, yes: Int<N>, no: Like<NoInfer<N>>): Int<N> {
    const fn = here('b.select')
    const { emitter } = fn
    const result = emitter.variable(operandOf(fn, yes.type, no), maxOf(yes.type))
    emitter.choose(conditionOf(condition), () => emitter.setVariable(result, operandOf(fn, yes.type, yes)))
    return new Int(yes.type, emitter.getVariable(result), fn)
  }

  /** A variable of an integer type: `const sum = b.let(u32, 0)`, `sum.set(sum.get().add(1))`. */
  let<N extends IntName>(type: IntType<N>, initial: Like<NoInfer<N>>): Variable<N> {
    const fn = here('b.let')
    return new Variable(fn, type, fn.emitter.variable(operandOf(fn, type, initial), maxOf(type)))
  }

  /** Memory on the stack, zeroed, padding included; the members of `initial` are set. */
  local<F extends Fields>(type: StructType<F>, initial?: Partial<Init<F>>): StructView<F, 'shared'>
  local<T extends Type>(type: T): View<T, 'shared'>
  local(type: Type, initial?: object): unknown {
    const fn = here('b.local')
    const align = type.size % 8 === 0 ? 8 : type.align
    const name = type.kind === 'struct' || type.kind === 'union' ? type.tag : type.kind
    const slot = fn.emitter.slot(type.size, align, `local ${name}`)
    const base: Operand = { kind: 'frame', slot, offset: 0 }
    const place: Place = { fn, region: `stack${slot.id}`, base, offset: 0, access: 'shared' }
    fn.emitter.zeroing(base)
    zero(place, type.size)
    const made = view(type, place)
    if (initial !== undefined) (made as { $set(values: object): void }).$set(initial)
    return made
  }

  /** The position of the highest set bit (0 for 0): the slot of a power-of-two histogram. */
  log2(value: Int<'u64'>): Int<'u32'> {
    const fn = here('b.log2')
    return new Int(u32, log2(fn, operandOf(fn, value.type, value)), fn)
  }

  /**
   * Runs `body` while the lock of a map value is held; every path gives it back. No calls inside: the kernel allows none.
   * Linux 5.1.
   */
  lock(lock: Opaque<'bpf_spin_lock'>, body: () => void): void {
    const fn = here('b.lock')
    const { emitter } = fn
    const place = placeOf(lock)
    const at = emitter.address(place.base, place.offset)
    const call = (name: string): void => {
      emitter.call(helper(name), [at], { result: false })
    }
    call('spin_lock')
    const unlock = (): void => {
      emitter.locked = false
      call('spin_unlock')
    }
    fn.held.push(unlock)
    emitter.locked = true
    try {
      body()
    } finally {
      fn.held.pop()
      emitter.locked = false
    }
    if (emitter.isOpen) call('spin_unlock')
  }

  /**
   * Memory of this CPU outside the stack, for values that a frame of 512 bytes cannot hold. It keeps what the last run left;
   * `$zero()` clears a struct.
   */
  scratch<T extends Type>(type: T): Maybe<View<T, 'shared'>> {
    const fn = here('b.scratch')
    const { unit, emitter } = fn
    const name = `scratch.${unit.name}.${emitter.ir.slots.length}.${unit.maps.size}`
    const spec: MapSpec = {
      name,
      type: MAP_TYPES.percpu_array,
      keySize: 4,
      valueSize: type.size,
      maxEntries: 1,
      flags: 0,
    }
    const handle: Operand = { kind: 'map', name: unit.use({ spec }) }
    const key = materialize(fn, u32, 0, 'key of the scratch map')
    const base = emitter.call(helper('map_lookup_elem'), [handle, key], { pure: true })
    return new Maybe(fn, nullable(fn, base), () =>
      view<T, 'shared'>(type, { fn, region: 'map', base, offset: 0, access: 'shared' }),
    )
  }

  /**
   * Inline assembly: `inputs` are put into r1, r2 …; what the code leaves in r0 is the answer. Jumps stay inside. r0 to r5 are
   * lost. Instructions come from typebpf/asm.
   */
  asm(instructions: readonly Instruction[], ...inputs: readonly Int[]): Int<'u64'> {
    const fn = here('b.asm')
    if (inputs.length > 5) throw buildError('build.asm', 'b.asm takes five inputs', 'r1 to r5')
    for (const it of instructions)
      if (it.opcode === LD_IMM64 || it.reference !== undefined || it.dst > 5 || it.src > 5)
        throw buildError(
          'build.asm',
          'inline assembly has plain instructions over r0 to r5 only',
          'use the builder for map references and calls of functions',
        )
    const operands = inputs.map((input) => operandOf(fn, input.type, input))
    return new Int(u64, fn.emitter.raw([...instructions], operands, true), fn)
  }

  /** Runs `body` while the condition holds. The kernel must see that it ends: count something. Linux 5.3. */
  while(condition: () => Bool, body: () => Effect): void {
    const fn = here('b.while')
    fn.unit.need(5, 3, 'a loop', 'unroll it with a JavaScript for loop')
    fn.emitter.loop(() => conditionOf(condition()), effect(body))
  }

  /**
   * Runs `body` with 0, 1, … `count` − 1. A running `count` needs `max`, which bounds it for the kernel. How it becomes BPF
   * code is chosen by `max` and the target, or by hand with `as` ({@link LoopForm}).
   */
  range(count: number, body: (i: Int<'u32'>) => Effect): void
  range(count: number, options: { readonly as?: LoopForm }, body: (i: Int<'u32'>) => Effect): void
  range(count: Int<'u32'>, options: RangeOptions, body: (i: Int<'u32'>) => Effect): void
  range(count: number | Int<'u32'>, options: unknown, last?: (i: Int<'u32'>) => Effect): void {
    const fn = here('b.range')
    const body = (typeof options === 'function' ? options : last) as (i: Int<'u32'>) => Effect
    range(fn, count, typeof options === 'function' ? {} : (options as Partial<RangeOptions>), effect(body))
  }

  /**
   * Runs `body` up to `count` times (at most 8,388,608), as a callback that the kernel calls: the verifier looks at the body
   * once. Values and variables from around it are there; `b.break()`, `b.continue()` and `b.return(code)` do what they
   * do in any loop. Linux 5.17.
   */
  loop(count: Like<'u32'>, body: (i: Int<'u32'>) => Effect): void {
    const fn = here('b.loop')
    callbackLoop(fn, operandOf(fn, u32, count), effect(body))
  }

  /** Leaves the innermost loop. */
  break(): void {
    this.#jump('break', true)
  }
  /** Goes on with the next round of the innermost loop. */
  continue(): void {
    this.#jump('continue', false)
  }
  #jump(what: 'break' | 'continue', stop: boolean): void {
    const fn = here(`b.${what}`)
    const { emitter } = fn
    const frame = emitter.loops.at(-1)
    if (frame !== undefined) {
      fn.giveBack(frame.held)
      emitter.jump(stop ? frame.exit : frame.next)
    } else if (fn.closure !== undefined) fn.closure.next(stop)
    else throw buildError('build.loop', `b.${what}() outside a loop`, 'use it inside b.while, b.range or b.loop')
  }

  /** Runs the case whose number equals the value, else `otherwise`. */
  switch<N extends IntName>(
    value: Int<N>,
    cases: readonly (readonly [number | bigint | readonly (number | bigint)[], () => Effect])[],
    otherwise?: () => Effect,
  ): void {
    here('b.switch')
    const [first, ...rest] = cases
    if (first === undefined) {
      otherwise?.()
      return
    }
    const [match, then] = first
    const numbers = (Array.isArray(match) ? match : [match]) as [Like<N>, ...Like<N>[]]
    this.if(value.oneOf(...numbers), then, () => this.switch(value, rest, otherwise))
  }

  /** The first of several things that is there. */
  protected maybe<T>(fn: FunctionContext, there: Bool, value: () => T): Maybe<T> {
    return new Maybe(fn, there, value)
  }
}
