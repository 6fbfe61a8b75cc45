import { InputError } from '../errors/index.ts'
import {
  ADDR_SPACE_CAST,
  ALU,
  ATOMIC,
  CLASS,
  FRAME_POINTER,
  INTERNAL,
  JMP,
  LD_IMM64,
  MAY_GOTO,
  MODE,
  PSEUDO_CALL,
  PSEUDO_LD,
  SIZE,
  SOURCE,
} from '../uapi/index.ts'
import type { Instruction } from './instruction.ts'

/** `valid`: what a loader takes. `internal`: also the forms that only the kernel makes. */
export type Strictness = 'valid' | 'internal'

/** The field that makes an encoding invalid. */
export type EncodingField = 'opcode' | 'dst' | 'src' | 'offset' | 'imm' | 'imm64'

/** Which fields of an opcode must be zero, and whether it needs a closer look. */
const ZERO_DST = 1
const ZERO_SRC = 2
const ZERO_OFFSET = 4
const ZERO_IMM = 8
const LOOK = 16
const KERNEL_ONLY = 32
const NO_SUCH = 64

const WIDTHS = [SIZE.w, SIZE.h, SIZE.b, SIZE.dw]

function fillArithmetic(rules: Uint8Array): void {
  const binary = [
    ALU.add,
    ALU.sub,
    ALU.mul,
    ALU.div,
    ALU.or,
    ALU.and,
    ALU.lsh,
    ALU.rsh,
    ALU.mod,
    ALU.xor,
    ALU.mov,
    ALU.arsh,
  ]
  for (const cls of [CLASS.alu, CLASS.alu64]) {
    for (const op of binary) {
      const signed = op === ALU.div || op === ALU.mod
      rules[cls | op | SOURCE.k] = ZERO_SRC | (signed ? LOOK : ZERO_OFFSET)
      rules[cls | op | SOURCE.x] = op === ALU.mov ? LOOK : ZERO_IMM | (signed ? LOOK : ZERO_OFFSET)
    }
    rules[cls | ALU.neg] = ZERO_SRC | ZERO_OFFSET | ZERO_IMM
    rules[cls | ALU.end] = ZERO_SRC | ZERO_OFFSET | LOOK
  }
  rules[CLASS.alu | ALU.end | SOURCE.x] = ZERO_SRC | ZERO_OFFSET | LOOK
}

function fillJumps(rules: Uint8Array): void {
  const conditions = [
    JMP.jeq,
    JMP.jgt,
    JMP.jge,
    JMP.jset,
    JMP.jne,
    JMP.jsgt,
    JMP.jsge,
    JMP.jlt,
    JMP.jle,
    JMP.jslt,
    JMP.jsle,
  ]
  for (const cls of [CLASS.jmp, CLASS.jmp32]) {
    for (const op of conditions) {
      rules[cls | op | SOURCE.k] = ZERO_SRC
      rules[cls | op | SOURCE.x] = ZERO_IMM
    }
  }
  rules[CLASS.jmp | JMP.ja] = ZERO_DST | ZERO_SRC | ZERO_IMM
  rules[CLASS.jmp | JMP.ja | SOURCE.x] = ZERO_SRC | ZERO_OFFSET | ZERO_IMM
  rules[CLASS.jmp32 | JMP.ja] = ZERO_DST | ZERO_SRC | ZERO_OFFSET
  rules[CLASS.jmp | JMP.call] = ZERO_DST | LOOK
  rules[CLASS.jmp | JMP.call | SOURCE.x] = ZERO_SRC | ZERO_OFFSET | ZERO_IMM
  rules[CLASS.jmp | JMP.exit] = ZERO_DST | ZERO_SRC | ZERO_OFFSET | ZERO_IMM
  rules[CLASS.jmp | JMP.jcond] = ZERO_DST | ZERO_IMM | LOOK
  rules[CLASS.jmp | INTERNAL.tailCall] = KERNEL_ONLY
}

