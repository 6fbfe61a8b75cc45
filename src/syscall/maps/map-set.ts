import { UsageError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { kernelBtf } from '../prog/kernel-btf.ts'
import { possibleCpus } from '../sys/cpus.ts'
import type { Sys } from '../sys/sys.ts'
import { ArenaMap } from './arena-map.ts'
import { createMapFd, createRawMap, type RawMap } from './raw-map.ts'

/**
 * What every loader does to a map's size: a perf event array without a size gets an entry a CPU, a ring gets a size
 * that the kernel can map (a power of two of whole pages).
 */
export function sizedSpec(sys: Sys, spec: MapSpec): MapSpec {
  if (spec.type === MAP_TYPES.perf_event_array && spec.maxEntries === 0) return { ...spec, maxEntries: possibleCpus() }
  if ((spec.type === MAP_TYPES.ringbuf || spec.type === MAP_TYPES.user_ringbuf) && spec.maxEntries > 0) {
    let bytes = sys.pageSize
    while (bytes < spec.maxEntries && bytes < 2 ** 31) bytes *= 2
    return { ...spec, maxEntries: bytes }
  }
  return spec
}

/** The id of the struct that a struct_ops map has as its value. */
function structOpsValueType(spec: MapSpec): number | undefined {
  if (spec.type !== MAP_TYPES.struct_ops || spec.structOps === undefined) return undefined
  const name = `bpf_struct_ops_${spec.structOps.typeName.split('___')[0]}`
  const id = kernelBtf()?.idByName(name, 'struct')
  if (id === undefined) throw new UsageError('map.struct-ops', `the running kernel has no struct ${name}`)
  return id
}

export interface MapSetOptions {
  readonly btfFd?: number
  /** Maps that exist already, by index; they are used as they are and not closed. */
  readonly given?: ReadonlyMap<number, RawMap>
}

/**
 * Creates the maps of an image or object: templates first, then contents, inner maps, freezing. Programs of a prog
 * array are put in by who loads them. On failure nothing stays open.
 */
export function createMapSet(sys: Sys, specs: readonly MapSpec[], options: MapSetOptions = {}): RawMap[] {
  const { given, btfFd } = options
  const made = new Map<MapSpec, RawMap>()
  const owned: RawMap[] = []
  const make = (spec: MapSpec, depth: number): RawMap => {
    const there = made.get(spec)
    if (there !== undefined) return there
    if (depth > 8) throw new UsageError('map.nesting', `map ${spec.name}: inner maps nest too deeply`)
    const inner = spec.inner === undefined ? undefined : make(spec.inner, depth + 1)
    const sized = sizedSpec(sys, spec)
    const needs = { btfFd, innerMapFd: inner?.fd, btfVmlinuxValueTypeId: structOpsValueType(spec) }
    const map =
      spec.type === MAP_TYPES.arena
        ? new ArenaMap(sys, createMapFd(sys, sized, needs), sized)
        : createRawMap(sys, sized, needs)
    made.set(spec, map)
    owned.push(map)
    return map
  }
  try {
    specs.forEach((spec, index) => {
      const map = given?.get(index)
      if (map !== undefined) made.set(spec, map)
    })
    const maps = specs.map((spec) => make(spec, 0))
    const byName = new Map(specs.map((spec, index) => [spec.name, maps[index]]))
    specs.forEach((spec, index) => {
      if (given?.get(index) === undefined) fill(spec, maps[index], byName)
    })
    // A template that no map of the set stands for is not needed any more.
    for (const map of owned) if (!maps.includes(map)) map.close()
    return maps
  } catch (error) {
    for (const map of owned) map.close()
    throw error
  }
}

function fill(spec: MapSpec, map: RawMap, byName: ReadonlyMap<string, RawMap>): void {
  if (spec.type !== MAP_TYPES.struct_ops) for (const [key, value] of spec.contents ?? []) map.update(key, value)
  if (spec.type !== MAP_TYPES.prog_array)
    for (const [key, target] of spec.slots ?? []) {
      const inner = byName.get(target)
      if (inner === undefined)
        throw new UsageError('map.slot', `map ${spec.name}: its slot names a map ${target} that is not there`)
      map.update(key, fdBytes(inner.fd))
    }
  if (spec.frozen === true) map.freeze()
}

/** An fd as the value of a map of maps or a prog array. */
export function fdBytes(fd: number): Uint8Array {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, fd, true)
  return bytes
}
