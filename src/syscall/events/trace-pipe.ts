import { closeSync, constants, openSync, readFileSync, readSync } from 'node:fs'
import { StringDecoder } from 'node:string_decoder'
import { setTimeout as sleep } from 'node:timers/promises'
import { SystemError } from '../../errors/index.ts'
import { tracefs } from './tracefs.ts'

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

/** How often an empty pipe is looked at again, in milliseconds. */
const PAUSE_MS = 20

/**
 * Lines of bpf_printk as they come, until the signal aborts. trace_pipe is one for the whole kernel and reading takes lines
 * away: it is for debugging.
 * @throws SystemError `sys.no-tracefs`; `sys.tracing-off` when somebody turned tracing off: no line would ever come;
 * `sys.ebusy` while another process reads it
 */
export async function* tracePipe(options: { signal?: AbortSignal; tracefs?: string } = {}): AsyncGenerator<TraceLine> {
  const { signal } = options
  // a read that waits would keep the process alive until the next line: never wait in the kernel
  const folder = tracefs(options.tracefs)
  mustTrace(folder)
  const fd = openPipe(folder)
  const buffer = Buffer.alloc(65_536)
  const decoder = new StringDecoder('utf8')
  let rest = ''
  try {
    for (;;) {
      const length = readAvailable(fd, buffer)
      if (length === 0) {
        if (signal?.aborted === true) return
        await sleep(PAUSE_MS, undefined, { signal }).catch(() => undefined)
        continue
      }
      const lines = (rest + decoder.write(buffer.subarray(0, length))).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        const parsed = parseTraceLine(line)
        if (parsed !== undefined) yield parsed
      }
    }
  } finally {
    closeSync(fd)
  }
}

function mustTrace(folder: string): void {
  let on: string
  try {
    on = readFileSync(`${folder}/tracing_on`, 'utf8').trim()
  } catch {
    return
  }
  if (on !== '0') return
  // a mount of this process alone has no path that a shell could use
  const mounted = folder.startsWith('/proc/self/') ? '/sys/kernel/tracing' : folder
  throw new SystemError('sys.tracing-off', 'tracing is turned off for the whole machine: bpf_printk prints nothing', {
    details: [
      ...(mounted === folder ? [] : [`mount -t tracefs tracefs ${mounted}`]),
      `echo 1 > ${mounted}/tracing_on (the kernel turns it off by itself after an oops: see dmesg)`,
    ],
  })
}

function openPipe(folder: string): number {
  try {
    return openSync(`${folder}/trace_pipe`, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    const { code, errno } = cause as NodeJS.ErrnoException
    if (code === undefined) throw cause
    throw new SystemError(`sys.${code.toLowerCase()}`, `trace_pipe cannot be opened: ${code}`, {
      cause,
      errno: -(errno ?? 0),
      details: [
        code === 'EBUSY'
          ? 'another process reads it: there is one for the whole machine'
          : 'tracefs lets only root read it, unless it was mounted otherwise',
      ],
    })
  }
}

/** 0 when nothing is there now. */
function readAvailable(fd: number, buffer: Buffer): number {
  try {
    return readSync(fd, buffer)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0
    throw error
  }
}