function fillMemory(rules: Uint8Array): void {
  for (const size of WIDTHS) {
    rules[CLASS.ldx | MODE.mem | size] = ZERO_IMM
    if (size !== SIZE.dw) {
      rules[CLASS.ldx | MODE.memsx | size] = ZERO_IMM
      rules[CLASS.ld | MODE.abs | size] = ZERO_DST | ZERO_SRC | ZERO_OFFSET
      rules[CLASS.ld | MODE.ind | size] = ZERO_DST | ZERO_OFFSET
    }
    rules[CLASS.st | MODE.mem | size] = ZERO_SRC
    rules[CLASS.stx | MODE.mem | size] = ZERO_IMM
    rules[CLASS.stx | MODE.atomic | size] = LOOK
    for (const mode of [INTERNAL.probeMem, INTERNAL.probeMemsx, INTERNAL.probeMem32, INTERNAL.probeMem32sx])
      rules[CLASS.ldx | mode | size] = KERNEL_ONLY
    for (const cls of [CLASS.st, CLASS.stx]) rules[cls | INTERNAL.probeMem32 | size] = KERNEL_ONLY
    rules[CLASS.stx | INTERNAL.probeAtomic | size] = KERNEL_ONLY
    rules[CLASS.st | INTERNAL.nospec | size] = KERNEL_ONLY
  }
  rules[LD_IMM64] = ZERO_OFFSET | LOOK
}

const RULES: Uint8Array = (() => {
  const rules = new Uint8Array(256).fill(NO_SUCH)
  fillArithmetic(rules)
  fillJumps(rules)
  fillMemory(rules)
  return rules
})()

const ATOMIC_OPERATIONS: ReadonlySet<number> = new Set([
  ATOMIC.add,
  ATOMIC.or,
  ATOMIC.and,
  ATOMIC.xor,
  ATOMIC.add | ATOMIC.fetch,
  ATOMIC.or | ATOMIC.fetch,
  ATOMIC.and | ATOMIC.fetch,
  ATOMIC.xor | ATOMIC.fetch,
  ATOMIC.xchg,
  ATOMIC.cmpxchg,
])

/**
 * The first field that makes an encoding invalid, undefined for a valid one. No allocation: safe in hot loops.
 * Says nothing about meaning: division by a zero immediate or a shift by 64 are encodings like others.
 */
export function wrongForm(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  strictness: Strictness,
): EncodingField | undefined {
  const rule = RULES[opcode]
  if (rule === NO_SUCH || rule === undefined) return 'opcode'
  const internal = strictness === 'internal'
  if (rule === KERNEL_ONLY) return internal ? undefined : 'opcode'
  const registers = internal ? INTERNAL.registerAx : FRAME_POINTER
  if (dst > registers || (rule & ZERO_DST && dst !== 0)) return 'dst'
  if (src > registers || (rule & ZERO_SRC && src !== 0)) return 'src'
  if (rule & ZERO_OFFSET && offset !== 0) return 'offset'
  if (rule & ZERO_IMM && imm !== 0) return 'imm'
  return rule & LOOK ? wrongSpecial(opcode, src, offset, imm, internal) : undefined
}

