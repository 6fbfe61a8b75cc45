import type { Environment } from './environment.ts'
import { type Fault, type FaultCode, FaultSignal } from './faults.ts'
import type { EmulatedMap } from './maps/map.ts'
import { LinearMemory, REGISTERS, RESERVED_BYTES, SHADOW } from './memory.ts'
import type { LinkedProgram } from './program.ts'
import type { RunState } from './run-state.ts'
import type { Timer } from './timer.ts'

/** Bytes of stack a call frame has, and the distance between frames. */
export const STACK_BYTES = 512
export const FRAME_STRIDE = 1024
/** Nested calls that the emulator follows: the kernel's verifier takes 8; callbacks and unverified programs get some more. */
export const MAX_FRAMES = 64

/** Word index of r0. */
export const REGISTER_WORD = REGISTERS / 4

/** What to do with one kind of sanitizer finding: end the run, report it and go on as the kernel would, or nothing. */
export type Strictness = 'error' | 'report' | 'off'

export interface SanitizerOptions {
  /** Reading stack bytes never written. */
  readonly uninitialisedStack: Strictness
  /** Touching a map value or ring record after it was deleted or submitted. */
  readonly useAfterFree: Strictness
  /** A reference (ring record, socket, lock) still held at exit. */
  readonly unreleasedReference: Strictness
  /** Accesses that are not naturally aligned, as under BPF_F_STRICT_ALIGNMENT. */
  readonly misaligned: Strictness
}

export const DEFAULT_SANITIZER: SanitizerOptions = {
  uninitialisedStack: 'error',
  useAfterFree: 'error',
  unreleasedReference: 'error',
  misaligned: 'off',
}

/** The most findings kept of one run. */
const MAX_FINDINGS = 1000

/** Runs a subprogram of a linked program at a slot; arguments and result are in the registers. */
export type Invoke = (program: LinkedProgram, slot: number) => void

/** The state that engines, helpers and maps share: memory, registers, maps, the environment and the current run. */
export class Machine {
  readonly memory: LinearMemory
  readonly words: Int32Array
  readonly sanitizer: SanitizerOptions
  readonly environment: Environment
  readonly stack: number
  readonly maps: EmulatedMap[] = []
  readonly mapByHandle = new Map<number, EmulatedMap>()
  /** Arenas of the programs; at most one in practice. */
  readonly arenas: { linearOf(low: number): number; userOf(linear: number): bigint }[] = []
  readonly programs: LinkedProgram[] = []
  /** Timers by the address of their struct bpf_timer. */
  readonly timers = new Map<number, Timer>()
  /** Replaced for every run. */
  run!: RunState
  /** The program and slot that execute, for reports. */
  program!: LinkedProgram
  pc = 0
  /** Instructions left before the step limit. */
  fuel = 0
  /** Index of the innermost frame in use. */
  frame = 0
  /** Set by the emulator: runs a callback or a tail-called program on the engine in use. */
  invoke: Invoke = () => {
    throw new Error('no engine')
  }

  constructor(memoryBytes: number, environment: Environment, sanitizer: SanitizerOptions) {
    this.memory = new LinearMemory(memoryBytes + MAX_FRAMES * FRAME_STRIDE + RESERVED_BYTES)
    this.words = this.memory.i32
    this.environment = environment
    this.sanitizer = sanitizer
    this.stack = this.memory.mustAllocate(MAX_FRAMES * FRAME_STRIDE, SHADOW.none, 'stack')
  }

  /** The frame pointer (r10) of a frame. */
  framePointer(frame: number): number {
    return this.stack + frame * FRAME_STRIDE + STACK_BYTES + 256
  }

  /** Makes the bytes of a frame fresh: writable, not yet readable. */
  openFrame(frame: number): number {
    if (frame >= MAX_FRAMES) this.fail('call-depth', `more than ${MAX_FRAMES} nested calls`)
    const top = this.framePointer(frame)
    const shadow = top - STACK_BYTES + this.memory.size
    this.memory.u8.fill(
      this.sanitizer.uninitialisedStack === 'off' ? SHADOW.readWrite : SHADOW.uninitialised,
      shadow,
      shadow + STACK_BYTES,
    )
    this.memory.u8.fill(0, top - STACK_BYTES, top)
    return top
  }

  closeFrame(frame: number): void {
    const shadow = this.framePointer(frame) - STACK_BYTES + this.memory.size
    this.memory.u8.fill(SHADOW.none, shadow, shadow + STACK_BYTES)
  }

  fault(code: FaultCode, message: string, address?: bigint, size?: number): Fault {
    const source = this.program?.image.sources?.get(this.pc)
    return {
      code,
      message,
      program: this.program?.index ?? 0,
      insn: this.pc,
      ...(address === undefined ? {} : { address }),
      ...(size === undefined ? {} : { size }),
      ...(source === undefined ? {} : { source }),
    }
  }

