import { InputError, UnsupportedError } from '../errors/index.ts'
import type { ProgramImage } from '../spec/index.ts'
import { ALU, CLASS, LD_IMM64, SLOT_BYTES } from '../uapi/index.ts'

/** Operations that have no opcode byte of their own, as the engines number them (above 0xff). */
export const OPERATION = {
  sdiv64: 0x100,
  smod64: 0x101,
  sdiv32: 0x102,
  smod32: 0x103,
  movsx64: 0x104,
  movsx32: 0x105,
  toLittle: 0x106,
  toBig: 0x107,
  swap: 0x108,
  castAddress: 0x109,
  callLocal: 0x10a,
  callHelper: 0x10b,
  callKfunc: 0x10c,
  callRegister: 0x10d,
  jumpAlways: 0x10e,
  mayGoto: 0x10f,
  atomic32: 0x110,
  atomic64: 0x111,
  loadAcquire: 0x112,
  storeRelease: 0x113,
  invalid: 0x114,
} as const

/** At most a million instructions, as in the kernel. */
export const MAX_SLOTS = 1_000_000

/** A program's instructions in columns, one row a slot; the second half of a 64-bit load is an `invalid` row that is never run. */
export interface Code {
  readonly length: number
  /** The opcode with the register source bit set for arithmetic and jumps, or an {@link OPERATION}. */
  readonly operation: Uint16Array
  readonly dst: Uint8Array
  readonly src: Uint8Array
  readonly offset: Int32Array
  readonly imm: Int32Array
  /** The high half of a 64-bit immediate. */
  readonly immHigh: Int32Array
  /** 1: the second operand is `imm`. */
  readonly immediate: Uint8Array
  /** Slot a jump or local call goes to, -1 for a target outside the program; of a fall-through, the next slot. */
  readonly target: Int32Array
  /** The slot after this instruction. */
  readonly next: Int32Array
}

const WIDTHS = new Set([16, 32, 64])

function arithmetic(opcode: number, offset: number, imm: number): number {
  const wide = (opcode & 7) === CLASS.alu64
  const kind = opcode & 0xf0
  if (kind === ALU.end) {
    if (!WIDTHS.has(imm)) return OPERATION.invalid
    if (wide) return (opcode & 8) === 0 ? OPERATION.swap : OPERATION.invalid
    return (opcode & 8) !== 0 ? OPERATION.toBig : OPERATION.toLittle
  }
  if (kind > ALU.end) return OPERATION.invalid
  if (kind === ALU.mov && (opcode & 8) !== 0 && offset !== 0) {
    if (offset === 1 && wide) return OPERATION.castAddress
    if (offset === 8 || offset === 16 || (offset === 32 && wide)) return wide ? OPERATION.movsx64 : OPERATION.movsx32
    return OPERATION.invalid
  }
  if ((kind === ALU.div || kind === ALU.mod) && offset !== 0) {
    if (offset !== 1) return OPERATION.invalid
    if (kind === ALU.div) return wide ? OPERATION.sdiv64 : OPERATION.sdiv32
    return wide ? OPERATION.smod64 : OPERATION.smod32
  }
  if (offset !== 0) return OPERATION.invalid
  return kind === ALU.neg ? opcode & ~8 : opcode | 8
}

function jump(opcode: number, src: number): number {
  const kind = opcode & 0xf0
  const wide = (opcode & 7) === CLASS.jmp
  if (kind === 0x00) return (opcode & 8) === 0 ? OPERATION.jumpAlways : OPERATION.invalid
  if (kind === 0x80) {
    if (!wide) return OPERATION.invalid
    if ((opcode & 8) !== 0) return OPERATION.callRegister
    if (src === 0) return OPERATION.callHelper
    return src === 1 ? OPERATION.callLocal : src === 2 ? OPERATION.callKfunc : OPERATION.invalid
  }
  if (kind === 0x90) return wide && (opcode & 8) === 0 ? 0x95 : OPERATION.invalid
  if (kind === 0xe0) return opcode === 0xe5 && src === 0 ? OPERATION.mayGoto : OPERATION.invalid
  return kind > 0xd0 ? OPERATION.invalid : opcode | 8
}