function wrongSpecial(
  opcode: number,
  src: number,
  offset: number,
  imm: number,
  internal: boolean,
): EncodingField | undefined {
  const cls = opcode & 7
  if (cls === CLASS.alu || cls === CLASS.alu64) {
    const op = opcode & 0xf0
    if (op === ALU.end) return imm === 16 || imm === 32 || imm === 64 ? undefined : 'imm'
    if (op === ALU.mov) return wrongMove(cls, offset, imm, internal)
    return offset === 0 || offset === 1 ? undefined : 'offset'
  }
  if (cls === CLASS.stx) {
    const size = opcode & SIZE.dw
    if (imm === ATOMIC.loadAcquire || imm === ATOMIC.storeRelease) return undefined
    if (size === SIZE.b || size === SIZE.h) return 'imm'
    return ATOMIC_OPERATIONS.has(imm) ? undefined : 'imm'
  }
  if (opcode === LD_IMM64) return src <= PSEUDO_LD.mapIdxValue ? undefined : 'src'
  if (opcode === (CLASS.jmp | JMP.jcond)) return src === MAY_GOTO ? undefined : 'src'
  // a call; the kernel's dumps keep the distance of a bpf-to-bpf call in `offset`
  if (src === PSEUDO_CALL.helper) return offset === 0 ? undefined : 'offset'
  if (src === PSEUDO_CALL.local) return offset === 0 || internal ? undefined : 'offset'
  return src === PSEUDO_CALL.kfunc ? undefined : 'src'
}

function wrongMove(cls: number, offset: number, imm: number, internal: boolean): EncodingField | undefined {
  if (cls === CLASS.alu64 && offset === ADDR_SPACE_CAST) return undefined
  if (internal && cls === CLASS.alu64 && offset === INTERNAL.addrPercpu) return undefined
  const extension = offset === 0 || offset === 8 || offset === 16 || (offset === 32 && cls === CLASS.alu64)
  if (!extension) return 'offset'
  return imm === 0 ? undefined : 'imm'
}

/**
 * Checks that an instruction's form exists (RFC 9669 and Linux up to 7.x): reserved fields are zero, registers are r0 to
 * r10, modifiers are known ones.
 * @param slot where the instruction stands, for the message
 * @throws InputError `asm.invalid-instruction`, naming the field and its value
 */
export function checkInstruction(instruction: Instruction, strictness: Strictness = 'valid', slot?: number): void {
  const { opcode, dst, src, offset, imm } = instruction
  const field = wrongForm(opcode, dst, src, offset, imm, strictness)
  if (field !== undefined) {
    const value = instruction[field]
    const shown = field === 'opcode' ? `0x${opcode.toString(16).padStart(2, '0')}` : String(value)
    const where = slot === undefined ? 'instruction' : `instruction ${slot}`
    const what = field === 'opcode' ? '' : ` (opcode 0x${opcode.toString(16).padStart(2, '0')})`
    throw new InputError('asm.invalid-instruction', `${where}: ${field} ${shown} is not valid${what}`, {
      details: [describe(field, opcode)],
    })
  }
  if (opcode === LD_IMM64) checkWide(instruction, slot)
}

function describe(field: EncodingField, opcode: number): string {
  if (field === 'opcode') return 'no instruction has this opcode'
  const rule = RULES[opcode]
  const reserved =
    (field === 'dst' && rule & ZERO_DST) ||
    (field === 'src' && rule & ZERO_SRC) ||
    (field === 'offset' && rule & ZERO_OFFSET) ||
    (field === 'imm' && rule & ZERO_IMM)
  if (reserved) return `${field} is reserved here and must be 0`
  return field === 'dst' || field === 'src' ? 'registers are r0 to r10' : `this ${field} selects no known form`
}

function checkWide({ imm, imm64, src }: Instruction, slot: number | undefined): void {
  if (imm64 === undefined) return
  const where = slot === undefined ? 'instruction' : `instruction ${slot}`
  if (Number(BigInt.asIntN(32, imm64)) !== imm)
    throw new InputError('asm.invalid-instruction', `${where}: imm ${imm} is not the low half of imm64 ${imm64}`)
  const wholeIsReference = src === PSEUDO_LD.mapFd || src === PSEUDO_LD.mapIdx || src === PSEUDO_LD.func
  if (wholeIsReference && BigInt.asUintN(64, imm64) >> 32n !== 0n)
    throw new InputError(
      'asm.invalid-instruction',
      `${where}: imm64 ${imm64} has a high half, which must be 0 for a map or function reference`,
    )
}
