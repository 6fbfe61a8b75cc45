import { InputError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { ERRNO, MAP_FLAGS, mapTypeName } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import type { LinkedMap } from '../program.ts'
import type { SpecialField } from './special-fields.ts'

/** One entry as a test sees it: the value of every CPU for per-CPU types, else one. */
export interface MapEntry {
  readonly key: Uint8Array
  readonly values: readonly Uint8Array[]
}

export const roundUp8 = (size: number): number => (size + 7) & ~7

/**
 * A map inside the emulator. The program's side works on linear addresses and answers what the helper returns: an address or 0,
 * or a negative errno. The test's side works on bytes. What a type does not do answers as the kernel's map type does.
 */
export abstract class EmulatedMap implements LinkedMap {
  readonly machine: Machine
  readonly spec: MapSpec
  /** Index in the emulator's list of maps; inner maps that a program's update made follow the declared ones. */
  readonly index: number
  readonly handle: number
  directValue = 0
  directHigh?: number
  /** No more changes from the test's side (BPF_MAP_FREEZE). */
  frozen = false
  /** Changed since the run began. */
  dirty = false
  /** Parts of a value that whole copies leave alone, in order. */
  special: readonly SpecialField[] = []

  constructor(machine: Machine, spec: MapSpec, index: number) {
    this.machine = machine
    this.spec = spec
    this.index = index
    this.handle = machine.memory.mustAllocate(64, SHADOW.none, `map ${spec.name}`)
    machine.mapByHandle.set(this.handle, this)
  }

  get name(): string {
    return this.spec.name
  }
  get typeName(): string {
    return mapTypeName(this.spec.type) ?? String(this.spec.type)
  }
  /** Values of one entry: the number of CPUs for per-CPU types. */
  get copies(): number {
    return 1
  }
  /** What programs may do with value bytes: BPF_F_RDONLY_PROG and BPF_F_WRONLY_PROG. */
  get valueShadow(): number {
    if ((this.spec.flags & MAP_FLAGS.rdonly_prog) !== 0) return SHADOW.read
    return (this.spec.flags & MAP_FLAGS.wronly_prog) !== 0 ? SHADOW.write : SHADOW.readWrite
  }

  // The program's side

  lookup(_key: number): number {
    return 0
  }
  /** bpf_map_lookup_percpu_elem. */
  lookupCpu(_key: number, _cpu: number): number {
    return 0
  }
  update(_key: number, _value: number, _flags: number): number {
    return -ERRNO.EINVAL
  }
  remove(_key: number): number {
    return -ERRNO.EINVAL
  }
  push(_value: number, _flags: number): number {
    return -ERRNO.EOPNOTSUPP
  }
  pop(_value: number): number {
    return -ERRNO.EOPNOTSUPP
  }
  peek(_value: number): number {
    return -ERRNO.EOPNOTSUPP
  }
  /** Addresses of key and value of every entry, for bpf_for_each_map_elem; undefined: the type cannot. */
  each(): Iterable<readonly [key: number, value: number]> | undefined {
    return undefined
  }
  /** Key and value addresses of the entry that holds an address; zeros when the type cannot say. */
  entryAround(address: number): readonly [key: number, value: number] {
    for (const [key, value] of this.each() ?? [])
      if (address >= value && address < value + this.spec.valueSize) return [key, value]
    return [0, 0]
  }
  /** After a run: what was freed during it may be reused. */
  endRun(): void {}

  // The test's side

  /** Every entry, in the type's own order. */
  abstract entries(): MapEntry[]

  /** The entry's values, undefined when there is none. */
  get(key: Uint8Array): readonly Uint8Array[] | undefined {
    const wanted = this.checkKey(key)
    return this.entries().find((entry) => sameBytes(entry.key, wanted))?.values
  }

  /** Writes as user space does. @returns 0 or a negative errno */
  set(key: Uint8Array, value: Uint8Array | readonly Uint8Array[], flags = 0): number {
    if (this.frozen) return -ERRNO.EPERM
    const values = value instanceof Uint8Array ? [value] : value
    return this.withScratch([this.checkKey(key), this.checkValue(values[0])], ([keyAt, valueAt]) => {
      const answer = this.update(keyAt, valueAt, flags)
      if (answer === 0 && this.copies > 1) this.#spread(keyAt, values)
      return answer
    })
  }

  #spread(keyAt: number, values: readonly Uint8Array[]): void {
    for (let cpu = 0; cpu < this.copies; cpu++) {
      const at = this.lookupCpu(keyAt, cpu)
      if (at !== 0) this.machine.memory.u8.set(this.checkValue(values.length === 1 ? values[0] : values[cpu]), at)
    }
  }

  delete(key: Uint8Array): number {
    if (this.frozen) return -ERRNO.EPERM
    return this.withScratch([this.checkKey(key)], ([keyAt]) => this.remove(keyAt))
  }

  /** Removes everything and writes the spec's first contents again. */
  abstract reset(): void

  /** @throws InputError `emulator.map-contents` for a key of the wrong size */
  checkKey(key: Uint8Array): Uint8Array {
    return this.#checkSize(key, this.spec.keySize, 'key')
  }
  checkValue(value: Uint8Array | undefined): Uint8Array {
    return this.#checkSize(value ?? new Uint8Array(0), this.spec.valueSize, 'value')
  }
  #checkSize(bytes: Uint8Array, size: number, what: string): Uint8Array {
    if (bytes.length !== size)
      throw new InputError(
        'emulator.map-contents',
        `map ${this.name}: a ${what} of ${bytes.length} bytes, ${size} are needed`,
      )
    return bytes
  }

  /** Copies byte strings into linear memory for the duration of a call. */
  withScratch<T>(pieces: readonly Uint8Array[], use: (addresses: number[]) => T): T {
    const { memory } = this.machine
    const at = pieces.map((piece) => {
      const address = memory.allocate(Math.max(8, piece.length), SHADOW.read)
      if (address === 0) throw new InputError('emulator.memory', `map ${this.name}: no memory is left`)
      memory.u8.set(piece, address)
      return address
    })
    try {
      return use(at)
    } finally {
      pieces.forEach((piece, i) => {
        memory.release(at[i], Math.max(8, piece.length))
      })
    }
  }

  /** BPF_F_LOCK may be given: the values have a lock. */
  protected get lockable(): boolean {
    return this.special.some(({ lock }) => lock)
  }

  /** Copies a whole value over another one: what the kernel keeps there stays, timers in it end. */
  protected copyValue(to: number, from: number): void {
    const { u8 } = this.machine.memory
    let at = 0
    for (const { offset, size } of this.special) {
      if (offset > at) u8.copyWithin(to + at, from + at, from + offset)
      at = offset + size
    }
    if (at < this.spec.valueSize) u8.copyWithin(to + at, from + at, from + this.spec.valueSize)
    this.endTimers(to)
  }

  /** A value's timers are gone with it. */
  protected endTimers(value: number): void {
    const { timers } = this.machine
    if (timers.size === 0) return
    for (const address of timers.keys())
      if (address >= value && address < value + this.spec.valueSize) timers.delete(address)
  }

  protected copy(address: number, size: number): Uint8Array {
    return this.machine.memory.u8.slice(address, address + size)
  }
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, i) => byte === b[i])
}
