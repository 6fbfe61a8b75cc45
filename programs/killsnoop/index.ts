/** Signals that processes send with kill(2): who, to whom, which, with what result. */
import { constants as os } from 'node:os'
import { UsageError } from 'typebpf'
import { type Column, clock, constants, Session, type Snoop, snoop, type Tool } from '../lib/index.ts'
import * as program from './killsnoop.bpf.ts'

export interface KillEvent {
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint
  readonly pid: number
  readonly comm: string
  readonly signal: number
  /** The process that gets it; 0 and negative numbers are groups, as kill(2) has it. */
  readonly target: number
  /** 0, or minus the errno. */
  readonly result: number
}

export interface KillsnoopOptions {
  /** Only signals that this process sends. */
  readonly pid?: number
  /** Only signals to this process. */
  readonly target?: number
  readonly signal?: number
  /** Only calls that failed. */
  readonly failed?: boolean
}

/** Calls of kill(2) as events. @throws SystemError where this kernel or this process cannot */
export function killsnoop(only: KillsnoopOptions = {}): Snoop<KillEvent> {
  const session = new Session(program, { name: 'killsnoop', constants: [constants(program.only, only)] })
  return snoop({
    session,
    ring: program.kills,
    decode: (record): KillEvent => record,
    lost: () => session.globals(program.lost).events,
  })
}

/** A signal by number or name (9, KILL, SIGKILL). @throws UsageError `usage.signal` */
export function signalNumber(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number > 0 && number <= 64) return number
  const upper = text.toUpperCase()
  const known = (os.signals as Readonly<Record<string, number>>)[upper.startsWith('SIG') ? upper : `SIG${upper}`]
  if (known === undefined) throw new UsageError('usage.signal', `${JSON.stringify(text)} is no signal`)
  return known
}

const columns: readonly Column<KillEvent>[] = [
  { title: 'TIME', width: 9, value: () => clock() },
  { title: 'PID', width: 7, value: (it) => it.pid },
  { title: 'COMM', width: 16, value: (it) => it.comm },
  { title: 'SIG', width: 4, value: (it) => it.signal },
  { title: 'TPID', width: 7, value: (it) => it.target },
  { title: 'RESULT', width: 0, value: (it) => it.result },
]

export const tool: Tool = {
  options: [
    ['-x, --failed', 'only calls that failed'],
    ['-p, --pid <pid>', 'only signals that this process sends'],
    ['-T, --tpid <pid>', 'only signals to this process'],
    ['-s, --signal <signal>', 'only this signal (9, KILL)'],
  ],
  examples: ['killsnoop', 'killsnoop -x', 'killsnoop -p 181', 'killsnoop -s KILL'],
  async run({ args, out, signal }) {
    const wanted = args.text('signal')
    using kills = killsnoop({
      pid: args.process('pid'),
      target: args.process('tpid'),
      failed: args.flag('failed'),
      signal: wanted === undefined ? undefined : signalNumber(wanted),
    })
    await out.events(columns, kills, signal)
  },
}
