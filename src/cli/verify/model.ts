import type { ProgramImage } from '../../spec/index.ts'
import * as verifier from '../../verifier/index.ts'

/** What the model answers for one program. */
export interface ModelAnswer {
  readonly verdict: 'accept' | 'reject' | 'unsupported' | 'invalid'
  readonly code?: string
  readonly message?: string
  readonly insn?: number
  readonly processed?: number
  readonly states?: number
  readonly peakStates?: number
  readonly maxStatesPerInsn?: number
  readonly stackDepth?: string
  readonly timeUs?: number
  readonly log?: string
  readonly logTruncated?: boolean
}

export const verify: (image: ProgramImage, options?: { readonly logLevel?: number }) => ModelAnswer = (
  verifier as unknown as { verify: typeof verify }
).verify
