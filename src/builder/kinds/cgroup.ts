import type { AttachType, ProgramType } from '../../uapi/index.ts'
import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { materialize } from '../maps/keys.ts'
import { i64, u32, u64 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import type { Maybe } from '../values/maybe.ts'
import { CONTEXT, placeOf } from '../values/place.ts'
import {
  contextFullSocket,
  contextSocket,
  type KernelObject,
  POINTER,
  type Socket,
  type SocketCommon,
} from '../values/socket.ts'
import type { BytesView } from '../values/views.ts'
import { type ContextFields, type ContextView, contextView } from './context.ts'
import {
  CGROUP_DEVICE,
  CGROUP_GETSOCKOPT,
  CGROUP_SETSOCKOPT,
  CGROUP_SYSCTL,
  SK_BUFF_CGROUP,
  SOCK,
  SOCK_ADDR_SOCKET,
  SOCK_ADDR4,
  SOCK_ADDR4_SENDMSG,
  SOCK_ADDR6,
  SOCK_ADDR6_SENDMSG,
  SOCK_OPS,
  SOCK_OPS_SOCKET,
  SOCK_POST_BIND4,
  SOCK_POST_BIND6,
} from './contexts.ts'
import { define } from './define.ts'
import { ALLOW, REJECT, SKB_SOCKET, SkbBody, type Verdict, VerdictBody } from './fields.ts'
import { call, helper } from './helper-calls.ts'
import { Packet } from './packet.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'
import { TaskBody } from './task.ts'

const CGROUP = { kind: 'cgroup' } as const

export class CgroupSkbBody extends SkbBody<Verdict, typeof SK_BUFF_CGROUP, 'read'> {
  readonly ALLOW: Verdict = ALLOW
  readonly REJECT: Verdict = REJECT
  /** The packet's socket (Linux 5.1). */
  socket(): Maybe<SocketCommon> {
    return contextSocket(here('b.socket'), this[CONTEXT](), SKB_SOCKET)
  }
  /** The id of the cgroup of the packet's socket (Linux 4.18). */
  packetCgroupId(): Int<'u64'> {
    const fn = here('b.packetCgroupId')
    return new Int(u64, fn.emitter.call(helper('skb_cgroup_id'), [this[CONTEXT]()]), fn)
  }
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
      attach: CGROUP,
      body: (fn, context) => new CgroupSkbBody(fn, context, SK_BUFF_CGROUP),
    },
    name,
    options,
    build,
  )
}

/** Programs of a cgroup that run for a task: typed context, ALLOW and REJECT. */
export class CgroupBody<C extends ContextFields> extends TaskBody<Verdict> {
  readonly ALLOW: Verdict = ALLOW
  readonly REJECT: Verdict = REJECT
  /** The context's fields. */
  readonly ctx: ContextView<C>
  constructor(fn: FunctionContext, context: Operand, fields: C) {
    super()
    this.ctx = contextView(fn, context, fields)
  }
  /** The errno that the system call gives when the answer is REJECT (Linux 5.18); else it is EPERM. */
  setErrno(errno: number): Int<'i64'> {
    if (!Number.isInteger(errno) || errno < 1 || errno > 4095)
      throw buildError('build.literal', `errno ${errno}`, 'give a positive errno such as 13 (EACCES)')
    return call('b.setErrno', 'set_retval', constant(-errno))
  }
}

