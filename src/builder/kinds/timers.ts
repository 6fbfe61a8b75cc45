import { building, FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import type { LookupMap } from '../maps/lookup.ts'
import type { Type } from '../types/types.ts'
import { i64, u64 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import type { Opaque } from '../values/opaque.ts'
import { placeOf } from '../values/place.ts'
import { type View, view } from '../values/views.ts'
import { Body } from './body.ts'
import { helper } from './helper-calls.ts'

class TimerBody extends Body<undefined> {}

export type { TimerBody }

/** CLOCK_* of the timer. */
const CLOCKS = { realtime: 0, monotonic: 1, boottime: 7 } as const

/** A function that runs when a timer of a map's value expires ({@link Timer.start}). Linux 5.15, GPL. */
export class TimerCallback<K extends Type, V extends Type> {
  readonly map: LookupMap<K, V>
  readonly name: string
  readonly #build: (b: TimerBody, key: View<K, 'read'>, value: View<V, 'shared'>) => void
  constructor(
    name: string,
    map: LookupMap<K, V>,
    build: (b: TimerBody, key: View<K, 'read'>, value: View<V, 'shared'>) => void,
  ) {
    this.name = name
    this.map = map
    this.#build = build
  }
  #address(fn: FunctionContext): Operand {
    const { unit } = fn
    const { name } = this
    if (!unit.functions.has(name)) {
      const inner = new FunctionContext(unit, name, () => constant(0))
      const [, key, value] = [0, 1, 2].map(() => inner.emitter.param())
      unit.functions.set(name, {
        name,
        linkage: 'static',
        fn: inner,
        params: ['map', 'key', 'value'].map((param) => ({ name: param, type: { kind: 'void' } })),
        result: 'int',
        deferred: true,
      })
      building(inner, () => {
        const place = { fn: inner, region: 'map', offset: 0 } as const
        this.#build(
          new TimerBody(),
          view<K, 'read'>(this.map.keyType, { ...place, base: key, access: 'read' }),
          view<V, 'shared'>(this.map.valueType, { ...place, base: value, access: 'shared' }),
        )
        if (inner.emitter.isOpen) inner.leave(undefined)
      })
    }
    return { kind: 'function', name }
  }
  #at(fn: FunctionContext, timer: Opaque<'bpf_timer'>): Operand {
    const place = placeOf(timer)
    return fn.emitter.address(place.base, place.offset)
  }

  /** Makes the timer of a value ready: once, by whoever makes the entry. 0 or a negative errno (-16: it is ready already). */
  prepare(timer: Opaque<'bpf_timer'>, clock: keyof typeof CLOCKS = 'monotonic'): Int<'i64'> {
    const fn = here('timer.prepare')
    const { handle } = this.map.use('timer')
    const at = this.#at(fn, timer)
    const made = fn.emitter.call(helper('timer_init'), [at, handle, constant(CLOCKS[clock])])
    fn.emitter.call(helper('timer_set_callback'), [at, this.#address(fn)], { result: false })
    return new Int(i64, made, fn)
  }
  /** Runs the callback in `ns` nanoseconds. 0 or a negative errno. */
  start(timer: Opaque<'bpf_timer'>, ns: Like<'u64'>): Int<'i64'> {
    const fn = here('timer.start')
    const args = [this.#at(fn, timer), operandOf(fn, u64, ns), constant(0)]
    return new Int(i64, fn.emitter.call(helper('timer_start'), args), fn)
  }
  /** Stops it. 1: it was running, 0: it was not, or a negative errno. */
  cancel(timer: Opaque<'bpf_timer'>): Int<'i64'> {
    const fn = here('timer.cancel')
    return new Int(i64, fn.emitter.call(helper('timer_cancel'), [this.#at(fn, timer)]), fn)
  }
}
/**
 * What runs when a timer in a value of `map` expires: `const expire = timerCallback('expire', flows, (b, key, value) => …)`,
 * then `expire.prepare(flow.timer)` and `expire.start(flow.timer, 1_000_000_000n)`. It runs later: values of the program
 * around it are not there.
 */
export function timerCallback<K extends Type, V extends Type>(
  name: string,
  map: LookupMap<K, V>,
  build: (b: TimerBody, key: View<K, 'read'>, value: View<V, 'shared'>) => void,
): TimerCallback<K, V> {
  return new TimerCallback(name, map, build)
}
