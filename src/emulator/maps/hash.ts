import type { MapSpec } from '../../spec/index.ts'
import { ERRNO, MAP_TYPES } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry, roundUp8 } from './map.ts'
import { UseOrder } from './use-order.ts'

/** Entries of one map never take more than this; a larger map answers ENOMEM when it is full. */
const MAX_MAP_BYTES = 128 << 20
const NOEXIST = 1
const EXIST = 2
const F_LOCK = 4

export function hashStride(spec: MapSpec, copies: number): number {
  return roundUp8(spec.keySize) + 8 + copies * (roundUp8(spec.valueSize) + 8)
}

/** Entries that the emulator keeps room for, the ones deleted during a run included. */
export function hashCapacity(spec: MapSpec, copies: number): number {
  const spare = Math.min(1024, spec.maxEntries) + 16
  return Math.min(spec.maxEntries + spare, Math.floor(MAX_MAP_BYTES / hashStride(spec, copies)))
}

/** hash, percpu_hash, lru_hash and lru_percpu_hash (kernel/bpf/hashtab.c's behaviour; the LRU evicts the entry longest unused). */
export class HashMap extends EmulatedMap {
  readonly #copies: number
  readonly #perCpu: boolean
  readonly #lru: boolean
  readonly #stride: number
  readonly #valueAt: number
  readonly #valueStride: number
  readonly #capacity: number
  readonly #slots: number
  readonly #mask: number
  /** Slot + 1 of the first entry of a bucket; `#next` chains. */
  readonly #buckets: Int32Array
  readonly #next: Int32Array
  readonly #hashes: Int32Array
  /** 0 free, 1 used, 2 deleted during this run. */
  readonly #state: Uint8Array
  /** The order of last use, for the LRU. */
  readonly #order: UseOrder | undefined
  #free: number[] = []
  #quarantine: number[] = []
  #fresh = 0
  #count = 0

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
    const percpu = spec.type === MAP_TYPES.percpu_hash || spec.type === MAP_TYPES.lru_percpu_hash
    this.#perCpu = percpu
    this.#copies = percpu ? machine.environment.cpus : 1
    this.#lru = spec.type === MAP_TYPES.lru_hash || spec.type === MAP_TYPES.lru_percpu_hash
    this.#valueAt = roundUp8(spec.keySize) + 8
    this.#valueStride = roundUp8(spec.valueSize) + 8
    this.#stride = hashStride(spec, this.#copies)
    this.#capacity = hashCapacity(spec, this.#copies)
    this.#slots = machine.memory.mustAllocate(this.#stride * this.#capacity, SHADOW.none, `entries of map ${spec.name}`)
    let buckets = 16
    while (buckets < this.#capacity && buckets < 1 << 20) buckets *= 2
    this.#mask = buckets - 1
    this.#buckets = new Int32Array(buckets)
    this.#next = new Int32Array(this.#capacity)
    this.#hashes = new Int32Array(this.#capacity)
    this.#state = new Uint8Array(this.#capacity)
    this.#order = this.#lru ? new UseOrder(this.#capacity) : undefined
  }

  override get copies(): number {
    return this.#copies
  }
  get count(): number {
    return this.#count
  }

