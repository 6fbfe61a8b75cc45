import { readFileSync } from 'node:fs'
import { assembleProgram, encodeInstructions } from '../../../src/asm/index.ts'
import type { ImageRelocation, ProgramImage } from '../../../src/spec/index.ts'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'
import {
  ATTACH_TYPES,
  PROGRAM_FLAGS,
  PROGRAM_TYPES,
  type ProgramFlag,
  type ProgramType,
} from '../../../src/uapi/index.ts'
import { CAMPAIGN_MAPS } from '../../differential/verifier/maps.ts'

/** The smallest program of one refusal, and the line that Linux 6.18 says to it. */
export interface DiagnosisFixture {
  readonly name: string
  /** The diagnosis that it is an example of. */
  readonly code: string
  readonly type: ProgramType
  /** A line a statement; `@N text` stands for N lines with {i} counted up. */
  readonly program: readonly string[]
  readonly message: string
  readonly license?: string
  readonly flags?: readonly ProgramFlag[]
  readonly note?: string
  /** Calls kernel functions or has a target: needs the kernel's types. */
  readonly kernelTypes?: true
  /** The tracepoint that a tracing program is for. */
  readonly tracepoint?: string
}

export const FIXTURES_PATH: URL = new URL('../../fixtures/verifier/diagnostics.json', import.meta.url)

export function diagnosisFixtures(path: URL | string = FIXTURES_PATH): DiagnosisFixture[] {
  const table = JSON.parse(readFileSync(path, 'utf8')) as Record<string, Omit<DiagnosisFixture, 'name'>>
  return Object.entries(table).map(([name, row]) => ({ name, ...row }))
}

function lines(fixture: DiagnosisFixture): string[] {
  return fixture.program.flatMap((line) => {
    const repeat = /^@(\d+) (.*)$/.exec(line)
    if (repeat === null) return [line]
    return Array.from({ length: Number(repeat[1]) }, (_, i) => repeat[2].replace('{i}', String(i + 1)))
  })
}

/** The fixture's program; `NAME ll` is a map of the campaign's. */
export function fixtureImage(fixture: DiagnosisFixture): ProgramImage {
  const { instructions } = assembleProgram(lines(fixture).join('\n'), { file: `${fixture.name}.s` })
  const relocations: ImageRelocation[] = []
  let slot = 0
  const resolved = instructions.map((instruction) => {
    const { reference } = instruction
    if (reference?.kind !== 'kfunc') return instruction
    return { ...instruction, imm: kernelBtf()?.idByName(reference.name, 'func') ?? 0 }
  })
  for (const { opcode, reference } of instructions) {
    const name = reference !== undefined && 'name' in reference ? reference.name : undefined
    const map = CAMPAIGN_MAPS.findIndex((spec) => spec.name === name)
    if (opcode === 0x18 && map >= 0) relocations.push({ insn: slot, map, kind: 'fd' })
    slot += opcode === 0x18 ? 2 : 1
  }
  return {
    name: 'fixture',
    type: PROGRAM_TYPES[fixture.type],
    expectedAttachType: fixture.tracepoint === undefined ? 0 : ATTACH_TYPES.trace_raw_tp,
    ...(fixture.tracepoint === undefined ? {} : { attachTo: { name: fixture.tracepoint } }),
    insns: encodeInstructions(resolved),
    license: fixture.license ?? 'GPL',
    flags: (fixture.flags ?? []).reduce((bits, flag) => bits | PROGRAM_FLAGS[flag], 0),
    maps: CAMPAIGN_MAPS,
    relocations,
  }
}
