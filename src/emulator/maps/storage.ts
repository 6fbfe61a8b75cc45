import type { MapSpec } from '../../spec/index.ts'
import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { SHADOW } from '../memory.ts'
import { EmulatedMap, type MapEntry } from './map.ts'

/** Storage of sockets, tasks, inodes and cgroups: values by the owner's address; `cgroup_storage` has one owner per run. */
export class StorageMap extends EmulatedMap {
  readonly #byOwner = new Map<bigint, number>()
  /** Given up during this run. */
  #dead: number[] = []

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
  }

  /** @param create BPF_LOCAL_STORAGE_GET_F_CREATE, `initial` the first value's address or 0 */
  storage(owner: bigint, create: boolean, initial: number): number {
    const known = this.#byOwner.get(owner)
    if (known !== undefined) return known
    if (!create) return 0
    const at = this.machine.memory.allocate(this.spec.valueSize, SHADOW.readWrite)
    if (at === 0) return 0
    if (initial !== 0) this.machine.memory.u8.copyWithin(at, initial, initial + this.spec.valueSize)
    this.#byOwner.set(owner, at)
    this.dirty = true
    return at
  }

  drop(owner: bigint): number {
    const at = this.#byOwner.get(owner)
    if (at === undefined) return -ERRNO.ENOENT
    this.#byOwner.delete(owner)
    this.machine.memory.protect(at, this.spec.valueSize, SHADOW.freed)
    this.#dead.push(at)
    return 0
  }

  override endRun(): void {
    for (const at of this.#dead) this.machine.memory.release(at, this.spec.valueSize)
    this.#dead = []
  }

  /** Keys are the owners' addresses, eight bytes. */
  override entries(): MapEntry[] {
    return [...this.#byOwner].map(([owner, at]) => {
      const key = new Uint8Array(8)
      new DataView(key.buffer).setBigUint64(0, owner, true)
      return { key, values: [this.copy(at, this.spec.valueSize)] }
    })
  }
  override reset(): void {
    for (const at of this.#byOwner.values()) this.machine.memory.release(at, this.spec.valueSize)
    this.#byOwner.clear()
  }
}

/** stack_trace: the test's stack (addresses) under an id, as bpf_get_stackid stores it. */
export class StackTraceMap extends EmulatedMap {
  readonly #stacks = new Map<number, Uint8Array>()

  store(stack: Uint8Array, flags: number): number {
    let hash = 2166136261
    for (const byte of stack) hash = Math.imul(hash ^ byte, 16777619)
    const id = (hash >>> 0) % this.spec.maxEntries
    const old = this.#stacks.get(id)
    const same = old?.every((byte, i) => byte === stack[i])
    if (old !== undefined && !same && (flags & 0x400) === 0) return -ERRNO.EEXIST
    this.#stacks.set(id, stack)
    this.dirty = true
    return id
  }
  override entries(): MapEntry[] {
    return [...this.#stacks].map(([id, stack]) => {
      const key = new Uint8Array(4)
      new DataView(key.buffer).setUint32(0, id, true)
      const value = new Uint8Array(this.spec.valueSize)
      value.set(stack.subarray(0, value.length))
      return { key, values: [value] }
    })
  }
  override reset(): void {
    this.#stacks.clear()
  }
}

/** The most pages of an arena that the emulator gives memory to. */
const MAX_ARENA_PAGES = 1024
const PAGE = 4096
/** Where arenas are that may be anywhere; its low half is not 0, so that no page looks like a null pointer to programs. */
const DEFAULT_BASE = 0x1_0000_1000_0000n

/** arena: pages at a user address; a program's cast pointers reach them. */
export class ArenaMap extends EmulatedMap {
  readonly base: bigint
  readonly #linear: number
  readonly #pages: number
  readonly #used = new Set<number>()

  constructor(machine: Machine, spec: MapSpec, index: number) {
    super(machine, spec, index)
    this.base = spec.mapExtra ?? DEFAULT_BASE
    this.#pages = Math.min(spec.maxEntries, MAX_ARENA_PAGES)
    this.#linear = machine.memory.mustAllocate(this.#pages * PAGE, SHADOW.readWrite, `arena ${spec.name}`)
    machine.memory.foreign.push({
      base: this.base,
      size: this.#pages * PAGE,
      name: `arena ${spec.name}`,
      linear: this.#linear,
      direct: true,
    })
    this.directValue = Number(BigInt.asIntN(32, this.base))
    this.directHigh = Number(BigInt.asIntN(32, this.base >> 32n))
    this.#fill()
    machine.arenas.push(this)
  }

  /** bpf_arena_alloc_pages: the user address of `count` free pages in a row, 0 when there are none. */
  allocatePages(count: number): bigint {
    for (let first = 0; first + count <= this.#pages; first++) {
      let free = 0
      while (free < count && !this.#used.has(first + free)) free++
      if (free < count) continue
      for (let i = 0; i < count; i++) this.#used.add(first + i)
      return this.base + BigInt(first * PAGE)
    }
    return 0n
  }
  freePages(address: bigint, count: number): void {
    const first = Number(address - this.base) / PAGE
    for (let i = 0; i < count; i++) this.#used.delete(first + i)
  }
  /** The linear address of a user pointer's low half; a null pointer stays one, unless the arena's first byte looks like it. */
  linearOf(low: number): number {
    if (low === 0 && BigInt.asUintN(32, this.base) !== 0n) return 0
    const offset = (low - Number(this.base & 0xffff_ffffn)) >>> 0
    return this.#linear + (offset < this.#pages * PAGE ? offset : 0x4000_0000)
  }
  /** The user pointer of a linear address inside the arena. */
  userOf(linear: number): bigint {
    return this.base + BigInt(linear - this.#linear)
  }
  override entries(): MapEntry[] {
    return []
  }
  override reset(): void {
    this.#used.clear()
    this.machine.memory.u8.fill(0, this.#linear, this.#linear + this.#pages * PAGE)
    this.#fill()
  }
  /** Global variables of the arena: the first pages are theirs. */
  #fill(): void {
    const { arenaData } = this.spec
    if (arenaData === undefined) return
    this.machine.memory.u8.set(arenaData.subarray(0, this.#pages * PAGE), this.#linear)
    for (let page = 0; page * PAGE < arenaData.length; page++) this.#used.add(page)
  }
}