  #hash(key: number): number {
    const { u8 } = this.machine.memory
    let hash = -2128831035
    for (let at = key; at < key + this.spec.keySize; at++) hash = Math.imul(hash ^ u8[at], 16777619)
    hash ^= hash >>> 15
    return Math.imul(hash, -2048144789) ^ (hash >>> 13)
  }

  #find(key: number, hash: number): number {
    const { u8 } = this.machine.memory
    const size = this.spec.keySize
    for (let slot = this.#buckets[hash & this.#mask] - 1; slot >= 0; slot = this.#next[slot] - 1) {
      if (this.#hashes[slot] !== hash) continue
      const at = this.#slots + slot * this.#stride
      let i = 0
      while (i < size && u8[at + i] === u8[key + i]) i++
      if (i === size) return slot
    }
    return -1
  }

  #value(slot: number, cpu: number): number {
    return this.#slots + slot * this.#stride + this.#valueAt + cpu * this.#valueStride
  }

  override lookup(key: number): number {
    return this.lookupCpu(key, this.#copies === 1 ? 0 : this.machine.environment.cpu)
  }

  override lookupCpu(key: number, cpu: number): number {
    if (cpu >= this.#copies) return 0
    const slot = this.#find(key, this.#hash(key))
    if (slot < 0) return 0
    this.#order?.use(slot)
    return this.#value(slot, cpu)
  }

  #take(): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.#fresh < this.#capacity) return this.#fresh++
    return this.#quarantine.shift() ?? -1
  }

  #evict(): boolean {
    const oldest = this.#order?.oldest
    if (oldest === undefined) return false
    this.#unlink(oldest)
    return true
  }

  override update(key: number, value: number, flags: number): number {
    const lock = (flags & F_LOCK) !== 0
    if ((flags & ~F_LOCK) > EXIST || flags < 0) return -ERRNO.EINVAL
    if (lock && (this.#lru || this.#perCpu || !this.lockable)) return -ERRNO.EINVAL
    const hash = this.#hash(key)
    const old = this.#find(key, hash)
    if (old >= 0 && (flags & NOEXIST) !== 0) return -ERRNO.EEXIST
    if (old < 0 && (flags & EXIST) !== 0) return -ERRNO.ENOENT
    const { u8 } = this.machine.memory
    const { keySize, valueSize } = this.spec
    this.dirty = true
    if (old >= 0 && (this.#perCpu || lock)) {
      this.copyValue(this.#value(old, this.#copies > 1 ? this.machine.environment.cpu : 0), value)
      return 0
    }
    if (old < 0 && this.#count >= this.spec.maxEntries && !(this.#lru && this.#evict())) return -ERRNO.E2BIG
    const slot = this.#take()
    if (slot < 0) return -ERRNO.ENOMEM
    const at = this.#slots + slot * this.#stride
    u8.copyWithin(at, key, key + keySize)
    const cpu = this.#copies > 1 ? this.machine.environment.cpu : 0
    this.machine.memory.protect(at, keySize, SHADOW.read)
    for (let copy = 0; copy < this.#copies; copy++) {
      const to = this.#value(slot, copy)
      if (copy !== cpu || this.special.length > 0) u8.fill(0, to, to + valueSize)
      if (copy === cpu) this.copyValue(to, value)
      this.machine.memory.protect(to, valueSize, this.valueShadow)
    }
    if (old >= 0) this.#unlink(old)
    this.#state[slot] = 1
    this.#hashes[slot] = hash
    this.#next[slot] = this.#buckets[hash & this.#mask]
    this.#buckets[hash & this.#mask] = slot + 1
    this.#order?.use(slot)
    this.#count++
    return 0
  }

  /** Takes an entry out; its bytes stay as they are, marked as freed, until the run ends. */
  #unlink(slot: number): void {
    const bucket = this.#hashes[slot] & this.#mask
    if (this.#buckets[bucket] === slot + 1) this.#buckets[bucket] = this.#next[slot]
    else {
      let at = this.#buckets[bucket] - 1
      while (this.#next[at] !== slot + 1) at = this.#next[at] - 1
      this.#next[at] = this.#next[slot]
    }
    this.#state[slot] = 2
    this.#order?.remove(slot)
    this.#count--
    this.#quarantine.push(slot)
    for (let copy = 0; copy < this.#copies; copy++) {
      this.endTimers(this.#value(slot, copy))
      this.machine.memory.protect(this.#value(slot, copy), this.spec.valueSize, SHADOW.freed)
    }
  }

  override remove(key: number): number {
    const slot = this.#find(key, this.#hash(key))
    if (slot < 0) return -ERRNO.ENOENT
    this.#unlink(slot)
    this.dirty = true
    return 0
  }

  override endRun(): void {
    if (this.#quarantine.length === 0) return
    for (const slot of this.#quarantine) {
      if (this.#state[slot] !== 2) continue
      this.#state[slot] = 0
      this.machine.memory.protect(this.#slots + slot * this.#stride, this.#stride, SHADOW.none)
      this.#free.push(slot)
    }
    this.#quarantine = []
  }

  override *each(): Iterable<readonly [number, number]> {
    const cpu = this.#copies > 1 ? this.machine.environment.cpu : 0
    for (let slot = 0; slot < this.#fresh; slot++)
      if (this.#state[slot] === 1) yield [this.#slots + slot * this.#stride, this.#value(slot, cpu)]
  }

  override get(key: Uint8Array): readonly Uint8Array[] | undefined {
    return this.withScratch([this.checkKey(key)], ([at]) => {
      const slot = this.#find(at, this.#hash(at))
      return slot < 0 ? undefined : this.#valuesOf(slot)
    })
  }

  #valuesOf(slot: number): Uint8Array[] {
    return Array.from({ length: this.#copies }, (_, cpu) => this.copy(this.#value(slot, cpu), this.spec.valueSize))
  }

  override entries(): MapEntry[] {
    const found: MapEntry[] = []
    for (let slot = 0; slot < this.#fresh; slot++)
      if (this.#state[slot] === 1)
        found.push({
          key: this.copy(this.#slots + slot * this.#stride, this.spec.keySize),
          values: this.#valuesOf(slot),
        })
    return found
  }

  override reset(): void {
    for (let slot = 0; slot < this.#fresh; slot++) if (this.#state[slot] === 1) this.#unlink(slot)
    this.endRun()
  }
}
