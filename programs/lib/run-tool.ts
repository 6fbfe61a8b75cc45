import { Output } from './output.ts'
import { Arguments, type Tool } from './tool.ts'

export interface RunToolOptions {
  readonly values: Readonly<Record<string, unknown>>
  readonly json: boolean
  /** Ends the tool after so many seconds. */
  readonly durationSeconds?: number
}

/** Runs a tool until it ends by itself, its time is over, or Ctrl-C; a second Ctrl-C ends the process at once. */
export async function runTool(tool: Tool, options: RunToolOptions): Promise<void> {
  const stopped = new AbortController()
  const out = new Output({ json: options.json })
  const onSignal = (): void => {
    if (stopped.signal.aborted) process.exit(130)
    stopped.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  const { durationSeconds } = options
  const timer = durationSeconds === undefined ? undefined : setTimeout(() => stopped.abort(), durationSeconds * 1000)
  try {
    await tool.run({ args: new Arguments(options.values), out, signal: stopped.signal })
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    out.flush()
  }
}
