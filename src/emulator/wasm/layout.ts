import type { FunctionType } from './encoder.ts'
import { I32, I64 } from './encoder.ts'

/** Linear-memory address where the instructions left before the step limit travel between modules and JavaScript. */
export const FUEL_ADDRESS = 0x1100

/** Locals of a compiled function. Parameters: the frame's index, r1 to r5. */
export const LOCAL = {
  frame: 0,
  /** r0 to r9. */
  registers: [6, 1, 2, 3, 4, 5, 7, 8, 9, 10],
  address: 11,
  wide: 12,
  fuel: 13,
  pointer: 14,
  /** The lowest byte of the frame. */
  stack: 15,
  goes: 16,
  /** By register: 1 when the span that starts with it passed its check, and the span's address. */
  spanPassed: 17,
  spanPointer: 27,
} as const
/** Groups of locals after the parameters: six i64 (r0, r6 to r9, address), one i64, then i32. */
export const LOCAL_GROUPS: readonly (readonly [count: number, type: number])[] = [
  [7, I64],
  [24, I32],
]

/** Type indices. */
export const TYPE = { function: 0, wrapper: 1, i3: 2, i4: 3, careful: 4, i4i: 5 } as const
export const TYPES: readonly FunctionType[] = [
  { params: [I32, I64, I64, I64, I64, I64], results: [I64] },
  { params: [I32], results: [] },
  { params: [I32, I32, I32], results: [] },
  { params: [I32, I32, I32, I32], results: [] },
  { params: [I32, I32, I32, I32, I32, I32, I32], results: [I32] },
  { params: [I32, I32, I32, I32], results: [I32] },
]

/** Imported functions in order; their index is their function index. */
export const IMPORTS = [
  /** (number, slot, frame, fuel) → 1: a tail call ran. */
  { name: 'helper', type: TYPE.i4i },
  /** (slot, frame, fuel) */
  { name: 'kfunc', type: TYPE.i3 },
  /** (slot, low, high, offset, size | write << 8, frame, fuel) → linear address */
  { name: 'careful', type: TYPE.careful },
  /** (slot, kind, frame, fuel): never returns */
  { name: 'fault', type: TYPE.i4 },
  /** (slot, 0, frame, fuel) → 0: beyond the packet */
  { name: 'loadPacket', type: TYPE.i4i },
  /** (slot, frame, fuel): the target is in its register's place in memory */
  { name: 'callRegister', type: TYPE.i3 },
  /** (slot, frame, fuel) */
  { name: 'cast', type: TYPE.i3 },
] as const
export type ImportName = (typeof IMPORTS)[number]['name']
export function importIndex(name: ImportName): number {
  return IMPORTS.findIndex((one) => one.name === name)
}

/** Second argument of `fault`. */
export const FAULT_KIND = { stepLimit: 0, invalidJump: 1, invalidInstruction: 2, callDepth: 3, misaligned: 4 } as const
