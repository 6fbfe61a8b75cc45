import {
  ADDR_SPACE_CAST,
  ALU,
  ATOMIC,
  CLASS,
  helperNumber,
  JMP,
  LD_IMM64,
  MODE,
  PSEUDO_CALL,
  PSEUDO_LD,
  SIZE,
  SOURCE,
} from '../uapi/index.ts'
import { CodeWriter, S32_LOW, U32_HIGH } from './code-writer.ts'
import type { Instruction, Reference } from './instruction.ts'
import {
  ACCESS,
  ARITHMETIC,
  type ArithmeticName,
  ATOMICS,
  type AtomicName,
  CONDITIONS,
  type ConditionName,
} from './operations.ts'
import type { LoadSize, Register32, Register64, RegisterName, StoreSize } from './registers.ts'

export interface AssemblerOptions {
  /** Record the call site of every instruction as its source. Costs a stack capture a call. */
  readonly captureSources?: boolean
}

/** A jump's target: a label, or the distance in slots from the next slot. */
export type Target = string | number

/** A map: by name (a loader resolves it), by file descriptor, or by index into the loader's fd array. */
export type MapOperand = string | { readonly fd: number } | { readonly index: number }

type Binary<This> = {
  (dst: Register64, operand: Register64 | number): This
  (dst: Register32, operand: Register32 | number): This
}
type Condition<This> = {
  (left: Register64, right: Register64 | number, target: Target): This
  (left: Register32, right: Register32 | number, target: Target): This
}

/**
 * Level A: one call, one instruction. Operand widths follow the registers (`r1` 64 bits, `w1` 32 bits). A wrong register,
 * offset or immediate throws a UsageError at the call, with the caller's line.
 *
 * Immediates are signed 32-bit numbers that a 64-bit operation sign-extends; unsigned ones up to 0xffffffff are taken for
 * `w` registers only.
 */
export class Assembler extends CodeWriter {
  readonly #options: AssemblerOptions

  constructor(name: string, options: AssemblerOptions = {}) {
    super(name, import.meta.url, options.captureSources ?? false)
    this.#options = options
  }

  declare readonly add: Binary<this>
  declare readonly sub: Binary<this>
  declare readonly mul: Binary<this>
  declare readonly div: Binary<this>
  /** Signed division (ISA v4, Linux 6.6). */
  declare readonly sdiv: Binary<this>
  declare readonly or: Binary<this>
  declare readonly and: Binary<this>
  declare readonly lsh: Binary<this>
  declare readonly rsh: Binary<this>
  declare readonly mod: Binary<this>
  /** Signed remainder (ISA v4, Linux 6.6). */
  declare readonly smod: Binary<this>
  declare readonly xor: Binary<this>
  declare readonly mov: Binary<this>
  declare readonly arsh: Binary<this>
  declare readonly jeq: Condition<this>
  declare readonly jne: Condition<this>
  declare readonly jgt: Condition<this>
  declare readonly jge: Condition<this>
  declare readonly jlt: Condition<this>
  declare readonly jle: Condition<this>
  declare readonly jsgt: Condition<this>
  declare readonly jsge: Condition<this>
  declare readonly jslt: Condition<this>
  declare readonly jsle: Condition<this>
  declare readonly jset: Condition<this>

  neg(dst: RegisterName): this {
    return this.emit({ opcode: this.aluClass(dst) | ALU.neg, dst: this.register(dst), src: 0, offset: 0, imm: 0 })
  }

  /** Sign-extending move of the low `bits` of `src` (ISA v4, Linux 6.6). 32 only between 64-bit registers. */
  movsx(dst: RegisterName, src: RegisterName, bits: 8 | 16 | 32): this {
    this.sameWidth(dst, src)
    const cls = this.aluClass(dst)
    if (bits !== 8 && bits !== 16 && (bits !== 32 || cls !== CLASS.alu64))
      this.fail(`movsx ${dst}, ${src}: ${bits} bits; 8 or 16, and 32 between r registers, are possible`)
    const opcode = cls | ALU.mov | SOURCE.x
    return this.emit({ opcode, dst: this.register(dst), src: this.register(src), offset: bits, imm: 0 })
  }

  /** To little endian: a no-op with truncation on little-endian hosts. */
  le(dst: Register64, bits: 16 | 32 | 64): this {
    return this.#swap(CLASS.alu | ALU.end, dst, bits)
  }
  /** To big endian. */
  be(dst: Register64, bits: 16 | 32 | 64): this {
    return this.#swap(CLASS.alu | ALU.end | SOURCE.x, dst, bits)
  }
  /** Swaps bytes whatever the host (ISA v4, Linux 6.6). */
  bswap(dst: Register64, bits: 16 | 32 | 64): this {
    return this.#swap(CLASS.alu64 | ALU.end, dst, bits)
  }