const ATOMICS = new Set([0x00, 0x01, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1])

function store(opcode: number, imm: number): number {
  if ((opcode & 0xe0) === 0x60) return opcode
  if ((opcode & 0xe7) !== 0xc3) return OPERATION.invalid
  if (imm === 0x100) return OPERATION.loadAcquire
  if (imm === 0x110) return OPERATION.storeRelease
  if (!ATOMICS.has(imm)) return OPERATION.invalid
  return opcode === 0xdb ? OPERATION.atomic64 : opcode === 0xc3 ? OPERATION.atomic32 : OPERATION.invalid
}

function operationOf(opcode: number, src: number, offset: number, imm: number): number {
  switch (opcode & 7) {
    case CLASS.alu:
    case CLASS.alu64:
      return arithmetic(opcode, offset, imm)
    case CLASS.jmp:
    case CLASS.jmp32:
      return jump(opcode, src)
    case CLASS.ldx:
      return (opcode & 0xe0) === 0x60 || ((opcode & 0xe0) === 0x80 && opcode !== 0x99) ? opcode : OPERATION.invalid
    case CLASS.st:
      return (opcode & 0xe0) === 0x60 ? opcode : OPERATION.invalid
    case CLASS.stx:
      return store(opcode, imm)
    default: {
      const mode = opcode & 0xe0
      return (mode === 0x20 || mode === 0x40) && (opcode & 0x18) !== 0x18 ? opcode : OPERATION.invalid
    }
  }
}

/**
 * Reads an image's instructions. Instructions that do not exist become `invalid` rows: they are a fault only when they are reached.
 * @throws InputError `emulator.image` for a length that is no whole number of slots, 0 or over {@link MAX_SLOTS}
 */
export function decodeCode(image: ProgramImage): Code {
  const { insns } = image
  if (image.littleEndian === false)
    throw new UnsupportedError('emulator.byte-order', `${image.name}: the emulator runs little-endian programs only`)
  const length = insns.length / SLOT_BYTES
  if (!Number.isInteger(length) || length === 0 || length > MAX_SLOTS)
    throw new InputError(
      'emulator.image',
      `${image.name}: ${insns.length} bytes are no program of 1 to ${MAX_SLOTS} slots of 8 bytes`,
    )
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength)
  const code = {
    length,
    operation: new Uint16Array(length).fill(OPERATION.invalid),
    dst: new Uint8Array(length),
    src: new Uint8Array(length),
    offset: new Int32Array(length),
    imm: new Int32Array(length),
    immHigh: new Int32Array(length),
    immediate: new Uint8Array(length),
    target: new Int32Array(length),
    next: new Int32Array(length),
  }
  const inside = (slot: number): number => (slot >= 0 && slot < length ? slot : -1)
  for (let i = 0; i < length; i++) {
    const at = i * SLOT_BYTES
    const opcode = insns[at]
    const dst = insns[at + 1] & 15
    const src = insns[at + 1] >> 4
    const offset = view.getInt16(at + 2, true)
    const imm = view.getInt32(at + 4, true)
    code.dst[i] = dst
    code.src[i] = src
    code.offset[i] = offset
    code.imm[i] = imm
    code.immHigh[i] = imm >> 31
    code.next[i] = i + 1
    if (dst > 10 || (src > 10 && opcode !== LD_IMM64)) continue
    if (opcode === LD_IMM64) {
      if (i + 1 >= length || insns[at + 8] !== 0) continue
      code.operation[i] = LD_IMM64
      code.immHigh[i] = view.getInt32(at + 12, true)
      code.next[i] = i + 2
      i++
      code.next[i] = i + 1
      continue
    }
    const operation = operationOf(opcode, src, offset, imm)
    code.operation[i] = operation
    const kind = opcode & 7
    if (kind >= CLASS.alu) code.immediate[i] = (opcode & 8) === 0 ? 1 : 0
    else if (kind === CLASS.st) code.immediate[i] = 1
    code.target[i] = inside(
      operation === OPERATION.callLocal || (operation === OPERATION.jumpAlways && kind === CLASS.jmp32)
        ? i + 1 + imm
        : i + 1 + offset,
    )
  }
  return code
}
