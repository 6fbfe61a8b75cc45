import { describe, expect, test } from 'vitest'
import {
  assembleText,
  checkInstruction,
  controlFlow,
  decodeInstructions,
  decodeSlots,
  dominance,
  encodeInstructions,
  kernelListing,
  kernelText,
  llvmListing,
  llvmText,
} from '../../src/asm/index.ts'
import { BpfError } from '../../src/errors/index.ts'

/** TYPEBPF_FUZZ_WORDS and TYPEBPF_FUZZ_SEED give a longer or another campaign; a million words take some ten seconds. */
const WORDS = Number(process.env['TYPEBPF_FUZZ_WORDS'] ?? 100_000)
const SEED = Number(process.env['TYPEBPF_FUZZ_SEED'] ?? 1)

/** xorshift32: the same bytes for the same seed. */
function randomBytes(count: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(count)
  let state = seed | 1
  for (let i = 0; i < count; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state >>> 11
  }
  return bytes
}

/** True for a value, false for a BpfError; anything else fails the test with its seed. */
function answers(run: () => unknown, what: string): boolean {
  try {
    run()
    return true
  } catch (error) {
    if (error instanceof BpfError) return false
    throw new Error(`${what} threw ${String(error)}`, { cause: error })
  }
}

describe(`random input, seed ${SEED}`, () => {
  test(`each of ${WORDS} random words is an instruction or a typed error, and has a text in every dialect`, () => {
    const bytes = randomBytes(WORDS * 8, SEED)
    const slots = decodeSlots(bytes)
    let valid = 0
    let unknown = 0
    for (let i = 0; i < WORDS; i++) {
      const [opcode, dst, src, offset, imm] = [
        slots.opcode[i],
        slots.dst[i],
        slots.src[i],
        slots.offset[i],
        slots.imm[i],
      ]
      const instruction = { opcode, dst, src, offset, imm }
      if (answers(() => checkInstruction(instruction), `word ${i}`)) valid++
      const high = slots.imm[i + 1] ?? 0
      if (llvmText(opcode, dst, src, offset, imm, high, true) === undefined) unknown++
      if (kernelText(opcode, dst, src, offset, imm, high) === '') throw new Error(`word ${i} has no kernel text`)
    }
    expect(valid).toBeGreaterThan(WORDS / 1000)
    expect(valid).toBeLessThan(WORDS / 2)
    expect(unknown).toBeGreaterThan(WORDS / 10)
  })

  test('random streams of every length decode, list and give graphs, or fail with a typed error', () => {
    const bytes = randomBytes(64 * 10_000, SEED + 1)
    let decoded = 0
    for (let i = 0; i < 10_000; i++) {
      const stream = bytes.subarray(i * 64, i * 64 + (bytes[i * 64] & 63))
      answers(() => decodeInstructions(stream), `stream ${i}`)
      const again = () => {
        const instructions = decodeInstructions(stream, { accept: 'any' })
        if (encodeInstructions(instructions).some((byte, at) => byte !== stream[at])) throw new Error('bytes differ')
      }
      if (answers(again, `stream ${i}`)) decoded++
      answers(() => llvmListing(stream), `stream ${i}`)
      answers(() => kernelListing(stream), `stream ${i}`)
      answers(() => controlFlow(decodeSlots(stream)).map(dominance), `stream ${i}`)
    }
    expect(decoded).toBeGreaterThan(500)
  })

  test('random and damaged assembly text is a program or a syntax error with line and column', () => {
    const alphabet = 'r1w2 =+-*/%&|^<>()[]:,#;.0x5fgotoifcallexitlockll u64map\t\n'
    const good =
      'r1 = *(u32 *)(r2 + 4)\nif r1 s> 5 goto L\nlock *(u64 *)(r10 - 8) += r1\nL: call bpf_map_lookup_elem\nr1 = map[x] \nexit'
    const bytes = randomBytes(200 * 10_000, SEED + 2)
    let assembled = 0
    for (let i = 0; i < 10_000; i++) {
      const random = bytes.subarray(i * 200, i * 200 + 200)
      let text: string
      if (i % 2 === 0)
        text = Array.from(random.subarray(0, random[0] & 63), (byte) => alphabet[byte % alphabet.length]).join('')
      else {
        const at = random[1] % good.length
        text = good.slice(0, at) + alphabet[random[2] % alphabet.length] + good.slice(at + (random[3] & 3))
      }
      try {
        assembleText(text)
        assembled++
      } catch (error) {
        if (!(error instanceof BpfError))
          throw new Error(`${JSON.stringify(text)} threw ${String(error)}`, { cause: error })
        expect(error.message).toMatch(/^<text>:\d+:\d+: ./)
        expect(error.details[1]).toMatch(/^\s*\^$/)
      }
    }
    expect(assembled).toBeGreaterThan(100)
  })

  test('very long lines and deep texts take linear time', () => {
    const start = performance.now()
    for (const text of [
      `r1 = ${'('.repeat(200_000)}`,
      `${'a'.repeat(200_000)}:`,
      ' '.repeat(200_000),
      `${'l:'.repeat(2)}`,
      `${'9'.repeat(100_000)}`,
      `int ${'x '.repeat(30_000)}(y):`,
      `f(${'x'.repeat(60_000)}`,
      '/*'.repeat(30_000),
      `${'1'.repeat(60_000)}x`,
      `x${': '.repeat(30_000)}:`,
      `Disassembly of section ${': '.repeat(30_000)}`,
    ])
      answers(() => assembleText(text), 'long text')
    answers(
      () => assembleText(Array.from({ length: 100_000 }, (_, i) => `l${i}: goto l${i}`).join('\n')),
      'many labels',
    )
    expect(performance.now() - start).toBeLessThan(30_000)
  })
})
