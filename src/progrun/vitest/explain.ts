import { release } from 'node:os'
import type { RunnerTestCase } from 'vitest'
import { kernelUnavailable } from '../backend/available.ts'

/** What vitest keeps of an error: reporters print the message, and of other members at most some. */
interface KeptError {
  message: string
  details?: unknown
  differences?: unknown
  exitCode?: unknown
  walk?: unknown
}

/**
 * Puts into the messages of a failed test what reporters would leave out: the lines that say more (both sides of a difference,
 * the end of the verifier's log), the backend and the kernel.
 */
export function explainFailure(task: Readonly<RunnerTestCase>): void {
  const opened = (task.meta as { backend?: string }).backend
  const kernel = kernelUnavailable().length === 0 ? `kernel ${release()}` : `no bpf(2) here (kernel ${release()})`
  const label = `[${opened ?? `backend ${process.env['TYPEBPF_BACKEND'] || 'auto'}`}; ${kernel}]`
  for (const error of (task.result?.errors ?? []) as KeptError[]) {
    if (error.message.includes(label)) continue
    const details = Array.isArray(error.details) ? error.details.map((line) => `  ${line}`) : []
    error.message = [error.message, ...details, label].join('\n')
    // reporters print every other member too; what matters stands in the message now
    for (const name of ['details', 'differences', 'exitCode', 'walk'] as const) delete error[name]
  }
}
