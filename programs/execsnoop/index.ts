/** New programs as processes start them: who, from whom, with which arguments, with what result. */
import type { Js } from 'typebpf'
import { type Column, clock, constants, Session, type Snoop, snoop, type Tool } from '../lib/index.ts'
import * as program from './execsnoop.bpf.ts'

export interface ExecEvent {
  /** CLOCK_MONOTONIC at the call. */
  readonly timeNs: bigint
  readonly pid: number
  readonly ppid: number
  readonly uid: number
  /** The process's name after the call. */
  readonly comm: string
  /** 0, or minus the errno. */
  readonly result: number
  /** The arguments, each at most 127 bytes. */
  readonly args: readonly string[]
  /** True when there are more arguments than `args` has. */
  readonly cut: boolean
}

export interface ExecsnoopOptions {
  /** Also calls that failed. */
  readonly failed?: boolean
  readonly uid?: number
  /** Only children of this process. */
  readonly ppid?: number
  /** How many arguments are read, at most 60. Default 20. */
  readonly maxArgs?: number
  /** Only programs whose name has this in it. */
  readonly name?: string
  /** Only calls with this in an argument. */
  readonly line?: string
}

const decoder = new TextDecoder()

function event(record: Js<typeof program.Exec>): ExecEvent {
  const { timeNs, pid, ppid, uid, comm, result, count, size } = record
  // one NUL ends each argument
  const args = size === 0 ? [] : decoder.decode(record.arguments.subarray(0, size - 1)).split('\0')
  return { timeNs, pid, ppid, uid, comm, result, args, cut: count > args.length }
}

/** Programs that start, as events. @throws SystemError where this kernel or this process cannot */
export function execsnoop(options: ExecsnoopOptions = {}): Snoop<ExecEvent> {
  const { failed, uid, ppid, maxArgs, name, line } = options
  const session = new Session(program, {
    name: 'execsnoop',
    constants: [constants(program.only, { failed, uid, parent: ppid, arguments: maxArgs })],
  })
  const wanted = (it: ExecEvent): boolean =>
    (name === undefined || it.comm.includes(name)) &&
    (line === undefined || it.args.some((argument) => argument.includes(line)))
  return snoop({
    session,
    ring: program.execs,
    decode: (record) => {
      const decoded = event(record)
      return wanted(decoded) ? decoded : undefined
    },
    lost: () => session.globals(program.lost).events,
  })
}

/** Arguments in one line; with quotes where one has a space, on request all. */
function commandLine({ args, cut }: ExecEvent, quote: boolean): string {
  const words = quote ? args.map((argument) => `"${argument.replaceAll('"', '\\"')}"`) : args
  return [...words, ...(cut ? ['...'] : [])].join(' ')
}

export const tool: Tool = {
  options: [
    ['-T, --time', 'show the time of day'],
    ['-t, --timestamp', 'show seconds since the start of tracing'],
    ['-x, --fails', 'also calls that failed'],
    ['-u, --uid <user>', 'only this user, by number or name'],
    ['-P, --ppid <pid>', 'only children of this process'],
    ['-n, --name <text>', 'only programs whose name has this in it'],
    ['-l, --line <text>', 'only calls with this in an argument'],
    ['-q, --quote', 'put arguments into quotes'],
    ['-U, --print-uid', 'show the user'],
    ['--max-args <n>', 'read at most so many arguments, 1 to 60 (default 20)'],
  ],
  examples: ['execsnoop', 'execsnoop -Tx', 'execsnoop -P 181', 'execsnoop -n ssh --json'],
  async run({ args, out, signal }) {
    using execs = execsnoop({
      failed: args.flag('fails'),
      uid: args.user('uid'),
      ppid: args.process('ppid'),
      maxArgs: args.integer('maxArgs', { min: 1, max: 60 }),
      name: args.text('name'),
      line: args.text('line'),
    })
    const start = process.hrtime.bigint()
    const columns: Column<ExecEvent>[] = [
      ...(args.flag('time') ? [{ title: 'TIME', width: 8, value: () => clock() }] : []),
      ...(args.flag('timestamp')
        ? [{ title: 'TIME(s)', width: 8, value: (it: ExecEvent) => (Number(it.timeNs - start) / 1e9).toFixed(3) }]
        : []),
      ...(args.flag('printUid') ? [{ title: 'UID', width: 6, value: (it: ExecEvent) => it.uid }] : []),
      { title: 'PCOMM', width: 16, value: (it) => it.comm },
      { title: 'PID', width: 7, value: (it) => it.pid },
      { title: 'PPID', width: 7, value: (it) => it.ppid },
      { title: 'RET', width: 3, align: 'right', value: (it) => it.result },
      { title: 'ARGS', width: 0, value: (it) => commandLine(it, args.flag('quote')) },
    ]
    await out.events(columns, execs, signal)
  },
}
