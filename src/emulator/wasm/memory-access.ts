import { OPERATION } from '../decode.ts'
import { STACK_BYTES } from '../machine.ts'
import { I32, I64, OP, VOID } from './encoder.ts'
import { FAULT_KIND, LOCAL } from './layout.ts'
import type { FunctionWriter, Span } from './writer.ts'

const SIZES = [4, 2, 1, 8]
const LOADS: Readonly<Record<number, number>> = { 1: OP.i64Load8u, 2: OP.i64Load16u, 4: OP.i64Load32u, 8: OP.i64Load }
const SIGNED: Readonly<Record<number, number>> = { 1: OP.i64Load8s, 2: OP.i64Load16s, 4: OP.i64Load32s }
const STORES: Readonly<Record<number, number>> = { 1: OP.i64Store8, 2: OP.i64Store16, 4: OP.i64Store32, 8: OP.i64Store }
/** Loads of the shadow by access size, and how a constant of that width is made. */
const SHADOW_LOADS: Readonly<Record<number, number>> = {
  1: OP.i32Load8u,
  2: OP.i32Load16u,
  4: OP.i32Load,
  8: OP.i64Load,
}
const SHADOW_STORES: Readonly<Record<number, number>> = {
  1: OP.i32Store8,
  2: OP.i32Store16,
  4: OP.i32Store,
  8: OP.i64Store,
}

export function isMemoryAccess(operation: number): boolean {
  if (operation >= 0x100) return operation >= OPERATION.atomic32 && operation <= OPERATION.storeRelease
  const kind = operation & 7
  const mode = operation & 0xe0
  return (kind === 1 || kind === 2 || kind === 3) && (mode === 0x60 || mode === 0x80)
}

/** `byte` in each of `size` bytes, pushed as i32 or i64. */
function pattern(f: FunctionWriter, size: number, byte: number): void {
  if (size === 8) f.i64(BigInt(byte) * 0x0101010101010101n)
  else f.i32(Number(BigInt.asIntN(32, BigInt(byte) * [0n, 1n, 0x0101n, 0n, 0x01010101n][size])))
}

/** Fills local `pointer` the careful way; the address is base register + offset. */
function careful(f: FunctionWriter, slot: number, base: number, size: number, write: boolean): void {
  f.i32(slot)
  f.register(base).op(OP.i32WrapI64)
  f.register(base).i64(32n).op(OP.i64ShrU, OP.i32WrapI64)
  f.i32(f.context.program.code.offset[slot])
    .i32(size | (write ? 0x100 : 0))
    .get(LOCAL.frame)
    .paidFuel()
    .callImport('careful')
    .set(LOCAL.pointer)
}

/** Leaves the checked linear address in local `pointer`. */
function checkedAddress(f: FunctionWriter, slot: number, base: number, size: number, write: boolean): void {
  const { code } = f.context.program
  const { size: shadow } = f.context.machine.memory
  const offset = code.offset[slot]
  f.op(OP.block, VOID, OP.block, VOID)
  f.register(base)
  if (offset !== 0) f.i64(BigInt(offset)).op(OP.i64Add)
  f.op(OP.localTee, LOCAL.address)
  f.i64(BigInt(shadow - 8)).op(OP.i64GtU, OP.brIf, 0)
  f.get(LOCAL.address).op(OP.i32WrapI64, OP.localTee, LOCAL.pointer)
  f.memory(SHADOW_LOADS[size], shadow)
  const equal = size === 8 ? OP.i64Eq : OP.i32Eq
  if (!write) {
    pattern(f, size, 1)
    f.op(size === 8 ? OP.i64And : OP.i32And)
    pattern(f, size, 1)
    f.op(equal, OP.brIf, 1)
  } else {
    // plain writable memory, or fresh stack that becomes readable
    pattern(f, size, 3)
    f.op(equal, OP.brIf, 1)
    f.get(LOCAL.pointer).memory(SHADOW_LOADS[size], shadow)
    pattern(f, size, 6)
    f.op(size === 8 ? OP.i64And : OP.i32And)
    pattern(f, size, 6)
    f.op(size === 8 ? OP.i64Ne : OP.i32Ne, OP.brIf, 0)
    f.get(LOCAL.pointer)
    pattern(f, size, 7)
    f.memory(SHADOW_STORES[size], shadow)
    f.op(OP.br, 1)
  }
  f.op(OP.end)
  careful(f, slot, base, size, write)
  f.op(OP.end)
}

/** Offset from the frame's lowest byte when the access is inside the frame at a place known now; else -1. */
function stackOffset(base: number, offset: number, size: number): number {
  return base === 10 && offset >= -STACK_BYTES && offset <= -size ? STACK_BYTES + offset : -1
}

function sizeOf(f: FunctionWriter, slot: number): number {
  return SIZES[(f.context.program.image.insns[slot * 8] >> 3) & 3]
}

