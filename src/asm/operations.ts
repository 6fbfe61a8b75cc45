import { ALU, ATOMIC, JMP, MODE, SIZE } from '../uapi/index.ts'
import type { LoadSize } from './registers.ts'

/** Arithmetic by method name: the operation and, for signed division, `off`. */
export const ARITHMETIC = {
  add: { op: ALU.add, offset: 0 },
  sub: { op: ALU.sub, offset: 0 },
  mul: { op: ALU.mul, offset: 0 },
  div: { op: ALU.div, offset: 0 },
  sdiv: { op: ALU.div, offset: 1 },
  or: { op: ALU.or, offset: 0 },
  and: { op: ALU.and, offset: 0 },
  lsh: { op: ALU.lsh, offset: 0 },
  rsh: { op: ALU.rsh, offset: 0 },
  mod: { op: ALU.mod, offset: 0 },
  smod: { op: ALU.mod, offset: 1 },
  xor: { op: ALU.xor, offset: 0 },
  mov: { op: ALU.mov, offset: 0 },
  arsh: { op: ALU.arsh, offset: 0 },
} as const
export type ArithmeticName = keyof typeof ARITHMETIC

/** Conditional jumps by method name. */
export const CONDITIONS = {
  jeq: JMP.jeq,
  jne: JMP.jne,
  jgt: JMP.jgt,
  jge: JMP.jge,
  jlt: JMP.jlt,
  jle: JMP.jle,
  jsgt: JMP.jsgt,
  jsge: JMP.jsge,
  jslt: JMP.jslt,
  jsle: JMP.jsle,
  jset: JMP.jset,
} as const
export type ConditionName = keyof typeof CONDITIONS

/** Size and mode bits of loads and stores by C type name. */
export const ACCESS: Readonly<
  Record<LoadSize, { readonly size: number; readonly mode: number; readonly bytes: number }>
> = {
  u8: { size: SIZE.b, mode: MODE.mem, bytes: 1 },
  u16: { size: SIZE.h, mode: MODE.mem, bytes: 2 },
  u32: { size: SIZE.w, mode: MODE.mem, bytes: 4 },
  u64: { size: SIZE.dw, mode: MODE.mem, bytes: 8 },
  s8: { size: SIZE.b, mode: MODE.memsx, bytes: 1 },
  s16: { size: SIZE.h, mode: MODE.memsx, bytes: 2 },
  s32: { size: SIZE.w, mode: MODE.memsx, bytes: 4 },
}

/** Atomic read-modify-write operations by name: `imm`. */
export const ATOMICS = {
  add: ATOMIC.add,
  or: ATOMIC.or,
  and: ATOMIC.and,
  xor: ATOMIC.xor,
  fetch_add: ATOMIC.add | ATOMIC.fetch,
  fetch_or: ATOMIC.or | ATOMIC.fetch,
  fetch_and: ATOMIC.and | ATOMIC.fetch,
  fetch_xor: ATOMIC.xor | ATOMIC.fetch,
  xchg: ATOMIC.xchg,
  cmpxchg: ATOMIC.cmpxchg,
} as const
export type AtomicName = keyof typeof ATOMICS
