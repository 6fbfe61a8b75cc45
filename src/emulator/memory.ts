import { UnsupportedError } from '../errors/index.ts'
import { type WasmMemory, wasmApi } from './webassembly.ts'

/**
 * Permission bits of one byte of emulated memory. Each byte has a shadow byte; one wide load of the shadow checks a whole access.
 * A byte with `init` but without `read` has never been written: a store to it makes it readable.
 */
export const SHADOW = { none: 0, read: 1, write: 2, readWrite: 3, init: 4, uninitialised: 6, freed: 0x80 } as const

/** A named piece of emulated memory, for reports. Starts and sizes are linear addresses in bytes. */
export interface Region {
  readonly start: number
  readonly size: number
  readonly name: string
}

/** Memory that programs see at a 64-bit address of its own (fake kernel or user memory, arenas). */
export interface ForeignRegion {
  readonly base: bigint
  readonly size: number
  readonly name: string
  /** Where it lives in linear memory; permissions are the shadow's. */
  readonly linear: number
  /** False: only the probe_read family reaches it, as with kernel memory. */
  readonly direct: boolean
}

const PAGE = 65_536
/** Registers, scratch space and nothing a program may touch. */
export const RESERVED_BYTES = PAGE
/** Byte address of r0; eleven registers of eight bytes, little endian. */
export const REGISTERS = 0x1000
const REDZONE = 16

/** Every bound the emulator puts on itself: a memory of `size` bytes plus as many shadow bytes. */
export const MAX_MEMORY_BYTES = 1 << 30

/**
 * One flat memory with a shadow: bytes [0, size) are data, [size, 2 × size) their permissions. Pointers of the emulated program are
 * linear addresses, so packet pointers fit the 32-bit context fields as they do after the kernel's rewriting.
 */
export class LinearMemory {
  /** Data bytes, a multiple of 64 KiB; the shadow of address a is at a + size. */
  readonly size: number
  readonly wasm: WasmMemory | undefined
  readonly u8: Uint8Array
  readonly i32: Int32Array
  readonly view: DataView
  readonly regions: Region[] = []
  readonly foreign: ForeignRegion[] = []
  #top = RESERVED_BYTES
  readonly #free = new Map<number, number[]>()

  constructor(size: number) {
    this.size = Math.min(MAX_MEMORY_BYTES, Math.max(4 * PAGE, Math.ceil(size / PAGE) * PAGE))
    const pages = (2 * this.size) / PAGE
    let buffer: ArrayBuffer
    if (wasmApi !== undefined) {
      this.wasm = new wasmApi.Memory({ initial: pages, maximum: pages })
      buffer = this.wasm.buffer
    } else buffer = new ArrayBuffer(2 * this.size)
    this.u8 = new Uint8Array(buffer)
    this.i32 = new Int32Array(buffer)
    this.view = new DataView(buffer)
  }

  /** Bytes not yet handed out. */
  get available(): number {
    return this.size - this.#top
  }

  /**
   * `size` bytes, zeroed, 16-byte aligned, with a gap that no access may touch on both sides.
   * @returns 0 when the memory is full
   */
  allocate(size: number, shadow: number): number {
    if (size > this.available) return 0
    const room = (Math.max(size, 1) + REDZONE + 15) & ~15
    const reused = this.#free.get(room)?.pop()
    let start: number
    if (reused !== undefined) {
      start = reused
      this.u8.fill(0, start, start + size)
    } else {
      start = this.#top + REDZONE
      if (start + room > this.size) return 0
      this.#top = start + room - REDZONE
    }
    // fresh memory has no permissions yet, and stays uncommitted until it is touched
    if (shadow !== SHADOW.none || reused !== undefined) this.protect(start, size, shadow)
    return start
  }

  /** Gives a piece back; until then its bytes should be marked {@link SHADOW.freed}. */
  release(start: number, size: number): void {
    const room = (Math.max(size, 1) + REDZONE + 15) & ~15
    this.protect(start, size, SHADOW.none)
    const list = this.#free.get(room)
    if (list === undefined) this.#free.set(room, [start])
    else list.push(start)
  }

  /** @throws UnsupportedError `emulator.memory` when the memory is full */
  mustAllocate(size: number, shadow: number, name: string): number {
    const start = this.allocate(size, shadow)
    if (start === 0)
      throw new UnsupportedError('emulator.memory', `${name}: ${size} bytes do not fit the emulator's memory`, {
        details: [`${this.size} bytes in total; see the option memoryLimit`],
      })
    this.regions.push({ start, size, name })
    return start
  }

  protect(start: number, size: number, shadow: number): void {
    this.u8.fill(shadow, start + this.size, start + size + this.size)
  }

  /** The named piece that holds an address, or the nearest one within a page. */
  regionOf(address: number): { region: Region; inside: boolean } | undefined {
    let best: Region | undefined
    let distance = 4096
    for (const region of this.regions) {
      if (address >= region.start && address < region.start + region.size) return { region, inside: true }
      const away = address < region.start ? region.start - address : address - (region.start + region.size) + 1
      if (away < distance) {
        best = region
        distance = away
      }
    }
    return best === undefined ? undefined : { region: best, inside: false }
  }

  bytes(start: number, size: number): Uint8Array {
    return this.u8.subarray(start, start + size)
  }

  u64(address: number): bigint {
    return this.view.getBigUint64(address, true)
  }
  setU64(address: number, value: bigint): void {
    this.view.setBigUint64(address, BigInt.asUintN(64, value), true)
  }
}
