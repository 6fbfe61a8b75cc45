import { InputError } from '../errors/index.ts'
import { SLOT_BYTES } from '../uapi/index.ts'

/**
 * A program as parallel arrays, one element a slot of eight bytes: the form for code that walks programs fast (the
 * disassembler, the control-flow graph, a verifier, an interpreter). A 64-bit immediate load takes two slots, as in memory.
 */
export interface Slots {
  readonly length: number
  readonly opcode: Uint8Array
  readonly dst: Uint8Array
  readonly src: Uint8Array
  readonly offset: Int16Array
  readonly imm: Int32Array
}

export interface ByteOrderOptions {
  /** False for big-endian BPF (bpfeb): registers swap nibbles, offset and imm swap bytes. Default true. */
  readonly littleEndian?: boolean
}

/** Arrays for `length` slots, all zero. */
export function allocateSlots(length: number): Slots {
  return {
    length,
    opcode: new Uint8Array(length),
    dst: new Uint8Array(length),
    src: new Uint8Array(length),
    offset: new Int16Array(length),
    imm: new Int32Array(length),
  }
}

/**
 * Splits bytes into slots. Any bytes whose length is a multiple of eight are slots; nothing else is checked.
 * @throws InputError `asm.truncated`
 */
export function decodeSlots(bytes: Uint8Array, options: ByteOrderOptions = {}): Slots {
  if (bytes.length % SLOT_BYTES !== 0)
    throw new InputError(
      'asm.truncated',
      `${bytes.length} bytes of instructions: an instruction takes ${SLOT_BYTES}, ${bytes.length % SLOT_BYTES} are left over`,
    )
  const little = options.littleEndian ?? true
  const slots = allocateSlots(bytes.length / SLOT_BYTES)
  const { opcode, dst, src, offset, imm, length } = slots
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let i = 0, at = 0; i < length; i++, at += SLOT_BYTES) {
    const registers = view.getUint8(at + 1)
    opcode[i] = view.getUint8(at)
    dst[i] = little ? registers & 15 : registers >> 4
    src[i] = little ? registers >> 4 : registers & 15
    offset[i] = view.getInt16(at + 2, little)
    imm[i] = view.getInt32(at + 4, little)
  }
  return slots
}

/** The bytes of slots: the inverse of {@link decodeSlots}. */
export function encodeSlots(slots: Slots, options: ByteOrderOptions = {}): Uint8Array {
  const little = options.littleEndian ?? true
  const bytes = new Uint8Array(slots.length * SLOT_BYTES)
  const view = new DataView(bytes.buffer)
  for (let i = 0, at = 0; i < slots.length; i++, at += SLOT_BYTES) {
    const dst = slots.dst[i]
    const src = slots.src[i]
    view.setUint8(at, slots.opcode[i])
    view.setUint8(at + 1, little ? (src << 4) | dst : (dst << 4) | src)
    view.setInt16(at + 2, slots.offset[i], little)
    view.setInt32(at + 4, slots.imm[i], little)
  }
  return bytes
}
