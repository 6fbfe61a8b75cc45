import { existsSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { CoverageRecorder, ProgramCoverage } from './recorder.ts'
import { isConditional, isSecondHalf } from './recorder.ts'

/** A conditional jump that a line became. */
export interface BranchCoverage {
  readonly program: string
  readonly slot: number
  readonly jumped: number
  readonly fellThrough: number
}

export interface LineCoverage {
  readonly line: number
  /** How often its most frequent instruction ran. */
  readonly hits: number
  readonly instructions: number
  readonly branches: readonly BranchCoverage[]
  /** The verifier proves that none of its instructions can run. */
  readonly dead: boolean
}

export interface FunctionCoverage {
  readonly name: string
  readonly line: number
  readonly hits: number
}

export interface FileCoverage {
  readonly path: string
  /** The source's lines; those that programs know, where the file is gone. */
  readonly text: readonly string[]
  readonly lines: readonly LineCoverage[]
  readonly functions: readonly FunctionCoverage[]
}

function pathOf(file: string): string {
  return file.startsWith('file:') ? fileURLToPath(file) : file
}

interface Building {
  readonly lines: Map<
    number,
    { hits: number; slots: number; deadSlots: number; branches: BranchCoverage[]; text?: string }
  >
  readonly functions: Map<string, FunctionCoverage>
}

function addProgram(files: Map<string, Building>, program: ProgramCoverage): void {
  const { dead } = program
  let first = true
  for (let slot = 0; slot < program.runs.length; slot++) {
    const source = program.sources.get(slot)
    if (source === undefined || isSecondHalf(program.insns, slot)) continue
    const path = pathOf(source.file)
    const file: Building = files.get(path) ?? { lines: new Map(), functions: new Map() }
    files.set(path, file)
    if (first) {
      const known = file.functions.get(program.program)
      file.functions.set(program.program, {
        name: program.program,
        line: source.line,
        hits: (known?.hits ?? 0) + program.runs[slot],
      })
      first = false
    }
    const line = file.lines.get(source.line) ?? { hits: 0, slots: 0, deadSlots: 0, branches: [], text: source.text }
    file.lines.set(source.line, line)
    line.hits = Math.max(line.hits, program.runs[slot])
    line.slots++
    if (dead?.has(slot)) line.deadSlots++
    if (isConditional(program.insns[slot * 8]) && !dead?.has(slot)) {
      const jumped = program.jumps[slot]
      line.branches.push({ program: program.program, slot, jumped, fellThrough: program.runs[slot] - jumped })
    }
  }
}

/** Coverage by source file and line. What the verifier model proves dead is told apart from what was missed. */
export function coverageByFile(recorder: CoverageRecorder): FileCoverage[] {
  const files = new Map<string, Building>()
  for (const program of recorder.programs) addProgram(files, program)
  return [...files]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([path, { lines, functions }]) => {
      const sorted = [...lines].sort(([a], [b]) => a - b)
      const text: string[] = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : []
      if (text.length === 0) for (const [number, line] of sorted) text[number - 1] = line.text ?? ''
      return {
        path,
        text: Array.from(text, (line) => line ?? ''),
        functions: [...functions.values()],
        lines: sorted.map(([line, { hits, slots, deadSlots: gone, branches }]) => ({
          line,
          hits,
          instructions: slots,
          branches,
          dead: hits === 0 && gone === slots,
        })),
      }
    })
}

export interface CoverageSummary {
  readonly lines: number
  readonly linesHit: number
  readonly linesDead: number
  readonly branches: number
  readonly branchesHit: number
}

/** Dead lines are counted apart, not as missed. */
export function summarize(files: readonly FileCoverage[]): CoverageSummary {
  const all = files.flatMap(({ lines }) => lines)
  const live = all.filter(({ dead }) => !dead)
  const branches = live.flatMap((line) => line.branches.flatMap(({ jumped, fellThrough }) => [jumped, fellThrough]))
  return {
    lines: live.length,
    linesHit: live.filter(({ hits }) => hits > 0).length,
    linesDead: all.length - live.length,
    branches: branches.length,
    branchesHit: branches.filter((count) => count > 0).length,
  }
}
