import { SystemError } from 'typebpf'
import { Output } from './output.ts'
import { Arguments, type Tool } from './tool.ts'

export interface RunToolOptions {
  readonly values: Readonly<Record<string, unknown>>
  readonly json: boolean
  /** Ends the tool after so many seconds. */
  readonly durationSeconds?: number
}

/**
 * Runs a tool until it ends by itself, its time is over, Ctrl-C, SIGTERM, or nobody reads its output any more (`| head`):
 * each way it detaches and frees what it made. A second Ctrl-C ends the process at once.
 * @throws SystemError `tool.output` when its output cannot be written; what the tool throws
 */
export async function runTool(tool: Tool, options: RunToolOptions): Promise<void> {
  const stopped = new AbortController()
  let unwritten: unknown
  const closed = (error?: unknown): void => {
    unwritten = error
    stopped.abort()
  }
  const out = new Output({ json: options.json, closed })
  const onSignal = (): void => {
    if (stopped.signal.aborted) process.exit(130)
    stopped.abort()
  }
  // the terminal has gone, unless the tool reads its rules again then
  const onHangup = (): void => {
    if (process.listenerCount('SIGHUP') === 1) stopped.abort()
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.on('SIGHUP', onHangup)
  const { durationSeconds } = options
  const timer = durationSeconds === undefined ? undefined : setTimeout(() => stopped.abort(), durationSeconds * 1000)
  try {
    await tool.run({ args: new Arguments(options.values), out, signal: stopped.signal })
  } finally {
    clearTimeout(timer)
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    process.off('SIGHUP', onHangup)
    out.flush()
  }
  if (unwritten !== undefined)
    throw new SystemError('tool.output', `the output cannot be written: ${(unwritten as Error).message}`, {
      cause: unwritten,
    })
}
