import { InputError } from '../errors/index.ts'
import { LD_IMM64, SLOT_BYTES } from '../uapi/index.ts'
import type { Instruction } from './instruction.ts'
import { slotsOf } from './instruction.ts'
import type { ByteOrderOptions } from './slots.ts'
import { checkInstruction, type Strictness, wrongForm } from './validity.ts'

export interface DecodeOptions extends ByteOrderOptions {
  /**
   * What counts as an instruction. `valid` (default): the instruction set as a loader takes it. `internal`: also what the
   * kernel's own rewriting makes (translated dumps). `any`: every bit pattern; only a stream that ends inside an
   * instruction, or a 64-bit load with anything but an immediate in its second slot, is refused.
   */
  readonly accept?: Strictness | 'any'
}

/**
 * The instructions of a byte stream. Plain instructions carry their five fields only; labels, references and sources are
 * added by whoever knows them.
 * @throws InputError `asm.truncated`, `asm.invalid-instruction` (names slot, field and value), `asm.bad-imm64`
 */
export function decodeInstructions(bytes: Uint8Array, options: DecodeOptions = {}): Instruction[] {
  const little = options.littleEndian ?? true
  const accept = options.accept ?? 'valid'
  const size = bytes.length
  if (size % SLOT_BYTES !== 0)
    throw new InputError(
      'asm.truncated',
      `${size} bytes of instructions: an instruction takes ${SLOT_BYTES}, ${size % SLOT_BYTES} are left over`,
    )
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const out = new Array<Instruction>(size / SLOT_BYTES)
  let count = 0
  for (let at = 0; at < size; at += SLOT_BYTES) {
    const opcode = view.getUint8(at)
    const registers = view.getUint8(at + 1)
    const dst = little ? registers & 15 : registers >> 4
    const src = little ? registers >> 4 : registers & 15
    const offset = view.getInt16(at + 2, little)
    const imm = view.getInt32(at + 4, little)
    if (opcode !== LD_IMM64) {
      if (accept !== 'any' && wrongForm(opcode, dst, src, offset, imm, accept) !== undefined)
        checkInstruction({ opcode, dst, src, offset, imm }, accept, at / SLOT_BYTES)
      out[count++] = { opcode, dst, src, offset, imm }
      continue
    }
    const wide = decodeWide(view, at, little, dst, src, offset, imm)
    if (accept !== 'any') checkInstruction(wide, accept, at / SLOT_BYTES)
    out[count++] = wide
    at += SLOT_BYTES
  }
  out.length = count
  return out
}

function decodeWide(
  view: DataView,
  at: number,
  little: boolean,
  dst: number,
  src: number,
  offset: number,
  imm: number,
): Instruction {
  const slot = at / SLOT_BYTES
  if (at + 2 * SLOT_BYTES > view.byteLength)
    throw new InputError('asm.truncated', `instruction ${slot}: a 64-bit immediate load without its second slot`)
  const opcode = view.getUint8(at + 8)
  const registers = view.getUint8(at + 9)
  const secondOffset = view.getInt16(at + 10, little)
  if (opcode !== 0 || registers !== 0 || secondOffset !== 0) {
    const [field, value] =
      opcode !== 0 ? ['opcode', opcode] : registers !== 0 ? ['registers', registers] : ['offset', secondOffset]
    throw new InputError(
      'asm.bad-imm64',
      `instruction ${slot}: the second slot of a 64-bit immediate load has ${field} ${value}, it must be 0`,
    )
  }
  const high = view.getUint32(at + 12, little)
  return { opcode: LD_IMM64, dst, src, offset, imm, imm64: (BigInt(high) << 32n) | BigInt(imm >>> 0) }
}

/**
 * The instruction in the first 8 (or 16) bytes.
 * @throws InputError as {@link decodeInstructions}
 */
export function decodeInstruction(bytes: Uint8Array, options: DecodeOptions = {}): Instruction {
  const size = bytes[0] === LD_IMM64 ? 2 * SLOT_BYTES : SLOT_BYTES
  if (bytes.length < SLOT_BYTES)
    throw new InputError('asm.truncated', `${bytes.length} bytes: an instruction takes ${SLOT_BYTES}`)
  return decodeInstructions(bytes.subarray(0, Math.min(size, bytes.length)), options)[0]
}

function range(slot: number, field: string, value: unknown, low: number, high: number): never {
  throw new InputError(
    'asm.out-of-range',
    `instruction ${slot}: ${field} is ${String(value)}, it must be an integer from ${low} to ${high}`,
  )
}

/**
 * The bytes of instructions, in order: 8 each, 16 for a 64-bit immediate load. Only the widths of the fields are checked,
 * so that every bit pattern can be written; {@link checkInstruction} tells whether a form exists. References are not
 * looked at: link first.
 * @throws InputError `asm.out-of-range` when a field does not fit its bits
 */
export function encodeInstructions(instructions: readonly Instruction[], options: ByteOrderOptions = {}): Uint8Array {
  const little = options.littleEndian ?? true
  let slots = 0
  for (const instruction of instructions) slots += slotsOf(instruction)
  const bytes = new Uint8Array(slots * SLOT_BYTES)
  const view = new DataView(bytes.buffer)
  let at = 0
  for (const { opcode, dst, src, offset, imm, imm64 } of instructions) {
    const slot = at / SLOT_BYTES
    if ((opcode & 0xff) !== opcode) range(slot, 'opcode', opcode, 0, 255)
    if ((dst & 15) !== dst) range(slot, 'dst', dst, 0, 15)
    if ((src & 15) !== src) range(slot, 'src', src, 0, 15)
    if ((offset << 16) >> 16 !== offset) range(slot, 'offset', offset, -0x8000, 0x7fff)
    if ((imm | 0) !== imm) range(slot, 'imm', imm, -0x80000000, 0x7fffffff)
    view.setUint8(at, opcode)
    view.setUint8(at + 1, little ? (src << 4) | dst : (dst << 4) | src)
    view.setInt16(at + 2, offset, little)
    if (opcode !== LD_IMM64) {
      view.setInt32(at + 4, imm, little)
      at += SLOT_BYTES
      continue
    }
    const value = imm64 ?? BigInt(imm)
    if (value < -(1n << 63n) || value >= 1n << 64n)
      throw new InputError('asm.out-of-range', `instruction ${slot}: imm64 is ${value}, it must fit 64 bits`)
    const unsigned = BigInt.asUintN(64, value)
    view.setUint32(at + 4, Number(unsigned & 0xffffffffn), little)
    view.setUint32(at + 12, Number(unsigned >> 32n), little)
    at += 2 * SLOT_BYTES
  }
  return bytes
}

/** The bytes of one instruction: 8, or 16 for a 64-bit immediate load. */
export function encodeInstruction(instruction: Instruction, options: ByteOrderOptions = {}): Uint8Array {
  return encodeInstructions([instruction], options)
}
