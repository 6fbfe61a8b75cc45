/**
 * Explanations of refusals: a stable code, a category, the user's line, where the offending value came from and what to
 * do. Built from the model's reason and log, so it explains a kernel's log as well.
 */
import type { SourceLocation } from '../../asm/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { type DiagnosisCategory, rowFor } from './catalogue.ts'
import { acquisitions, type CausalStep, historyOf, pathOf } from './causal-path.ts'
import { sourceAt, sourcesOf } from './source-lines.ts'

export { CATALOGUE, type DiagnosisCategory, type DiagnosisRow, OTHER, rowFor } from './catalogue.ts'
export { type CausalStep, pathOf } from './causal-path.ts'
export { excerpt, sourceAt, sourcesOf } from './source-lines.ts'

/** A step of the causal path with the line that it stands on. */
export interface DiagnosisStep extends CausalStep {
  readonly source?: SourceLocation
}

/** A refusal explained. */
export interface Diagnosis {
  readonly code: string
  readonly category: DiagnosisCategory
  /** The verifier's own line. */
  readonly message: string
  /** What that means. */
  readonly cause: string
  /** Slot of the refused instruction, as the log counts. */
  readonly insn?: number
  /** The register that the message names. */
  readonly register?: number
  readonly source?: SourceLocation
  /** From the birth of the offending value to the refusal, oldest first. */
  readonly causalPath: readonly DiagnosisStep[]
  readonly suggestion: string
}

/** What {@link diagnose} reads of an answer. */
export interface Refusal {
  readonly message: string
  readonly insn?: number
  /** Level 1 or 2; without it the causal path is empty. */
  readonly log?: string
}

/** Explains one refusal of a program. */
export function diagnose(image: ProgramImage, refusal: Refusal): Diagnosis {
  const { message, log } = refusal
  const row = rowFor(message)
  const named = /\bR(\d+)\b/.exec(message)
  const register = named === null ? undefined : Number(named[1])
  const path = log === undefined ? [] : pathOf(log)
  const insn = refusal.insn ?? path.at(-1)
  const sources = sourcesOf(image)
  let steps: readonly CausalStep[] = []
  if (row.born === 'reference') {
    const alloc = /alloc_insn=(\d+)/.exec(message)
    steps = acquisitions(image, path, alloc === null ? undefined : Number(alloc[1]))
  } else if (row.follow !== 'none' && register !== undefined && path.length > 0)
    steps = historyOf(image, path, register)
  const source = insn === undefined ? undefined : sourceAt(sources, insn)
  return {
    code: row.code,
    category: row.category,
    message,
    cause: row.cause,
    ...(insn === undefined ? {} : { insn }),
    ...(register === undefined ? {} : { register }),
    ...(source === undefined ? {} : { source }),
    causalPath: steps.map((step) => {
      const at = sourceAt(sources, step.insn)
      return at === undefined ? step : { ...step, source: at }
    }),
    suggestion: row.suggestion,
  }
}
