import { SystemError, UsageError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import {
  BPF_COMMANDS,
  type BpfCommand,
  MAP_TYPES,
  MAP_TYPES_SINCE,
  type MapType,
  mapTypeName,
} from '../../uapi/index.ts'
import { bpf, tryBpf } from '../sys/command.ts'
import { possibleCpus } from '../sys/cpus.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import { newerThanThis } from '../sys/since.ts'
import type { Block, Sys } from '../sys/sys.ts'
import { traceCommand, tracing } from '../sys/trace.ts'
import { mapRefusal } from './map-operations.ts'

const PER_CPU: ReadonlySet<number> = new Set([
  MAP_TYPES.percpu_hash,
  MAP_TYPES.percpu_array,
  MAP_TYPES.lru_percpu_hash,
  MAP_TYPES.percpu_cgroup_storage,
])

/** True of map types whose values exist once a CPU. */
export function isPerCpu(type: number): boolean {
  return PER_CPU.has(type)
}

/** Bytes of one value as the kernel exchanges it: of per-CPU maps, 8-aligned and times the possible CPUs. */
export function exchangedValueSize(type: number, valueSize: number, cpus: number): number {
  return PER_CPU.has(type) ? ((valueSize + 7) & ~7) * cpus : valueSize
}

/** What the kernel takes as a name: 15 bytes of letters, digits, `_` and `.`. */
export function kernelName(name: string): string {
  return name.replace(/[^A-Za-z0-9_.]/g, '_').slice(0, 15)
}

/** The shape of a live map. */
export interface MapShape {
  readonly name: string
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

const ATTR = { fd: 0, key: 8, value: 16, flags: 24, size: 32 } as const

/**
 * A live map over bytes. Attributes, key and value live in one block that is filled once, so that an access
 * costs one system call and two copies.
 */
export class RawMap extends OwnedFd {
  readonly shape: MapShape
  /** Bytes of a value as the kernel exchanges it. */
  readonly exchangedSize: number
  readonly cpus: number
  #block: Block
  #key: Uint8Array
  #value: Uint8Array
  #next: Uint8Array
  #valueAddress: number
  #keyAddress: number
  #nextAddress: number

  constructor(sys: Sys, fd: number, shape: MapShape) {
    super(sys, fd, `map ${shape.name}`)
    this.shape = shape
    this.cpus = isPerCpu(shape.type) ? possibleCpus() : 1
    this.exchangedSize = exchangedValueSize(shape.type, shape.valueSize, this.cpus)
    const keyBytes = (shape.keySize + 7) & ~7
    const block = sys.alloc(ATTR.size + 2 * keyBytes + this.exchangedSize)
    this.#block = block
    const nextAt = ATTR.size + keyBytes
    const valueAt = nextAt + keyBytes
    this.#key = block.bytes.subarray(ATTR.size, ATTR.size + shape.keySize)
    this.#next = block.bytes.subarray(nextAt, nextAt + shape.keySize)
    this.#value = block.bytes.subarray(valueAt, valueAt + this.exchangedSize)
    this.#keyAddress = block.address + ATTR.size
    this.#nextAddress = block.address + nextAt
    this.#valueAddress = block.address + valueAt
    block.view.setUint32(ATTR.fd, fd, true)
    // A queue, a stack or a bloom filter has no key: the kernel wants no address then.
    this.#setAddress(ATTR.key, shape.keySize === 0 ? 0 : this.#keyAddress)
    this.#setAddress(ATTR.value, this.#valueAddress)
  }

  override close(): void {
    if (!this.closed) this.#block.free()
    super.close()
  }

  /** Where lookups leave the value: valid until the next operation on this map. */
  get valueBytes(): Uint8Array {
    this.mustBeOpen()
    return this.#value
  }

  /** What was this map's memory belongs to others once it is closed. @throws SystemError `sys.closed` */
  mustBeOpen(): void {
    if (this.closed) throw new SystemError('sys.closed', `${this.what} is closed`)
  }

  /** The bytes that a key is written into before an operation `…At` is called. */
  get keyBytes(): Uint8Array {
    this.mustBeOpen()
    return this.#key
  }

  /** A copy of the value of a key, undefined when there is none. */
  lookup(key: Uint8Array, flags = 0): Uint8Array | undefined {
    this.#setKey(key)
    return this.lookupAt(flags) ? this.#value.slice() : undefined
  }

  /** Looks up the key in `keyBytes`; true: the value stands in `valueBytes`. */
  lookupAt(flags = 0): boolean {
    return this.#found(this.#run('map_lookup_elem', flags), 'map_lookup_elem')
  }

  /** Takes an element out: hash maps by key, queues and stacks with an empty key. */
  lookupAndDelete(key: Uint8Array, flags = 0): Uint8Array | undefined {
    this.#setKey(key)
    return this.#found(this.#run('map_lookup_and_delete_elem', flags), 'map_lookup_and_delete_elem')
      ? this.#value.slice()
      : undefined
  }

  /** @throws SystemError EEXIST, ENOENT, E2BIG … as the flags and the map type say */
  update(key: Uint8Array, value: Uint8Array, flags = 0): void {
    const result = this.tryUpdate(key, value, flags)
    if (result < 0) throw this.refused('map_update_elem', -result)
  }

  /** The error for a refused command on this map. */
  refused(command: BpfCommand, errno: number): SystemError {
    return explainErrno(command, errno, this.what, { hint: mapRefusal(this.shape.type, command, errno) })
  }

  /** 0 or minus the errno. A value of one CPU's size is written for every CPU of a per-CPU map. */
  tryUpdate(key: Uint8Array, value: Uint8Array, flags = 0): number {
    this.#setKey(key)
    if (!(value instanceof Uint8Array))
      throw new UsageError('map.value-size', `${this.what}: a value is a Uint8Array of ${this.shape.valueSize} bytes`)
    if (value.length === this.exchangedSize) this.#value.set(value)
    else if (this.cpus > 1 && value.length === this.shape.valueSize) {
      const stride = this.exchangedSize / this.cpus
      this.#value.fill(0)
      for (let cpu = 0; cpu < this.cpus; cpu++) this.#value.set(value, cpu * stride)
    } else
      throw new UsageError(
        'map.value-size',
        `${this.what}: a value has ${this.shape.valueSize} bytes, ${value.length} were given`,
      )
    return this.#run('map_update_elem', flags)
  }

  /** Updates the key in `keyBytes` with the value in `valueBytes`; 0 or minus the errno. */
  updateAt(flags = 0): number {
    return this.#run('map_update_elem', flags)
  }

  /** True when the key was there. */
  delete(key: Uint8Array): boolean {
    this.#setKey(key)
    const result = this.#run('map_delete_elem', 0)
    // An empty place of a sockmap is not missing but invalid.
    if (result === -ERRNO.EINVAL && this.shape.type === MAP_TYPES.sockmap) return false
    return this.#found(result, 'map_delete_elem')
  }

  /** The key after `key`, the first one for undefined; undefined after the last. The answer is a copy. */
  nextKey(key?: Uint8Array): Uint8Array | undefined {
    this.mustBeOpen()
    if (key === undefined) this.#setAddress(ATTR.key, 0)
    else this.#setKey(key)
    this.#setAddress(ATTR.value, this.#nextAddress)
    const result = this.#run('map_get_next_key', 0)
    this.#setAddress(ATTR.value, this.#valueAddress)
    this.#setAddress(ATTR.key, this.shape.keySize === 0 ? 0 : this.#keyAddress)
    return this.#found(result, 'map_get_next_key') ? this.#next.slice() : undefined
  }

  /**
   * All keys, in the kernel's order. When the key that the walk stands on is deleted meanwhile, the kernel starts
   * over; keys that were seen are not given again, so the walk ends.
   */
  *keys(): Generator<Uint8Array> {
    const seen = new Set<string>()
    let key = this.nextKey()
    let repeats = 0
    while (key !== undefined && repeats <= this.shape.maxEntries) {
      const name = Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
      if (seen.has(name)) repeats++
      else {
        seen.add(name)
        yield key
      }
      key = this.nextKey(key)
    }
  }

  /** All entries as copies. */
  *entries(): Generator<[key: Uint8Array, value: Uint8Array]> {
    for (const key of this.keys()) {
      const value = this.lookup(key)
      if (value !== undefined) yield [key, value]
    }
  }

  /** BPF_MAP_FREEZE: from now on no system call changes the map. Linux 5.2. */
  freeze(): void {
    bpf(this.sys, 'map_freeze', { map_fd: this.fd }, this.what)
  }

  #setKey(key: Uint8Array): void {
    this.mustBeOpen()
    if (!(key instanceof Uint8Array))
      throw new UsageError('map.key-size', `${this.what}: a key is a Uint8Array of ${this.shape.keySize} bytes`)
    if (key.length !== this.shape.keySize)
      throw new UsageError(
        'map.key-size',
        `${this.what}: a key has ${this.shape.keySize} bytes, ${key.length} were given`,
      )
    this.#key.set(key)
  }

  #setAddress(offset: number, address: number): void {
    const view = this.#block.view
    view.setUint32(offset, address, true)
    view.setUint32(offset + 4, Math.floor(address / 0x1_0000_0000), true)
  }

  #run(command: BpfCommand, flags: number): number {
    this.mustBeOpen()
    const { view, address } = this.#block
    view.setUint32(ATTR.flags, flags, true)
    const size = command === 'map_get_next_key' ? 24 : command === 'map_delete_elem' ? 16 : ATTR.size
    const result = this.sys.bpf(BPF_COMMANDS[command], address, size)
    if (tracing())
      traceCommand(command, view, size, result, {
        sys: this.sys,
        keySize: this.shape.keySize,
        valueSize: this.exchangedSize,
      })
    return result
  }

  #found(result: number, command: BpfCommand): boolean {
    if (result >= 0) return true
    if (result === -ERRNO.ENOENT) return false
    throw this.refused(command, -result)
  }
}

