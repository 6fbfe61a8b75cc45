import type { MapType } from '../../uapi/index.ts'
import { UPDATE_FLAGS } from '../../uapi/index.ts'
import { type FunctionContext, unmarked } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { callback } from '../kinds/closure.ts'
import { helper } from '../kinds/helper-calls.ts'
import type { IntType, Type } from '../types/types.ts'
import { i64 } from '../types/types.ts'
import { Int, type Like } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { type Effect, effect } from '../values/value.ts'
import { type FirstOf, type InitOf, type View, view } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import { materialize, zeroed } from './keys.ts'

const LOOKUP = { kind: 'helper', id: 1, name: 'map_lookup_elem' } as const
const UPDATE = { kind: 'helper', id: 2, name: 'map_update_elem' } as const
const DELETE = { kind: 'helper', id: 3, name: 'map_delete_elem' } as const

export type UpdateMode = keyof Pick<typeof UPDATE_FLAGS, 'any' | 'noexist' | 'exist'>
/** Keys that count: what `increment` adds to. */
type Countable = IntType<'u32'> | IntType<'u64'> | IntType<'i32'> | IntType<'i64'>

/** A map with keys and values in memory: hash, array, LRU, LPM trie and their per-CPU forms. */
export class LookupMap<K extends Type, V extends Type, T extends MapType = MapType> extends MapDefinition {
  declare readonly mapType: T
  declare readonly keyType: K
  declare readonly valueType: V

  constructor(type: T, name: string, key: K, value: V, maxEntries: number, options: MapOptions = {}) {
    super(type, name, { key, value, maxEntries }, options)
  }

  protected find(fn: FunctionContext, handle: Operand, key: Operand): Operand {
    return fn.emitter.call(LOOKUP, [handle, key], { pure: true })
  }
  protected key(fn: FunctionContext, key: unknown): Operand {
    return materialize(fn, this.keyType, key, `key of ${this.name}`)
  }
  protected at(fn: FunctionContext, pointer: Operand): View<V, 'shared'> {
    return view<V, 'shared'>(this.valueType, { fn, region: 'map', base: pointer, offset: 0, access: 'shared' })
  }

  /** The entry's value in place (changes are seen by user space at once); missing when there is none. */
  lookup(key: InitOf<K>): Maybe<View<V, 'shared'>> {
    const { fn, handle } = this.use('lookup')
    const pointer = this.find(fn, handle, this.key(fn, key))
    return new Maybe(fn, nullable(fn, pointer), () => this.at(fn, pointer))
  }

  /** Whether there is an entry. */
  has(key: InitOf<K>): import('../values/bool.ts').Bool {
    const { fn, handle } = this.use('has')
    return nullable(fn, this.find(fn, handle, this.key(fn, key)))
  }

  /** Writes an entry; the answer is 0 or a negative errno. */
  set(key: InitOf<K>, value: InitOf<V>, mode: UpdateMode = 'any'): Int<'i64'> {
    const { fn, handle } = this.use('set')
    const k = this.key(fn, key)
    const v = materialize(fn, this.valueType, value, `value of ${this.name}`)
    return new Int(i64, fn.emitter.call(UPDATE, [handle, k, v, constant(UPDATE_FLAGS[mode])]), fn)
  }

  /** Removes an entry; the answer is 0 or a negative errno. */
  delete(key: InitOf<K>): Int<'i64'> {
    const { fn, handle } = this.use('delete')
    return new Int(i64, fn.emitter.call(DELETE, [handle, this.key(fn, key)]), fn)
  }

  /**
   * Runs `body` with every entry (hash, array, LRU and per-CPU maps): its key read-only, its value in place. `b.break()` ends
   * it. Values and variables from around it are there. Linux 5.13.
   */
  forEach(body: (key: View<K, 'read'>, value: View<V, 'shared'>) => Effect): void {
    const { fn, handle } = this.use('forEach')
    const target = helper('for_each_map_elem')
    const params = ['map', 'key', 'value'].map((name) => ({ name, type: { kind: 'void' } as const }))
    const { address, finish } = callback(fn, 'each', params, (inner, [, key, value]) => {
      const place = { fn: inner, region: 'map', offset: 0 } as const
      effect(body)(
        view<K, 'read'>(this.keyType, { ...place, base: key, access: 'read' }),
        view<V, 'shared'>(this.valueType, { ...place, base: value, access: 'shared' }),
      )
    })
    finish((memory) => fn.emitter.call(target, [handle, address, memory, constant(0)]))
  }

  /** A pointer to the entry, which is made (from `initial`, else zero) when it is missing; 0 when the map is full. */
  protected ensure(fn: FunctionContext, handle: Operand, k: Operand, initial?: unknown): Operand {
    const { emitter } = fn
    const found = emitter.variable(this.find(fn, handle, k), (1n << 64n) - 1n)
    const missing = nullable(fn, emitter.getVariable(found)).not()
    emitter.choose(missing.condition, () => {
      const v =
        initial === undefined
          ? zeroed(fn, this.valueType, `first value of ${this.name}`)
          : materialize(fn, this.valueType, initial, `first value of ${this.name}`)
      emitter.call(UPDATE, [handle, k, v, constant(UPDATE_FLAGS.noexist)], { result: false })
      emitter.setVariable(found, this.find(fn, handle, k))
    })
    return emitter.getVariable(found)
  }

  /** The entry, made when it is missing (zero, or `initial`, its absent members 0); still maybe: the map may be full. */
  getOrInit(key: InitOf<K>, initial?: FirstOf<V>): Maybe<View<V, 'shared'>> {
    const { fn, handle } = this.use('getOrInit')
    const pointer = this.ensure(fn, handle, this.key(fn, key), initial)
    return new Maybe(fn, nullable(fn, pointer), () => this.at(fn, pointer))
  }
}

/** Maps whose values are one counter. */
export class CounterMap<K extends Type, V extends Countable, T extends MapType> extends LookupMap<K, V, T> {
  /** Adds to the entry's counter in one atomic step; a missing entry is made first. */
  increment(key: InitOf<K>, by: Like<V extends IntType<infer N> ? N : never> | number = 1): void {
    const { fn, handle } = this.use('increment')
    const pointer = this.ensure(fn, handle, this.key(fn, key))
    fn.emitter.choose(nullable(fn, pointer).condition, () => {
      const counter = this.at(fn, pointer) as unknown as { atomicAdd(by: unknown): void }
      unmarked(() => counter.atomicAdd(by))
    })
  }
}

export type AnyLookupMap<K extends Type, V extends Type, T extends MapType> = V extends Countable
  ? CounterMap<K, V, T>
  : LookupMap<K, V, T>

export interface LookupOptions<K, V> extends MapOptions {
  readonly key: K
  readonly value: V
  readonly maxEntries: number
}
export interface ArrayOptions<V> extends MapOptions {
  readonly value: V
  readonly maxEntries: number
}

export function lookupMap<K extends Type, V extends Type, T extends MapType>(
  type: T,
  name: string,
  options: LookupOptions<K, V>,
): AnyLookupMap<K, V, T> {
  const { key, value, maxEntries } = options
  return new (
    CounterMap as unknown as new (
      type: T,
      name: string,
      key: K,
      value: V,
      maxEntries: number,
      options: MapOptions,
    ) => AnyLookupMap<K, V, T>
  )(type, name, key, value, maxEntries, options)
}
