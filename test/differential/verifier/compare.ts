import type { Judgement } from '../../../src/syscall/index.ts'
import type { ModelAnswer } from './model.ts'

export type Failure = 'wrong-accept' | 'wrong-reject' | 'crash' | 'reason' | 'processed'

/** How one program's two answers stand to each other. */
export interface Comparison {
  readonly unsupported: boolean
  readonly failure?: Failure
  readonly reasonEqual?: boolean
  readonly processedEqual?: boolean
}

/** Statistics that follow a reason without a line end, and addresses, are no part of it. */
export function reasonText(message: string | undefined): string {
  // The loader's words where the log has none.
  const text = (message ?? '')
    .replace(/^prog_load: E.* without a reason in the log.*$/, '')
    .replace(/verification time \d+ usec.*$/, '')
    .trim()
  // Where a map or a function lies in memory is no property of the program.
  return text.replace(/0x[0-9a-f]{12,16}/g, '0x…')
}

export function compare(kernel: Judgement, model: ModelAnswer): Comparison {
  if (model.verdict === 'crash') return { unsupported: false, failure: 'crash' }
  if (model.verdict === 'unsupported') return { unsupported: true }
  const kernelAccepts = kernel.verdict === 'accept'
  const modelAccepts = model.verdict === 'accept'
  if (!kernelAccepts && modelAccepts) return { unsupported: false, failure: 'wrong-accept' }
  if (kernelAccepts && !modelAccepts) return { unsupported: false, failure: 'wrong-reject' }
  if (kernelAccepts) {
    const processedEqual = kernel.processed === model.processed
    return { unsupported: false, processedEqual, ...(processedEqual ? {} : { failure: 'processed' as const }) }
  }
  const reasonEqual =
    kernel.verdict === model.verdict &&
    (kernel.verdict === 'invalid' || reasonText(kernel.message) === reasonText(model.message))
  return { unsupported: false, reasonEqual, ...(reasonEqual ? {} : { failure: 'reason' as const }) }
}
