import { UsageError } from '../../errors/index.ts'
import type { ByteOrder, Layout } from '../../layout/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES, type MapType, mapTypeName } from '../../uapi/index.ts'
import { MAP, type Mapping, PROT, type Sys } from '../sys/sys.ts'
import { deleteBatch, readBatches, updateBatch } from './batch-ops.ts'
import { type CreateMapOptions, createRawMap, type RawMap } from './raw-map.ts'

const ORDER: ByteOrder = 'little'

/** How keys and values are read: layouts of the builder, of BTF, or {@link rawBytes}. */
export interface MapCodec<Key, Value> {
  readonly key: Layout<Key>
  readonly value: Layout<Value>
}

/** Bytes as they are. */
export function rawBytes(size: number): Layout<Uint8Array> {
  return {
    kind: 'bytes',
    name: `${size} bytes`,
    size,
    align: 1,
    count: size,
    read: (view, offset) => new Uint8Array(view.buffer, view.byteOffset + offset, size).slice(),
    write: (view, offset, value, _order, path) => {
      if (value.length !== size)
        throw new UsageError('layout.value', `${path}: ${size} bytes are needed, ${value.length} were given`)
      new Uint8Array(view.buffer, view.byteOffset + offset, size).set(value)
    },
  }
}

/** Flags of an update (BPF_NOEXIST, BPF_EXIST, BPF_F_LOCK) as words. */
export interface SetOptions {
  readonly only?: 'new' | 'existing'
  readonly locked?: boolean
}
const flagsOf = (options: SetOptions | undefined): number =>
  (options?.only === 'new' ? 1 : options?.only === 'existing' ? 2 : 0) | (options?.locked === true ? 4 : 0)

