import type { ToolRow } from './lib/tool.ts'

/** Every tool, as `typebpf tool --list` shows them. A module is loaded only when its tool runs. */
export const TOOLS: readonly ToolRow[] = [
  {
    name: 'hello',
    summary: 'print a line whenever a program starts: the smallest tool',
    kernel: '5.2',
    load: () => import('./hello/index.ts'),
  },
  {
    name: 'execsnoop',
    summary: 'show programs as they are started',
    kernel: '5.8',
    load: () => import('./execsnoop/index.ts'),
  },
  {
    name: 'opensnoop',
    summary: 'show files as they are opened',
    kernel: '5.8',
    load: () => import('./opensnoop/index.ts'),
  },
  {
    name: 'killsnoop',
    summary: 'show signals that processes send',
    kernel: '5.8',
    load: () => import('./killsnoop/index.ts'),
  },
  {
    name: 'syscount',
    summary: 'count system calls, by call or by process',
    kernel: '5.2',
    load: () => import('./syscount/index.ts'),
  },
  {
    name: 'tcplife',
    summary: 'show TCP connections with their duration and bytes',
    kernel: '5.8',
    load: () => import('./tcplife/index.ts'),
  },
  {
    name: 'biolatency',
    summary: 'show the latency of block I/O as a histogram',
    kernel: '5.2',
    load: () => import('./biolatency/index.ts'),
  },
  {
    name: 'runqlat',
    summary: 'show how long threads wait for a CPU, as a histogram',
    kernel: '5.5',
    load: () => import('./runqlat/index.ts'),
  },
  {
    name: 'offcputime',
    summary: 'show where threads wait, by stack',
    kernel: '5.2',
    load: () => import('./offcputime/index.ts'),
  },
  {
    name: 'profile',
    summary: 'show where processes spend their time, by sampling stacks',
    kernel: '5.2',
    load: () => import('./profile/index.ts'),
  },
  {
    name: 'funclatency',
    summary: 'show how long user-space functions take, as a histogram',
    kernel: '5.2',
    load: () => import('./funclatency/index.ts'),
  },
  {
    name: 'memleak',
    summary: 'show memory that a process allocated and did not free, by stack',
    kernel: '5.5',
    load: () => import('./memleak/index.ts'),
  },
  {
    name: 'xdp-firewall',
    summary: 'drop or pass packets by their source address, with counters; rules change while it runs',
    kernel: '5.9',
    load: () => import('./xdp-firewall/index.ts'),
  },
  {
    name: 'xdp-lb',
    summary: 'spread TCP and UDP connections over backends: addresses rewritten, checksums brought up to date',
    kernel: '5.9',
    load: () => import('./xdp-lb/index.ts'),
  },
  {
    name: 'tc-shaper',
    summary: 'limit what leaves an interface by a token bucket, for all or for each remote address',
    kernel: '6.6',
    load: () => import('./tc-shaper/index.ts'),
  },
  {
    name: 'cgroup-connect',
    summary: 'let a command or a cgroup connect only to the addresses on a list',
    kernel: '5.8',
    load: () => import('./cgroup-connect/index.ts'),
  },
]
