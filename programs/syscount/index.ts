/** How often system calls are made, by call or by process, and how long they take. */
import { constants as os } from 'node:os'
import { UsageError } from 'typebpf'
import {
  type Column,
  clock,
  constants,
  Session,
  syscallName,
  syscallNames,
  syscallNumber,
  type Tool,
  ticks,
} from '../lib/index.ts'
import * as program from './syscount.bpf.ts'

export interface SyscountOptions {
  readonly pid?: number
  readonly tid?: number
  /** Only this system call, by its number. */
  readonly syscall?: number
  /** Only calls that failed. */
  readonly failed?: boolean
  /** Only calls that failed with this error number. */
  readonly errno?: number
  /** A row a process instead of a row a system call. */
  readonly byProcess?: boolean
  /** Also add up the time that calls took. */
  readonly latency?: boolean
}

export interface SyscountRow {
  /** With `byProcess`. */
  readonly pid?: number
  readonly comm?: string
  /** Without `byProcess`. */
  readonly syscall?: string
  readonly calls: bigint
  /** With `latency`: nanoseconds in the kernel, all calls together. */
  readonly totalNs?: bigint
}

/** Counts until it is closed. */
export class Syscount implements Disposable {
  readonly #session: Session
  readonly #options: SyscountOptions

  /** @throws SystemError where this kernel or this process cannot */
  constructor(options: SyscountOptions = {}) {
    this.#options = options
    this.#session = new Session(program, {
      name: 'syscount',
      constants: [constants(program.only, options)],
      programs: options.latency === true ? ['enter', 'exit'] : ['exit'],
    })
  }

  /** What was counted, most first. @param clear begin anew */
  rows(clear = false): SyscountRow[] {
    const map = this.#session.map(program.rows)
    const { byProcess, latency } = this.#options
    const rows = [...map.entries()].map(([key, { calls, totalNs, comm }]): SyscountRow => {
      if (clear) map.delete(key)
      return {
        ...(byProcess === true ? { pid: key, comm } : { syscall: syscallName(key) }),
        calls,
        ...(latency === true ? { totalNs } : {}),
      }
    })
    const weight = ({ calls, totalNs }: SyscountRow): bigint => totalNs ?? calls
    return rows.sort((a, b) => Number(weight(b) - weight(a)))
  }
  /** Stops counting; {@link rows} still answers. */
  stop(): void {
    this.#session.detach()
  }
  [Symbol.dispose](): void {
    this.#session.close()
  }
}

/** An error by number or name (2, ENOENT). @throws UsageError `usage.errno` */
export function errorNumber(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0 && number < 4096) return number
  const known = (os.errno as Readonly<Record<string, number>>)[text.toUpperCase()]
  if (known === undefined) throw new UsageError('usage.errno', `${JSON.stringify(text)} is no error of a system call`)
  return known
}

/** @throws UsageError `usage.syscall` */
function knownSyscall(name: string): number {
  const number = syscallNumber(name)
  if (number === undefined)
    throw new UsageError('usage.syscall', `there is no system call ${JSON.stringify(name)}`, {
      details: ['see typebpf tool syscount --list'],
    })
  return number
}

export const tool: Tool = {
  options: [
    ['-p, --pid <pid>', 'only this process'],
    ['-t, --tid <tid>', 'only this thread'],
    ['--syscall <name>', 'only this system call'],
    ['-l, --list', 'list the system calls by name, and end'],
    ['-i, --interval <seconds>', 'show and clear the counts at this interval'],
    ['-T, --top <n>', 'show so many rows (default 10)'],
    ['-x, --failures', 'only calls that failed'],
    ['-e, --errno <errno>', 'only calls that failed with this error (2, ENOENT)'],
    ['-L, --latency', 'show the time spent in calls'],
    ['-m, --milliseconds', 'show times in milliseconds instead of microseconds'],
    ['-P, --process', 'count by process instead of by system call'],
  ],
  examples: ['syscount', 'syscount -p 181 -i 1', 'syscount -L -m -T 5', 'syscount -P -x -e ENOENT'],
  async run({ args, out, signal }) {
    if (args.flag('list')) {
      for (const name of syscallNames()) out.value(name, () => name)
      return
    }
    const wanted = args.text('syscall')
    const errno = args.text('errno')
    const byProcess = args.flag('process')
    const latency = args.flag('latency')
    const [scale, unit] = args.flag('milliseconds') ? [1e6, 'ms'] : [1e3, 'us']
    const top = args.integer('top', { min: 1 }) ?? 10
    const seconds = args.number('interval', { min: 0.001 })
    using counts = new Syscount({
      pid: args.process('pid'),
      tid: args.process('tid'),
      syscall: wanted === undefined ? undefined : knownSyscall(wanted),
      failed: args.flag('failures'),
      errno: errno === undefined ? undefined : errorNumber(errno),
      byProcess,
      latency,
    })
    const columns: Column<SyscountRow>[] = [
      ...(byProcess
        ? [
            { title: 'PID', width: 6, value: (it: SyscountRow) => it.pid ?? 0 },
            { title: 'COMM', width: 15, value: (it: SyscountRow) => it.comm ?? '' },
          ]
        : [{ title: 'SYSCALL', width: 22, value: (it: SyscountRow) => it.syscall ?? '' }]),
      { title: 'COUNT', width: 8, align: 'right', value: (it) => it.calls },
      ...(latency
        ? [
            {
              title: `TIME (${unit})`,
              width: 16,
              align: 'right' as const,
              value: (it: SyscountRow) => (Number(it.totalNs ?? 0n) / scale).toFixed(3),
            },
          ]
        : []),
    ]
    out.note(`Tracing system calls${seconds === undefined ? '' : `, printing top ${top}`}... Hit Ctrl-C to end.`)
    for await (const _ of ticks({ seconds }, signal)) {
      if (signal.aborted) counts.stop()
      out.text(`[${clock()}]`)
      out.head(columns)
      for (const row of counts.rows(true).slice(0, top)) out.row(columns, row)
      out.text()
    }
  },
}