const SOCK_HOOKS = {
  sock_create: ['cgroup_inet_sock_create', 'cgroup/sock_create', SOCK],
  sock_release: ['cgroup_inet_sock_release', 'cgroup/sock_release', SOCK],
  post_bind4: ['cgroup_inet4_post_bind', 'cgroup/post_bind4', SOCK_POST_BIND4],
  post_bind6: ['cgroup_inet6_post_bind', 'cgroup/post_bind6', SOCK_POST_BIND6],
} as const
type SockHook = keyof typeof SOCK_HOOKS
/** A program whose context is the socket. */
export class CgroupSockBody<C extends ContextFields> extends CgroupBody<C> {
  /** The socket, for its storage (Linux 5.10). */
  socket(): KernelObject {
    return { [POINTER]: { fn: here('b.socket'), operand: this[CONTEXT]() } }
  }
  /** A number that is the socket's own as long as it lives (Linux 5.10 here). */
  socketCookie(): Int<'u64'> {
    return cookie(this[CONTEXT]())
  }
}
/** Creation, release and binding of a cgroup's sockets. */
export function cgroupSock<H extends SockHook>(
  name: string,
  options: ProgramOptions & { readonly hook: H },
  build: (b: CgroupSockBody<(typeof SOCK_HOOKS)[H][2]>) => Verdict,
): BpfProgram<'cgroup_sock'> {
  const [attachType, section, fields] = SOCK_HOOKS[options.hook]
  return define(
    {
      kind: 'cgroup_sock',
      type: 'cgroup_sock',
      attachType,
      section,
      contextType: 'bpf_sock',
      attach: CGROUP,
      body: (fn, context) => new CgroupSockBody(fn, context, fields as (typeof SOCK_HOOKS)[H][2]),
    },
    name,
    options,
    build,
  )
}

/** Attach type, fields, whether the hook may reject, since. */
const ADDR_HOOKS = {
  bind4: ['cgroup_inet4_bind', SOCK_ADDR4, true, [4, 17]],
  bind6: ['cgroup_inet6_bind', SOCK_ADDR6, true, [4, 17]],
  connect4: ['cgroup_inet4_connect', SOCK_ADDR4, true, [4, 17]],
  connect6: ['cgroup_inet6_connect', SOCK_ADDR6, true, [4, 17]],
  sendmsg4: ['cgroup_udp4_sendmsg', SOCK_ADDR4_SENDMSG, true, [4, 18]],
  sendmsg6: ['cgroup_udp6_sendmsg', SOCK_ADDR6_SENDMSG, true, [4, 18]],
  recvmsg4: ['cgroup_udp4_recvmsg', SOCK_ADDR4, false, [5, 2]],
  recvmsg6: ['cgroup_udp6_recvmsg', SOCK_ADDR6, false, [5, 2]],
  getpeername4: ['cgroup_inet4_getpeername', SOCK_ADDR4, false, [5, 8]],
  getpeername6: ['cgroup_inet6_getpeername', SOCK_ADDR6, false, [5, 8]],
  getsockname4: ['cgroup_inet4_getsockname', SOCK_ADDR4, false, [5, 8]],
  getsockname6: ['cgroup_inet6_getsockname', SOCK_ADDR6, false, [5, 8]],
} as const
type AddressHook = keyof typeof ADDR_HOOKS
/** Hooks that only rewrite have one return code. */
export type AddressCode<H extends AddressHook> = (typeof ADDR_HOOKS)[H][2] extends true ? Verdict : typeof ALLOW_ONLY
const ALLOW_ONLY = new ReturnCode<'allow'>('ALLOW', 1)

export class CgroupSockAddrBody<H extends AddressHook> extends TaskBody<AddressCode<H>> {
  readonly ALLOW: AddressCode<H>
  readonly REJECT: (typeof ADDR_HOOKS)[H][2] extends true ? Verdict : undefined
  /** The context's fields. */
  readonly ctx: ContextView<(typeof ADDR_HOOKS)[H][1]>
  constructor(fn: FunctionContext, context: Operand, hook: H) {
    super()
    const [, fields, rejects] = ADDR_HOOKS[hook]
    this.ctx = contextView(fn, context, fields as (typeof ADDR_HOOKS)[H][1])
    this.ALLOW = (rejects ? ALLOW : ALLOW_ONLY) as AddressCode<H>
    this.REJECT = (rejects ? REJECT : undefined) as never
  }
  /** The socket (Linux 5.8). */
  socket(): Maybe<Socket> {
    return contextFullSocket(here('b.socket'), this[CONTEXT](), SOCK_ADDR_SOCKET)
  }
  /** A number that is the socket's own as long as it lives (Linux 5.8 here). */
  socketCookie(): Int<'u64'> {
    return cookie(this[CONTEXT]())
  }
  /** Sets a 32-bit socket option, as setsockopt(2) (Linux 5.8). 0 or a negative errno. */
  setSockopt(level: number, option: number, value: Like<'u32'>): Int<'i64'> {
    return setSockopt(this[CONTEXT](), level, option, value)
  }
}
/**
 * Addresses that a cgroup's sockets bind to, connect to, send to, or are told of: they can be rewritten. The hooks of
 * bind, connect and sendmsg may also reject.
 */
