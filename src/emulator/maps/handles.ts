import type { MapSpec } from '../../spec/index.ts'
import { ERRNO, MAP_TYPES } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry } from './map.ts'

const ARRAYS: ReadonlySet<number> = new Set([
  MAP_TYPES.prog_array,
  MAP_TYPES.array_of_maps,
  MAP_TYPES.cgroup_array,
  MAP_TYPES.devmap,
  MAP_TYPES.cpumap,
  MAP_TYPES.xskmap,
  MAP_TYPES.sockmap,
  MAP_TYPES.reuseport_sockarray,
  MAP_TYPES.insn_array,
])
const MAPS_INSIDE: ReadonlySet<number> = new Set([MAP_TYPES.array_of_maps, MAP_TYPES.hash_of_maps])
/** Types whose value a program may read after a look-up. */
const READABLE: ReadonlySet<number> = new Set([MAP_TYPES.devmap, MAP_TYPES.devmap_hash, MAP_TYPES.cpumap])

const keyText = (bytes: Uint8Array): string => String.fromCharCode(...bytes)

/**
 * Maps whose values stand for something else: programs, maps, devices, CPUs, sockets, cgroups. A value is the index of the target in the
 * emulator (programs, maps), or the bytes that user space would write (devmap: ifindex and program).
 */
export class HandleMap extends EmulatedMap {
  readonly #entries = new Map<string, { key: Uint8Array; value: Uint8Array; at: number }>()
  readonly #byIndex: boolean

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
    this.#byIndex = ARRAYS.has(spec.type)
  }

  #entryAt(key: number): { key: Uint8Array; value: Uint8Array; at: number } | undefined {
    return this.#entries.get(keyText(this.machine.memory.bytes(key, this.spec.keySize)))
  }

  /** The first four bytes of an entry's value: an index or an ifindex; undefined when there is none. */
  target(key: number): number | undefined {
    const entry = this.#entryAt(key)
    return entry === undefined ? undefined : new DataView(entry.value.buffer).getUint32(0, true)
  }

  /** {@link target} for an array's index. */
  targetAt(index: number): number | undefined {
    const key = new Uint8Array(4)
    new DataView(key.buffer).setUint32(0, index, true)
    const entry = this.#entries.get(keyText(key))
    return entry === undefined ? undefined : new DataView(entry.value.buffer).getUint32(0, true)
  }

  override lookup(key: number): number {
    const entry = this.#entryAt(key)
    if (entry === undefined) return 0
    if (MAPS_INSIDE.has(this.spec.type)) return this.machine.maps[this.target(key) ?? -1]?.handle ?? 0
    return READABLE.has(this.spec.type) ? entry.at : 0
  }

  override set(key: Uint8Array, value: Uint8Array | readonly Uint8Array[], flags = 0): number {
    if (this.frozen) return -ERRNO.EPERM
    const text = keyText(this.checkKey(key))
    if (flags > 2 || flags < 0) return -ERRNO.EINVAL
    if (this.#byIndex && new DataView(key.slice().buffer).getUint32(0, true) >= this.spec.maxEntries)
      return -ERRNO.E2BIG
    const old = this.#entries.get(text)
    if (flags === 1 && (old !== undefined || this.#byIndex)) return -ERRNO.EEXIST
    if (flags === 2 && old === undefined && !this.#byIndex) return -ERRNO.ENOENT
    if (old === undefined && this.#entries.size >= this.spec.maxEntries) return -ERRNO.E2BIG
    const given = value instanceof Uint8Array ? value : value[0]
    const bytes = new Uint8Array(Math.max(4, this.spec.valueSize))
    bytes.set(given.subarray(0, bytes.length))
    const at = old?.at ?? this.machine.memory.allocate(bytes.length, SHADOW.read)
    if (at === 0) return -ERRNO.ENOMEM
    this.machine.memory.u8.set(bytes, at)
    this.#entries.set(text, { key: key.slice(), value: bytes, at })
    this.dirty = true
    return 0
  }

  override delete(key: Uint8Array): number {
    return this.#entries.delete(keyText(this.checkKey(key))) ? 0 : -ERRNO.ENOENT
  }
  override remove(key: number): number {
    return this.delete(this.copy(key, this.spec.keySize))
  }
  override update(key: number, value: number, flags: number): number {
    return this.set(this.copy(key, this.spec.keySize), this.copy(value, Math.max(4, this.spec.valueSize)), flags)
  }
  override get(key: Uint8Array): readonly Uint8Array[] | undefined {
    const entry = this.#entries.get(keyText(this.checkKey(key)))
    return entry === undefined ? undefined : [entry.value.slice()]
  }
  override entries(): MapEntry[] {
    return [...this.#entries.values()].map(({ key, value }) => ({ key, values: [value.slice()] }))
  }
  override reset(): void {
    this.#entries.clear()
  }
}
