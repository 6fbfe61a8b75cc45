import type { Btf } from '../../btf/index.ts'
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

export interface ModelOptions {
  readonly logLevel?: number
  /** The target kernel's types, or how to get them. */
  readonly kernelBtf?: Btf | (() => Btf | undefined)
}

export const verify: (image: ProgramImage, options?: ModelOptions) => ModelAnswer = (
  verifier as unknown as { verify: typeof verify }
).verify
