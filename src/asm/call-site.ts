import type { SourceLocation } from './instruction.ts'

const FRAME = /\(?((?:file:\/\/|[a-z]+:\/\/|\/|[A-Za-z]:[\\/])[^()]*?):(\d+):(\d+)\)?\s*$/

/**
 * The innermost call site outside the given modules, from the stack of a new error (so source maps that the runtime applies
 * to stacks are applied). Undefined where the runtime gives no stack.
 * @param modules `import.meta.url` of the modules whose frames are skipped
 */
export function callSite(modules: readonly string[]): SourceLocation | undefined {
  const stack = new Error().stack
  if (stack === undefined) return undefined
  const skip = [import.meta.url, ...modules].map(toPath)
  for (const line of stack.split('\n')) {
    const match = FRAME.exec(line)
    if (match === null) continue
    const file = toPath(match[1])
    if (!skip.includes(file)) return { file, line: Number(match[2]), column: Number(match[3]) }
  }
  return undefined
}

function toPath(url: string): string {
  const bare = url.replace(/[?#].*$/, '')
  return bare.startsWith('file://') ? decodeURIComponent(new URL(bare).pathname) : bare
}
