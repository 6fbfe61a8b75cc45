import { SystemError, UsageError } from '../../errors/index.ts'
import type { ProgramType } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { ERRNO } from '../sys/errno.ts'
import type { Sys } from '../sys/sys.ts'
import { type TestRunOutput, testRun } from './test-run.ts'

/** Fields of a context that a run takes or gives back: offset and bytes. */
type Fields = Readonly<Record<string, readonly [offset: number, bytes: 2 | 4 | 8]>>
type Context<F extends Fields> = { readonly [N in keyof F]?: F[N][1] extends 8 ? bigint : number }

/** struct xdp_md: the packet starts `data` bytes into what is given, metadata before it; the interface must exist. */
const XDP = { data: [0, 4], data_end: [4, 4], ingress_ifindex: [12, 4], rx_queue_index: [16, 4] } as const
const XDP_BYTES = 24

/** The fields of struct __sk_buff that a run may set; all others must be zero. */
const SKB = {
  mark: [8, 4],
  priority: [32, 4],
  ingress_ifindex: [36, 4],
  ifindex: [40, 4],
  cb0: [48, 4],
  cb1: [52, 4],
  cb2: [56, 4],
  cb3: [60, 4],
  cb4: [64, 4],
  tstamp: [152, 8],
  wire_len: [160, 4],
  gso_segs: [164, 4],
  gso_size: [176, 4],
  hwtstamp: [184, 8],
} as const
const SKB_BYTES = 192

/** struct bpf_sk_lookup: IPv4 addresses and the remote port in network order, the local port in that of the machine. */
const SK_LOOKUP = {
  family: [8, 4],
  protocol: [12, 4],
  remote_ip4: [16, 4],
  remote_port: [36, 2],
  local_ip4: [40, 4],
  local_port: [60, 4],
  ingress_ifindex: [64, 4],
} as const
const SK_LOOKUP_BYTES = 72
const SK_LOOKUP_IP6 = { remote: 20, local: 44 } as const

const F_RUN_ON_CPU = 1
const F_LIVE_FRAMES = 2
const MAX_ARGUMENTS = 12
const MAX_BATCH = 256
const FLOW_KEYS_BYTES = 56

interface PacketInput {
  /** The packet with its Ethernet header: 14 bytes at least (33 for netfilter). */
  readonly data: Uint8Array
  /** Runs; the answer has the average duration. */
  readonly repeat?: number
  /** Room for the packet that comes out; default: 256 bytes more than went in. */
  readonly dataOutSize?: number
}
interface SkbInput extends PacketInput {
  readonly context?: Context<typeof SKB>
}

/** What a run of each program type takes: what the kernel would refuse is not in the type. */
export interface RunInputs {
  readonly xdp: PacketInput & { readonly context?: Context<typeof XDP> }
  readonly sched_cls: SkbInput
  readonly sched_act: SkbInput
  readonly socket_filter: SkbInput
  readonly cgroup_skb: SkbInput
  readonly lwt_in: SkbInput
  readonly lwt_out: SkbInput
  readonly lwt_xmit: SkbInput
  readonly netfilter: Omit<PacketInput, 'dataOutSize'>
  readonly flow_dissector: Omit<PacketInput, 'dataOutSize'>
  /** `cpu`: run there (Linux 5.10). */
  readonly raw_tracepoint: { readonly args?: readonly bigint[]; readonly cpu?: number }
  readonly sk_lookup: {
    readonly context: Context<typeof SK_LOOKUP> & {
      readonly family: 2 | 10
      /** 16 bytes each, for family 10. */
      readonly remote_ip6?: Uint8Array
      readonly local_ip6?: Uint8Array
    }
    readonly repeat?: number
  }
  readonly syscall: { readonly context?: Uint8Array }
  /** fentry, fexit and fmod_ret of the kernel's own test functions. */
  readonly tracing: Readonly<Record<never, never>>
}
export type RunnableType = keyof RunInputs & ProgramType

