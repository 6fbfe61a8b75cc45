/** Emulated maps: one class a behaviour, chosen by map type from a table. */
import { InputError, UnsupportedError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP_TYPES, mapTypeName } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { ArrayMap, arrayStride } from './array.ts'
import { HandleMap } from './handles.ts'
import { HashMap, hashCapacity, hashStride } from './hash.ts'
import { LpmMap } from './lpm.ts'
import type { EmulatedMap } from './map.ts'
import { BloomMap, QueueMap } from './queue.ts'
import { PerfArrayMap, RingMap, UserRingMap } from './ring.ts'
import { specialFields } from './special-fields.ts'
import { ArenaMap, StackTraceMap, StorageMap } from './storage.ts'

export { ArrayMap } from './array.ts'
export { HandleMap } from './handles.ts'
export { HashMap } from './hash.ts'
export { EmulatedMap, type MapEntry } from './map.ts'
export { PerfArrayMap, RingMap, UserRingMap } from './ring.ts'
export { ArenaMap, StackTraceMap, StorageMap } from './storage.ts'

type Make = new (machine: Machine, spec: MapSpec, index: number) => EmulatedMap

const CLASSES: ReadonlyMap<number, Make> = new Map<number, Make>([
  [MAP_TYPES.hash, HashMap],
  [MAP_TYPES.percpu_hash, HashMap],
  [MAP_TYPES.lru_hash, HashMap],
  [MAP_TYPES.lru_percpu_hash, HashMap],
  [MAP_TYPES.rhash, HashMap],
  [MAP_TYPES.array, ArrayMap],
  [MAP_TYPES.percpu_array, ArrayMap],
  [MAP_TYPES.lpm_trie, LpmMap],
  [MAP_TYPES.queue, QueueMap],
  [MAP_TYPES.stack, QueueMap],
  [MAP_TYPES.bloom_filter, BloomMap],
  [MAP_TYPES.ringbuf, RingMap],
  [MAP_TYPES.user_ringbuf, UserRingMap],
  [MAP_TYPES.perf_event_array, PerfArrayMap],
  [MAP_TYPES.stack_trace, StackTraceMap],
  [MAP_TYPES.sk_storage, StorageMap],
  [MAP_TYPES.inode_storage, StorageMap],
  [MAP_TYPES.task_storage, StorageMap],
  [MAP_TYPES.cgrp_storage, StorageMap],
  [MAP_TYPES.cgroup_storage, StorageMap],
  [MAP_TYPES.percpu_cgroup_storage, StorageMap],
  [MAP_TYPES.prog_array, HandleMap],
  [MAP_TYPES.array_of_maps, HandleMap],
  [MAP_TYPES.hash_of_maps, HandleMap],
  [MAP_TYPES.cgroup_array, HandleMap],
  [MAP_TYPES.devmap, HandleMap],
  [MAP_TYPES.devmap_hash, HandleMap],
  [MAP_TYPES.cpumap, HandleMap],
  [MAP_TYPES.xskmap, HandleMap],
  [MAP_TYPES.sockmap, HandleMap],
  [MAP_TYPES.sockhash, HandleMap],
  [MAP_TYPES.reuseport_sockarray, HandleMap],
  [MAP_TYPES.arena, ArenaMap],
])

/** Sizes that no map of the kernel has either. */
const MAX_KEY_BYTES = 1 << 20
const MAX_VALUE_BYTES = 1 << 28
const U32 = 0xffff_ffff

function checkShape(spec: MapSpec): void {
  const bad = (what: string): never => {
    throw new InputError('emulator.map', `map ${spec.name} (${mapTypeName(spec.type) ?? spec.type}): ${what}`)
  }
  const whole = (value: number, limit: number): boolean => Number.isInteger(value) && value >= 0 && value <= limit
  if (!whole(spec.keySize, MAX_KEY_BYTES)) bad(`impossible key size ${spec.keySize}`)
  if (!whole(spec.valueSize, MAX_VALUE_BYTES)) bad(`impossible value size ${spec.valueSize}`)
  if (!whole(spec.maxEntries, U32)) bad(`impossible number of entries ${spec.maxEntries}`)
  const { type } = spec
  if (type === MAP_TYPES.array || type === MAP_TYPES.percpu_array || type === MAP_TYPES.prog_array) {
    if (spec.keySize !== 4) bad('an array has keys of 4 bytes')
    if (spec.maxEntries === 0 || spec.valueSize === 0) bad('an array needs entries and a value size')
  }
  if (type === MAP_TYPES.lpm_trie && (spec.keySize < 5 || spec.keySize > 4 + 256))
    bad('a trie has keys of 5 to 260 bytes')
  if (CLASSES.get(type) === HashMap && (spec.keySize === 0 || spec.maxEntries === 0))
    bad('a hash needs a key size and entries')
  if (type === MAP_TYPES.ringbuf && (spec.maxEntries < 4096 || (spec.maxEntries & (spec.maxEntries - 1)) !== 0))
    bad('a ring has a power of two of bytes, at least 4096')
}

/** The most linear memory that a map can come to use, bytes. */
export function mapMemoryBytes(spec: MapSpec, cpus: number): number {
  checkShape(spec)
  const percpu =
    spec.type === MAP_TYPES.percpu_array ||
    spec.type === MAP_TYPES.percpu_hash ||
    spec.type === MAP_TYPES.lru_percpu_hash
  const copies = percpu ? cpus : 1
  const own = 4096
  switch (CLASSES.get(spec.type)) {
    case ArrayMap:
      return own + arrayStride(spec) * spec.maxEntries * copies
    case HashMap:
      return own + hashStride(spec, copies) * hashCapacity(spec, copies)
    case RingMap:
      return own + 4 * Math.min(spec.maxEntries, 16 << 20)
    case LpmMap:
    case StorageMap:
    case HandleMap:
      return own + Math.min(16 << 20, Math.max(64, spec.maxEntries) * (spec.valueSize + 48)) + 4 * spec.keySize
    case ArenaMap:
      return own + Math.min(spec.maxEntries, 1024) * 4096
    default:
      return own + 2 * spec.valueSize
  }
}

/**
 * @param btf the types of the program that has the map
 * @throws UnsupportedError `emulator.map-type` for a type that the emulator does not know
 */
export function createMap(machine: Machine, spec: MapSpec, index: number, btf?: Uint8Array): EmulatedMap {
  const make = CLASSES.get(spec.type)
  if (make === undefined)
    throw new UnsupportedError(
      'emulator.map-type',
      `map ${spec.name}: the emulator has no map type ${mapTypeName(spec.type) ?? spec.type}`,
    )
  const map = new make(machine, spec, index)
  map.special = specialFields(spec, btf)
  return map
}
