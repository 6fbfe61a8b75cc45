/** TCP connections as they end: whose, between which ends, how many bytes, how long. */
import type { Js } from 'typebpf'
import { type Column, clock, constants, Session, type Snoop, snoop, type Tool } from '../lib/index.ts'
import * as program from './tcplife.bpf.ts'

const AF_INET = 2
const AF_INET6 = 10

export interface TcpLife {
  /** CLOCK_MONOTONIC at the end. */
  readonly timeNs: bigint
  readonly pid: number
  readonly comm: string
  readonly family: 4 | 6
  readonly localAddress: string
  readonly localPort: number
  readonly remoteAddress: string
  readonly remotePort: number
  /** Bytes that the other end has acknowledged. */
  readonly sentBytes: bigint
  readonly receivedBytes: bigint
  readonly durationNs: bigint
}

export interface TcplifeOptions {
  readonly pid?: number
  /** Only connections with one of these ports on this side, or on the other one. */
  readonly localPorts?: readonly number[]
  readonly remotePorts?: readonly number[]
  readonly family?: 4 | 6
}

function event(record: Js<typeof program.Life>): TcpLife {
  const four = record.family === AF_INET
  return {
    timeNs: record.timeNs,
    pid: record.pid,
    comm: record.comm,
    family: four ? 4 : 6,
    localAddress: four ? record.local4.join('.') : record.local6,
    localPort: record.localPort,
    remoteAddress: four ? record.remote4.join('.') : record.remote6,
    remotePort: record.remotePort,
    sentBytes: record.sent,
    receivedBytes: record.received,
    durationNs: record.spanNs,
  }
}

/** Connections that end, as events. @throws SystemError where this kernel or this process cannot */
export function tcplife({ pid, localPorts = [], remotePorts = [], family }: TcplifeOptions = {}): Snoop<TcpLife> {
  // one port is looked for in the kernel, several here
  const single = (ports: readonly number[]): number => (ports.length === 1 ? ports[0] : 0)
  const only = {
    pid,
    localPort: single(localPorts),
    remotePort: single(remotePorts),
    family: family === undefined ? 0 : family === 4 ? AF_INET : AF_INET6,
  }
  const isIn = (ports: readonly number[], port: number): boolean => ports.length === 0 || ports.includes(port)
  const session = new Session(program, { name: 'tcplife', constants: [constants(program.only, only)] })
  return snoop({
    session,
    ring: program.lives,
    decode: (record) =>
      isIn(localPorts, record.localPort) && isIn(remotePorts, record.remotePort) ? event(record) : undefined,
    lost: () => session.globals(program.lost).events,
  })
}

const kilobytes = (bytes: bigint): string => String(Math.round(Number(bytes) / 1024))

export const tool: Tool = {
  options: [
    ['-T, --time', 'show the time of day'],
    ['-t, --timestamp', 'show seconds since the start of tracing'],
    ['-w, --wide', 'wide columns, which hold IPv6 addresses'],
    ['-p, --pid <pid>', 'only this process'],
    ['-L, --localport <ports>', 'only this local port, or several with commas'],
    ['-D, --remoteport <ports>', 'only this remote port, or several with commas'],
    ['-s, --csv', 'comma-separated values'],
    ['-4, --ipv4', 'only IPv4'],
    ['-6, --ipv6', 'only IPv6'],
  ],
  examples: ['tcplife', 'tcplife -tw', 'tcplife -p 181', 'tcplife -L 80,443', 'tcplife -D 443 --json'],
  async run({ args, out, signal }) {
    using lives = tcplife({
      pid: args.process('pid'),
      localPorts: args.ports('localport'),
      remotePorts: args.ports('remoteport'),
      family: ({ ipv4: 4, ipv6: 6, both: undefined } as const)[args.oneOf('ipv4', 'ipv6') ?? 'both'],
    })
    const start = process.hrtime.bigint()
    const width = args.flag('wide') ? 39 : 15
    const columns: Column<TcpLife>[] = [
      ...(args.flag('time') ? [{ title: 'TIME', width: 8, value: () => clock() }] : []),
      ...(args.flag('timestamp')
        ? [{ title: 'TIME(s)', width: 9, value: (it: TcpLife) => (Number(it.timeNs - start) / 1e9).toFixed(6) }]
        : []),
      { title: 'PID', width: 7, value: (it) => it.pid },
      { title: 'COMM', width: args.flag('wide') ? 16 : 10, value: (it) => it.comm },
      { title: 'LADDR', width, value: (it) => it.localAddress },
      { title: 'LPORT', width: 5, value: (it) => it.localPort },
      { title: 'RADDR', width, value: (it) => it.remoteAddress },
      { title: 'RPORT', width: 5, value: (it) => it.remotePort },
      { title: 'TX_KB', width: 6, align: 'right', value: (it) => kilobytes(it.sentBytes) },
      { title: 'RX_KB', width: 6, align: 'right', value: (it) => kilobytes(it.receivedBytes) },
      { title: 'MS', width: 0, value: (it) => (Number(it.durationNs) / 1e6).toFixed(2) },
    ]
    await out.events(columns, lives, signal, { csv: args.flag('csv') })
  },
}