function pairsOf<Key, Value>(entries: Iterable<readonly [Key, Value]>, what: string): (readonly [Key, Value])[] {
  const list = typeof entries?.[Symbol.iterator] === 'function' ? [...entries] : undefined
  if (list?.every((entry) => Array.isArray(entry) && entry.length === 2) !== true)
    throw new UsageError('map.entries', `${what}: entries are given as pairs of key and value`)
  return list
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const QUEUES: readonly MapType[] = ['queue', 'stack']
const PUSHED: readonly MapType[] = [...QUEUES, 'bloom_filter']

/**
 * A live map with typed keys and values: get, set, delete, iterate. What the map type does not have throws the kernel's
 * refusal, explained. Owns its fd: close it, or `using`.
 */
export class BpfMap<Key = Uint8Array, Value = Uint8Array> {
  readonly raw: RawMap
  readonly codec: MapCodec<Key, Value>
  #keyView: DataView
  #valueView: DataView
  #stride: number
  /** The bytes of a key that its layout does not write all of. */
  #padded: Uint8Array | undefined

  constructor(raw: RawMap, codec: MapCodec<Key, Value>) {
    if (codec.key.size !== raw.shape.keySize || codec.value.size !== raw.shape.valueSize)
      throw new UsageError(
        'map.layout',
        `${raw.what}: keys of ${raw.shape.keySize} and values of ${raw.shape.valueSize} bytes, the layouts have ${codec.key.size} and ${codec.value.size}`,
      )
    this.raw = raw
    this.codec = codec
    this.#keyView = viewOf(raw.keyBytes)
    this.#valueView = viewOf(raw.valueBytes)
    this.#stride = raw.exchangedSize / raw.cpus
    this.#padded = codec.key.kind === 'int' || codec.key.kind === 'bytes' ? undefined : raw.keyBytes
  }

  /** @throws UsageError `map.operation` when the map's type does not have the operation */
  #only(operation: string, types: readonly MapType[]): void {
    if (types.some((name) => MAP_TYPES[name] === this.raw.shape.type)) return
    throw new UsageError(
      'map.operation',
      `${this.raw.what} is a ${mapTypeName(this.raw.shape.type)}: ${operation} is for ${types.join(', ')}`,
    )
  }

  get fd(): number {
    return this.raw.fd
  }
  get name(): string {
    return this.raw.shape.name
  }

  close(): void {
    this.raw.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }

  #key(key: Key): void {
    this.raw.mustBeOpen()
    // Padding, and members that a union leaves out, are what the last key had there.
    this.#padded?.fill(0)
    this.codec.key.write(this.#keyView, 0, key, ORDER, `key of ${this.name}`)
  }

  /** The value of a key; undefined when it is not there. Of per-CPU maps the first CPU's: see {@link getAll}. */
  get(key: Key): Value | undefined {
    this.#key(key)
    return this.raw.lookupAt() ? this.codec.value.read(this.#valueView, 0, ORDER) : undefined
  }

  has(key: Key): boolean {
    this.#key(key)
    return this.raw.lookupAt()
  }

  /** @throws SystemError E2BIG when it is full, EEXIST or ENOENT as `only` says */
  set(key: Key, value: Value, options?: SetOptions): void {
    this.#key(key)
    this.raw.valueBytes.fill(0)
    for (let cpu = 0; cpu < this.raw.cpus; cpu++)
      this.codec.value.write(this.#valueView, cpu * this.#stride, value, ORDER, `value of ${this.name}`)
    this.#written(this.raw.updateAt(flagsOf(options)))
  }

  #written(result: number): void {
    if (result < 0) throw this.raw.refused('map_update_elem', -result)
  }

  /** True when the key was there. */
  delete(key: Key): boolean {
    this.#key(key)
    return this.raw.delete(this.raw.keyBytes)
  }

  /** Reads and deletes in one step. Hash maps from Linux 5.14. */
  take(key: Key): Value | undefined {
    this.#key(key)
    const bytes = this.raw.lookupAndDelete(this.raw.keyBytes)
    return bytes === undefined ? undefined : this.codec.value.read(viewOf(bytes), 0, ORDER)
  }

  /** The value of a per-CPU map on every possible CPU. */
  getAll(key: Key): Value[] | undefined {
    this.#key(key)
    return this.raw.lookupAt() ? this.#all(this.#valueView, 0) : undefined
  }

  #all(view: DataView, offset: number): Value[] {
    return Array.from({ length: this.raw.cpus }, (_, cpu) =>
      this.codec.value.read(view, offset + cpu * this.#stride, ORDER),
    )
  }

  /** Writes a value for each possible CPU of a per-CPU map. */
  setAll(key: Key, values: readonly Value[], options?: SetOptions): void {
    if (values.length !== this.raw.cpus)
      throw new UsageError(
        'map.cpus',
        `${this.raw.what}: ${this.raw.cpus} values are needed, ${values.length} were given`,
      )
    this.#key(key)
    this.raw.valueBytes.fill(0)
    values.forEach((value, cpu) => {
      this.codec.value.write(this.#valueView, cpu * this.#stride, value, ORDER, `value of ${this.name}`)
    })
    this.#written(this.raw.updateAt(flagsOf(options)))
  }

  /** The sum over all CPUs of a per-CPU map of numbers; structs need `fold`. */
  sum(key: Key): Value | undefined
  sum<Result>(key: Key, fold: (total: Result, value: Value) => Result, start: Result): Result | undefined
  sum<Result>(key: Key, fold?: (total: Result, value: Value) => Result, start?: Result): Value | Result | undefined {
    const values = this.getAll(key)
    if (values === undefined) return undefined
    if (fold !== undefined) return values.reduce(fold, start as Result)
    return (values as unknown[]).reduce((total: unknown, value: unknown) => {
      if (typeof total === 'bigint' && typeof value === 'bigint') return total + value
      if (typeof total === 'number' && typeof value === 'number') return total + value
      throw new UsageError('map.sum', `${this.raw.what}: its values are no numbers, give a fold function`)
    }) as Value
  }

  /**
   * All entries, read in batches where the map has them, else key by key. Entries that are deleted or added meanwhile
   * may or may not be seen; the walk always ends.
   */
  *entries(): Generator<[key: Key, value: Value]> {
    for (const [key, view, offset] of this.#walk()) yield [key, this.codec.value.read(view, offset, ORDER)]
  }

  /** {@link entries} with the values of all CPUs. */
  *entriesAll(): Generator<[key: Key, values: Value[]]> {
    for (const [key, view, offset] of this.#walk()) yield [key, this.#all(view, offset)]
  }

  *#walk(): Generator<[key: Key, view: DataView, offset: number]> {
    const { keySize } = this.raw.shape
    const { exchangedSize } = this.raw
    const batches = readBatches(this.raw)
    try {
      let step = batches.next()
      while (step.done !== true) {
        const { count, keys, values } = step.value
        const [keyView, valueView] = [viewOf(keys), viewOf(values)]
        for (let i = 0; i < count; i++)
          yield [this.codec.key.read(keyView, i * keySize, ORDER), valueView, i * exchangedSize]
        step = batches.next()
      }
      if (step.value) return
    } finally {
      batches.return(true)
    }
    for (const [key, value] of this.raw.entries()) yield [this.codec.key.read(viewOf(key), 0, ORDER), viewOf(value), 0]
  }

  *keys(): Generator<Key> {
    for (const key of this.raw.keys()) yield this.codec.key.read(viewOf(key), 0, ORDER)
  }

  *values(): Generator<Value> {
    for (const [, value] of this.entries()) yield value
  }

  [Symbol.iterator](): Generator<[key: Key, value: Value]> {
    return this.entries()
  }

  /** Writes many entries; one batch command where the map has it. */
  setMany(entries: Iterable<readonly [Key, Value]>, options?: SetOptions): void {
    const list = pairsOf(entries, this.raw.what)
    const { keySize } = this.raw.shape
    const keys = new Uint8Array(list.length * keySize)
    const values = new Uint8Array(list.length * this.raw.exchangedSize)
    const [keyView, valueView] = [viewOf(keys), viewOf(values)]
    list.forEach(([key, value], i) => {
      this.codec.key.write(keyView, i * keySize, key, ORDER, `key of ${this.name}`)
      for (let cpu = 0; cpu < this.raw.cpus; cpu++)
        this.codec.value.write(
          valueView,
          i * this.raw.exchangedSize + cpu * this.#stride,
          value,
          ORDER,
          `value of ${this.name}`,
        )
    })
    if (list.length === 0 || updateBatch(this.raw, keys, values, list.length, flagsOf(options))) return
    for (const [key, value] of list) this.set(key, value, options)
  }

  /** Deletes every entry; arrays are zeroed, queues and stacks emptied. */
  clear(): void {
    const { type, keySize, maxEntries } = this.raw.shape
    if (QUEUES.some((name) => MAP_TYPES[name] === type)) {
      for (let left = maxEntries; left > 0 && this.pop() !== undefined; left--);
      return
    }
    if (type === MAP_TYPES.array || type === MAP_TYPES.percpu_array) {
      const zero = new Uint8Array(this.raw.exchangedSize)
      for (const key of this.raw.keys()) this.raw.update(key, zero)
      return
    }
    const keys = [...this.raw.keys()]
    const joined = new Uint8Array(keys.length * keySize)
    keys.forEach((key, i) => {
      joined.set(key, i * keySize)
    })
    if (keys.length > 0) deleteBatch(this.raw, joined, keys.length)
    for (const key of this.raw.keys()) this.raw.delete(key)
  }

  /** Queues and stacks: adds an element. `replace` drops the oldest when it is full. Linux 4.20. */
  push(value: Value, options: { replace?: boolean } = {}): void {
    this.#only('push', PUSHED)
    this.raw.valueBytes.fill(0)
    this.codec.value.write(this.#valueView, 0, value, ORDER, `value of ${this.name}`)
    this.#written(this.raw.updateAt(options.replace === true ? 2 : 0))
  }

  /** Queues and stacks: takes the next element. */
  pop(): Value | undefined {
    this.#only('pop', QUEUES)
    const bytes = this.raw.lookupAndDelete(new Uint8Array())
    return bytes === undefined ? undefined : this.codec.value.read(viewOf(bytes), 0, ORDER)
  }

  /** Queues and stacks: the next element, left there. */
  peek(): Value | undefined {
    this.#only('peek', QUEUES)
    return this.raw.lookupAt() ? this.codec.value.read(this.#valueView, 0, ORDER) : undefined
  }

  /** Bloom filters: whether the value may be in it. Linux 5.16. */
  mayContain(value: Value): boolean {
    this.#only('mayContain', ['bloom_filter'])
    this.raw.valueBytes.fill(0)
    this.codec.value.write(this.#valueView, 0, value, ORDER, `value of ${this.name}`)
    return this.raw.lookupAt()
  }

  freeze(): void {
    this.raw.freeze()
  }

  /** The array as live memory. @throws UsageError `map.mmap` when it was not created mmapable (Linux 5.5) */
  mmap(options: { writable?: boolean } = {}): LiveArray<Value> {
    return new LiveArray(this.raw, this.codec.value, options.writable !== false)
  }
}

/**
 * A mmap-ed array: reading costs no system call and shows what programs write at once. After `close` it reads zeros.
 */
export class LiveArray<Value> {
  readonly length: number
  /** The whole memory: element `i` starts at `i * stride`. */
  readonly bytes: Uint8Array
  readonly view: DataView
  /** Bytes from one element to the next: the value size rounded up to 8. */
  readonly stride: number
  #mapping: Mapping
  #layout: Layout<Value>
  #name: string
  #writable: boolean

  constructor(raw: RawMap, layout: Layout<Value>, writable: boolean) {
    const { type, flags, maxEntries, valueSize } = raw.shape
    if (type !== MAP_TYPES.array || (flags & MAP_FLAGS.mmapable) === 0)
      throw new UsageError('map.mmap', `${raw.what}: only an array created with the flag mmapable can be mapped`)
    const { pageSize } = raw.sys
    this.stride = (valueSize + 7) & ~7
    this.length = maxEntries
    const size = Math.ceil((this.stride * maxEntries) / pageSize) * pageSize
    this.#mapping = raw.sys.mmap(size, PROT.read | (writable ? PROT.write : 0), MAP.shared, raw.fd, 0)
    this.bytes = this.#mapping.bytes
    this.view = viewOf(this.bytes)
    this.#layout = layout
    this.#name = raw.what
    this.#writable = writable
  }

  #at(index: number): number {
    if (!Number.isInteger(index) || index < 0 || index >= this.length)
      throw new UsageError('map.index', `${this.#name}: index ${index} is outside its ${this.length} elements`)
    return index * this.stride
  }

  get(index: number): Value {
    return this.#layout.read(this.view, this.#at(index), ORDER)
  }

  /** A plain store: a program may see it half written when the value is larger than 8 bytes. */
  set(index: number, value: Value): void {
    if (!this.#writable) throw new UsageError('map.read-only', `${this.#name}: it is mapped for reading only`)
    this.#layout.write(this.view, this.#at(index), value, ORDER, this.#name)
  }

  close(): void {
    this.#mapping.unmap()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** Creates a map and gives it typed keys and values. @throws SystemError with the cause explained */
export function createMap<Key, Value>(
  sys: Sys,
  spec: MapSpec,
  codec: MapCodec<Key, Value>,
  options?: CreateMapOptions,
): BpfMap<Key, Value> {
  const raw = createRawMap(sys, spec, options)
  try {
    return new BpfMap(raw, codec)
  } catch (error) {
    raw.close()
    throw error
  }
}
