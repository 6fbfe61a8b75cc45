import { readFileSync } from 'node:fs'
import { UsageError } from '../errors/index.ts'

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a folder',
  ENOTDIR: 'there is no such folder',
  EACCES: 'it may not be read',
  EPERM: 'it may not be read',
}

/** What an error of node:fs says of a path, in words. */
export function readFailure(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException
  return REASONS[code ?? ''] ?? message
}

/** The bytes of a file (`-`: standard input). @throws UsageError `input.missing` that says why it cannot be read */
export function readInput(path: string): Uint8Array {
  try {
    return readFileSync(path === '-' ? 0 : path)
  } catch (cause) {
    throw new UsageError('input.missing', `${path}: ${readFailure(cause)}`, { cause })
  }
}
