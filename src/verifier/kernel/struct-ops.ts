/** Kernel structs that programs implement (struct_ops): which there are, and which of their arguments' fields may be written. */
import { PROGRAM_TYPES } from '../../uapi/index.ts'
import { EACCES, type Env, Rejection } from '../state/env.ts'
import type { KernelTypes } from './kernel-types.ts'

/** Structs that programs of Linux 6.18 implement, as far as they are modelled. */
export const STRUCT_OPS: ReadonlySet<string> = new Set(['tcp_congestion_ops', 'bpf_dummy_ops'])

/** Members that the kernel refuses a program for. */
export const UNSUPPORTED_MEMBERS: ReadonlySet<string> = new Set(['tcp_congestion_ops.get_info'])
/** The members that may sleep; a struct that is not listed takes sleepable programs for all. */
export const SLEEPABLE_MEMBERS: ReadonlyMap<string, ReadonlySet<string>> = new Map([
  ['bpf_dummy_ops', new Set(['test_sleepable'])],
])

/** Fields of a TCP socket that congestion control writes: the struct that declares them and the path to them. */
const TCP_FIELDS: readonly (readonly [struct: string, path: readonly string[], within: boolean])[] = [
  ['sock', ['sk_pacing_rate'], false],
  ['sock', ['sk_pacing_status'], false],
  ['inet_connection_sock', ['icsk_ca_priv'], true],
  ['inet_connection_sock', ['icsk_ack', 'pending'], false],
  ['tcp_sock', ['snd_cwnd'], false],
  ['tcp_sock', ['snd_cwnd_cnt'], false],
  ['tcp_sock', ['snd_cwnd_stamp'], false],
  ['tcp_sock', ['snd_ssthresh'], false],
  ['tcp_sock', ['ecn_flags'], false],
  ['tcp_sock', ['app_limited'], false],
]

interface Span {
  readonly start: number
  readonly end: number
}

function memberSpan(types: KernelTypes, id: number, path: readonly string[], base: number): Span | undefined {
  const type = types.btf.type(types.btf.skipModifiers(id))
  if (type.kind !== 'struct' && type.kind !== 'union') return undefined
  for (const member of type.members) {
    const at = base + (member.bitOffset >> 3)
    if (member.name === '') {
      const inner = memberSpan(types, member.type, path, at)
      if (inner !== undefined) return inner
    }
    if (member.name !== path[0]) continue
    if (path.length > 1) return memberSpan(types, member.type, path.slice(1), at)
    const size = types.btf.sizeOf(member.type)
    return size === undefined ? undefined : { start: at, end: at + size }
  }
  return undefined
}

function tcpWrite(env: Env, types: KernelTypes, id: number, off: number, size: number): void {
  if (id !== types.struct('tcp_sock')) env.reject('only read is supported', EACCES)
  for (const [struct, path, within] of TCP_FIELDS) {
    const declared = types.struct(struct)
    const span = declared === undefined ? undefined : memberSpan(types, declared, path, 0)
    if (span === undefined) env.unmodelled(`writes to struct tcp_sock: ${struct} has no ${path.join('.')}`)
    if (within ? off < span.start || off >= span.end : off !== span.start) continue
    if (off + size <= span.end) return
    env.reject(
      `write access at off ${off} with size ${size} beyond the member of tcp_sock ended at ${span.end}`,
      EACCES,
    )
  }
  env.reject(`no write support to tcp_sock at off ${off}`, EACCES)
}

function dummyWrite(env: Env, types: KernelTypes, id: number, off: number, size: number): void {
  const state = types.struct('bpf_dummy_ops_state')
  if (state === undefined) throw new Rejection(22)
  if (id !== state) env.reject('only access to bpf_dummy_ops_state is supported', EACCES)
  if (off + size > (types.btf.sizeOf(state) ?? 0)) env.reject(`write access at off ${off} with size ${size}`, EACCES)
}

/** A write to a kernel object: true when the program's type decides on it and allows it, false when it has no say. */
export function structOpsWrite(env: Env, types: KernelTypes, id: number, off: number, size: number): boolean {
  const { type } = env.facts
  if (type === SCHED_CLS || type === SCHED_ACT || type === XDP)
    env.unmodelled('writes to kernel objects by classifiers and XDP programs')
  const struct = env.target?.struct
  if (type !== STRUCT_OPS_TYPE || struct === undefined) return false
  if (struct === 'tcp_congestion_ops') tcpWrite(env, types, id, off, size)
  else dummyWrite(env, types, id, off, size)
  return true
}

const SCHED_CLS = PROGRAM_TYPES.sched_cls
const SCHED_ACT = PROGRAM_TYPES.sched_act
const XDP = PROGRAM_TYPES.xdp
const STRUCT_OPS_TYPE = PROGRAM_TYPES.struct_ops
