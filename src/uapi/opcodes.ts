/**
 * Instruction encoding (RFC 9669 section 3; Linux extensions up to 7.x). An opcode byte is class | source | operation
 * for arithmetic and jumps, class | mode | size for loads and stores.
 */

/** The low three bits. */
export const CLASS = {
  ld: 0x00,
  ldx: 0x01,
  st: 0x02,
  stx: 0x03,
  alu: 0x04,
  jmp: 0x05,
  jmp32: 0x06,
  alu64: 0x07,
} as const

/** Bit 3 of arithmetic and jump opcodes: the second operand is imm (k) or a register (x). For `end`: to little or big. */
export const SOURCE = { k: 0x00, x: 0x08 } as const

/** The high four bits of arithmetic opcodes. */
export const ALU = {
  add: 0x00,
  sub: 0x10,
  mul: 0x20,
  div: 0x30,
  or: 0x40,
  and: 0x50,
  lsh: 0x60,
  rsh: 0x70,
  neg: 0x80,
  mod: 0x90,
  xor: 0xa0,
  mov: 0xb0,
  arsh: 0xc0,
  end: 0xd0,
} as const

/** The high four bits of jump opcodes. */
export const JMP = {
  ja: 0x00,
  jeq: 0x10,
  jgt: 0x20,
  jge: 0x30,
  jset: 0x40,
  jne: 0x50,
  jsgt: 0x60,
  jsge: 0x70,
  call: 0x80,
  exit: 0x90,
  jlt: 0xa0,
  jle: 0xb0,
  jslt: 0xc0,
  jsle: 0xd0,
  jcond: 0xe0,
} as const

/** Bits 3 and 4 of load and store opcodes. */
export const SIZE = { w: 0x00, h: 0x08, b: 0x10, dw: 0x18 } as const

/** The high three bits of load and store opcodes. */
export const MODE = { imm: 0x00, abs: 0x20, ind: 0x40, mem: 0x60, memsx: 0x80, atomic: 0xc0 } as const

/**
 * Forms that only the kernel makes (include/linux/filter.h): what a verifier rewrites a program to. A dump of the translated
 * program may carry them; a loader refuses them.
 */
export const INTERNAL = {
  /** LDX modes: a load that may fault. */
  probeMem: 0x20,
  probeMemsx: 0x40,
  /** LDX, ST and STX modes: arena accesses. */
  probeMem32: 0xa0,
  probeMem32sx: 0xc0,
  probeAtomic: 0xe0,
  /** JMP operation: a tail call. */
  tailCall: 0xf0,
  /** ST mode: a speculation barrier. */
  nospec: 0xc0,
  /** `off` of a register move: the address of a per-CPU variable on this CPU. */
  addrPercpu: -1,
  /** The verifier's scratch register (BPF_REG_AX). */
  registerAx: 11,
} as const

/** `off` of a 64-bit register move that casts between address spaces (Linux 6.9). */
export const ADDR_SPACE_CAST = 1
/** `src_reg` of `jcond`: may_goto (Linux 6.9). */
export const MAY_GOTO = 0

/** `imm` of atomic instructions. `fetch` is a modifier of add, or, and, xor. */
export const ATOMIC = {
  add: 0x00,
  or: 0x40,
  and: 0x50,
  xor: 0xa0,
  fetch: 0x01,
  xchg: 0xe1,
  cmpxchg: 0xf1,
  loadAcquire: 0x100,
  storeRelease: 0x110,
} as const

/** `src_reg` of ld_imm64 (BPF_PSEUDO_*). */
export const PSEUDO_LD = { constant: 0, mapFd: 1, mapValue: 2, btfId: 3, func: 4, mapIdx: 5, mapIdxValue: 6 } as const

/** `src_reg` of call: a helper number, an offset to a subprogram, a kfunc's BTF id. */
export const PSEUDO_CALL = { helper: 0, local: 1, kfunc: 2 } as const

/** The opcode of the two-slot 64-bit immediate load. */
export const LD_IMM64 = CLASS.ld | MODE.imm | SIZE.dw

/** Bytes an instruction slot. */
export const SLOT_BYTES = 8
/** The frame pointer. */
export const FRAME_POINTER = 10
