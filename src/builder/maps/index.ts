/** Maps as programs use them: typed keys and values, entries that must be looked at before they are used. */

import type { BpfProgram } from '../kinds/program.ts'
import { encode, layoutOf } from '../types/layout.ts'
import {
  type BytesType,
  type IntType,
  type Js,
  type StructType,
  struct,
  type Type,
  u32,
  type WireType,
} from '../types/types.ts'
import type { MapDefinition, MapOptions } from './definition.ts'
import { CgroupArray, PerfEventArray, ProgramArray, RedirectMap, StackTraces } from './handles.ts'
import { Histogram, type HistogramOptions, KeyedHistogram } from './histogram.ts'
import { type AnyLookupMap, type ArrayOptions, type LookupOptions, lookupMap } from './lookup.ts'
import { MapOfMaps, type NestedOptions } from './nested.ts'
import { ReuseportArray, SocketMap } from './sockets.ts'
import { AttachedCgroupStorage, LocalStorage } from './storage.ts'
import { BloomFilter, RingBuffer, ValueList } from './streams.ts'

export { MapDefinition, type MapOptions } from './definition.ts'
export { config, GlobalData, type Globals, globals } from './globals.ts'
export { CgroupArray, PerfEventArray, ProgramArray, RedirectMap, StackTraces } from './handles.ts'
export { type Bucket, Histogram, type HistogramOptions, KeyedHistogram } from './histogram.ts'
export { CounterMap, LookupMap, type UpdateMode } from './lookup.ts'
export { MapOfMaps } from './nested.ts'
export { ReuseportArray, SocketMap } from './sockets.ts'
export { AttachedCgroupStorage, LocalStorage } from './storage.ts'
export { BloomFilter, RingBuffer, ValueList } from './streams.ts'

type Redirect = MapOptions & {
  readonly maxEntries: number
  /** Entries have room for a program. */
  readonly programs?: boolean
}
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
  /** Events by perf buffers: `record` types them. */
  perfEventArray<const T extends Type = Type>(
    name: string,
    options: MapOptions & { readonly record?: T } = {},
  ): PerfEventArray<T> {
    return new PerfEventArray<T>(name, options)
  },
  /**
   * Counts values by size: slots of powers of two, or of a fixed width (`step`). With a `key` a histogram for each key.
   * `latencies.add(ns)`, `byPid.add(pid, ns)`; user space: `latencies.decode(counts)`.
   */
  histogram: histogram as {
    <const K extends Type>(
      name: string,
      options: HistogramOptions & { readonly key: K; readonly maxEntries: number },
    ): KeyedHistogram<K>
    (name: string, options?: HistogramOptions): Histogram
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
  /** Devices by index; with `programs` an entry may name a program that runs at its output (Linux 5.8). */
  devmap(name: string, options: Redirect): RedirectMap<'devmap'> {
    return new RedirectMap('devmap', name, options.maxEntries, options.programs ? 8 : 4, options)
  },
  devmapHash(name: string, options: Redirect): RedirectMap<'devmap_hash'> {
    return new RedirectMap('devmap_hash', name, options.maxEntries, options.programs ? 8 : 4, options)
  },
  /** CPUs by number; an entry's value is the length of its queue; with `programs` also a program (Linux 5.9). */
  cpumap(name: string, options: Redirect): RedirectMap<'cpumap'> {
    return new RedirectMap('cpumap', name, options.maxEntries, options.programs ? 8 : 4, options)
  },
  /** AF_XDP sockets by queue. */
  xskmap(name: string, options: Entries): RedirectMap<'xskmap'> {
    return new RedirectMap('xskmap', name, options.maxEntries, 4, options)
  },
  /** Maps by key: `map.hashOfMaps('routes', { key: u32, inner: routes, maxEntries: 8 })`. */
  hashOfMaps<const K extends Type, I extends MapDefinition>(
    name: string,
    options: NestedOptions<I> & { readonly key: K; readonly maps?: readonly (readonly [key: Js<K>, map: I])[] },
  ): MapOfMaps<K, I> {
    const held = (options.maps ?? []).map(([key, inner]) => [encode(layoutOf(options.key), key), inner] as const)
    return new MapOfMaps('hash_of_maps', name, options.key, options, held)
  },
  /** Maps by index. */
  arrayOfMaps<I extends MapDefinition>(
    name: string,
    options: NestedOptions<I> & { readonly maps?: Readonly<Record<number, I>> },
  ): MapOfMaps<U32, I> {
    const held = Object.entries(options.maps ?? {}).map(
      ([index, inner]) => [encode(layoutOf(u32), Number(index)), inner] as const,
    )
    return new MapOfMaps('array_of_maps', name, u32, options, held)
  },
  /** Sockets by index (Linux 4.14). */
  sockmap(name: string, options: Entries): SocketMap<U32, 'sockmap'> {
    return new SocketMap('sockmap', name, u32, options.maxEntries, options)
  },
  /** Sockets by key (Linux 4.18). */
  sockhash<const K extends Type>(name: string, options: Entries & { readonly key: K }): SocketMap<K, 'sockhash'> {
    return new SocketMap('sockhash', name, options.key, options.maxEntries, options)
  },
  /** Sockets of reuseport groups by index (Linux 4.19). */
  reuseportArray(name: string, options: Entries): ReuseportArray {
    return new ReuseportArray(name, options)
  },
  cgroupArray(name: string, options: Entries): CgroupArray {
    return new CgroupArray(name, options)
  },
  /** A value for each socket (Linux 5.2). */
  socketStorage<const V extends Type>(name: string, options: MapOptions & { readonly value: V }) {
    return new LocalStorage('socket', name, options.value, options)
  },
  /** A value for each task (Linux 5.11). */
  taskStorage<const V extends Type>(name: string, options: MapOptions & { readonly value: V }) {
    return new LocalStorage('task', name, options.value, options)
  },
  /** A value for each inode (Linux 5.10, LSM programs). */
  inodeStorage<const V extends Type>(name: string, options: MapOptions & { readonly value: V }) {
    return new LocalStorage('inode', name, options.value, options)
  },
  /** A value for each cgroup (Linux 6.2). */
  cgroupStorage<const V extends Type>(name: string, options: MapOptions & { readonly value: V }) {
    return new LocalStorage('cgroup', name, options.value, options)
  },
  /** One value for each cgroup that a program is attached to (Linux 4.19). */
  attachedCgroupStorage<const V extends Type>(
    name: string,
    options: MapOptions & { readonly value: V; readonly perCpu?: boolean },
  ) {
    return new AttachedCgroupStorage(name, options.value, options)
  },
} as const

function histogram(
  name: string,
  options: HistogramOptions & { readonly key?: Type; readonly maxEntries?: number } = {},
): Histogram | KeyedHistogram<Type> {
  const { key, maxEntries } = options
  if (key === undefined) return new Histogram(name, options)
  return new KeyedHistogram(name, { ...options, key, maxEntries: maxEntries ?? 10_240 })
}

/** What prefixes are of: an IPv4 address (be32), an IPv6 address, or other bytes in network order. */
type AddressType = WireType | BytesType
type LpmKey<A extends AddressType> = StructType<{ readonly prefixLength: U32; readonly data: A }>
const lpmKey = <A extends AddressType>(address: A): LpmKey<A> =>
  struct('bpf_lpm_trie_key', { prefixLength: u32, data: address }, { packed: true }) as unknown as LpmKey<A>
