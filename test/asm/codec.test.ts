import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  checkInstruction,
  decodeInstruction,
  decodeInstructions,
  decodeSlots,
  encodeInstruction,
  encodeInstructions,
  encodeSlots,
} from '../../src/asm/index.ts'
import { hexToBytes } from '../../src/bytes/index.ts'
import { InputError } from '../../src/errors/index.ts'
import { validInstruction } from './forms.ts'

const error = (run: () => unknown): InputError => {
  try {
    run()
  } catch (thrown) {
    expect(thrown).toBeInstanceOf(InputError)
    return thrown as InputError
  }
  throw new Error('nothing was thrown')
}

describe('the codec', () => {
  test('writes fields where RFC 9669 has them, in both byte orders', () => {
    const store = { opcode: 0x63, dst: 10, src: 1, offset: -4, imm: 0x01020304 }
    expect(encodeInstruction(store)).toEqual(hexToBytes('63 1a fc ff 04 03 02 01'))
    expect(encodeInstruction(store, { littleEndian: false })).toEqual(hexToBytes('63 a1 ff fc 01 02 03 04'))
  })

  test('a 64-bit immediate is one instruction of two slots', () => {
    const bytes = hexToBytes('1801000088776655 0000000044332211')
    const [wide] = decodeInstructions(bytes)
    expect(wide).toEqual({ opcode: 0x18, dst: 1, src: 0, offset: 0, imm: 0x55667788, imm64: 0x1122334455667788n })
    expect(encodeInstructions([wide])).toEqual(bytes)
  })

  test('decode(encode(x)) = x for every valid form, little and big endian', () => {
    fc.assert(
      fc.property(fc.array(validInstruction, { maxLength: 20 }), fc.boolean(), (instructions, littleEndian) => {
        for (const [slot, instruction] of instructions.entries()) checkInstruction(instruction, 'valid', slot)
        const decoded = decodeInstructions(encodeInstructions(instructions, { littleEndian }), { littleEndian })
        expect(decoded).toEqual(instructions)
      }),
      { numRuns: 2000 },
    )
  })

  test('encode(decode(bytes)) = bytes for any bytes that decode', () => {
    let accepted = 0
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 64 }), fc.boolean(), (raw, littleEndian) => {
        const bytes = raw.subarray(0, raw.length - (raw.length % 8))
        let decoded: ReturnType<typeof decodeInstructions>
        try {
          decoded = decodeInstructions(bytes, { littleEndian, accept: 'any' })
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(InputError)
          return
        }
        accepted++
        expect(encodeInstructions(decoded, { littleEndian })).toEqual(bytes)
        expect(encodeSlots(decodeSlots(bytes, { littleEndian }), { littleEndian })).toEqual(bytes)
      }),
      { numRuns: 3000 },
    )
    expect(accepted).toBeGreaterThan(1000)
  })

  test.each([
    ['ff00000000000000', 'opcode', 'instruction 0: opcode 0xff is not valid'],
    ['070b000001000000', 'dst', 'instruction 0: dst 11 is not valid (opcode 0x07)'],
    ['0721000001000000', 'src', 'instruction 0: src 2 is not valid (opcode 0x07)'],
    ['0701050001000000', 'offset', 'instruction 0: offset 5 is not valid (opcode 0x07)'],
    ['0f21000009000000', 'imm', 'instruction 0: imm 9 is not valid (opcode 0x0f)'],
    ['db1af8ff00020000', 'imm', 'instruction 0: imm 512 is not valid (opcode 0xdb)'],
    ['d3 1a f8 ff 00000000', 'imm', 'instruction 0: imm 0 is not valid (opcode 0xd3)'],
    ['bf21030000000000', 'offset', 'instruction 0: offset 3 is not valid (opcode 0xbf)'],
    ['d401000011000000', 'imm', 'instruction 0: imm 17 is not valid (opcode 0xd4)'],
    ['85 30 0000 00000000', 'src', 'instruction 0: src 3 is not valid (opcode 0x85)'],
    ['e510000000000000', 'src', 'instruction 0: src 1 is not valid (opcode 0xe5)'],
    ['1871000000000000 0000000000000000', 'src', 'instruction 0: src 7 is not valid (opcode 0x18)'],
  ])('%s is refused and the field named', (hex, _field, message) => {
    const thrown = error(() => decodeInstructions(hexToBytes(hex)))
    expect(thrown.code).toBe('asm.invalid-instruction')
    expect(thrown.message).toBe(message)
    expect(thrown.details).toHaveLength(1)
    if (!hex.startsWith('18')) expect(decodeInstructions(hexToBytes(hex), { accept: 'any' })).toHaveLength(1)
  })

  test('a second slot that is not one is refused, whatever is accepted', () => {
    const bytes = hexToBytes('1801000005000000 b700000000000000')
    expect(error(() => decodeInstructions(bytes, { accept: 'any' })).message).toBe(
      'instruction 0: the second slot of a 64-bit immediate load has opcode 183, it must be 0',
    )
  })

  test('truncated streams are refused', () => {
    const bytes = hexToBytes('b700000000000000 1801000005000000 0000000000000000')
    for (let size = 0; size <= bytes.length; size++) {
      const part = bytes.subarray(0, size)
      if (size === 0 || size === 8 || size === 24) expect(decodeInstructions(part)).toHaveLength([0, 1, 0, 2][size / 8])
      else expect(error(() => decodeInstructions(part)).code).toBe('asm.truncated')
    }
    expect(error(() => decodeInstruction(new Uint8Array(3))).code).toBe('asm.truncated')
  })

  test('forms of translated programs are decoded on request only', () => {
    const probe = hexToBytes('3901000000000000')
    expect(error(() => decodeInstructions(probe)).message).toContain('opcode 0x39')
    expect(decodeInstructions(probe, { accept: 'internal' })).toHaveLength(1)
    const scratch = hexToBytes('b70b000005000000')
    expect(error(() => decodeInstructions(scratch)).message).toContain('dst 11')
    expect(decodeInstructions(scratch, { accept: 'internal' })).toHaveLength(1)
  })

  test.each([
    [{ opcode: 256, dst: 0, src: 0, offset: 0, imm: 0 }, 'opcode is 256'],
    [{ opcode: 7, dst: 16, src: 0, offset: 0, imm: 0 }, 'dst is 16'],
    [{ opcode: 7, dst: 0, src: -1, offset: 0, imm: 0 }, 'src is -1'],
    [{ opcode: 7, dst: 0, src: 0, offset: 40000, imm: 0 }, 'offset is 40000'],
    [{ opcode: 7, dst: 0, src: 0, offset: 0, imm: 0xffffffff }, 'imm is 4294967295'],
    [{ opcode: 7, dst: 0, src: 0, offset: 0.5, imm: 0 }, 'offset is 0.5'],
    [{ opcode: 24, dst: 0, src: 0, offset: 0, imm: 0, imm64: 1n << 64n }, 'imm64 is 18446744073709551616'],
  ])('a field that does not fit its bits is refused: %o', (instruction, part) => {
    expect(error(() => encodeInstruction(instruction)).message).toContain(part)
  })
})
