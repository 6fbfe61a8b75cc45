import { SystemError } from '../../errors/index.ts'
import { Arena, type Chunk } from './arena.ts'
import { ERRNO } from './errno.ts'
import type { Block, Mapping, Sys, SyscallName } from './sys.ts'

/** What a fake bpf(2) does: looks at and writes the attributes; the answer is a value or minus an errno. */
export type FakeBpf = (command: number, attr: DataView, sys: FakeSys) => number

/**
 * A {@link Sys} without a kernel: its memory is ordinary memory at made-up addresses, its answers are given by the test.
 * Failures that no real kernel gives on demand (ENOMEM, EPERM, short reads) are tested with it.
 */
export class FakeSys implements Sys {
  readonly kind = 'fake'
  readonly pageSize = 4096
  readonly calls: { readonly name: string; readonly args: readonly number[] }[] = []
  readonly #chunks: Chunk[] = []
  readonly #arena: Arena
  readonly #bpf: FakeBpf
  readonly #files: Readonly<Record<string, string>>
  readonly #call: (name: SyscallName, args: readonly number[], sys: FakeSys) => number
  #top = 0x1000_0000

  constructor(
    bpf: FakeBpf = () => -ERRNO.ENOSYS,
    call: (name: SyscallName, args: readonly number[], sys: FakeSys) => number = () => 0,
    files: Readonly<Record<string, string>> = {},
  ) {
    this.#files = files
    this.#bpf = bpf
    this.#call = call
    this.#arena = new Arena((length) => this.#chunk(length))
  }

  #chunk(length: number): Chunk {
    const chunk = { address: this.#top, bytes: new Uint8Array(length) }
    this.#top += (length + 0xffff) & ~0xfff
    this.#chunks.push(chunk)
    return chunk
  }

  /** The memory at an address that the code under test handed over. */
  at(address: number | bigint, length: number): Uint8Array {
    const wanted = Number(address)
    for (const { address: start, bytes } of this.#chunks)
      if (wanted >= start && wanted + length <= start + bytes.length)
        return bytes.subarray(wanted - start, wanted - start + length)
    throw new SystemError('sys.fault', `no memory at 0x${wanted.toString(16)}`, { errno: ERRNO.EFAULT })
  }

  bpf(command: number, attr: number, size: number): number {
    this.calls.push({ name: 'bpf', args: [command, attr, size] })
    const bytes = this.at(attr, size)
    return this.#bpf(command, new DataView(bytes.buffer, bytes.byteOffset, size), this)
  }

  call(name: SyscallName, ...args: readonly number[]): number {
    this.calls.push({ name, args })
    return this.#call(name, args, this)
  }

  async callAsync(name: SyscallName, ...args: readonly number[]): Promise<number> {
    return this.call(name, ...args)
  }

  peek(address: number, length: number): Uint8Array | undefined {
    return this.#arena.peek(address, length)
  }

  readText(path: string): string | undefined {
    return Object.hasOwn(this.#files, path) ? this.#files[path] : undefined
  }

  alloc(size: number): Block {
    return this.#arena.alloc(size)
  }

  mmap(length: number): Mapping {
    const { address, bytes } = this.#chunk(length)
    const unmap = (): void => {}
    return { address, bytes, unmap, [Symbol.dispose]: unmap }
  }
}
