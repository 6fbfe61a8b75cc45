import fc from 'fast-check'
import { type Instruction, wrongForm } from '../../src/asm/index.ts'
import { LD_IMM64 } from '../../src/uapi/index.ts'

/** Every opcode byte for which some encoding is valid. */
const IMMS = [
  0, 1, 16, 32, 64, 0x40, 0x41, 0x50, 0x51, 0xa0, 0xa1, 0xe1, 0xf1, 0x100, 0x110, -1, 5, 0x7fffffff, -0x80000000,
]
const OFFSETS = [0, 1, 8, 16, 32, -1, -8, 0x7fff, -0x8000]

const valid = (opcode: number, dst: number, src: number, offset: number, imm: number): boolean =>
  wrongForm(opcode, dst, src, offset, imm, 'valid') === undefined

/** Small representatives of all valid forms: each opcode with each modifier value that it takes. */
export function representatives(): Instruction[] {
  const out: Instruction[] = []
  for (let opcode = 0; opcode < 256; opcode++)
    for (const src of [0, 1, 2, 3, 4, 5, 6])
      for (const dst of [0, 1])
        for (const offset of OFFSETS)
          for (const imm of IMMS)
            if (valid(opcode, dst, src, offset, imm))
              out.push(
                opcode === LD_IMM64
                  ? { opcode, dst, src, offset, imm, imm64: BigInt(imm >>> 0) }
                  : { opcode, dst, src, offset, imm },
              )
  return out
}

const FORMS = representatives()
/** A valid instruction: a representative with its free fields varied as far as they stay valid. */
export const validInstruction: fc.Arbitrary<Instruction> = fc
  .tuple(
    fc.constantFrom(...FORMS),
    fc.integer({ min: 0, max: 10 }),
    fc.integer({ min: 0, max: 10 }),
    fc.integer({ min: -0x8000, max: 0x7fff }),
    fc.integer({ min: -0x80000000, max: 0x7fffffff }),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  )
  .map(([form, dst, src, offset, imm, imm64]) => {
    if (form.opcode === LD_IMM64) {
      if (form.src === 0) return { ...form, dst, imm: Number(BigInt.asIntN(32, imm64)), imm64 }
      return { ...form, dst, imm, imm64: BigInt(imm >>> 0) }
    }
    const varied = { ...form }
    if (valid(varied.opcode, dst, varied.src, varied.offset, varied.imm)) varied.dst = dst
    if (valid(varied.opcode, varied.dst, src, varied.offset, varied.imm)) varied.src = src
    if (valid(varied.opcode, varied.dst, varied.src, offset, varied.imm)) varied.offset = offset
    if (valid(varied.opcode, varied.dst, varied.src, varied.offset, imm)) varied.imm = imm
    return varied
  })
