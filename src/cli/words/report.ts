import { BpfError, EXIT, type ExitCode } from '../../errors/index.ts'

/** What a command ends with, in words. */
export interface Failure {
  readonly exitCode: ExitCode
  readonly code: string
  readonly message: string
  readonly details: readonly string[]
}

/** By its shape: a module of the user's may bring its own copy of the error classes. */
const isBpfError = (error: unknown): error is BpfError =>
  error instanceof BpfError ||
  (error instanceof Error &&
    'code' in error &&
    'exitCode' in error &&
    'details' in error &&
    Array.isArray(error.details))

export function failureOf(error: unknown): Failure {
  if (isBpfError(error)) {
    const { exitCode, code, message, details } = error
    return { exitCode, code, message, details }
  }
  return {
    exitCode: EXIT.usage,
    code: 'internal',
    message: error instanceof Error ? error.message : String(error),
    details: [],
  }
}

/** One readable line, and what to do below it. */
export const failureText = ({ message, details }: Failure): string =>
  `typebpf: ${message}\n${details.map((line) => `  ${line}\n`).join('')}`

/** A stack trace, only with TYPEBPF_DEBUG=1. */
export function debugStack(error: unknown): void {
  if (process.env['TYPEBPF_DEBUG'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
}
