import { createReadStream } from 'node:fs'
import { tracefs } from './links/tracepoint.ts'

/** A line that a program printed with bpf_printk. */
export interface TraceLine {
  readonly task: string
  readonly pid: number
  readonly cpu: number
  /** Seconds since boot. */
  readonly timestamp: number
  readonly message: string
}

const LINE = /^\s*(.{1,16})-(\d+)\s+\[(\d+)\]\s+\S+\s+(\d+\.\d+): \S+: (.*)$/

/** One line of trace_pipe; undefined for what is no message (lost events, headers). */
export function parseTraceLine(line: string): TraceLine | undefined {
  const match = LINE.exec(line)
  if (match === null) return undefined
  const [, task, pid, cpu, timestamp, message] = match
  return { task: task.trim(), pid: Number(pid), cpu: Number(cpu), timestamp: Number(timestamp), message }
}

/**
 * Lines of bpf_printk as they come. trace_pipe is one for the whole kernel and reading takes lines away: it is for
 * debugging. @throws SystemError `sys.no-tracefs`
 */
export async function* tracePipe(options: { signal?: AbortSignal; tracefs?: string } = {}): AsyncGenerator<TraceLine> {
  const stream = createReadStream(`${tracefs(options.tracefs)}/trace_pipe`, {
    encoding: 'utf8',
    signal: options.signal,
  })
  let rest = ''
  try {
    for await (const chunk of stream) {
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const parsed = parseTraceLine(line)
        if (parsed !== undefined) yield parsed
      }
    }
  } catch (error) {
    if (options.signal?.aborted !== true) throw error
  } finally {
    stream.destroy()
  }
}
