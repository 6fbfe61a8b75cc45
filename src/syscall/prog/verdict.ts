import { ERRNO } from '../sys/errno.ts'

/** What a kernel said of a program. `denied`: policy, `invalid`: the attributes; in both the verifier never spoke. */
export type Verdict = 'accept' | 'reject' | 'denied' | 'invalid'

export interface LogStatistics {
  /** Instructions that the verifier walked. */
  readonly processed?: number
  /** Microseconds, the log's "verification time". */
  readonly timeUs?: number
  readonly totalStates?: number
  readonly peakStates?: number
  readonly maxStatesPerInsn?: number
  readonly markRead?: number
  /** Stack bytes of each subprogram, "64+32". */
  readonly stackDepth?: string
}

const PROCESSED =
  /processed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read (\d+)/
/** The statistics as a kernel prints them together at the end: one look instead of three. */
const WHOLE =
  /verification time (\d+) usec\nstack depth ([^\n]+)\nprocessed (\d+) insns \(limit \d+\) max_states_per_insn (\d+) total_states (\d+) peak_states (\d+) mark_read (\d+)\n$/
/** Statistics, or the source line that follows a refused context access. */
const STATISTICS_LINE =
  /^(?:processed \d+ insns|verification time \d+|stack depth\b|func#\d+ |insns processed|; .* @ \S+:\d+$)/

/** A few of the kernel's reasons end without a new line: the statistics follow at once. */
const UNENDED = /(?:verification time \d+ usec|processed \d+ insns .*)$/

const STATISTICS_ONLY = /^(?:processed \d+ insns|verification time \d+|stack depth\b)/

/** The statistics at the end of a log; the log needs bits 0 to 2 for `processed`, bit 2 for the others. */
export function logStatistics(log: string): LogStatistics {
  const whole = WHOLE.exec(log.length > 512 ? log.slice(-512) : log)
  if (whole !== null)
    return {
      timeUs: Number(whole[1]),
      stackDepth: whole[2],
      processed: Number(whole[3]),
      maxStatesPerInsn: Number(whole[4]),
      totalStates: Number(whole[5]),
      peakStates: Number(whole[6]),
      markRead: Number(whole[7]),
    }
  const tail = log.length > 4096 ? log.slice(-4096) : log
  const counts = PROCESSED.exec(tail)
  const time = /verification time (\d+) usec/.exec(tail)
  const depth = /^stack depth (.+)$/m.exec(tail)
  return {
    ...(time === null ? {} : { timeUs: Number(time[1]) }),
    ...(depth === null ? {} : { stackDepth: depth[1] }),
    ...(counts === null
      ? {}
      : {
          processed: Number(counts[1]),
          maxStatesPerInsn: Number(counts[2]),
          totalStates: Number(counts[3]),
          peakStates: Number(counts[4]),
          markRead: Number(counts[5]),
        }),
  }
}

/**
 * The line of a log that says why: the last one that is neither statistics nor part of the longer report which
 * Linux 7.3 prints after it. Undefined when the verifier gave no reason.
 */
export function reasonLine(log: string): string | undefined {
  const report = log.indexOf('\nVerification failed:')
  const body = report >= 0 ? log.slice(0, report) : log
  let end = body.length
  while (end > 0) {
    const start = body.lastIndexOf('\n', end - 1) + 1
    const line = body.slice(start, end).trimEnd()
    if (line !== '' && !STATISTICS_LINE.test(line)) return line.replace(UNENDED, '')
    end = start - 1
  }
  return undefined
}

/** The last lines of a log before its statistics: the reason and what led to it. */
export function reasonLines(log: string, most: number): string[] {
  const lines = log.split('\n').filter((line) => line.trim() !== '' && !STATISTICS_ONLY.test(line))
  return lines.slice(-most)
}

/** Tells the four answers apart: `result` is the fd or minus the errno of BPF_PROG_LOAD. */
export function verdictOf(result: number, log: string): Verdict {
  if (result >= 0) return 'accept'
  if (log !== '') return 'reject'
  return result === -ERRNO.EPERM ? 'denied' : 'invalid'
}
