import { BtfBuilder } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import { CONTRIBUTION, type Contribution, type MapSpec, type SpecContribution } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES, type MapFlag, type MapType } from '../../uapi/index.ts'
import { type FunctionContext, here, type UsedMap } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { addBtf } from '../types/btf.ts'
import type { Type } from '../types/types.ts'

export interface MapOptions {
  readonly flags?: readonly MapFlag[]
  readonly numaNode?: number
  /** Pinned under its name by loaders that pin (libbpf's LIBBPF_PIN_BY_NAME). */
  readonly pinned?: boolean
}

/** A map as programs see it. A module exports it to let user space find it; a program that uses it brings it along anyway. */
export abstract class MapDefinition implements SpecContribution, UsedMap {
  readonly spec: MapSpec
  readonly keyType?: Type
  readonly valueType?: Type
  readonly holds?: readonly UsedMap[]
  readonly programs?: readonly SpecContribution[]

  constructor(
    type: MapType,
    name: string,
    shape: {
      readonly key?: Type
      readonly value?: Type
      readonly keySize?: number
      readonly valueSize?: number
      readonly maxEntries: number
    },
    options: MapOptions & Partial<Pick<MapSpec, 'inner' | 'mapExtra' | 'slots' | 'contents'>> = {},
  ) {
    if (!/^[A-Za-z_.][\w.]*$/.test(name))
      throw new UsageError('build.map-name', `${JSON.stringify(name)} is no name for a map`, {
        details: ['use letters, digits, _ and . (the kernel keeps the first 15)'],
      })
    const { maxEntries } = shape
    if (!Number.isInteger(maxEntries) || maxEntries < 0 || maxEntries > 0xffff_ffff)
      throw new UsageError('build.map-entries', `map ${name}: maxEntries is ${maxEntries}`)
    this.keyType = shape.key
    this.valueType = shape.value
    this.spec = Object.freeze({
      name,
      type: MAP_TYPES[type],
      keySize: shape.keySize ?? shape.key?.size ?? 0,
      valueSize: shape.valueSize ?? shape.value?.size ?? 0,
      maxEntries,
      flags: (options.flags ?? []).reduce((sum, flag) => sum | MAP_FLAGS[flag], 0),
      ...(options.mapExtra === undefined ? {} : { mapExtra: options.mapExtra }),
      ...(options.numaNode === undefined ? {} : { numaNode: options.numaNode }),
      ...(options.inner === undefined ? {} : { inner: options.inner }),
      ...(options.slots === undefined ? {} : { slots: options.slots }),
      ...(options.contents === undefined ? {} : { contents: options.contents }),
      ...(options.pinned ? { pinning: 'by_name' as const } : {}),
    })
  }

  get name(): string {
    return this.spec.name
  }

  /** The map's handle inside the function being built. @internal */
  use(what: string): { fn: FunctionContext; handle: Operand } {
    const fn = here(`${this.name}.${what}`)
    return { fn, handle: { kind: 'map', name: fn.unit.use(this) } }
  }

  [CONTRIBUTION](): Contribution {
    const btf = new BtfBuilder()
    const spec = withTypes(this, btf)
    const held = (this.holds ?? []).map((map) => withTypes(map, btf))
    return { programs: [], maps: [spec, ...held], btf: btf.toBytes(), also: this.programs ?? [] }
  }
}

/** Map types whose key or value types the kernel does not take. */
const WITHOUT_BTF = new Set<number>([
  MAP_TYPES.prog_array,
  MAP_TYPES.perf_event_array,
  MAP_TYPES.stack_trace,
  MAP_TYPES.cgroup_array,
  MAP_TYPES.array_of_maps,
  MAP_TYPES.hash_of_maps,
  MAP_TYPES.devmap,
  MAP_TYPES.devmap_hash,
  MAP_TYPES.cpumap,
  MAP_TYPES.xskmap,
  MAP_TYPES.sockmap,
  MAP_TYPES.sockhash,
  MAP_TYPES.reuseport_sockarray,
  MAP_TYPES.queue,
  MAP_TYPES.stack,
  MAP_TYPES.ringbuf,
  MAP_TYPES.user_ringbuf,
  MAP_TYPES.bloom_filter,
  MAP_TYPES.cgroup_storage,
  MAP_TYPES.percpu_cgroup_storage,
])

/** The map's spec with its key and value types in `btf`. */
export function withTypes(map: UsedMap, btf: BtfBuilder): MapSpec {
  if (map.keyType === undefined || map.valueType === undefined || WITHOUT_BTF.has(map.spec.type)) return map.spec
  return { ...map.spec, btfKeyTypeId: addBtf(btf, map.keyType), btfValueTypeId: addBtf(btf, map.valueType) }
}