/** A map, or one with typed keys and values (BpfMap). */
export type MapOrTyped = RawMap | { readonly raw: RawMap }

export const rawOf = (map: MapOrTyped): RawMap => (map instanceof RawMap ? map : map.raw)

export interface CreateMapOptions {
  /** The BTF that `btfKeyTypeId` and `btfValueTypeId` count in. */
  readonly btfFd?: number
  /** The template of a map-in-map's inner maps. */
  readonly innerMapFd?: number
  /** For struct_ops maps: the id of the wrapper struct in the kernel's BTF. */
  readonly btfVmlinuxValueTypeId?: number
}

/**
 * BPF_MAP_CREATE. Contents, slots and freezing are the caller's part.
 * @throws SystemError with the errno explained
 */
export function createRawMap(sys: Sys, spec: MapSpec, options: CreateMapOptions = {}): RawMap {
  return rawMapOf(sys, createMapFd(sys, spec, options), spec)
}

/** A map around an fd that is its own from now on: also when there is no memory for its values, then it is closed. */
export function rawMapOf(sys: Sys, fd: number, shape: MapShape): RawMap {
  try {
    return new RawMap(sys, fd, shape)
  } catch (error) {
    sys.call('close', fd)
    throw error
  }
}

/** The fd of a new map, for who makes the object around it. @throws as {@link createRawMap} */
export function createMapFd(sys: Sys, spec: MapSpec, options: CreateMapOptions = {}): number {
  const name = kernelName(spec.kernelName ?? spec.name)
  const plain = {
    map_type: spec.type,
    key_size: spec.keySize,
    value_size: spec.valueSize,
    max_entries: spec.maxEntries,
    map_flags: spec.flags,
    inner_map_fd: options.innerMapFd ?? 0,
    numa_node: spec.numaNode ?? 0,
    map_name: name,
    map_extra: spec.mapExtra ?? 0n,
    ...(options.btfVmlinuxValueTypeId === undefined
      ? {}
      : { btf_fd: options.btfFd, btf_vmlinux_value_type_id: options.btfVmlinuxValueTypeId }),
  }
  const withTypes =
    options.btfFd !== undefined && (spec.btfKeyTypeId !== undefined || spec.btfValueTypeId !== undefined)
  const what = `map ${spec.name} (${mapTypeName(spec.type) ?? `type ${spec.type}`})`
  let fd = tryBpf(
    sys,
    'map_create',
    withTypes
      ? {
          ...plain,
          btf_fd: options.btfFd,
          btf_key_type_id: spec.btfKeyTypeId ?? 0,
          btf_value_type_id: spec.btfValueTypeId ?? 0,
        }
      : plain,
  )
  // Types are decoration for most maps: a kernel that refuses them may still take the map.
  if (fd < 0 && withTypes && fd !== -ERRNO.EPERM) {
    const bare = tryBpf(sys, 'map_create', plain)
    if (bare >= 0) fd = bare
  }
  if (fd < 0) {
    const name = mapTypeName(spec.type)
    const since = name === undefined ? undefined : MAP_TYPES_SINCE[name as MapType]
    const hint = fd === -ERRNO.EINVAL ? newerThanThis(`map type ${name}`, since) : undefined
    throw explainErrno('map_create', -fd, what, { type: spec.type, hint })
  }
  return fd
}
