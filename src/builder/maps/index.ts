/** Maps as programs use them: typed keys and values, entries that must be looked at before they are used. */

import type { IntType, Type } from '../types/types.ts'
import { u32 } from '../types/types.ts'
import { type AnyLookupMap, type ArrayOptions, type LookupOptions, lookupMap } from './lookup.ts'

export { MapDefinition, type MapOptions } from './definition.ts'
export { CounterMap, LookupMap, type UpdateMode } from './lookup.ts'

/** Makes maps: `map.hash('counts', { key: u32, value: u64, maxEntries: 256 })`. */
export const map = {
  hash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'hash'> {
    return lookupMap('hash', name, options)
  },
  lruHash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'lru_hash'> {
    return lookupMap('lru_hash', name, options)
  },
  array<const V extends Type>(name: string, options: ArrayOptions<V>): AnyLookupMap<IntType<'u32'>, V, 'array'> {
    return lookupMap('array', name, { ...options, key: u32 })
  },
} as const