export function cgroupSockAddr<H extends AddressHook>(
  name: string,
  options: ProgramOptions & { readonly hook: H },
  build: (b: CgroupSockAddrBody<H>) => AddressCode<H>,
): BpfProgram<'cgroup_sock_addr'> {
  const [attachType, , , since] = ADDR_HOOKS[options.hook]
  return define(
    {
      kind: 'cgroup_sock_addr',
      type: 'cgroup_sock_addr',
      attachType,
      section: `cgroup/${options.hook}`,
      contextType: 'bpf_sock_addr',
      attach: CGROUP,
      since,
      body: (fn, context) => new CgroupSockAddrBody<H>(fn, context, options.hook),
    },
    name,
    options,
    build,
  )
}

const cookie = (context: Operand): Int<'u64'> => {
  const fn = here('b.socketCookie')
  return new Int(u64, fn.emitter.call(helper('get_socket_cookie'), [context]), fn)
}
function setSockopt(context: Operand, level: number, option: number, value: Like<'u32'>): Int<'i64'> {
  const fn = here('b.setSockopt')
  const from = materialize(fn, u32, value, 'socket option')
  return call('b.setSockopt', 'setsockopt', context, constant(level), constant(option), from, constant(4))
}

/** What `b.ctx.op` says (BPF_SOCK_OPS_* of include/uapi/linux/bpf.h). */
const SOCK_OPS_EVENTS = {
  TIMEOUT_INIT: 1,
  RWND_INIT: 2,
  TCP_CONNECT: 3,
  ACTIVE_ESTABLISHED: 4,
  PASSIVE_ESTABLISHED: 5,
  NEEDS_ECN: 6,
  BASE_RTT: 7,
  RTO: 8,
  RETRANS: 9,
  STATE: 10,
  TCP_LISTEN: 11,
  RTT: 12,
  PARSE_HDR_OPT: 13,
  HDR_OPT_LEN: 14,
  WRITE_HDR_OPT: 15,
} as const
/** Events that a socket reports only when it is asked to (BPF_SOCK_OPS_*_CB_FLAG). */
const CALLBACKS = {
  rto: 1,
  retrans: 2,
  state: 4,
  rtt: 8,
  parseAllHeaderOptions: 16,
  parseUnknownHeaderOptions: 32,
  writeHeaderOptions: 64,
} as const

export class SockOpsBody extends VerdictBody<typeof SOCK_OPS> {
  /** Events by name, for `b.ctx.op`. */
  readonly EVENT: typeof SOCK_OPS_EVENTS = SOCK_OPS_EVENTS
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SOCK_OPS)
  }
  /** The socket, where there is a full one (Linux 5.3). */
  socket(): Maybe<Socket> {
    return contextFullSocket(here('b.socket'), this[CONTEXT](), SOCK_OPS_SOCKET)
  }
  socketCookie(): Int<'u64'> {
    return cookie(this[CONTEXT]())
  }
  /** Which further events this socket reports: `b.setCallbacks(['rtt', 'state'])`, or the flags as a number. Linux 4.16. */
  setCallbacks(events: Like<'u32'> | readonly (keyof typeof CALLBACKS)[]): Int<'i64'> {
    const fn = here('b.setCallbacks')
    const flags = Array.isArray(events)
      ? (events as (keyof typeof CALLBACKS)[]).reduce((sum, name) => sum | CALLBACKS[name], 0)
      : (events as Like<'u32'>)
    return call('b.setCallbacks', 'sock_ops_cb_flags_set', this[CONTEXT](), operandOf(fn, u32, flags))
  }
  /** Sets a 32-bit socket option, as setsockopt(2). 0 or a negative errno. Linux 4.13. */
  setSockopt(level: number, option: number, value: Like<'u32'>): Int<'i64'> {
    return setSockopt(this[CONTEXT](), level, option, value)
  }
}
/** Events of a cgroup's TCP sockets. */
export function sockOps(
  name: string,
  build: (b: SockOpsBody) => Verdict,
  options: ProgramOptions = {},
): BpfProgram<'sock_ops'> {
  return define(
    {
      kind: 'sock_ops',
      type: 'sock_ops',
      attachType: 'cgroup_sock_ops',
      section: 'sockops',
      contextType: 'bpf_sock_ops',
      attach: CGROUP,
      body: (fn, context) => new SockOpsBody(fn, context),
    },
    name,
    options,
    build,
  )
}

