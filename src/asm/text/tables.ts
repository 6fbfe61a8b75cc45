import { ALU, JMP } from '../../uapi/index.ts'

/** Operators by the high four bits of an opcode, as both LLVM and the kernel write them. */
export const ARITHMETIC_OPERATORS: readonly (string | undefined)[] = operators([
  [ALU.add, '+='],
  [ALU.sub, '-='],
  [ALU.mul, '*='],
  [ALU.div, '/='],
  [ALU.or, '|='],
  [ALU.and, '&='],
  [ALU.lsh, '<<='],
  [ALU.rsh, '>>='],
  [ALU.mod, '%='],
  [ALU.xor, '^='],
  [ALU.mov, '='],
  [ALU.arsh, 's>>='],
])

export const COMPARISON_OPERATORS: readonly (string | undefined)[] = operators([
  [JMP.jeq, '=='],
  [JMP.jgt, '>'],
  [JMP.jge, '>='],
  [JMP.jset, '&'],
  [JMP.jne, '!='],
  [JMP.jsgt, 's>'],
  [JMP.jsge, 's>='],
  [JMP.jlt, '<'],
  [JMP.jle, '<='],
  [JMP.jslt, 's<'],
  [JMP.jsle, 's<='],
])

/** Names of the fetching atomics by the operation's high four bits. */
export const ATOMIC_NAMES: readonly (string | undefined)[] = operators([
  [ALU.add, 'add'],
  [ALU.or, 'or'],
  [ALU.and, 'and'],
  [ALU.xor, 'xor'],
])

/** C types by an opcode's size bits (bits 3 and 4). */
export const UNSIGNED_TYPES: readonly string[] = ['u32', 'u16', 'u8', 'u64']
export const SIGNED_TYPES: readonly string[] = ['s32', 's16', 's8', 's64']

export const R: readonly string[] = Array.from({ length: 16 }, (_, i) => `r${i}`)
export const W: readonly string[] = Array.from({ length: 16 }, (_, i) => `w${i}`)
export const OPCODE_HEX: readonly string[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'))

function operators(rows: readonly (readonly [operation: number, text: string])[]): (string | undefined)[] {
  const table = new Array<string | undefined>(16).fill(undefined)
  for (const [operation, text] of rows) table[operation >> 4] = text
  return table
}
