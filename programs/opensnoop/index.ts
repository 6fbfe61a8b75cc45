/** Opened files as they are opened: who, which path, with what result. */
import type { Js } from 'typebpf'
import { type Column, constants, Session, type Snoop, snoop, type Tool } from '../lib/index.ts'
import { FLAG_NAMES, openFlags } from './flags.ts'
import * as program from './opensnoop.bpf.ts'

export interface OpenEvent {
  /** CLOCK_MONOTONIC. */
  readonly timeNs: bigint
  readonly pid: number
  readonly tid: number
  readonly uid: number
  readonly comm: string
  /** The descriptor, -1 when it failed. */
  readonly fd: number
  /** 0 when it worked. */
  readonly errno: number
  /** O_… as open(2) takes them. */
  readonly flags: number
  /** As the process wrote it, at most 255 bytes. */
  readonly path: string
}

export interface OpensnoopOptions {
  readonly pid?: number
  readonly tid?: number
  readonly uid?: number
  /** Only calls that failed. */
  readonly failed?: boolean
  /** Only calls with one of these O_… bits. */
  readonly flags?: number
  /** Only commands whose name has this in it. */
  readonly name?: string
}

function event(record: Js<typeof program.Open>): OpenEvent {
  const { result, timeNs, pid, tid, uid, comm, flags, path } = record
  return { timeNs, pid, tid, uid, comm, fd: Math.max(result, -1), errno: Math.max(-result, 0), flags, path }
}

/** Opens as events. @throws SystemError where this kernel or this process cannot */
export function opensnoop({ name, ...only }: OpensnoopOptions = {}): Snoop<OpenEvent> {
  const session = new Session(program, {
    name: 'opensnoop',
    constants: [constants(program.only, only)],
    // arm64 has no open(2)
    optional: ['enter_open', 'exit_open'],
  })
  return snoop({
    session,
    ring: program.opens,
    decode: (record) => (name === undefined || record.comm.includes(name) ? event(record) : undefined),
    lost: () => session.globals(program.lost).events,
  })
}

export const tool: Tool = {
  options: [
    ['-T, --timestamp', 'show the time of each open, in seconds since the first'],
    ['-U, --print-uid', 'show the user'],
    ['-x, --failed', 'only opens that failed'],
    ['-p, --pid <pid>', 'only this process'],
    ['-t, --tid <tid>', 'only this thread'],
    ['-u, --uid <user>', 'only this user, by number or name'],
    ['-n, --name <text>', 'only commands whose name has this in it'],
    ['-e, --extended-fields', 'show the flags'],
    ['-f, --flag-filter <flag...>', 'only opens with one of these flags (O_WRONLY O_CREAT …)'],
  ],
  examples: ['opensnoop', 'opensnoop -Tx -p 181', 'opensnoop -e -f O_WRONLY -f O_RDWR', 'opensnoop --json -d 10'],
  async run({ args, out, signal }) {
    const wanted = args.list('flagFilter')
    using opens = opensnoop({
      pid: args.process('pid'),
      tid: args.process('tid'),
      uid: args.user('uid'),
      name: args.text('name'),
      failed: args.flag('failed'),
      flags: wanted.length === 0 ? undefined : openFlags(wanted),
    })
    let first: bigint | undefined
    const since = (now: bigint): string => {
      first ??= now
      return (Number(now - first) / 1e9).toFixed(6)
    }
    const columns: Column<OpenEvent>[] = [
      ...(args.flag('timestamp') ? [{ title: 'TIME(s)', width: 13, value: (it: OpenEvent) => since(it.timeNs) }] : []),
      ...(args.flag('printUid') ? [{ title: 'UID', width: 6, value: (it: OpenEvent) => it.uid }] : []),
      { title: 'PID', width: 6, value: (it) => it.pid },
      { title: 'COMM', width: 16, value: (it) => it.comm },
      { title: 'FD', width: 3, align: 'right', value: (it) => it.fd },
      { title: 'ERR', width: 3, align: 'right', value: (it) => it.errno },
      ...(args.flag('extendedFields')
        ? [{ title: 'FLAGS', width: 8, value: (it: OpenEvent) => it.flags.toString(8).padStart(8, '0') }]
        : []),
      { title: 'PATH', width: 0, value: (it) => it.path },
    ]
    await out.events(columns, opens, signal)
  },
}

export { FLAG_NAMES, openFlags }
