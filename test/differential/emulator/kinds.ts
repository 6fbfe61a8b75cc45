import type { ProgramType } from '../../../src/uapi/index.ts'
import { type Random, randomFrame } from './random.ts'

/** One input of a run. */
export interface Input {
  readonly packet?: Uint8Array
  readonly ctx?: Uint8Array
}

type Field = readonly [offset: number, bytes: 1 | 2 | 4 | 8]

/** What generated programs of a type may do, and what they are run with. */
export interface Kind {
  readonly type: ProgramType
  /** How often it is chosen, against the others. */
  readonly weight: number
  readonly attachType?: number
  /** Where the context has data and data_end, or that packets are read by ld_abs. */
  readonly packet?: readonly [data: number, end: number] | 'loads'
  readonly writesPacket?: boolean
  readonly reads: readonly Field[]
  readonly writes: readonly Field[]
  /** Helpers on the packet. */
  readonly calls?: 'xdp' | 'tc' | 'cgroup' | 'filter' | 'lwt_xmit' | 'lwt'
  /** Bits that the answer may have. */
  readonly answers?: number
  /** BPF_F_SLEEPABLE; only some maps may be used then. */
  readonly sleepable?: boolean
  readonly input: (random: Random) => Input
  /** What a run leaves besides the packet. */
  readonly out?: 'skb fields' | 'context'
}

const packets = (random: Random): Input => ({ packet: randomFrame(random) })
const words = (...offsets: readonly number[]): Field[] => offsets.map((offset): Field => [offset, 4])
const SKB_DATA = [76, 80] as const
const SKB_READS = words(0, 4, 8, 16, 20, 24, 28, 32, 40, 48, 52, 56, 60, 64)
const SKB_WRITES = words(8, 32, 48, 52, 60, 64)
const TC_READS = [...SKB_READS, ...words(44, 72, 160, 164)]
const KEYS_FIELD = 144

function bytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.u32())
}

/** struct bpf_sk_lookup: IPv4 or IPv6, TCP or UDP, any addresses and ports. */
function lookup(random: Random): Input {
  const ctx = bytes(random, 72)
  const view = new DataView(ctx.buffer)
  view.setBigUint64(0, 0n, true)
  view.setUint32(8, random.pick([2, 10]), true)
  view.setUint32(12, random.pick([6, 17]), true)
  view.setUint16(38, 0, true)
  view.setUint32(60, random.below(65_536), true)
  view.setUint32(64, 0, true)
  view.setUint32(68, 0, true)
  return { ctx }
}

/** Program types that the kernel test-runs. */
export const KINDS: readonly Kind[] = [
  {
    type: 'xdp',
    weight: 20,
    packet: [0, 4],
    writesPacket: true,
    reads: words(12, 16),
    writes: [],
    calls: 'xdp',
    input: packets,
  },
  {
    type: 'sched_cls',
    weight: 18,
    packet: SKB_DATA,
    writesPacket: true,
    reads: TC_READS,
    writes: SKB_WRITES,
    calls: 'tc',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'sched_act',
    weight: 2,
    packet: SKB_DATA,
    writesPacket: true,
    reads: TC_READS,
    writes: SKB_WRITES,
    calls: 'tc',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'socket_filter',
    weight: 16,
    packet: 'loads',
    reads: words(0, 4, 16, 20, 24, 48, 52, 64),
    writes: words(48, 52, 64),
    calls: 'filter',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'cgroup_skb',
    weight: 16,
    packet: SKB_DATA,
    reads: SKB_READS,
    writes: SKB_WRITES,
    calls: 'cgroup',
    answers: 1,
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'lwt_in',
    weight: 2,
    packet: SKB_DATA,
    reads: SKB_READS,
    writes: SKB_WRITES,
    calls: 'lwt',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'lwt_out',
    weight: 2,
    packet: SKB_DATA,
    reads: SKB_READS,
    writes: SKB_WRITES,
    calls: 'lwt',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'lwt_xmit',
    weight: 4,
    packet: SKB_DATA,
    writesPacket: true,
    reads: SKB_READS,
    writes: SKB_WRITES,
    calls: 'lwt_xmit',
    input: packets,
    out: 'skb fields',
  },
  {
    type: 'flow_dissector',
    weight: 4,
    packet: SKB_DATA,
    reads: [[KEYS_FIELD, 8]],
    writes: [],
    answers: 1,
    input: packets,
  },
  {
    type: 'raw_tracepoint',
    weight: 5,
    reads: [0, 8, 16, 40, 80, 88].map((offset): Field => [offset, 8]),
    writes: [],
    input: (random) => ({ ctx: bytes(random, 96) }),
  },
  {
    type: 'syscall',
    weight: 6,
    reads: [
      [0, 8],
      [8, 4],
      [14, 2],
      [17, 1],
      [24, 8],
      [56, 8],
      [63, 1],
    ],
    writes: [
      [0, 4],
      [8, 8],
      [20, 4],
      [30, 2],
      [33, 1],
      [48, 8],
    ],
    sleepable: true,
    input: (random) => ({ ctx: bytes(random, 64) }),
    out: 'context',
  },
  {
    type: 'sk_lookup',
    weight: 5,
    attachType: 36,
    reads: [...words(8, 12, 16, 20, 24, 28, 32, 40, 44, 48, 52, 56, 60, 64), [36, 2], [20, 1], [46, 2]],
    writes: [],
    answers: 1,
    input: lookup,
  },
]
const WEIGHTS = KINDS.reduce((sum, { weight }) => sum + weight, 0)

export function randomKind(random: Random): Kind {
  let left = random.below(WEIGHTS)
  return KINDS.find(({ weight }) => (left -= weight) < 0) ?? KINDS[0]
}
/** The kind of a program type. */
export function kindOf(type: string | undefined): Kind | undefined {
  return KINDS.find((kind) => kind.type === type)
}
