import type { ProgramImage } from '../../../src/spec/index.ts'
import { verify } from '../../../src/verifier/index.ts'
import { kernelTypes } from './kernel-types.ts'
import { type Generated, imageOf } from './program.ts'

/** The model's answer in the words of the machine contract. */
export interface ModelAnswer {
  readonly verdict: 'accept' | 'reject' | 'unsupported' | 'invalid' | 'crash'
  readonly code?: string
  readonly message?: string
  readonly insn?: number
  readonly processed?: number
  readonly states?: number
  readonly timeUs?: number
  readonly log?: string
}

/** The model's answer, which may ask the kernel's types. */
export function model(program: Generated, logLevel?: number): ModelAnswer {
  return judgeImage(imageOf(program), logLevel)
}

/** As {@link model}. A thrown error is an answer here: a crash. */
export function judgeImage(image: ProgramImage, logLevel?: number): ModelAnswer {
  try {
    return verify(image, { kernelBtf: kernelTypes, ...(logLevel === undefined ? {} : { logLevel }) })
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { verdict: 'crash', message: stack.split('\n').slice(0, 4).join(' | ') }
  }
}
