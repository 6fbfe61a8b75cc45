import { OPERATION } from '../decode.ts'
import { I32, I64, OP } from './encoder.ts'
import { LOCAL } from './layout.ts'
import type { FunctionWriter } from './writer.ts'

/** Wide and narrow opcodes by the high four bits of the BPF operation, for those that are one WebAssembly instruction. */
const SIMPLE: Readonly<Record<number, readonly [wide: number, narrow: number]>> = {
  0: [OP.i64Add, OP.i32Add],
  16: [OP.i64Sub, OP.i32Sub],
  32: [OP.i64Mul, OP.i32Mul],
  64: [OP.i64Or, OP.i32Or],
  80: [OP.i64And, OP.i32And],
  96: [OP.i64Shl, OP.i32Shl],
  112: [OP.i64ShrU, OP.i32ShrU],
  160: [OP.i64Xor, OP.i32Xor],
  192: [OP.i64ShrS, OP.i32ShrS],
}

const CONDITIONS: Readonly<Record<number, readonly [wide: number, narrow: number]>> = {
  16: [OP.i64Eq, OP.i32Eq],
  32: [OP.i64GtU, OP.i32GtU],
  48: [OP.i64GeU, OP.i32GeU],
  80: [OP.i64Ne, OP.i32Ne],
  96: [OP.i64GtS, OP.i32GtS],
  112: [OP.i64GeS, OP.i32GeS],
  160: [OP.i64LtU, OP.i32LtU],
  176: [OP.i64LeU, OP.i32LeU],
  192: [OP.i64LtS, OP.i32LtS],
  208: [OP.i64LeS, OP.i32LeS],
}

export function isArithmetic(operation: number): boolean {
  if (operation >= 0x100) return operation <= OPERATION.swap
  const kind = operation & 7
  return kind === 4 || kind === 7
}

/** Pushes 1 when the branch is taken. */
export function emitCondition(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  const operation = code.operation[slot]
  const wide = (operation & 7) === 5
  const kind = operation & 0xf0
  f.register(code.dst[slot])
  if (!wide) f.op(OP.i32WrapI64)
  if (wide) f.operand(slot)
  else if (code.immediate[slot] === 1) f.i32(code.imm[slot])
  else f.operand(slot).op(OP.i32WrapI64)
  if (kind === 0x40) {
    if (wide) f.op(OP.i64And, OP.i64Eqz, OP.i32Eqz)
    else f.op(OP.i32And)
    return
  }
  f.op(CONDITIONS[kind][wide ? 0 : 1])
}

function narrowOperand(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  if (code.immediate[slot] === 1) f.i32(code.imm[slot])
  else f.operand(slot).op(OP.i32WrapI64)
}

/** Division and remainder: by zero gives 0 and the dividend; the smallest number by -1 wraps. */
function divide(f: FunctionWriter, slot: number, wide: boolean, signed: boolean, remainder: boolean): void {
  const { code } = f.context.program
  const dst = code.dst[slot]
  const dividend = (): void => {
    f.register(dst)
    if (!wide) f.op(OP.i32WrapI64)
  }
  const divisor = (): void => {
    if (wide) f.operand(slot)
    else narrowOperand(f, slot)
  }
  const type = wide ? I64 : I32
  const isZero = wide ? OP.i64Eqz : OP.i32Eqz
  const zero = (): void => {
    if (wide) f.i64(0n)
    else f.i32(0)
  }
  const minusOne = (): void => {
    if (wide) f.i64(-1n)
    else f.i32(-1)
  }
  divisor()
  f.op(isZero, OP.if, type)
  if (remainder) dividend()
  else zero()
  f.op(OP.else)
  if (signed && !remainder) {
    divisor()
    minusOne()
    f.op(wide ? OP.i64Eq : OP.i32Eq, OP.if, type)
    zero()
    dividend()
    f.op(wide ? OP.i64Sub : OP.i32Sub, OP.else)
  }
  dividend()
  divisor()
  if (remainder) f.op(wide ? (signed ? OP.i64RemS : OP.i64RemU) : signed ? OP.i32RemS : OP.i32RemU)
  else f.op(wide ? (signed ? OP.i64DivS : OP.i64DivU) : signed ? OP.i32DivS : OP.i32DivU)
  if (signed && !remainder) f.op(OP.end)
  f.op(OP.end)
  if (!wide) f.op(OP.i64ExtendI32U)
  f.setRegister(dst)
}

