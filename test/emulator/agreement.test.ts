import { expect, test } from 'vitest'
import { bytesToHex } from '../../src/bytes/index.ts'
import { createEmulator, type Engine } from '../../src/emulator/index.ts'
import type { ProgramImage } from '../../src/spec/index.ts'
import { Random } from '../differential/emulator/random.ts'
import { wildDifference } from '../differential/emulator/wild.ts'
import { exit, image, type Slot, udpFrame } from './images.ts'

const ARITHMETIC = [
  0x07, 0x0f, 0x1f, 0x2f, 0x37, 0x3f, 0x57, 0x6f, 0x77, 0x87, 0x9f, 0xb7, 0xbf, 0xcf, 0x0c, 0x24, 0x3c, 0x74, 0x9c,
  0xc4, 0xbc,
]
const MEMORY = [0x61, 0x69, 0x71, 0x79, 0x81, 0x89, 0x91, 0x62, 0x72, 0x7a, 0x63, 0x6b, 0x73, 0x7b]
const JUMPS = [0x05, 0x06, 0x15, 0x1d, 0x25, 0x45, 0x55, 0x65, 0xa5, 0xc5, 0x16, 0x26, 0x66, 0xd6, 0xe5]
const OTHER = [0xd4, 0xdc, 0xd7, 0xc3, 0xdb, 0x85, 0x8d, 0x95]

/** A program that no verifier has seen: jumps anywhere, wild pointers, odd fields. */
function wildProgram(random: Random): ProgramImage {
  const slots: Slot[] = []
  const count = 4 + random.below(24)
  for (let i = 0; i < count; i++) {
    const opcode = random.pick(random.pick([ARITHMETIC, ARITHMETIC, MEMORY, MEMORY, JUMPS, OTHER]))
    const kind = opcode & 7
    const offset = kind === 5 || kind === 6 ? random.below(8) - 3 : kind === 4 || kind === 7 ? 0 : -8 * random.below(6)
    const imm =
      opcode === 0x85
        ? random.pick([1, 5, 7, 8, 6, 3])
        : opcode === 0xc3 || opcode === 0xdb
          ? random.pick([0, 1, 0x40, 0x51, 0xa1, 0xe1, 0xf1, 0x100, 0x110])
          : kind === 4 && opcode >= 0xd0
            ? random.pick([16, 32, 64])
            : random.imm()
    slots.push([opcode, random.below(10), random.pick([0, 1, 2, 5, 9, 10, 10, 1]), offset, imm])
  }
  return image([...slots, exit], { type: 'sched_cls' })
}

test('both engines end unverified programs alike: result, fault, instruction, steps, findings, packet', () => {
  const outcome = (program: ProgramImage, engine: Engine): string | undefined => {
    const emulator = createEmulator(program, { engine, stepLimit: 5000, sanitizer: { uninitialisedStack: 'report' } })
    const { engine: ran, fault, steps, r0, findings, packet } = emulator.run({ packet: udpFrame() })
    if (ran !== engine) return undefined
    return JSON.stringify([
      fault?.code,
      // at the step limit the compiler names the block, not the instruction
      fault?.code === 'step-limit' ? 0 : fault?.insn,
      steps,
      fault === undefined ? `${r0}` : '',
      findings.map(({ code, insn }) => [code, insn]),
      bytesToHex(packet ?? new Uint8Array()),
    ])
  }
  const wrong: string[] = []
  let compared = 0
  for (let seed = 1; seed <= 600; seed++) {
    const program = wildProgram(new Random(seed))
    const compiled = outcome(program, 'wasm')
    if (compiled === undefined) continue
    compared++
    const interpreted = outcome(program, 'interpreter')
    if (interpreted !== compiled) wrong.push(`seed ${seed}: ${interpreted} and ${compiled}`)
  }
  expect(wrong).toEqual([])
  expect(compared).toBeGreaterThan(400)
})

test('any helper, kfunc and map with any arguments ends in a result, the same one on both engines', () => {
  const wrong: string[] = []
  for (let seed = 1; seed <= 120; seed++) {
    const found = wildDifference(seed)
    if (found !== undefined) wrong.push(`seed ${seed}: ${found}`)
  }
  expect(wrong).toEqual([])
})
