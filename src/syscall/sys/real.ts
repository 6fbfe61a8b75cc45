import { constants } from 'node:buffer'
import { closeSync, readFileSync } from 'node:fs'
import type { DataType } from 'ffi-rs'
import { SystemError, UnsupportedError } from '../../errors/index.ts'
import { Arena, type Chunk } from './arena.ts'
import { ERRNO, errnoName } from './errno.ts'
import { createExternalBuffer, load, open, TYPE } from './ffi.ts'
import { type Block, MAP, type Mapping, PROT, SYSCALLS, type Sys, type SyscallName } from './sys.ts'

const LIBRARY = 'typebpf-libc'
const I64 = TYPE.I64

interface Call {
  readonly library: string
  readonly funcName: string
  readonly retType: DataType.I64
  readonly paramsType: DataType[]
  readonly paramsValue: number[]
  readonly freeResultMemory: false
}

/** A call object is made once and used again: building one costs more than the system call. */
function prepare(funcName: string, parameters: number): Call {
  return {
    library: LIBRARY,
    funcName,
    retType: I64,
    paramsType: new Array<DataType>(parameters).fill(I64),
    paramsValue: new Array<number>(parameters).fill(0),
    freeResultMemory: false,
  }
}

/** An external pointer for an address: memmove(3) of no bytes gives back its first argument. */
function bytesAt(address: number, length: number): Uint8Array {
  const pointer = load({
    library: LIBRARY,
    funcName: 'memmove',
    retType: TYPE.External,
    paramsType: [I64, I64, I64],
    paramsValue: [address, address, 0],
    freeResultMemory: false,
  })
  // A plain view: slice() of Node's Buffer would not copy.
  const buffer = createExternalBuffer(pointer, length)
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length)
}

/** close(2) through Node: a third of what the same costs through ffi-rs. */
function close(fd: number): number {
  try {
    closeSync(fd)
    return 0
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno ?? -ERRNO.EIO
  }
}

class RealSys implements Sys {
  readonly kind = 'kernel'
  readonly pageSize: number
  #errno: Int32Array
  #numbers: Readonly<Record<SyscallName, number>>
  #bpf = prepare('syscall', 4)
  #calls = Array.from({ length: 7 }, (_, parameters) => prepare('syscall', parameters + 1))
  #mmap = prepare('mmap', 6)
  #arena: Arena
  /** Unmaps an address range once nothing in JavaScript can see it any more. */
  #ranges: FinalizationRegistry<{ address: number; length: number }>

