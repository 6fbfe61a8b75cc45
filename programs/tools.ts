import type { ToolRow } from './lib/tool.ts'

export { runTool } from './lib/run-tool.ts'

/** Every tool, as `typebpf tool --list` shows them. A module is loaded only when its tool runs. */
export const TOOLS: readonly ToolRow[] = [
  {
    name: 'hello',
    summary: 'print a line whenever a program starts: the smallest tool',
    kernel: '5.2',
    load: () => import('./hello/index.ts'),
  },
  {
    name: 'opensnoop',
    summary: 'show files as they are opened',
    kernel: '5.8',
    load: () => import('./opensnoop/index.ts'),
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
    name: 'execsnoop',
    summary: 'show programs as they are started',
    kernel: '5.8',
    load: () => import('./execsnoop/index.ts'),
  },
  {
    name: 'killsnoop',
    summary: 'show signals that processes send',
    kernel: '5.8',
    load: () => import('./killsnoop/index.ts'),
  },
]