  fail(code: FaultCode, message: string, address?: bigint, size?: number): never {
    throw new FaultSignal(this.fault(code, message, address, size))
  }

  /** A finding: ends the run or is noted, as the sanitizer's options say. */
  finding(strictness: Strictness, code: FaultCode, message: string, address?: bigint, size?: number): void {
    if (strictness === 'off') return
    if (strictness === 'error') this.fail(code, message, address, size)
    if (this.run.findings.length < MAX_FINDINGS) this.run.findings.push(this.fault(code, message, address, size))
  }

  // Registers -------------------------------------------------------------------------------------------------------

  /** The low 32 bits of a register, unsigned. */
  low(register: number): number {
    return this.words[REGISTER_WORD + 2 * register] >>> 0
  }
  /** The low 32 bits of a register, signed (an int argument). */
  int(register: number): number {
    return this.words[REGISTER_WORD + 2 * register]
  }
  high(register: number): number {
    return this.words[REGISTER_WORD + 2 * register + 1]
  }
  /** A register as an unsigned 64-bit value. */
  get64(register: number): bigint {
    return this.memory.view.getBigUint64(REGISTERS + 8 * register, true)
  }
  /** A register as a number; values that a double cannot hold are rounded, so compare sizes only. */
  size(register: number): number {
    return this.low(register) + (this.high(register) >>> 0) * 0x1_0000_0000
  }
  set64(register: number, value: bigint): void {
    this.memory.view.setBigUint64(REGISTERS + 8 * register, BigInt.asUintN(64, value), true)
  }
  /** Sets a register to a whole number within ±2^53, sign-extended. */
  set(register: number, value: number): void {
    this.words[REGISTER_WORD + 2 * register] = value | 0
    this.words[REGISTER_WORD + 2 * register + 1] = Math.floor(value / 0x1_0000_0000) | 0
  }

  // Memory ----------------------------------------------------------------------------------------------------------

  /**
   * The careful way to an address: called when the fast check of an engine did not pass.
   * @param low unsigned low half of the base register, `high` its signed high half, `offset` added with 64-bit wrap
   * @returns the linear address when the access is allowed after all
   */
  resolve(low: number, high: number, offset: number, size: number, write: boolean): number {
    const sum = low + offset
    const carry = sum < 0 ? -1 : sum > 0xffff_ffff ? 1 : 0
    return this.access(sum >>> 0, (high + carry) | 0, size, write)
  }

  access(low: number, high: number, size: number, write: boolean): number {
    const { memory, sanitizer } = this
    if (sanitizer.misaligned !== 'off' && (low & (size - 1)) !== 0 && size <= 8)
      this.finding(sanitizer.misaligned, 'misaligned', `misaligned access of ${size} bytes`, addressOf(low, high), size)
    if (high === 0 && low + size <= memory.size) {
      const bad = this.#firstBad(low, size, write)
      if (bad < 0) {
        if (write) this.#initialise(low, size)
        return low
      }
      const shadow = memory.u8[bad + memory.size]
      if ((shadow & SHADOW.freed) !== 0 && sanitizer.useAfterFree !== 'error') {
        this.finding(
          sanitizer.useAfterFree,
          'use-after-free',
          this.#say('use after free', low, size, write),
          BigInt(low),
          size,
        )
        return low
      }
      if (!write && shadow === SHADOW.uninitialised && sanitizer.uninitialisedStack !== 'error') {
        const message = this.#say('uninitialised stack', low, size, write)
        this.finding(sanitizer.uninitialisedStack, 'uninitialised-stack', message, BigInt(low), size)
        this.#initialise(low, size)
        return this.access(low, high, size, write)
      }
      this.#refuse(low, size, write, shadow)
    }
    const address = addressOf(low, high)
    const foreign = this.findForeign(address, size)
    if (foreign?.region.direct) return this.access(foreign.linear, 0, size, write)
    if (high === 0 && low < 4096) this.#refuse(low, size, write, 0)
    this.fail(
      'out-of-bounds',
      `${verb(write)} of ${size} bytes at 0x${address.toString(16)}: no memory there`,
      address,
      size,
    )
  }

  /** addr_space_cast: `spaces` is destination << 16 | source; arena pointers become reachable or go back to user addresses. */
  castAddress(d: number, s: number, spaces: number): void {
    const { words } = this
    const arena = this.arenas[0]
    const low = words[s] >>> 0
    if (spaces === 1) {
      // from the arena's space to the kernel's
      words[d] = arena === undefined ? low : arena.linearOf(low)
      words[d + 1] = 0
      return
    }
    if (spaces !== 0x10000)
      this.fail('invalid-instruction', `addr_space_cast between unknown spaces 0x${spaces.toString(16)}`)
    if (words[s] === 0 && words[s + 1] === 0) {
      words[d] = 0
      words[d + 1] = 0
      return
    }
    const user = arena === undefined ? BigInt(low) : arena.userOf(low)
    words[d] = Number(BigInt.asIntN(32, user))
    words[d + 1] = Number(BigInt.asIntN(32, user >> 32n))
  }

