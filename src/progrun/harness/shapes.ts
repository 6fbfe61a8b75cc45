import type { StructLayout } from '../../layout/index.ts'
import type { ProgramType } from '../../uapi/index.ts'
import { skBuff, skLookup, xdpMd } from './contexts.ts'

/** What BPF_PROG_RUN takes for a program type (net/bpf/test_run.c, measured on Linux 6.18). */
export interface RunShape {
  /** `packet`: data in and out; `keys`: a packet in, flow keys out; `in`: a packet in, none out. */
  readonly data: 'packet' | 'keys' | 'in' | 'none'
  /** The least bytes of data. */
  readonly minimum: number
  /** The least bytes where the Ethernet header says IPv4 or IPv6. */
  readonly minimumIpv4?: number
  readonly minimumIpv6?: number
  /** The most bytes of data that every kernel since 5.10 takes. */
  readonly maximum?: number
  readonly context?: StructLayout
  /** Context fields that come back and may be compared. */
  readonly contextOut?: readonly string[]
  readonly repeat: boolean
  readonly cpu: boolean
  /** Arguments of a raw tracepoint in place of a context. */
  readonly args?: number
  /** The first kernel with it. */
  readonly since: string
}

const SKB_OUT = ['mark', 'priority', 'ingress_ifindex', 'ifindex', 'cb', 'tstamp', 'wire_len', 'gso_segs', 'hwtstamp']

const SKB: RunShape = {
  data: 'packet',
  minimum: 14,
  minimumIpv4: 34,
  minimumIpv6: 54,
  maximum: 3712,
  context: skBuff as unknown as StructLayout,
  contextOut: SKB_OUT,
  repeat: true,
  cpu: false,
  since: '4.12',
}
const NONE = { data: 'none', minimum: 0, repeat: false, cpu: false } as const

/** Program types that have a test run; for all others the kernel answers ENOTSUPP (524). */
export const RUN_SHAPES: Readonly<Partial<Record<ProgramType, RunShape>>> = {
  xdp: {
    data: 'packet',
    minimum: 14,
    maximum: 65535,
    context: xdpMd as unknown as StructLayout,
    contextOut: [],
    repeat: true,
    cpu: false,
    since: '4.12',
  },
  sched_cls: SKB,
  sched_act: SKB,
  socket_filter: SKB,
  cgroup_skb: SKB,
  lwt_in: SKB,
  lwt_out: SKB,
  lwt_xmit: SKB,
  flow_dissector: { data: 'keys', minimum: 14, repeat: true, cpu: false, since: '5.0' },
  raw_tracepoint: { ...NONE, args: 12, cpu: true, since: '5.10' },
  raw_tracepoint_writable: { ...NONE, args: 12, cpu: true, since: '5.10' },
  sk_lookup: {
    ...NONE,
    context: skLookup as unknown as StructLayout,
    contextOut: ['cookie'],
    repeat: true,
    since: '5.13',
  },
  syscall: { ...NONE, since: '5.14' },
  netfilter: { data: 'in', minimum: 33, repeat: false, cpu: false, since: '6.4' },
  tracing: { ...NONE, since: '5.7' },
  struct_ops: { ...NONE, since: '5.17' },
}