  /** Casts an arena pointer between address spaces (Linux 6.9): to 0 from 1 is user to kernel. */
  addrSpaceCast(dst: Register64, src: Register64, to: number, from: number): this {
    this.range('address space', to, 0, 0xffff)
    this.range('address space', from, 0, 0xffff)
    const opcode = CLASS.alu64 | ALU.mov | SOURCE.x
    const imm = (to << 16) | from | 0
    return this.emit({ opcode, dst: this.register(dst), src: this.register(src), offset: ADDR_SPACE_CAST, imm })
  }

  /** `dst = *(size *)(base + offset)`. */
  load(size: LoadSize, dst: RegisterName, base: Register64, offset = 0): this {
    const access = this.#access(size)
    const opcode = CLASS.ldx | access.mode | access.size
    return this.emit({
      opcode,
      dst: this.register(dst),
      src: this.register(base),
      offset: this.offset(offset),
      imm: 0,
    })
  }

  /** `*(size *)(base + offset) = value`: a register or a signed 32-bit immediate. */
  store(size: StoreSize, base: Register64, offset: number, value: RegisterName | number): this {
    const access = this.#access(size)
    if (access.mode !== MODE.mem) this.fail(`store ${size}: a store has no sign; use u8, u16, u32 or u64`)
    const fields = { dst: this.register(base), offset: this.offset(offset) }
    if (typeof value === 'number')
      return this.emit({
        opcode: CLASS.st | MODE.mem | access.size,
        ...fields,
        src: 0,
        imm: this.imm(value, size !== 'u64'),
      })
    return this.emit({ opcode: CLASS.stx | MODE.mem | access.size, ...fields, src: this.register(value), imm: 0 })
  }

  /** Legacy packet load, r0 = packet bytes at `imm`, from network byte order; socket filters and tc only. r6 holds the context. */
  loadAbsolute(size: 'u8' | 'u16' | 'u32', imm: number): this {
    return this.emit({
      opcode: CLASS.ld | MODE.abs | this.#legacy(size),
      dst: 0,
      src: 0,
      offset: 0,
      imm: this.imm(imm),
    })
  }
  /** As {@link loadAbsolute}, at `src + imm`. */
  loadIndirect(size: 'u8' | 'u16' | 'u32', src: Register64, imm = 0): this {
    const opcode = CLASS.ld | MODE.ind | this.#legacy(size)
    return this.emit({ opcode, dst: 0, src: this.register(src), offset: 0, imm: this.imm(imm) })
  }

