/** Maps as programs use them: typed keys and values, entries that must be looked at before they are used. */

import type { BpfProgram } from '../kinds/program.ts'
import { type BytesType, type IntType, type StructType, struct, type Type, u32, type WireType } from '../types/types.ts'
import type { MapOptions } from './definition.ts'
import { PerfEventArray, ProgramArray, RedirectMap, StackTraces } from './handles.ts'
import { type AnyLookupMap, type ArrayOptions, type LookupOptions, lookupMap } from './lookup.ts'
import { BloomFilter, RingBuffer, ValueList } from './streams.ts'

export { MapDefinition, type MapOptions } from './definition.ts'
export { config, GlobalData, type Globals, globals } from './globals.ts'
export { PerfEventArray, ProgramArray, RedirectMap, StackTraces } from './handles.ts'
export { CounterMap, LookupMap, type UpdateMode } from './lookup.ts'
export { BloomFilter, RingBuffer, ValueList } from './streams.ts'

type Entries = MapOptions & { readonly maxEntries: number }
type U32 = IntType<'u32'>

/** Makes maps: `map.hash('counts', { key: u32, value: u64, maxEntries: 256 })`. */
export const map = {
  hash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'hash'> {
    return lookupMap('hash', name, options)
  },
  /** Forgets what was not used for the longest time when it is full (Linux 4.10). */
  lruHash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'lru_hash'> {
    return lookupMap('lru_hash', name, options)
  },
  array<const V extends Type>(name: string, options: ArrayOptions<V>): AnyLookupMap<U32, V, 'array'> {
    return lookupMap('array', name, { ...options, key: u32 })
  },
  /** One value a CPU: no atomic operations needed, user space adds them up. */
  percpuHash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'percpu_hash'> {
    return lookupMap('percpu_hash', name, options)
  },
  percpuArray<const V extends Type>(name: string, options: ArrayOptions<V>): AnyLookupMap<U32, V, 'percpu_array'> {
    return lookupMap('percpu_array', name, { ...options, key: u32 })
  },
  lruPercpuHash<const K extends Type, const V extends Type>(
    name: string,
    options: LookupOptions<K, V>,
  ): AnyLookupMap<K, V, 'lru_percpu_hash'> {
    return lookupMap('lru_percpu_hash', name, options)
  },
  /** Longest prefix match: the key is `{ prefixLength, data }`, `data` an address in network order (Linux 4.11). */
  lpmTrie<const A extends AddressType, const V extends Type>(
    name: string,
    options: { readonly address: A; readonly value: V } & Entries,
  ): AnyLookupMap<LpmKey<A>, V, 'lpm_trie'> {
    const { address, flags } = options
    return lookupMap('lpm_trie', name, { ...options, key: lpmKey(address), flags: [...(flags ?? []), 'no_prealloc'] })
  },
  queue<const T extends Type>(name: string, options: { readonly value: T } & Entries): ValueList<T> {
    return new ValueList('queue', name, options.value, options.maxEntries, options)
  },
  stack<const T extends Type>(name: string, options: { readonly value: T } & Entries): ValueList<T> {
    return new ValueList('stack', name, options.value, options.maxEntries, options)
  },
  bloomFilter<const T extends Type>(
    name: string,
    options: { readonly value: T; readonly hashes?: number } & Entries,
  ): BloomFilter<T> {
    return new BloomFilter(name, options.value, options.maxEntries, options)
  },
  ringBuffer<const T extends Type>(
    name: string,
    options: MapOptions & { readonly record: T; readonly sizeBytes: number },
  ): RingBuffer<T> {
    return new RingBuffer(name, options.record, options.sizeBytes, options)
  },
  perfEventArray(name: string, options: MapOptions = {}): PerfEventArray {
    return new PerfEventArray(name, options)
  },
  programArray(
    name: string,
    options: Entries & { readonly programs?: Readonly<Record<number, BpfProgram>> },
  ): ProgramArray {
    return new ProgramArray(name, options)
  },
  stackTraces(name: string, options: Entries & { readonly depth?: number }): StackTraces {
    return new StackTraces(name, options.maxEntries, options)
  },
  devmap(name: string, options: Entries): RedirectMap<'devmap'> {
    return new RedirectMap('devmap', name, options.maxEntries, 4, options)
  },
  devmapHash(name: string, options: Entries): RedirectMap<'devmap_hash'> {
    return new RedirectMap('devmap_hash', name, options.maxEntries, 4, options)
  },
  cpumap(name: string, options: Entries): RedirectMap<'cpumap'> {
    return new RedirectMap('cpumap', name, options.maxEntries, 4, options)
  },
  xskmap(name: string, options: Entries): RedirectMap<'xskmap'> {
    return new RedirectMap('xskmap', name, options.maxEntries, 4, options)
  },
} as const

/** What prefixes are of: an IPv4 address (be32), an IPv6 address, or other bytes in network order. */
type AddressType = WireType | BytesType
type LpmKey<A extends AddressType> = StructType<{ readonly prefixLength: U32; readonly data: A }>
const lpmKey = <A extends AddressType>(address: A): LpmKey<A> =>
  struct('bpf_lpm_trie_key', { prefixLength: u32, data: address }, { packed: true }) as unknown as LpmKey<A>