interface Verdict {
  readonly retval: number
}
interface Timed extends Verdict {
  /** Average of a run. */
  readonly durationNs: number
}
interface Packet extends Timed {
  readonly data: Uint8Array
  /** Bytes that the packet has in the kernel: more than `data.length` when there was no room for them. */
  readonly dataSize: number
}
type Full<F extends Fields> = Required<Context<F>>

/** What a run of each program type answers. */
export interface RunOutputs {
  readonly xdp: Packet & { readonly context: Full<typeof XDP> }
  readonly sched_cls: Packet & { readonly context: Full<typeof SKB> }
  readonly sched_act: Packet & { readonly context: Full<typeof SKB> }
  readonly socket_filter: Packet & { readonly context: Full<typeof SKB> }
  readonly cgroup_skb: Packet & { readonly context: Full<typeof SKB> }
  readonly lwt_in: Packet & { readonly context: Full<typeof SKB> }
  readonly lwt_out: Packet & { readonly context: Full<typeof SKB> }
  readonly lwt_xmit: Packet & { readonly context: Full<typeof SKB> }
  readonly netfilter: Timed
  /** `keys`: struct bpf_flow_keys. */
  readonly flow_dissector: Timed & { readonly keys: Uint8Array }
  readonly raw_tracepoint: Verdict
  readonly sk_lookup: Timed
  /** The context as the program left it. */
  readonly syscall: Verdict & { readonly context: Uint8Array }
  readonly tracing: Verdict
}

function encode(fields: Fields, size: number, values: object): Uint8Array {
  const bytes = new Uint8Array(size)
  const view = new DataView(bytes.buffer)
  for (const [name, value] of Object.entries(values)) {
    const field = fields[name]
    if (value === undefined || value instanceof Uint8Array) continue
    if (field === undefined)
      throw new UsageError('run.context', `a run's context has no ${name}: ${Object.keys(fields).join(', ')}`)
    if (typeof value !== 'bigint' && !Number.isInteger(value))
      throw new UsageError('run.context', `${name} of a run's context: ${String(value)} is no whole number`)
    if (field[1] === 8) view.setBigUint64(field[0], BigInt.asUintN(64, BigInt(value)), true)
    else if (field[1] === 2) view.setUint16(field[0], Number(value), true)
    else view.setUint32(field[0], Number(value), true)
  }
  return bytes
}

function decode<F extends Fields>(fields: F, bytes: Uint8Array): Full<F> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const values = Object.entries(fields).map(([name, [offset, size]]) => {
    if (offset + size > bytes.length) return [name, size === 8 ? 0n : 0]
    const value =
      size === 8
        ? view.getBigUint64(offset, true)
        : size === 2
          ? view.getUint16(offset, true)
          : view.getUint32(offset, true)
    return [name, value]
  })
  return Object.fromEntries(values) as Full<F>
}

const PACKET_TYPES: ReadonlySet<string> = new Set<RunnableType>([
  'xdp',
  'sched_cls',
  'sched_act',
  'socket_filter',
  'cgroup_skb',
  'lwt_in',
  'lwt_out',
  'lwt_xmit',
  'netfilter',
  'flow_dissector',
])

type Program = { readonly sys: Sys; readonly fd: number }
type Run<T extends RunnableType> = (program: Program, input: RunInputs[T]) => RunOutputs[T]

const run = ({ sys, fd }: Program, input: Parameters<typeof testRun>[2]): TestRunOutput => testRun(sys, fd, input)

const skb = (program: Program, { context, ...packet }: SkbInput): Packet & { readonly context: Full<typeof SKB> } => {
  const out = run(program, { ...packet, context: encode(SKB, SKB_BYTES, context ?? {}) })
  return { ...out, context: decode(SKB, out.context) }
}