  /** A 64-bit constant in two slots: -2^63 to 2^64 - 1. */
  loadImm64(dst: Register64, value: bigint | number): this {
    if (typeof value === 'number' && !Number.isSafeInteger(value))
      this.fail(`immediate ${value} is not an exact integer; use a bigint`)
    return this.#wide(dst, PSEUDO_LD.constant, BigInt(value))
  }
  /** A pointer to a map. */
  loadMap(dst: Register64, map: MapOperand): this {
    if (typeof map === 'string') return this.#wide(dst, PSEUDO_LD.mapFd, 0n, { kind: 'map', name: map })
    return 'fd' in map
      ? this.#wide(dst, PSEUDO_LD.mapFd, BigInt(this.range('map fd', map.fd, 0, 0x7fffffff)))
      : this.#wide(dst, PSEUDO_LD.mapIdx, BigInt(this.range('map index', map.index, 0, 0x7fffffff)))
  }
  /** The address `offset` bytes into a map's first value (a global variable; Linux 5.2). */
  loadMapValue(dst: Register64, map: MapOperand, offset = 0): this {
    const high = BigInt(this.range('offset into the value', offset, 0, U32_HIGH)) << 32n
    if (typeof map === 'string')
      return this.#wide(dst, PSEUDO_LD.mapValue, high, { kind: 'mapValue', name: map, offset })
    return 'fd' in map
      ? this.#wide(dst, PSEUDO_LD.mapValue, high | BigInt(this.range('map fd', map.fd, 0, 0x7fffffff)))
      : this.#wide(dst, PSEUDO_LD.mapIdxValue, high | BigInt(this.range('map index', map.index, 0, 0x7fffffff)))
  }
  /** A function's address, for callbacks (Linux 5.13). */
  loadFunction(dst: Register64, name: string): this {
    return this.#wide(dst, PSEUDO_LD.func, 0n, { kind: 'function', name })
  }
  /** The address of a kernel variable by BTF id (Linux 5.10); `module` is the fd of the module's BTF. */
  loadBtfId(dst: Register64, id: number, module = 0): this {
    const high = BigInt(this.range('module BTF fd', module, 0, 0x7fffffff)) << 32n
    return this.#wide(dst, PSEUDO_LD.btfId, high | BigInt(this.range('BTF id', id, 0, 0x7fffffff)))
  }
  /** The address of a kernel symbol by name; a loader resolves it. */
  loadKernelSymbol(
    dst: Register64,
    name: string,
    options: { readonly weak?: boolean; readonly typed?: boolean } = {},
  ): this {
    return this.#wide(dst, options.typed === true ? PSEUDO_LD.btfId : PSEUDO_LD.constant, 0n, {
      kind: 'ksym',
      name,
      ...options,
    })
  }

  /** An atomic read-modify-write on `u32` or `u64` memory. Fetching forms (Linux 5.12) leave the old value in `src` (cmpxchg: r0). */
  atomic(operation: AtomicName, size: 'u32' | 'u64', base: Register64, offset: number, src: RegisterName): this {
    const imm = ATOMICS[operation]
    if (imm === undefined) this.fail(`${String(operation)} is no atomic operation`)
    if (size !== 'u32' && size !== 'u64') this.fail(`atomic ${operation} on ${String(size)}; u32 and u64 are possible`)
    return this.#atomic(imm, size, this.register(base), this.register(src), offset)
  }
  /** Load-acquire (Linux 6.15). */
  loadAcquire(size: StoreSize, dst: RegisterName, base: Register64, offset = 0): this {
    return this.#atomic(ATOMIC.loadAcquire, size, this.register(dst), this.register(base), offset)
  }
  /** Store-release (Linux 6.15). */
  storeRelease(size: StoreSize, base: Register64, offset: number, src: RegisterName): this {
    return this.#atomic(ATOMIC.storeRelease, size, this.register(base), this.register(src), offset)
  }

  goto(target: Target): this {
    return this.#jump(CLASS.jmp | JMP.ja, 0, 0, 0, target)
  }
  /** A jump with a 32-bit distance (ISA v4, Linux 6.6). */
  gotol(target: Target): this {
    const opcode = CLASS.jmp32 | JMP.ja
    if (typeof target === 'number')
      return this.emit({
        opcode,
        dst: 0,
        src: 0,
        offset: 0,
        imm: this.range('jump distance', target, S32_LOW, 0x7fffffff),
      })
    return this.emit({ opcode, dst: 0, src: 0, offset: 0, imm: 0, reference: { kind: 'label', name: target } })
  }
  /** Jumps or falls through as the kernel decides, so that loops end (Linux 6.9). */
  mayGoto(target: Target): this {
    return this.#jump(CLASS.jmp | JMP.jcond, 0, 0, 0, target)
  }
  /** A jump through a register into an instruction array (Linux 6.19). */
  gotox(target: Register64): this {
    return this.emit({ opcode: CLASS.jmp | JMP.ja | SOURCE.x, dst: this.register(target), src: 0, offset: 0, imm: 0 })
  }

  /** A helper function by name (with or without `bpf_`) or number. */
  call(helper: string | number): this {
    const number =
      typeof helper === 'number' ? this.range('helper number', helper, 0, 0x7fffffff) : helperNumber(helper)
    if (number === undefined) this.fail(`no helper function is called ${helper}`)
    return this.emit({ opcode: CLASS.jmp | JMP.call, dst: 0, src: PSEUDO_CALL.helper, offset: 0, imm: number })
  }
  /** A kernel function by name, or by BTF id with the index of its module's BTF in the loader's fd array (0: vmlinux). Linux 5.13. */
  callKfunc(
    kfunc: string | number,
    options: { readonly weak?: boolean; readonly module?: string | number } = {},
  ): this {
    const opcode = CLASS.jmp | JMP.call
    const base = { opcode, dst: 0, src: PSEUDO_CALL.kfunc }
    if (typeof kfunc === 'number') {
      const module = typeof options.module === 'number' ? options.module : 0
      return this.emit({ ...base, offset: this.offset(module), imm: this.range('BTF id', kfunc, 0, 0x7fffffff) })
    }
    const { weak, module } = options
    const named = { ...(weak === undefined ? {} : { weak }), ...(typeof module === 'string' ? { module } : {}) }
    return this.emit({ ...base, offset: 0, imm: 0, reference: { kind: 'kfunc', name: kfunc, ...named } })
  }
  /** Another function of this program (Linux 4.16). */
  callFunction(name: string): this {
    const opcode = CLASS.jmp | JMP.call
    return this.emit({
      opcode,
      dst: 0,
      src: PSEUDO_CALL.local,
      offset: 0,
      imm: -1,
      reference: { kind: 'function', name },
    })
  }
  /** Call through a register: RFC 9669 has it, Linux refuses it. */
  callRegister(register: Register64): this {
    return this.emit({
      opcode: CLASS.jmp | JMP.call | SOURCE.x,
      dst: this.register(register),
      src: 0,
      offset: 0,
      imm: 0,
    })
  }
  exit(): this {
    return this.emit({ opcode: CLASS.jmp | JMP.exit, dst: 0, src: 0, offset: 0, imm: 0 })
  }

  /** Appends finished instructions as they are. */
  raw(...instructions: readonly Instruction[]): this {
    for (const instruction of instructions) this.emit(instruction)
    return this
  }

  /** A further function of the same program; `write` gets its assembler. */
  subprogram(name: string, write: (assembler: Assembler) => void): this {
    const assembler = new Assembler(name, this.#options)
    write(assembler)
    this.adopt(assembler)
    return this
  }

  #binary(name: ArithmeticName, dst: RegisterName, operand: RegisterName | number): this {
    const { op, offset } = ARITHMETIC[name]
    const cls = this.aluClass(dst)
    const target = this.register(dst)
    if (typeof operand === 'number')
      return this.emit({ opcode: cls | op, dst: target, src: 0, offset, imm: this.imm(operand, cls === CLASS.alu) })
    this.sameWidth(dst, operand)
    return this.emit({ opcode: cls | op | SOURCE.x, dst: target, src: this.register(operand), offset, imm: 0 })
  }

  #compare(name: ConditionName, left: RegisterName, right: RegisterName | number, target: Target): this {
    const narrow = this.aluClass(left) === CLASS.alu
    const opcode = (narrow ? CLASS.jmp32 : CLASS.jmp) | CONDITIONS[name]
    const dst = this.register(left)
    if (typeof right === 'number') return this.#jump(opcode, dst, 0, this.imm(right, narrow), target)
    this.sameWidth(left, right)
    return this.#jump(opcode | SOURCE.x, dst, this.register(right), 0, target)
  }

  #jump(opcode: number, dst: number, src: number, imm: number, target: Target): this {
    if (typeof target === 'number')
      return this.emit({ opcode, dst, src, offset: this.range('jump distance', target, -0x8000, 0x7fff), imm })
    return this.emit({ opcode, dst, src, offset: 0, imm, reference: { kind: 'label', name: target } })
  }

  #atomic(imm: number, size: StoreSize, dst: number, src: number, offset: number): this {
    const access = this.#access(size)
    if (access.mode !== MODE.mem) this.fail(`an atomic on ${size}; use u8, u16, u32 or u64`)
    return this.emit({ opcode: CLASS.stx | MODE.atomic | access.size, dst, src, offset: this.offset(offset), imm })
  }

  #swap(opcode: number, dst: Register64, bits: number): this {
    if (bits !== 16 && bits !== 32 && bits !== 64)
      this.fail(`a byte swap of ${String(bits)} bits; 16, 32 and 64 are possible`)
    return this.emit({ opcode, dst: this.register(dst), src: 0, offset: 0, imm: bits })
  }

  #wide(dst: Register64, src: number, value: bigint, reference?: Reference): this {
    if (value < -(1n << 63n) || value >= 1n << 64n) this.fail(`immediate ${value} does not fit 64 bits`)
    const imm64 = BigInt.asUintN(64, value)
    const fields = {
      opcode: LD_IMM64,
      dst: this.register(dst),
      src,
      offset: 0,
      imm: Number(BigInt.asIntN(32, imm64)),
      imm64,
    }
    return this.emit(reference === undefined ? fields : { ...fields, reference })
  }

  #legacy(size: 'u8' | 'u16' | 'u32'): number {
    const access = this.#access(size)
    if (access.mode !== MODE.mem || access.size === SIZE.dw)
      this.fail(`a packet load of ${size}; u8, u16 and u32 are possible`)
    return access.size
  }

  #access(size: LoadSize): { readonly size: number; readonly mode: number } {
    const access = Object.hasOwn(ACCESS, size) ? ACCESS[size] : undefined
    if (access === undefined)
      this.fail(`${String(size)} is no access size; use u8, u16, u32, u64, or s8, s16, s32 for loads`)
    return access
  }

  /** Methods that are rows of a table. */
  static {
    const define = (name: string, value: unknown): void => {
      Object.defineProperty(Assembler.prototype, name, { value, writable: false, configurable: true })
    }
    for (const name of Object.keys(ARITHMETIC) as ArithmeticName[])
      define(name, function (this: Assembler, dst: RegisterName, operand: RegisterName | number) {
        return this.#binary(name, dst, operand)
      })
    for (const name of Object.keys(CONDITIONS) as ConditionName[])
      define(name, function (this: Assembler, left: RegisterName, right: RegisterName | number, target: Target) {
        return this.#compare(name, left, right, target)
      })
  }
}
