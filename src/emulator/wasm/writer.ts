import { type Machine, STACK_BYTES } from '../machine.ts'
import { REGISTERS } from '../memory.ts'
import type { LinkedProgram } from '../program.ts'
import { OP, WasmBytes } from './encoder.ts'
import { FUEL_ADDRESS, type ImportName, importIndex, LOCAL } from './layout.ts'

/**
 * Loads of one block through one unchanged base register: one check of the whole range covers them all, because nothing between
 * them can take a permission away. Where that check does not pass, each load is checked by itself as ever.
 */
export interface Span {
  readonly base: number
  /** Offsets from the base: first byte, and the byte behind the last one. */
  readonly low: number
  readonly high: number
  /** The first load's slot. */
  readonly first: number
}

/** What a function is compiled in. */
export interface CompileContext {
  readonly machine: Machine
  readonly program: LinkedProgram
  /** Function index by entry slot. */
  readonly functions: ReadonlyMap<number, number>
}

/** The code of one function as it is written, and the small pieces that it is made of. */
export class FunctionWriter {
  readonly context: CompileContext
  readonly out = new WasmBytes()
  /** Spans of the current block. */
  spans: ReadonlyMap<number, Span> = new Map()
  /** Instructions of the current block that come after the current one: not executed yet but paid for. */
  unpaid = 0

  constructor(context: CompileContext) {
    this.context = context
  }

  get(local: number): this {
    this.out.byte(OP.localGet).u32(local)
    return this
  }
  set(local: number): this {
    this.out.byte(OP.localSet).u32(local)
    return this
  }
  i32(value: number): this {
    this.out.byte(OP.i32Const).s32(value)
    return this
  }
  i64(value: bigint): this {
    this.out.byte(OP.i64Const).s64(value)
    return this
  }
  op(...opcodes: readonly number[]): this {
    this.out.bytes(...opcodes)
    return this
  }
  /** A load or store with its alignment hint 0. */
  memory(opcode: number, offset: number): this {
    this.out.byte(opcode).u32(0).u32(offset)
    return this
  }
  /** Pushes a BPF register. */
  register(number: number): this {
    if (number !== 10) return this.get(LOCAL.registers[number])
    return this.get(LOCAL.stack).i32(STACK_BYTES).op(OP.i32Add, OP.i64ExtendI32U)
  }
  setRegister(number: number): this {
    return this.set(LOCAL.registers[number])
  }
  /** Pushes the second operand of an arithmetic instruction or jump. */
  operand(slot: number): this {
    const { code } = this.context.program
    return code.immediate[slot] === 1 ? this.i64(BigInt(code.imm[slot])) : this.register(code.src[slot])
  }
  /** Pushes the fuel as it is right after the current instruction. */
  paidFuel(): this {
    this.get(LOCAL.fuel)
    if (this.unpaid > 0) this.i32(this.unpaid).op(OP.i32Add)
    return this
  }
  callImport(name: ImportName): this {
    this.out.byte(OP.call).u32(importIndex(name))
    return this
  }
  fault(slot: number, kind: number): this {
    this.i32(slot).i32(kind).get(LOCAL.frame).paidFuel().callImport('fault')
    return this.op(OP.unreachable)
  }
  reloadFuel(unpaid: number): this {
    this.i32(0).memory(OP.i32Load, FUEL_ADDRESS)
    if (unpaid > 0) this.i32(unpaid).op(OP.i32Sub)
    return this.set(LOCAL.fuel)
  }
  /** Writes a BPF register to its place in memory. */
  spill(number: number): this {
    return this.i32(0)
      .register(number)
      .memory(OP.i64Store, REGISTERS + 8 * number)
  }
  reload(number: number): this {
    return this.i32(0)
      .memory(OP.i64Load, REGISTERS + 8 * number)
      .setRegister(number)
  }
}
