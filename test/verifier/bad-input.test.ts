import fc from 'fast-check'
import { expect, test } from 'vitest'
import { verify } from '../../src/verifier/index.ts'

const VERDICTS = ['accept', 'reject', 'unsupported', 'invalid']

function image(insns: Uint8Array, type: number, extra: object = {}) {
  return {
    name: 'bytes',
    type,
    expectedAttachType: 0,
    insns,
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
    ...extra,
  }
}

/** Instructions of known opcodes with wild fields, so that the simulation is reached. */
const opcode = fc.constantFrom(
  ...[0x07, 0x0f, 0xb7, 0xbf, 0x85, 0x95, 0x61, 0x79, 0x63, 0x7b, 0x7a, 0x15, 0x1d, 0x25, 0x05, 0x18, 0x00, 0xdb, 0xc3],
  ...[0x67, 0x5f, 0x4f, 0x2f, 0xdc, 0x87, 0xe5, 0x06, 0x20, 0x40, 0xa5, 0x2d, 0x16, 0x66, 0x04, 0x14, 0x54, 0xb4],
)
const instruction = fc
  .tuple(
    opcode,
    fc.integer({ min: 0, max: 255 }),
    fc.integer({ min: -24, max: 24 }),
    fc.oneof(fc.integer(), fc.integer({ min: -8, max: 200 })),
  )
  .map(([op, registers, off, imm]) => {
    const bytes = new Uint8Array(8)
    const view = new DataView(bytes.buffer)
    view.setUint8(0, op)
    view.setUint8(1, registers)
    view.setInt16(2, off, true)
    view.setInt32(4, imm, true)
    return bytes
  })

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const all = new Uint8Array(parts.length * 8 + 8)
  for (const [i, part] of parts.entries()) all.set(part, i * 8)
  all[parts.length * 8] = 0x95
  return all
}

test('any bytes get an answer', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), fc.integer({ min: 0, max: 40 }), (bytes, type) => {
      const answer = verify(image(bytes, type))
      expect(VERDICTS).toContain(answer.verdict)
      expect(answer.code).not.toBe('unsupported.internal')
    }),
    { numRuns: 3000 },
  )
})

test('known opcodes with wild fields get an answer', () => {
  const types = fc.constantFrom(1, 2, 3, 6, 8, 13, 17, 30, 31)
  fc.assert(
    fc.property(fc.array(instruction, { minLength: 1, maxLength: 24 }), types, (parts, type) => {
      const answer = verify(image(joined(parts), type), { logLevel: 7 })
      expect(VERDICTS).toContain(answer.verdict)
      expect(answer.code, answer.message).not.toBe('unsupported.internal')
      expect(answer.log === undefined || answer.log.length > 0).toBe(true)
    }),
    { numRuns: 3000 },
  )
})

test('any BTF, function and line records get an answer', () => {
  const bytes = fc.uint8Array({ maxLength: 120 })
  fc.assert(
    fc.property(bytes, bytes, bytes, (btf, funcInfo, lineInfo) => {
      const program = joined([Uint8Array.of(0xb7, 0, 0, 0, 0, 0, 0, 0)])
      expect(VERDICTS).toContain(verify(image(program, 1, { btf, funcInfo, lineInfo })).verdict)
    }),
    { numRuns: 1000 },
  )
})
