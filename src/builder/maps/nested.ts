import { buildError, type FunctionContext, here } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { helper } from '../kinds/helper-calls.ts'
import type { Type } from '../types/types.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import type { InitOf } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import { materialize } from './keys.ts'

export interface NestedOptions<I extends MapDefinition> extends MapOptions {
  /** What the inner maps are like: type, key, value, entries, flags. */
  readonly inner: I
  readonly maxEntries: number
}

/** A map whose values are maps: user space exchanges whole maps while programs run (Linux 4.12). */
export class MapOfMaps<K extends Type, I extends MapDefinition> extends MapDefinition {
  declare readonly keyType: K
  readonly inner: I
  override readonly holds: readonly MapDefinition[]
  constructor(
    type: 'array_of_maps' | 'hash_of_maps',
    name: string,
    key: K,
    options: NestedOptions<I>,
    held: readonly (readonly [key: Uint8Array, map: I])[],
  ) {
    if (options.inner instanceof MapOfMaps)
      throw buildError('build.map-nesting', `${name}: the inner map holds maps itself`, 'the kernel allows one level')
    for (const [, map] of held)
      if (map.spec.type !== options.inner.spec.type || map.spec.valueSize !== options.inner.spec.valueSize)
        throw buildError(
          'build.map-inner',
          `${name}: map ${map.name} is not like its inner map`,
          'use one type and one value type',
        )
    const { name: _, ...shape } = options.inner.spec
    super(
      type,
      name,
      { key, valueSize: 4, maxEntries: options.maxEntries },
      {
        ...options,
        inner: { ...shape, name: `${name}_inner`.slice(-15) },
        slots: held.map(([bytes, map]) => [bytes, map.name] as const),
      },
    )
    this.inner = options.inner
    this.holds = held.map(([, map]) => map)
  }

  /** The map of an entry, with the methods of its kind; missing when there is none. */
  lookup(key: InitOf<K>): Maybe<I> {
    const { fn, handle } = this.use('lookup')
    const at = materialize(fn, this.keyType, key, `key of ${this.name}`)
    const pointer = fn.emitter.call(helper('map_lookup_elem'), [handle, at], { pure: true })
    return new Maybe(fn, nullable(fn, pointer), () => through(this.inner, fn, pointer))
  }
}

/** The same definition, with a running pointer as its handle. */
function through<I extends MapDefinition>(inner: I, owner: FunctionContext, handle: Operand): I {
  return Object.create(inner, {
    use: {
      value: (what: string) => {
        const fn = here(`${inner.name}.${what}`)
        return { fn, handle: fn.reach(owner, handle) }
      },
    },
  }) as I
}
