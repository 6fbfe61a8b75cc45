import { appendFileSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { SourceLocation } from '../../asm/index.ts'
import { bytesToHex, hexToBytes } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { CLASS, JMP, LD_IMM64 } from '../../uapi/index.ts'
import type { EmulatorBackend } from '../backend/emulator.ts'

/** What of one program was executed, instruction by instruction. Plain data that can be merged. */
export interface ProgramCoverage {
  readonly program: string
  /** Eight bytes a slot. */
  readonly insns: Uint8Array
  /** How often each slot ran. */
  readonly runs: Uint32Array
  /** Of conditional jumps: how often they jumped. */
  readonly jumps: Uint32Array
  readonly sources: ReadonlyMap<number, SourceLocation>
  /** Slots that the verifier proves dead; undefined where it was not asked or does not accept. */
  readonly dead?: ReadonlySet<number>
}

/** True for jumps with a condition, may_goto included. */
export function isConditional(opcode: number): boolean {
  const cls = opcode & 7
  if (cls !== CLASS.jmp && cls !== CLASS.jmp32) return false
  const operation = opcode & 0xf0
  return operation !== JMP.ja && operation !== JMP.call && operation !== JMP.exit
}

/** Collects coverage of emulator runs; give it to one or many harnesses (`harness(program, { coverage })`). */
export class CoverageRecorder {
  readonly #programs = new Map<string, ProgramCoverage>()
  readonly #images = new Map<string, ProgramImage>()
  readonly #dead = new Map<string, ReadonlySet<number> | undefined>()
  #judge: ((image: ProgramImage) => ReadonlySet<number> | undefined) | undefined

  static #key(program: string, insns: Uint8Array): string {
    return `${program} ${bytesToHex(insns)}`
  }

  #entry(program: string, insns: Uint8Array, sources: ProgramImage['sources']): ProgramCoverage {
    const key = CoverageRecorder.#key(program, insns)
    let entry = this.#programs.get(key)
    if (entry === undefined) {
      const slots = insns.length / 8
      entry = {
        program,
        insns,
        runs: new Uint32Array(slots),
        jumps: new Uint32Array(slots),
        sources: sources ?? new Map(),
      }
      this.#programs.set(key, entry)
    }
    return entry
  }

  /** Counts what the emulator runs from now on. @param judge which slots of a program can never run */
  watch(
    emulator: EmulatorBackend,
    images: readonly ProgramImage[],
    judge?: (image: ProgramImage) => ReadonlySet<number> | undefined,
  ): void {
    this.#judge ??= judge
    const entries = images.map((image) => this.#entry(image.name, image.insns, image.sources))
    for (const image of images) this.#images.set(CoverageRecorder.#key(image.name, image.insns), image)
    let lastProgram = -1
    let lastSlot = -1
    emulator.observe((program, slot) => {
      const { runs, jumps, insns } = entries[program]
      runs[slot]++
      if (program === lastProgram && slot !== lastSlot + 1 && isConditional(insns[lastSlot * 8])) jumps[lastSlot]++
      lastProgram = program
      lastSlot = slot
    })
  }

  add(other: ProgramCoverage): void {
    const entry = this.#entry(other.program, other.insns, other.sources)
    if (other.dead !== undefined) this.#dead.set(CoverageRecorder.#key(other.program, other.insns), other.dead)
    for (let slot = 0; slot < entry.runs.length; slot++) {
      entry.runs[slot] += other.runs[slot] ?? 0
      entry.jumps[slot] += other.jumps[slot] ?? 0
    }
  }

  get programs(): readonly ProgramCoverage[] {
    return [...this.#programs].map(([key, entry]) => ({ ...entry, dead: this.#deadOf(key) }))
  }

  /** The verifier model is asked once for each program. */
  #deadOf(key: string): ReadonlySet<number> | undefined {
    const image = this.#images.get(key)
    if (!this.#dead.has(key) && image !== undefined) this.#dead.set(key, this.#judge?.(image))
    return this.#dead.get(key)
  }

  /** Appends everything to a file of this process in `folder`, for {@link readCoverage}. */
  save(folder: string): void {
    mkdirSync(folder, { recursive: true })
    const lines = this.programs.map(({ program, insns, runs, jumps, sources, dead }) =>
      JSON.stringify({
        program,
        insns: bytesToHex(insns),
        runs: [...runs],
        jumps: [...jumps],
        sources: [...sources],
        ...(dead === undefined ? {} : { dead: [...dead] }),
      }),
    )
    if (lines.length > 0) appendFileSync(join(folder, `typebpf-${process.pid}.jsonl`), `${lines.join('\n')}\n`)
  }
}

/** Merges what processes saved in a folder. @throws InputError `coverage.file` for a line that is none of ours */
export function readCoverage(folder: string): CoverageRecorder {
  const recorder = new CoverageRecorder()
  for (const name of readdirSync(folder).filter((each) => /^typebpf-\d+\.jsonl$/.test(each))) {
    for (const line of readFileSync(join(folder, name), 'utf8').split('\n')) {
      if (line === '') continue
      try {
        const row = JSON.parse(line) as {
          program: string
          insns: string
          runs: number[]
          jumps: number[]
          sources: [number, SourceLocation][]
          dead?: number[]
        }
        recorder.add({
          program: row.program,
          insns: hexToBytes(row.insns),
          runs: Uint32Array.from(row.runs),
          jumps: Uint32Array.from(row.jumps),
          sources: new Map(row.sources),
          ...(row.dead === undefined ? {} : { dead: new Set(row.dead) }),
        })
      } catch (cause) {
        throw new InputError('coverage.file', `${join(folder, name)}: a line is no coverage`, { cause })
      }
    }
  }
  return recorder
}

/** The second half of a 64-bit immediate load is not an instruction of its own. */
export function isSecondHalf(insns: Uint8Array, slot: number): boolean {
  return slot > 0 && insns[(slot - 1) * 8] === LD_IMM64 && insns[slot * 8] === 0
}