/** Reverses the bytes of the i32 in local `pointer` and leaves the result on the stack. */
function swap32(f: FunctionWriter): void {
  f.get(LOCAL.pointer).i32(8).op(OP.i32Rotl).i32(0x00ff00ff).op(OP.i32And)
  f.get(LOCAL.pointer).i32(8).op(OP.i32Rotr).i32(0xff00ff00).op(OP.i32And, OP.i32Or)
}

function swapBytes(f: FunctionWriter, dst: number, bits: number): void {
  f.register(dst).op(OP.i32WrapI64).set(LOCAL.pointer)
  swap32(f)
  if (bits === 16) f.i32(16).op(OP.i32ShrU)
  f.op(OP.i64ExtendI32U)
  if (bits === 64) {
    f.i64(32n).op(OP.i64Shl)
    f.register(dst).i64(32n).op(OP.i64ShrU, OP.i32WrapI64).set(LOCAL.pointer)
    swap32(f)
    f.op(OP.i64ExtendI32U, OP.i64Or)
  }
  f.setRegister(dst)
}

function signExtend(f: FunctionWriter, slot: number, wide: boolean): void {
  const { code } = f.context.program
  const bits = code.offset[slot]
  f.register(code.src[slot])
  if (wide) f.op(bits === 8 ? OP.i64Extend8S : bits === 16 ? OP.i64Extend16S : OP.i64Extend32S)
  else f.op(OP.i32WrapI64, bits === 8 ? OP.i32Extend8S : OP.i32Extend16S, OP.i64ExtendI32U)
  f.setRegister(code.dst[slot])
}

export function emitArithmetic(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  const operation = code.operation[slot]
  const dst = code.dst[slot]
  switch (operation) {
    case OPERATION.sdiv64:
    case OPERATION.smod64:
      divide(f, slot, true, true, operation === OPERATION.smod64)
      return
    case OPERATION.sdiv32:
    case OPERATION.smod32:
      divide(f, slot, false, true, operation === OPERATION.smod32)
      return
    case OPERATION.movsx64:
    case OPERATION.movsx32:
      signExtend(f, slot, operation === OPERATION.movsx64)
      return
    case OPERATION.toLittle:
      if (code.imm[slot] === 64) return
      f.register(dst)
        .i64(code.imm[slot] === 16 ? 0xffffn : 0xffff_ffffn)
        .op(OP.i64And)
        .setRegister(dst)
      return
    case OPERATION.toBig:
    case OPERATION.swap:
      swapBytes(f, dst, code.imm[slot])
      return
  }
  const wide = (operation & 7) === 7
  const kind = operation & 0xf0
  if (kind === 0x30 || kind === 0x90) {
    divide(f, slot, wide, false, kind === 0x90)
    return
  }
  if (kind === 0xb0) {
    if (wide) f.operand(slot)
    else if (code.immediate[slot] === 1) f.i64(BigInt(code.imm[slot] >>> 0))
    else f.operand(slot).i64(0xffff_ffffn).op(OP.i64And)
    f.setRegister(dst)
    return
  }
  if (kind === 0x80) {
    if (wide) f.i64(0n).register(dst).op(OP.i64Sub)
    else f.i32(0).register(dst).op(OP.i32WrapI64, OP.i32Sub, OP.i64ExtendI32U)
    f.setRegister(dst)
    return
  }
  f.register(dst)
  if (wide) f.operand(slot)
  else {
    f.op(OP.i32WrapI64)
    narrowOperand(f, slot)
  }
  f.op(SIMPLE[kind][wide ? 0 : 1])
  if (!wide) f.op(OP.i64ExtendI32U)
  f.setRegister(dst)
}
