import type { MapSpec } from '../../spec/index.ts'
import { ERRNO, MAP_TYPES } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry, roundUp8 } from './map.ts'

/** Up to here every element gets a gap behind it, so that running over its end is seen. */
const GAP_LIMIT = 65_536
const ANY_OR_EXIST = 2
const F_LOCK = 4
const NOEXIST = 1

export function arrayStride(spec: MapSpec): number {
  return roundUp8(spec.valueSize) + (spec.maxEntries > 1 && spec.maxEntries <= GAP_LIMIT ? 8 : 0)
}

/** array and percpu_array (kernel/bpf/arraymap.c's behaviour). */
export class ArrayMap extends EmulatedMap {
  readonly #stride: number
  readonly #values: number
  readonly #copies: number
  readonly #perCpuBytes: number
  readonly #keys: number

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
    this.#stride = arrayStride(spec)
    this.#copies = spec.type === MAP_TYPES.percpu_array ? machine.environment.cpus : 1
    this.#perCpuBytes = this.#stride * spec.maxEntries
    const { memory } = machine
    this.#values = memory.mustAllocate(this.#perCpuBytes * this.#copies, SHADOW.none, `values of map ${spec.name}`)
    const shadow = this.valueShadow
    if (this.#stride === spec.valueSize) memory.protect(this.#values, this.#perCpuBytes * this.#copies, shadow)
    else
      for (let i = 0; i < spec.maxEntries * this.#copies; i++)
        memory.protect(this.#values + i * this.#stride, spec.valueSize, shadow)
    this.#keys = memory.mustAllocate(8, SHADOW.read, `key of map ${spec.name}`)
    if (this.#copies === 1) this.directValue = this.#values
  }

  override get copies(): number {
    return this.#copies
  }
  get stride(): number {
    return this.#stride
  }
  get values(): number {
    return this.#values
  }
  /** The memory of all values, not copied: element i of a CPU stands at `cpu * perCpuBytes + i * stride`. */
  get bytes(): Uint8Array {
    return this.machine.memory.u8.subarray(this.#values, this.#values + this.#perCpuBytes * this.#copies)
  }
  get perCpuBytes(): number {
    return this.#perCpuBytes
  }

  override lookup(key: number): number {
    return this.lookupCpu(key, this.#copies === 1 ? 0 : this.machine.environment.cpu)
  }

  override lookupCpu(key: number, cpu: number): number {
    const index = this.machine.memory.view.getUint32(key, true)
    if (index >= this.spec.maxEntries || cpu >= this.#copies) return 0
    return this.#values + cpu * this.#perCpuBytes + index * this.#stride
  }

  override update(key: number, value: number, flags: number): number {
    if ((flags & ~F_LOCK) > ANY_OR_EXIST || flags < 0) return -ERRNO.EINVAL
    const at = this.lookup(key)
    if (at === 0) return -ERRNO.E2BIG
    if ((flags & NOEXIST) !== 0) return -ERRNO.EEXIST
    if ((flags & F_LOCK) !== 0 && !this.lockable) return -ERRNO.EINVAL
    this.copyValue(at, value)
    this.dirty = true
    return 0
  }

  override *each(): Iterable<readonly [number, number]> {
    for (let i = 0; i < this.spec.maxEntries; i++) {
      this.machine.memory.view.setUint32(this.#keys, i, true)
      yield [this.#keys, this.lookup(this.#keys)]
    }
  }

  override get(key: Uint8Array): readonly Uint8Array[] | undefined {
    const index = new DataView(this.checkKey(key).slice().buffer).getUint32(0, true)
    return index < this.spec.maxEntries ? this.#valuesOf(index) : undefined
  }

  #valuesOf(index: number): Uint8Array[] {
    return Array.from({ length: this.#copies }, (_, cpu) =>
      this.copy(this.#values + cpu * this.#perCpuBytes + index * this.#stride, this.spec.valueSize),
    )
  }

  override entries(): MapEntry[] {
    return Array.from({ length: this.spec.maxEntries }, (_, i) => {
      const key = new Uint8Array(4)
      new DataView(key.buffer).setUint32(0, i, true)
      return { key, values: this.#valuesOf(i) }
    })
  }

  override reset(): void {
    this.machine.memory.u8.fill(0, this.#values, this.#values + this.#perCpuBytes * this.#copies)
  }
}