  /** Fake memory at a 64-bit address of its own. */
  findForeign(
    address: bigint,
    size: number,
  ): { region: import('./memory.ts').ForeignRegion; linear: number } | undefined {
    for (const region of this.memory.foreign) {
      const offset = address - region.base
      if (offset >= 0n && offset + BigInt(size) <= BigInt(region.size))
        return { region, linear: region.linear + Number(offset) }
    }
    return undefined
  }

  #firstBad(start: number, size: number, write: boolean): number {
    const { u8, size: base } = this.memory
    const wanted = write ? SHADOW.write : SHADOW.read
    for (let at = start; at < start + size; at++) if ((u8[at + base] & (wanted | SHADOW.freed)) !== wanted) return at
    return -1
  }

  #initialise(start: number, size: number): void {
    const { u8, size: base } = this.memory
    for (let at = start + base; at < start + base + size; at++) if ((u8[at] & SHADOW.init) !== 0) u8[at] |= SHADOW.read
  }

  #say(what: string, low: number, size: number, write: boolean): string {
    const found = this.memory.regionOf(low)
    const where =
      found === undefined
        ? `0x${low.toString(16)}`
        : `${found.region.name}${offsetText(low - found.region.start)} (${found.region.size} bytes)`
    return `${what}: ${verb(write)} of ${size} bytes at ${where}`
  }

  #refuse(low: number, size: number, write: boolean, shadow: number): never {
    const address = BigInt(low)
    if (low < 4096) this.fail('null-pointer', `null pointer: ${verb(write)} of ${size} bytes at ${low}`, address, size)
    if (low >= this.stack && low < this.stack + MAX_FRAMES * FRAME_STRIDE) {
      const top = this.framePointer(this.frame)
      const at = `r10${low - top >= 0 ? '+' : ''}${low - top}`
      if (shadow === SHADOW.uninitialised)
        this.fail('uninitialised-stack', `uninitialised stack: read of ${size} bytes at ${at}`, address, size)
      this.fail(
        'out-of-bounds',
        `out of bounds: ${verb(write)} of ${size} bytes at ${at}, outside the stack frame`,
        address,
        size,
      )
    }
    if ((shadow & SHADOW.freed) !== 0)
      this.fail('use-after-free', this.#say('use after free', low, size, write), address, size)
    if (write && (shadow & SHADOW.read) !== 0)
      this.fail('read-only', this.#say('read-only memory', low, size, write), address, size)
    if (!write && (shadow & SHADOW.write) !== 0)
      this.fail('write-only', this.#say('write-only memory', low, size, write), address, size)
    this.fail('out-of-bounds', this.#say('out of bounds', low, size, write), address, size)
  }

  /** A helper's memory argument to be read: its linear address, checked for `size` bytes. */
  readable(register: number, size: number): number {
    return size === 0 ? this.low(register) : this.#argument(register, size, false)
  }
  /** A helper's memory argument to be written. */
  writable(register: number, size: number): number {
    return size === 0 ? this.low(register) : this.#argument(register, size, true)
  }
  /** Like {@link readable} but 0 for a null pointer. */
  readableOrNull(register: number, size: number): number {
    return this.low(register) === 0 && this.high(register) === 0 ? 0 : this.readable(register, size)
  }
  #argument(register: number, size: number, write: boolean): number {
    if (size < 0 || size > this.memory.size) this.fail('invalid-argument', `R${register}: impossible size ${size}`)
    return this.access(this.low(register), this.high(register), size, write)
  }

  /** The map that a helper's argument points to. */
  map(register: number): EmulatedMap {
    const map = this.high(register) === 0 ? this.mapByHandle.get(this.low(register)) : undefined
    return map ?? this.fail('invalid-argument', `R${register} is no map: 0x${this.get64(register).toString(16)}`)
  }

  /** The byte at a linear address, which must be readable. */
  byteAt(address: number): number {
    const { u8, size } = this.memory
    if ((u8[address + size] & (SHADOW.read | SHADOW.freed)) !== SHADOW.read) this.access(address, 0, 1, false)
    return u8[address]
  }

  /** The NUL-terminated text at a linear address, at most `limit` bytes, each of them checked. */
  text(address: number, limit: number): string {
    let end = address
    while (end < address + limit && this.byteAt(end) !== 0) end++
    return latin1(this.memory.bytes(address, end - address))
  }
}

function latin1(bytes: Uint8Array): string {
  return new TextDecoder().decode(bytes)
}

function verb(write: boolean): string {
  return write ? 'write' : 'read'
}

function offsetText(offset: number): string {
  return offset < 0 ? `${offset}` : `+${offset}`
}

function addressOf(low: number, high: number): bigint {
  return BigInt(low) | (BigInt(high >>> 0) << 32n)
}