const RUNS: { readonly [T in RunnableType]: Run<T> } = {
  xdp(program, { context, ...packet }) {
    const { length } = packet.data
    const bytes = encode(XDP, XDP_BYTES, { data_end: length, ...context })
    try {
      const out = run(program, { ...packet, context: bytes })
      return { ...out, context: decode(XDP, out.context) }
    } catch (error) {
      // Before Linux 5.15 an XDP run has no context.
      if (context !== undefined || !(error instanceof SystemError && error.errno === ERRNO.EINVAL)) throw error
      const out = run(program, packet)
      return { ...out, context: decode(XDP, encode(XDP, XDP_BYTES, { data_end: out.dataSize })) }
    }
  },
  sched_cls: skb,
  sched_act: skb,
  socket_filter: skb,
  cgroup_skb: skb,
  lwt_in: skb,
  lwt_out: skb,
  lwt_xmit: skb,
  netfilter(program, input) {
    const { retval, durationNs } = run(program, { ...input, dataOutSize: 0 })
    return { retval, durationNs }
  },
  flow_dissector(program, input) {
    const { retval, durationNs, data } = run(program, { ...input, dataOutSize: FLOW_KEYS_BYTES })
    return { retval, durationNs, keys: data }
  },
  raw_tracepoint(program, { args = [], cpu }) {
    if (args.length > MAX_ARGUMENTS)
      throw new UsageError('run.arguments', `${args.length} arguments: a raw tracepoint has ${MAX_ARGUMENTS} at most`)
    const context = new Uint8Array(new BigUint64Array(args).buffer)
    const flags = cpu === undefined ? 0 : F_RUN_ON_CPU
    return { retval: run(program, { context, contextOutSize: 0, flags, cpu }).retval }
  },
  sk_lookup(program, { context, repeat }) {
    const bytes = encode(SK_LOOKUP, SK_LOOKUP_BYTES, context)
    for (const side of ['remote', 'local'] as const) {
      const address = context[`${side}_ip6`]
      if (address === undefined) continue
      if (address.length !== 16) throw new UsageError('run.address', 'an IPv6 address has 16 bytes')
      bytes.set(address, SK_LOOKUP_IP6[side])
    }
    const { retval, durationNs } = run(program, { context: bytes, contextOutSize: 0, repeat })
    return { retval, durationNs }
  },
  syscall(program, { context }) {
    const { retval, contextIn } = run(program, { context, contextOutSize: 0 })
    return { retval, context: contextIn }
  },
  tracing(program) {
    return { retval: run(program, {}).retval }
  },
}

/**
 * BPF_PROG_RUN with the inputs and answers that the program's type has. Linux 4.12; the types' own beginnings are in docs/kernel.md.
 * @throws SystemError `sys.enotsupp` where this kernel cannot run the type, `sys.einval` for a packet that is too short
 */
export function runProgram<T extends RunnableType>(
  program: Program,
  type: T,
  ...[input]: Readonly<Record<never, never>> extends RunInputs[T] ? [input?: RunInputs[T]] : [input: RunInputs[T]]
): RunOutputs[T] {
  choice(RUNS, type, 'test runs')
  if (PACKET_TYPES.has(type) && !((input as { data?: unknown } | undefined)?.data instanceof Uint8Array))
    throw new UsageError('run.input', `a run of ${type} needs its packet: data, a Uint8Array`)
  const each: Run<T> = RUNS[type]
  return each(program, (input ?? {}) as RunInputs[T])
}

/**
 * Sends real frames through an XDP program (BPF_F_TEST_XDP_LIVE_FRAMES, Linux 5.18): XDP_TX, XDP_REDIRECT and XDP_PASS have
 * their effects on the interface of `ingress_ifindex`. There is no verdict and no packet that comes back.
 */
export function runXdpFrames(
  program: Program,
  input: {
    readonly data: Uint8Array
    /** How many times the frame is sent. */
    readonly frames: number
    /** Frames at once, 1 to 256; default 64. */
    readonly batchSize?: number
    readonly context?: Context<typeof XDP>
  },
): { readonly durationNs: number } {
  const { data, frames, batchSize, context } = input
  if (batchSize !== undefined && (batchSize < 1 || batchSize > MAX_BATCH))
    throw new UsageError('run.batch', `a batch has 1 to ${MAX_BATCH} frames`)
  const { durationNs } = run(program, {
    data,
    dataOutSize: 0,
    context: encode(XDP, XDP_BYTES, { data_end: data.length, ...context }),
    contextOutSize: 0,
    repeat: frames,
    batchSize,
    flags: F_LIVE_FRAMES,
  })
  return { durationNs }
}
