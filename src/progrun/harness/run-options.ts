import type { ProgramType } from '../../uapi/index.ts'
import type { Layer } from '../packets/index.ts'
import type { SkbContext, SkLookupContext, XdpContext } from './contexts.ts'

/** A packet as bytes, or as headers that are built first. */
export type PacketInput = Uint8Array | readonly Layer[]

interface Repeatable {
  /** Runs; the duration is the mean of them, everything else is of the last run. Default 1. */
  readonly repeat?: number
}

export interface XdpRun extends Repeatable {
  readonly packet: PacketInput
  readonly ctx?: XdpContext
  /** Bytes between data_meta and data, a multiple of 4 up to 216. Linux 5.15. */
  readonly metadata?: Uint8Array
}
export interface SkbRun extends Repeatable {
  readonly packet: PacketInput
  readonly ctx?: SkbContext
}
export interface FlowDissectorRun extends Repeatable {
  readonly packet: PacketInput
}
export interface NetfilterRun {
  readonly packet: PacketInput
}
export interface SkLookupRun extends Repeatable {
  readonly ctx: SkLookupContext
}
export interface RawTracepointRun {
  /** Up to twelve arguments. */
  readonly args?: readonly (bigint | number)[]
  /** Runs there; the emulator uses it for bpf_get_smp_processor_id. */
  readonly cpu?: number
}
export interface SyscallRun {
  readonly ctx?: Uint8Array
}
/** Types without BPF_PROG_RUN: they run in the emulator, and in the kernel when a driver attaches them. */
export interface AttachedRun {
  /** The context struct's bytes, or its fields by name. */
  readonly ctx?: Uint8Array | Readonly<Record<string, unknown>>
  /** Kernel arguments of kprobes, fentry and LSM hooks. */
  readonly args?: readonly (bigint | number)[]
}

/** sk_msg and sk_reuseport: the bytes that the program sees, without headers in front. Emulator only. */
export interface MessageRun {
  readonly packet: Uint8Array
  readonly ctx?: Uint8Array | Readonly<Record<string, unknown>>
}

/** What `run` takes, by program type: what the kernel would refuse is not there. */
export interface RunOptionsByType {
  xdp: XdpRun
  sched_cls: SkbRun
  sched_act: SkbRun
  socket_filter: SkbRun
  cgroup_skb: SkbRun
  lwt_in: SkbRun
  lwt_out: SkbRun
  lwt_xmit: SkbRun
  flow_dissector: FlowDissectorRun
  netfilter: NetfilterRun
  sk_lookup: SkLookupRun
  raw_tracepoint: RawTracepointRun
  raw_tracepoint_writable: RawTracepointRun
  syscall: SyscallRun
  sk_msg: MessageRun
  sk_reuseport: MessageRun
}

export type RunOptions<K extends ProgramType = ProgramType> = K extends keyof RunOptionsByType
  ? RunOptionsByType[K]
  : AttachedRun

/** All options at once: what a run is after its type is no longer known to the compiler. */
export interface AnyRun {
  readonly packet?: PacketInput
  readonly metadata?: Uint8Array
  readonly ctx?: unknown
  readonly args?: readonly (bigint | number)[]
  readonly cpu?: number
  readonly repeat?: number
}

/** The program types behind the builder's words for kinds of programs that are not types themselves. */
interface TypesOfKinds {
  tc: 'sched_cls'
  tcx: 'sched_cls'
  lwt: 'lwt_in'
  kretprobe: 'kprobe'
  kprobe_multi: 'kprobe'
  ksyscall: 'kprobe'
  kretsyscall: 'kprobe'
  uprobe: 'kprobe'
  uretprobe: 'kprobe'
  usdt: 'kprobe'
  sock_ops: 'sock_ops'
  iter: 'tracing'
  fentry: 'tracing'
  fexit: 'tracing'
  fmod_ret: 'tracing'
  tp_btf: 'tracing'
  lsm_cgroup: 'lsm'
  freplace: 'ext'
}

/** The program type of a kind of program, which may be the type's own name; any where it is not known. */
export type TypeOfKind<K extends string> = K extends ProgramType
  ? K
  : K extends keyof TypesOfKinds
    ? TypesOfKinds[K]
    : ProgramType