  constructor(architecture: 'x64' | 'arm64' | 'arm') {
    open({ library: LIBRARY, path: '' })
    this.#numbers = Object.fromEntries(
      Object.entries(SYSCALLS).map(([name, row]) => [name, row[architecture]]),
    ) as Record<SyscallName, number>
    this.#bpf.paramsValue[0] = this.#numbers.bpf
    const cell = load({
      library: LIBRARY,
      funcName: '__errno_location',
      retType: TYPE.External,
      paramsType: [],
      paramsValue: [],
      freeResultMemory: false,
    })
    const bytes = createExternalBuffer(cell, 4)
    this.#errno = new Int32Array(bytes.buffer, bytes.byteOffset, 1)
    this.pageSize = load({
      library: LIBRARY,
      funcName: 'getpagesize',
      retType: TYPE.I32,
      paramsType: [],
      paramsValue: [],
      freeResultMemory: false,
    })
    this.#arena = new Arena((length) => this.#anonymous(length))
    this.#ranges = new FinalizationRegistry(({ address, length }) => {
      this.call('munmap', address, length)
    })
  }

  bpf(command: number, attr: number, size: number): number {
    const values = this.#bpf.paramsValue
    values[1] = command
    values[2] = attr
    values[3] = size
    const value = load(this.#bpf)
    return value < 0 ? -this.#errno[0] : value
  }

  call(name: SyscallName, ...args: readonly number[]): number {
    if (name === 'close') return close(args[0])
    const call = this.#calls[args.length]
    const values = call.paramsValue
    values[0] = this.#number(name)
    for (let i = 0; i < args.length; i++) values[i + 1] = args[i]
    const value = load(call)
    return value < 0 ? -this.#errno[0] : value
  }

  async callAsync(name: SyscallName, ...args: readonly number[]): Promise<number> {
    const answer = await load({
      library: LIBRARY,
      funcName: 'syscall',
      retType: I64,
      paramsType: new Array<DataType>(args.length + 1).fill(I64),
      paramsValue: [this.#number(name), ...args],
      errno: true,
      runInNewThread: true,
      freeResultMemory: false,
    })
    if (typeof answer === 'number') throw new SystemError('sys.ffi', 'ffi-rs gave no errno')
    return answer.value < 0 ? -answer.errnoCode : answer.value
  }

  alloc(size: number): Block {
    return this.#arena.alloc(size)
  }

  peek(address: number, length: number): Uint8Array | undefined {
    return this.#arena.peek(address, length)
  }

  readText(path: string): string | undefined {
    try {
      return readFileSync(path, 'utf8')
    } catch {
      return undefined
    }
  }

  mmap(length: number, protection: number, flags: number, fd: number, offset: number, wanted = 0): Mapping {
    if (length > constants.MAX_LENGTH)
      throw new SystemError('sys.mmap', `${length} bytes cannot be mapped at once: Node has ${constants.MAX_LENGTH}`)
    const address = this.#map(wanted, length, protection, flags, fd, offset)
    const bytes = bytesAt(address, length)
    const ranges = this.#ranges
    let mapped = true
    const unmap = (): void => {
      if (!mapped) return
      mapped = false
      // Zeros take the place of the mapping until the last view is collected: reading an old view is harmless.
      this.#map(address, length, PROT.read | PROT.write, MAP.private | MAP.anonymous | MAP.fixed, -1, 0)
      ranges.register(bytes.buffer, { address, length })
    }
    return { address, bytes, unmap, [Symbol.dispose]: unmap }
  }

  #number(name: SyscallName): number {
    const number = this.#numbers[name]
    if (number < 0) throw new UnsupportedError('sys.no-such-call', `this architecture has no system call ${name}`)
    return number
  }

  #map(address: number, length: number, protection: number, flags: number, fd: number, offset: number): number {
    const values = this.#mmap.paramsValue
    values[0] = address
    values[1] = length
    values[2] = protection
    values[3] = flags
    values[4] = fd
    values[5] = offset
    const value = load(this.#mmap)
    if (value === -1) {
      const errno = this.#errno[0]
      throw new SystemError('sys.mmap', `mmap of ${length} bytes failed: ${errnoName(errno)}`, { errno })
    }
    return value
  }

  #anonymous(length: number): Chunk {
    const address = this.#map(0, length, PROT.read | PROT.write, MAP.private | MAP.anonymous, -1, 0)
    if (address > Number.MAX_SAFE_INTEGER)
      throw new SystemError('sys.mmap', 'an address past 2^53', { errno: ERRNO.ENOMEM })
    return { address, bytes: bytesAt(address, length) }
  }
}

let real: Sys | undefined

/**
 * The running kernel. One instance a thread; load it in the main thread before any worker does (an ffi-rs limit).
 * @throws UnsupportedError `sys.platform` where this is not Linux on x64, arm64 or arm
 */
export function realSys(): Sys {
  if (real === undefined) {
    const architecture = process.arch
    if (process.platform !== 'linux' || (architecture !== 'x64' && architecture !== 'arm64' && architecture !== 'arm'))
      throw new UnsupportedError(
        'sys.platform',
        `bpf(2) is reached on Linux x64, arm64 and arm only; this is ${process.platform} ${architecture}`,
      )
    real = new RealSys(architecture)
  }
  return real
}
