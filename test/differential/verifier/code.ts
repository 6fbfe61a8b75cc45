/** One slot: opcode, dst, src, offset, imm. */
export type Slot = readonly [opcode: number, dst: number, src: number, offset: number, imm: number]

/** Operation nibbles of the ALU classes. */
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
/** Size bits by the number of bytes. */
export const SIZE = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 } as const
export type Bytes = keyof typeof SIZE

const ALU64 = 0x07
const ALU32 = 0x04
const JMP64 = 0x05
const JMP32 = 0x06
const REGISTER = 0x08

/** A place that a jump refers to before or after it is known. */
export interface Label {
  at: number
}

/** Instructions being written, with labels, map references and function references. */
export class Code {
  readonly slots: Slot[] = []
  readonly relocations: {
    readonly insn: number
    readonly map: number
    readonly kind: 'fd' | 'value'
    readonly offset?: number
  }[] = []
  #jumps: { readonly at: number; readonly label: Label; readonly inImm: boolean }[] = []

  get here(): number {
    return this.slots.length
  }

  emit(opcode: number, dst = 0, src = 0, offset = 0, imm = 0): this {
    this.slots.push([opcode & 0xff, dst & 15, src & 15, (offset << 16) >> 16, imm | 0])
    return this
  }

  alu(operation: number, dst: number, imm: number, wide = true, offset = 0): this {
    return this.emit(operation | (wide ? ALU64 : ALU32), dst, 0, offset, imm)
  }

  aluReg(operation: number, dst: number, src: number, wide = true, offset = 0): this {
    return this.emit(operation | REGISTER | (wide ? ALU64 : ALU32), dst, src, offset, 0)
  }

  mov(dst: number, imm: number): this {
    return this.alu(ALU.mov, dst, imm)
  }

  movReg(dst: number, src: number): this {
    return this.aluReg(ALU.mov, dst, src)
  }

  imm64(dst: number, low: number, high: number): this {
    return this.emit(0x18, dst, 0, 0, low).emit(0, 0, 0, 0, high)
  }

  load(bytes: Bytes, dst: number, src: number, offset: number, signed = false): this {
    return this.emit((signed ? 0x81 : 0x61) | SIZE[bytes], dst, src, offset)
  }

  store(bytes: Bytes, dst: number, offset: number, src: number): this {
    return this.emit(0x63 | SIZE[bytes], dst, src, offset)
  }

  storeImm(bytes: Bytes, dst: number, offset: number, imm: number): this {
    return this.emit(0x62 | SIZE[bytes], dst, 0, offset, imm)
  }

  atomic(bytes: Bytes, dst: number, offset: number, src: number, operation: number): this {
    return this.emit(0xc3 | SIZE[bytes], dst, src, offset, operation)
  }

  label(): Label {
    return { at: -1 }
  }

  place(label: Label): this {
    label.at = this.here
    return this
  }

  jump(label: Label): this {
    this.#jumps.push({ at: this.here, label, inImm: false })
    return this.emit(JMP64)
  }

  jumpIf(operation: number, dst: number, imm: number, label: Label, wide = true): this {
    this.#jumps.push({ at: this.here, label, inImm: false })
    return this.emit(operation | (wide ? JMP64 : JMP32), dst, 0, 0, imm)
  }

  jumpIfReg(operation: number, dst: number, src: number, label: Label, wide = true): this {
    this.#jumps.push({ at: this.here, label, inImm: false })
    return this.emit(operation | REGISTER | (wide ? JMP64 : JMP32), dst, src)
  }

  /** goto with the distance in the immediate. */
  longJump(label: Label): this {
    this.#jumps.push({ at: this.here, label, inImm: true })
    return this.emit(0x06)
  }

  mayGoto(label: Label): this {
    this.#jumps.push({ at: this.here, label, inImm: false })
    return this.emit(0xe5)
  }

  call(helper: number): this {
    return this.emit(0x85, 0, 0, 0, helper)
  }

  callLocal(label: Label): this {
    this.#jumps.push({ at: this.here, label, inImm: true })
    return this.emit(0x85, 0, 1, 0, 0)
  }

  callKfunc(btfId: number): this {
    return this.emit(0x85, 0, 2, 0, btfId)
  }

  exit(): this {
    return this.emit(0x95)
  }

  map(dst: number, map: number): this {
    this.relocations.push({ insn: this.here, map, kind: 'fd' })
    return this.imm64(dst, 0, 0)
  }

  mapValue(dst: number, map: number, offset: number): this {
    this.relocations.push({ insn: this.here, map, kind: 'value', offset })
    return this.imm64(dst, 0, 0)
  }

  /** A pointer to a function of this program, for callbacks. */
  functionPointer(dst: number, label: Label): this {
    this.#jumps.push({ at: this.here, label, inImm: true })
    return this.emit(0x18, dst, 4).emit(0)
  }

  /** Slots where functions start, when some are called by pointer (those programs need BTF for their functions). */
  functionStarts(): number[] | undefined {
    const inCode = this.#jumps.filter(({ at, inImm }) => inImm && this.slots[at][0] !== 0x06)
    if (!inCode.some(({ at }) => this.slots[at][0] === 0x18)) return undefined
    return [...new Set([0, ...inCode.map(({ label }) => label.at)])].sort((a, b) => a - b)
  }

  /** All slots with jumps filled in. */
  finish(): Slot[] {
    for (const { at, label, inImm } of this.#jumps) {
      const [opcode, dst, src, offset, imm] = this.slots[at]
      const distance = label.at - at - 1
      this.slots[at] = inImm ? [opcode, dst, src, offset, distance] : [opcode, dst, src, (distance << 16) >> 16, imm]
    }
    return this.slots
  }
}

export function encodeSlots(slots: readonly Slot[]): Uint8Array {
  const bytes = new Uint8Array(slots.length * 8)
  const view = new DataView(bytes.buffer)
  slots.forEach(([opcode, dst, src, offset, imm], i) => {
    bytes[i * 8] = opcode
    bytes[i * 8 + 1] = (src << 4) | dst
    view.setInt16(i * 8 + 2, offset, true)
    view.setInt32(i * 8 + 4, imm, true)
  })
  return bytes
}

export function decodeSlots(bytes: Uint8Array): Slot[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return Array.from(
    { length: bytes.length / 8 },
    (_, i): Slot => [
      bytes[i * 8],
      bytes[i * 8 + 1] & 15,
      bytes[i * 8 + 1] >> 4,
      view.getInt16(i * 8 + 2, true),
      view.getInt32(i * 8 + 4, true),
    ],
  )
}