/** A cgroup kind with typed fields and nothing to choose. */
function cgroupKind<K extends string, C extends ContextFields, B extends CgroupBody<C> = CgroupBody<C>>(
  kind: K,
  row: {
    readonly type: ProgramType
    readonly attachType: AttachType
    readonly section: string
    readonly contextType: string
    readonly fields: C
    readonly body?: (fn: FunctionContext, context: Operand) => B
  },
): (name: string, build: (b: B) => Verdict, options?: ProgramOptions) => BpfProgram<K> {
  const body = row.body ?? ((fn, context) => new CgroupBody(fn, context, row.fields) as B)
  return (name, build, options = {}) => define({ ...row, kind, attach: CGROUP, body }, name, options, build)
}
/** Access to device nodes from a cgroup. */
export const cgroupDevice = cgroupKind('cgroup_device', {
  type: 'cgroup_device',
  attachType: 'cgroup_device',
  section: 'cgroup/dev',
  contextType: 'bpf_cgroup_dev_ctx',
  fields: CGROUP_DEVICE,
})
/** Reads and writes of sysctl files from a cgroup. */
export class CgroupSysctlBody extends CgroupBody<typeof CGROUP_SYSCTL> {
  /** The file's name below /proc/sys ("net/ipv4/tcp_mem"); the answer is its length or a negative errno. */
  sysctlName(into: BytesView<number, 'shared'>, options: { readonly lastPartOnly?: boolean } = {}): Int<'i64'> {
    const fn = here('b.sysctlName')
    const place = placeOf(into)
    const to = fn.emitter.address(place.base, place.offset)
    const flags = constant(options.lastPartOnly ? 1 : 0)
    const raw = fn.emitter.call(helper('sysctl_get_name'), [this[CONTEXT](), to, constant(into.length), flags])
    fn.emitter.touch(place.region)
    return new Int(i64, raw, fn)
  }
}
export const cgroupSysctl = cgroupKind('cgroup_sysctl', {
  type: 'cgroup_sysctl',
  attachType: 'cgroup_sysctl',
  section: 'cgroup/sysctl',
  contextType: 'bpf_sysctl',
  fields: CGROUP_SYSCTL,
  body: (fn, context) => new CgroupSysctlBody(fn, context, CGROUP_SYSCTL),
})
/** Socket options of a cgroup's sockets: the option's bytes are in `value`. */
export class CgroupSockoptBody<C extends ContextFields> extends CgroupBody<C> {
  /** The option's value: {@link Packet.at} gives what is inside it. */
  readonly value: Packet<'write'>
  constructor(fn: FunctionContext, context: Operand, fields: C) {
    super(fn, context, fields)
    this.value = new Packet(fn, context, { data: 8, dataEnd: 16, size: 8 })
  }
}
/** getsockopt(2) of a cgroup's sockets, behind the kernel's own answer (Linux 5.3). */
export const cgroupGetsockopt = cgroupKind('cgroup_getsockopt', {
  type: 'cgroup_sockopt',
  attachType: 'cgroup_getsockopt',
  section: 'cgroup/getsockopt',
  contextType: 'bpf_sockopt',
  fields: CGROUP_GETSOCKOPT,
  body: (fn, context) => new CgroupSockoptBody(fn, context, CGROUP_GETSOCKOPT),
})
/** setsockopt(2) of a cgroup's sockets, before the kernel's own work (Linux 5.3). */
export const cgroupSetsockopt = cgroupKind('cgroup_setsockopt', {
  type: 'cgroup_sockopt',
  attachType: 'cgroup_setsockopt',
  section: 'cgroup/setsockopt',
  contextType: 'bpf_sockopt',
  fields: CGROUP_SETSOCKOPT,
  body: (fn, context) => new CgroupSockoptBody(fn, context, CGROUP_SETSOCKOPT),
})