/** Checks that every byte of a span is readable now; notes the answer and the span's address. */
function checkSpan(f: FunctionWriter, span: Span): void {
  const { size: shadow } = f.context.machine.memory
  const length = span.high - span.low
  f.register(span.base)
  if (span.low !== 0) f.i64(BigInt(span.low)).op(OP.i64Add)
  f.op(OP.localTee, LOCAL.address)
  f.i64(BigInt(shadow - length)).op(OP.i64LeU, OP.if, I32)
  f.get(LOCAL.address)
    .op(OP.i32WrapI64)
    .set(LOCAL.spanPointer + span.base)
  for (let at = 0; at < length; at += 8) {
    f.get(LOCAL.spanPointer + span.base).memory(OP.i64Load, shadow + Math.min(at, length - 8))
    if (at > 0) f.op(OP.i64And)
  }
  pattern(f, 8, 1)
  f.op(OP.i64And)
  pattern(f, 8, 1)
  f.op(OP.i64Eq, OP.else).i32(0).op(OP.end)
  f.set(LOCAL.spanPassed + span.base)
}

export function emitLoad(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  const { machine } = f.context
  const size = sizeOf(f, slot)
  const operation = code.operation[slot]
  const base = code.src[slot]
  const load = operation < 0x100 && (operation & 0xe0) === 0x80 ? SIGNED[size] : LOADS[size]
  const at = stackOffset(base, code.offset[slot], size)
  if (at < 0) {
    const span = f.spans.get(slot)
    if (span !== undefined) {
      if (span.first === slot) checkSpan(f, span)
      f.get(LOCAL.spanPassed + base).op(OP.if, I64)
      f.get(LOCAL.spanPointer + base).memory(load, code.offset[slot] - span.low)
      f.op(OP.else)
    }
    checkedAddress(f, slot, base, size, false)
    f.get(LOCAL.pointer).memory(load, 0)
    if (span !== undefined) f.op(OP.end)
    f.setRegister(code.dst[slot])
    return
  }
  if (machine.sanitizer.uninitialisedStack !== 'off') {
    f.get(LOCAL.stack).memory(SHADOW_LOADS[size], machine.memory.size + at)
    pattern(f, size, 1)
    f.op(size === 8 ? OP.i64And : OP.i32And)
    pattern(f, size, 1)
    f.op(size === 8 ? OP.i64Ne : OP.i32Ne, OP.if, VOID)
    careful(f, slot, base, size, false)
    f.op(OP.end)
  }
  f.get(LOCAL.stack).memory(load, at).setRegister(code.dst[slot])
}

export function emitStore(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  const { machine } = f.context
  const size = sizeOf(f, slot)
  const base = code.dst[slot]
  const value = (): void => {
    if (code.immediate[slot] === 1) f.i64(BigInt(code.imm[slot]))
    else f.register(code.src[slot])
  }
  const at = stackOffset(base, code.offset[slot], size)
  if (at < 0) {
    checkedAddress(f, slot, base, size, true)
    f.get(LOCAL.pointer)
    value()
    f.memory(STORES[size], 0)
    return
  }
  f.get(LOCAL.stack)
  value()
  f.memory(STORES[size], at)
  if (machine.sanitizer.uninitialisedStack === 'off') return
  f.get(LOCAL.stack)
  pattern(f, size, 7)
  f.memory(SHADOW_STORES[size], machine.memory.size + at)
}

const FETCH: Readonly<Record<number, readonly [wide: number, narrow: number]>> = {
  0: [OP.i64Add, OP.i32Add],
  64: [OP.i64Or, OP.i32Or],
  80: [OP.i64And, OP.i32And],
  160: [OP.i64Xor, OP.i32Xor],
}

/** Atomic operations: emulated programs run alone, so plain steps are atomic. */
export function emitAtomic(f: FunctionWriter, slot: number): void {
  const { code } = f.context.program
  const wide = code.operation[slot] === OPERATION.atomic64
  const size = wide ? 8 : 4
  const imm = code.imm[slot]
  const base = code.dst[slot]
  const src = code.src[slot]
  checkedAddress(f, slot, base, size, false)
  checkedAddress(f, slot, base, size, true)
  f.get(LOCAL.pointer)
    .i32(size - 1)
    .op(OP.i32And, OP.if, VOID)
  f.fault(slot, FAULT_KIND.misaligned)
  f.op(OP.end)
  f.get(LOCAL.pointer).memory(LOADS[size], 0).set(LOCAL.wide)
  const operand = (): void => {
    f.register(src)
    if (!wide) f.i64(0xffff_ffffn).op(OP.i64And)
  }
  if (imm === 0xf1) {
    f.get(LOCAL.wide).register(0)
    if (!wide) f.i64(0xffff_ffffn).op(OP.i64And)
    f.op(OP.i64Eq, OP.if, VOID).get(LOCAL.pointer).register(src).memory(STORES[size], 0).op(OP.end)
    f.get(LOCAL.wide).setRegister(0)
    return
  }
  f.get(LOCAL.pointer)
  if (imm === 0xe1) operand()
  else {
    f.get(LOCAL.wide)
    operand()
    f.op(FETCH[imm & 0xf0][0])
  }
  f.memory(STORES[size], 0)
  if ((imm & 1) !== 0) f.get(LOCAL.wide).setRegister(src)
}
