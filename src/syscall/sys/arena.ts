import { SystemError } from '../../errors/index.ts'
import type { Block } from './sys.ts'

/** A chunk of memory that stays mapped for the life of the process. */
export interface Chunk {
  readonly address: number
  /** All bytes of the chunk. */
  readonly bytes: Uint8Array
}

const SMALLEST = 4 // 16 bytes
const CHUNK = 1 << 20
/** Node's buffers end at 4 GiB; what the kernel reads or writes in one call is far below. */
const LARGEST = 2 ** 31

class ArenaBlock implements Block {
  readonly address: number
  readonly size: number
  readonly bytes: Uint8Array
  readonly view: DataView
  #release: ((block: ArenaBlock) => void) | undefined
  readonly sizeClass: number
  readonly chunk: Chunk

  constructor(chunk: Chunk, address: number, size: number, sizeClass: number, release: (block: ArenaBlock) => void) {
    this.chunk = chunk
    this.address = address
    this.size = size
    this.sizeClass = sizeClass
    const start = chunk.bytes.byteOffset + (address - chunk.address)
    this.bytes = new Uint8Array(chunk.bytes.buffer, start, size)
    this.view = new DataView(chunk.bytes.buffer, start, size)
    this.#release = release
  }

  free(): void {
    const release = this.#release
    this.#release = undefined
    release?.(this)
  }

  [Symbol.dispose](): void {
    this.free()
  }
}

/**
 * Memory for everything that bpf(2) reads and writes: attributes, keys, values, logs. Blocks come in powers of two
 * from chunks that are mapped once, so an address is base plus offset and the garbage collector never moves or frees it.
 */
export class Arena {
  #map: (length: number) => Chunk
  #chunk: Chunk | undefined
  readonly #chunks: Chunk[] = []
  #used = 0
  #free: { chunk: Chunk; address: number }[][] = []

  /** @param map gives zeroed memory of at least `length` bytes, page-aligned */
  constructor(map: (length: number) => Chunk) {
    this.#map = map
  }

  /** Zeroed memory of `size` bytes, aligned to 16. */
  alloc(size: number): Block {
    if (!(size <= LARGEST)) throw new SystemError('sys.enomem', `${size} bytes at once: ${LARGEST} are the most`)
    const sizeClass = Math.max(SMALLEST, Math.ceil(Math.log2(Math.max(size, 1))))
    const slot = this.#free[sizeClass]?.pop() ?? this.#carve(2 ** sizeClass)
    const block = new ArenaBlock(slot.chunk, slot.address, size, sizeClass, (freed) => {
      let list = this.#free[freed.sizeClass]
      if (list === undefined) {
        list = []
        this.#free[freed.sizeClass] = list
      }
      list.push({ chunk: freed.chunk, address: freed.address })
    })
    block.bytes.fill(0)
    return block
  }

  /** The bytes at an address, at most `length` and up to the end of their chunk; undefined when it is not ours. */
  peek(address: number, length: number): Uint8Array | undefined {
    const chunk = this.#chunks.find((one) => address >= one.address && address < one.address + one.bytes.length)
    return chunk?.bytes.subarray(address - chunk.address, address - chunk.address + length)
  }

  #mapped(bytes: number): Chunk {
    const chunk = this.#map(bytes)
    this.#chunks.push(chunk)
    return chunk
  }

  #carve(bytes: number): { chunk: Chunk; address: number } {
    if (bytes >= CHUNK / 4) {
      const chunk = this.#mapped(bytes)
      return { chunk, address: chunk.address }
    }
    if (this.#chunk === undefined || this.#used + bytes > this.#chunk.bytes.length) {
      this.#chunk = this.#mapped(CHUNK)
      this.#used = 0
    }
    const address = this.#chunk.address + this.#used
    this.#used += bytes
    return { chunk: this.#chunk, address }
  }
}
