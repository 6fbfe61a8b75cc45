import * as verifier from '../../../src/verifier/index.ts'
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

type Verify = (image: ReturnType<typeof imageOf>, options?: { readonly logLevel?: number }) => ModelAnswer

/** The model, as far as it is there. A thrown error is an answer here: a crash. */
export const model: ((program: Generated, logLevel?: number) => ModelAnswer) | undefined = (() => {
  const verify = (verifier as { verify?: unknown }).verify as Verify | undefined
  if (verify === undefined) return undefined
  return (program, logLevel) => judgeImage(imageOf(program), logLevel)
})()

export function judgeImage(image: ReturnType<typeof imageOf>, logLevel?: number): ModelAnswer {
  const verify = (verifier as { verify?: unknown }).verify as Verify
  try {
    return verify(image, logLevel === undefined ? {} : { logLevel })
  } catch (error) {
    const stack = error instanceof Error ? (error.stack ?? error.message) : String(error)
    return { verdict: 'crash', message: stack.split('\n').slice(0, 4).join(' | ') }
  }
}
