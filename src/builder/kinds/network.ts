import type { AttachSpec } from '../../spec/index.ts'
import type { AttachType, ProgramType } from '../../uapi/index.ts'
import type { FunctionContext } from '../context.ts'
import { here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { unwritten } from '../maps/keys.ts'
import { i64, type Type, u32 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { Maybe } from '../values/maybe.ts'
import type { Access } from '../values/place.ts'
import { type View, view } from '../values/views.ts'
import { Body } from './body.ts'
import { type ContextFields, type ContextView, contextView } from './context.ts'
import {
  CGROUP_DEVICE,
  CGROUP_GETSOCKOPT,
  CGROUP_SETSOCKOPT,
  CGROUP_SYSCTL,
  SK_BUFF,
  SK_BUFF_CGROUP,
  SK_BUFF_TC,
  SK_LOOKUP,
  SK_MSG,
  SK_REUSEPORT,
  SOCK,
  SOCK_ADDR4,
  SOCK_ADDR6,
  SOCK_OPS,
  SOCK_POST_BIND,
} from './contexts.ts'
import { define, split } from './define.ts'
import { helper } from './helper-calls.ts'
import { Packet } from './packet.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'

/** struct __sk_buff: where its data pointers are. */
const SKB_PACKET = { data: 76, dataEnd: 80, dataMeta: 140 } as const

/** A program whose context has typed fields. */
export class FieldsBody<R, C extends ContextFields> extends Body<R> {
  /** The context's fields. */
  readonly ctx: ContextView<C>
  constructor(fn: FunctionContext, context: Operand, fields: C) {
    super()
    this.ctx = contextView(fn, context, fields)
  }
}

export type Verdict = ReturnCode<'verdict'>
const ALLOW = new ReturnCode<'verdict'>('ALLOW', 1)
const REJECT = new ReturnCode<'verdict'>('REJECT', 0)

/** Programs that allow (1) or reject (0). */
export class VerdictBody<C extends ContextFields> extends FieldsBody<Verdict, C> {
  readonly ALLOW: Verdict = ALLOW
  readonly REJECT: Verdict = REJECT
}

/** Socket-buffer programs that may look at the packet's bytes. */
export class SkbBody<R, C extends ContextFields, A extends Access> extends FieldsBody<R, C> {
  readonly packet: Packet<A>
  protected readonly context: Operand
  constructor(fn: FunctionContext, context: Operand, fields: C) {
    super(fn, context, fields)
    this.context = context
    this.packet = new Packet(fn, context, SKB_PACKET)
  }
}

export type TcCode = ReturnCode<'tc'>
const code = (name: string, value: number): TcCode => new ReturnCode<'tc'>(name, value)
const TC = {
  UNSPEC: code('UNSPEC', -1),
  OK: code('OK', 0),
  RECLASSIFY: code('RECLASSIFY', 1),
  SHOT: code('SHOT', 2),
  PIPE: code('PIPE', 3),
  REDIRECT: code('REDIRECT', 7),
}

/** Traffic control: may read and write the packet and change the buffer. */
export class TcBody extends SkbBody<TcCode | Int<'i32'>, typeof SK_BUFF_TC, 'write'> {
  /** No opinion: the next program or the default decides. */
  readonly UNSPEC: TcCode = TC.UNSPEC
  readonly OK: TcCode = TC.OK
  readonly SHOT: TcCode = TC.SHOT
  readonly PIPE: TcCode = TC.PIPE
  readonly RECLASSIFY: TcCode = TC.RECLASSIFY

  /** Makes the first `bytes` of the packet readable directly; all earlier headers are gone afterwards. Linux 4.9. */
  pull(bytes: Like<'u32'>): Int<'i64'> {
    const fn = here('b.pull')
    const args = [this.context, operandOf(fn, u32, bytes)]
    return new Int(i64, fn.emitter.call(helper('skb_pull_data'), args, { changesPacket: true }), fn)
  }
  /** Sends the packet out (or in) at another interface; the answer is the return code. */
  redirect(ifindex: Like<'u32'>, ingress = false): TcCode | Int<'i32'> {
    const fn = here('b.redirect')
    const raw = fn.emitter.call(helper('redirect'), [operandOf(fn, u32, ifindex), constant(ingress ? 1 : 0)])
    return new Int(i64, raw, fn) as unknown as Int<'i32'>
  }
}

/** A traffic-control program for clsact or tcx: `tc('name', (b) => b.OK)`. */
export function tc(name: string, build: (b: TcBody) => TcCode | Int<'i32'>): BpfProgram<'tc'>
export function tc(name: string, options: ProgramOptions, build: (b: TcBody) => TcCode | Int<'i32'>): BpfProgram<'tc'>
export function tc(
  name: string,
  first: ProgramOptions | ((b: TcBody) => TcCode | Int<'i32'>),
  second?: (b: TcBody) => TcCode | Int<'i32'>,
): BpfProgram<'tc'> {
  const [options, build] = split<ProgramOptions, (b: TcBody) => TcCode | Int<'i32'>>(first, second)
  return define(
    {
      kind: 'tc',
      type: 'sched_cls',
      section: 'tc',
      contextType: '__sk_buff',
      body: (fn, context) => new TcBody(fn, context, SK_BUFF_TC),
    },
    name,
    options,
    build,
  )
}
export interface TcxOptions extends ProgramOptions {
  readonly direction: 'ingress' | 'egress'
}
/** A tcx program (Linux 6.6). */
export function tcx(name: string, options: TcxOptions, build: (b: TcBody) => TcCode | Int<'i32'>): BpfProgram<'tcx'> {
  const { direction } = options
  return define(
    {
      kind: 'tcx',
      type: 'sched_cls',
      attachType: direction === 'ingress' ? 'tcx_ingress' : 'tcx_egress',
      section: `tcx/${direction}`,
      contextType: '__sk_buff',
      attach: { kind: 'tcx', direction },
      body: (fn, context) => new TcBody(fn, context, SK_BUFF_TC),
    },
    name,
    options,
    build,
  )
}

/** A classic socket filter: the answer is how many bytes to keep (0 drops). The packet is read by `load`. */
export class SocketFilterBody extends FieldsBody<number | Int<'u32'>, typeof SK_BUFF> {
  readonly #context: Operand
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_BUFF)
    this.#context = context
  }
  /** Copies bytes at a packet offset into memory of its own; missing when the packet is shorter. */
  load<T extends Type>(offset: Like<'u32'>, type: T): Maybe<View<T, 'shared'>> {
    const fn = here('b.load')
    return loadBytes(fn, this.#context, operandOf(fn, u32, offset), type)
  }
}
function loadBytes<T extends Type>(
  fn: FunctionContext,
  context: Operand,
  offset: Operand,
  type: T,
): Maybe<View<T, 'shared'>> {
  const base = unwritten(fn, type, 'bytes of the packet')
  const result = fn.emitter.call(helper('skb_load_bytes'), [context, offset, base, constant(type.size)])
  const there = new Bool(
    { kind: 'compare', cmp: 'eq', width: 64, a: result, b: constant(0), site: fn.emitter.site },
    fn,
  )
  const region = typeof base === 'object' && base.kind === 'frame' ? (`stack${base.slot.id}` as const) : 'map'
  return new Maybe(fn, there, () => view<T, 'shared'>(type, { fn, region, base, offset: 0, access: 'shared' }))
}
/** A filter on a socket: `socketFilter('name', (b) => b.ctx.len)`. */
export function socketFilter(
  name: string,
  build: (b: SocketFilterBody) => number | Int<'u32'>,
  options: ProgramOptions = {},
): BpfProgram<'socket_filter'> {
  return define(
    {
      kind: 'socket_filter',
      type: 'socket_filter',
      section: 'socket',
      contextType: '__sk_buff',
      body: (fn, context) => new SocketFilterBody(fn, context),
    },
    name,
    options,
    build,
  )
}

export class CgroupSkbBody extends SkbBody<Verdict, typeof SK_BUFF_CGROUP, 'read'> {
  readonly ALLOW: Verdict = ALLOW
  readonly REJECT: Verdict = REJECT
}
/** Packets of a cgroup's sockets, in or out. The packet starts at the IP header and is read-only. */
export function cgroupSkb(
  name: string,
  options: ProgramOptions & { readonly direction: 'ingress' | 'egress' },
  build: (b: CgroupSkbBody) => Verdict,
): BpfProgram<'cgroup_skb'> {
  return define(
    {
      kind: 'cgroup_skb',
      type: 'cgroup_skb',
      attachType: options.direction === 'ingress' ? 'cgroup_inet_ingress' : 'cgroup_inet_egress',
      section: `cgroup_skb/${options.direction}`,
      contextType: '__sk_buff',
      attach: { kind: 'cgroup' },
      body: (fn, context) => new CgroupSkbBody(fn, context, SK_BUFF_CGROUP),
    },
    name,
    options,
    build,
  )
}

const SOCK_HOOKS = {
  sock_create: ['cgroup_inet_sock_create', 'cgroup/sock_create', SOCK],
  sock_release: ['cgroup_inet_sock_release', 'cgroup/sock_release', SOCK],
  post_bind4: ['cgroup_inet4_post_bind', 'cgroup/post_bind4', SOCK_POST_BIND],
  post_bind6: ['cgroup_inet6_post_bind', 'cgroup/post_bind6', SOCK_POST_BIND],
} as const
type SockHook = keyof typeof SOCK_HOOKS
/** Creation, release and binding of a cgroup's sockets. */
export function cgroupSock<H extends SockHook>(
  name: string,
  options: ProgramOptions & { readonly hook: H },
  build: (b: VerdictBody<(typeof SOCK_HOOKS)[H][2]>) => Verdict,
): BpfProgram<'cgroup_sock'> {
  const [attachType, section, fields] = SOCK_HOOKS[options.hook]
  return define(
    {
      kind: 'cgroup_sock',
      type: 'cgroup_sock',
      attachType,
      section,
      contextType: 'bpf_sock',
      attach: { kind: 'cgroup' },
      body: (fn, context) => new VerdictBody(fn, context, fields as (typeof SOCK_HOOKS)[H][2]),
    },
    name,
    options,
    build,
  )
}

const ADDR_HOOKS = {
  bind4: ['cgroup_inet4_bind', SOCK_ADDR4],
  bind6: ['cgroup_inet6_bind', SOCK_ADDR6],
  connect4: ['cgroup_inet4_connect', SOCK_ADDR4],
  connect6: ['cgroup_inet6_connect', SOCK_ADDR6],
  sendmsg4: ['cgroup_udp4_sendmsg', SOCK_ADDR4],
  sendmsg6: ['cgroup_udp6_sendmsg', SOCK_ADDR6],
} as const
type AddressHook = keyof typeof ADDR_HOOKS
/** Addresses that a cgroup's sockets bind to, connect to and send to; they can be rewritten. */
export function cgroupSockAddr<H extends AddressHook>(
  name: string,
  options: ProgramOptions & { readonly hook: H },
  build: (b: VerdictBody<(typeof ADDR_HOOKS)[H][1]>) => Verdict,
): BpfProgram<'cgroup_sock_addr'> {
  const [attachType, fields] = ADDR_HOOKS[options.hook]
  return define(
    {
      kind: 'cgroup_sock_addr',
      type: 'cgroup_sock_addr',
      attachType,
      section: `cgroup/${options.hook}`,
      contextType: 'bpf_sock_addr',
      attach: { kind: 'cgroup' },
      body: (fn, context) => new VerdictBody(fn, context, fields as (typeof ADDR_HOOKS)[H][1]),
    },
    name,
    options,
    build,
  )
}

/** A kind with typed fields, ALLOW and REJECT, and nothing to choose. */
function verdictKind<K extends string, C extends ContextFields>(
  kind: K,
  row: {
    readonly type: ProgramType
    readonly attachType?: AttachType
    readonly section: string
    readonly contextType: string
    readonly fields: C
    readonly attach?: AttachSpec
  },
): (name: string, build: (b: VerdictBody<C>) => Verdict, options?: ProgramOptions) => BpfProgram<K> {
  return (name, build, options = {}) =>
    define({ ...row, kind, body: (fn, context) => new VerdictBody(fn, context, row.fields) }, name, options, build)
}
const CGROUP = { kind: 'cgroup' } as const

/** Events of a cgroup's TCP sockets. */
export const sockOps = verdictKind('sock_ops', {
  type: 'sock_ops',
  attachType: 'cgroup_sock_ops',
  section: 'sockops',
  contextType: 'bpf_sock_ops',
  fields: SOCK_OPS,
  attach: CGROUP,
})
/** Access to device nodes from a cgroup. */
export const cgroupDevice = verdictKind('cgroup_device', {
  type: 'cgroup_device',
  attachType: 'cgroup_device',
  section: 'cgroup/dev',
  contextType: 'bpf_cgroup_dev_ctx',
  fields: CGROUP_DEVICE,
  attach: CGROUP,
})
/** Reads and writes of sysctl files from a cgroup. */
export const cgroupSysctl = verdictKind('cgroup_sysctl', {
  type: 'cgroup_sysctl',
  attachType: 'cgroup_sysctl',
  section: 'cgroup/sysctl',
  contextType: 'bpf_sysctl',
  fields: CGROUP_SYSCTL,
  attach: CGROUP,
})
export const cgroupGetsockopt = verdictKind('cgroup_getsockopt', {
  type: 'cgroup_sockopt',
  attachType: 'cgroup_getsockopt',
  section: 'cgroup/getsockopt',
  contextType: 'bpf_sockopt',
  fields: CGROUP_GETSOCKOPT,
  attach: CGROUP,
})
export const cgroupSetsockopt = verdictKind('cgroup_setsockopt', {
  type: 'cgroup_sockopt',
  attachType: 'cgroup_setsockopt',
  section: 'cgroup/setsockopt',
  contextType: 'bpf_sockopt',
  fields: CGROUP_SETSOCKOPT,
  attach: CGROUP,
})
/** Messages sent on sockets of a sockmap. REJECT drops them. */
export const skMsg = verdictKind('sk_msg', {
  type: 'sk_msg',
  attachType: 'sk_msg_verdict',
  section: 'sk_msg',
  contextType: 'sk_msg_md',
  fields: SK_MSG,
})
/** Which socket gets a new connection or datagram (Linux 5.9). */
export const skLookup = verdictKind('sk_lookup', {
  type: 'sk_lookup',
  attachType: 'sk_lookup',
  section: 'sk_lookup',
  contextType: 'bpf_sk_lookup',
  fields: SK_LOOKUP,
  attach: { kind: 'netns' },
})
/** Which socket of a reuseport group gets a packet. */
export const skReuseport = verdictKind('sk_reuseport', {
  type: 'sk_reuseport',
  attachType: 'sk_reuseport_select',
  section: 'sk_reuseport',
  contextType: 'sk_reuseport_md',
  fields: SK_REUSEPORT,
})

/** Data of a sockmap's sockets. */
export const skSkbVerdict = verdictKind('sk_skb', {
  type: 'sk_skb',
  attachType: 'sk_skb_verdict',
  section: 'sk_skb/verdict',
  contextType: '__sk_buff',
  fields: SK_BUFF,
})
