import { type FunctionContext, here } from '../context.ts'
import type { LoadSize, Operand } from '../ir/ops.ts'
import { helper } from '../kinds/helper-calls.ts'
import type { IntName, WireName } from '../types/forms.ts'
import { be16, be32, type IntType, u32, u64, type WireType } from '../types/types.ts'
import { Int, Wire } from './int.ts'
import { Maybe, nullable } from './maybe.ts'

/** Members of struct bpf_sock and struct bpf_tcp_sock (include/uapi/linux/bpf.h): type and byte offset. */
const SOCK = {
  boundDevIf: [u32, 0],
  family: [u32, 4],
  type: [u32, 8],
  protocol: [u32, 12],
  mark: [u32, 16],
  priority: [u32, 20],
  srcIp4: [be32, 24],
  srcPort: [u32, 44],
  dstPort: [be16, 48],
  dstIp4: [be32, 52],
  state: [u32, 72],
  rxQueueMapping: [u32, 76],
} as const
/** What every socket has, request and time-wait sockets too. */
const COMMON = { boundDevIf: SOCK.boundDevIf, family: SOCK.family, state: SOCK.state } as const
const TCP = {
  sndCwnd: [u32, 0],
  srttUs: [u32, 4],
  rttMin: [u32, 8],
  sndSsthresh: [u32, 12],
  rcvNxt: [u32, 16],
  sndNxt: [u32, 20],
  sndUna: [u32, 24],
  mssCache: [u32, 28],
  ecnFlags: [u32, 32],
  rateDelivered: [u32, 36],
  rateIntervalUs: [u32, 40],
  packetsOut: [u32, 44],
  retransOut: [u32, 48],
  totalRetrans: [u32, 52],
  segsIn: [u32, 56],
  dataSegsIn: [u32, 60],
  segsOut: [u32, 64],
  dataSegsOut: [u32, 68],
  lostOut: [u32, 72],
  sackedOut: [u32, 76],
  bytesReceived: [u64, 80],
  bytesAcked: [u64, 88],
  dsackDups: [u32, 96],
  delivered: [u32, 100],
  deliveredCe: [u32, 104],
  icskRetransmits: [u32, 108],
} as const

type Table = { readonly [name: string]: readonly [type: IntType | WireType, offset: number] }
type Members<T extends Table> = {
  readonly [K in keyof T]: T[K][0] extends IntType<infer N extends IntName>
    ? Int<N>
    : T[K][0] extends WireType<infer W extends WireName>
      ? Wire<W>
      : never
}

/** The pointer of a kernel object that a program holds. @internal */
export const POINTER: unique symbol = Symbol('pointer')
/** An object of the kernel that helpers take. */
export interface KernelObject {
  readonly [POINTER]: { readonly fn: FunctionContext; readonly operand: Operand }
}

function members(fn: FunctionContext, operand: Operand, table: Table, more: object = {}): object {
  const out = Object.assign(Object.create(null), { [POINTER]: { fn, operand } }, more)
  for (const [name, [type, offset]] of Object.entries(table))
    Object.defineProperty(out, name, {
      enumerable: true,
      get() {
        const now = here(`socket.${name}`)
        const raw = now.emitter.load('kernel', type.size as LoadSize, now.reach(fn, operand), offset)
        return type.kind === 'int' ? new Int(type, raw, now) : new Wire(type, raw, now)
      },
    })
  return out
}

/** TCP's state of a socket. */
export type TcpSocket = KernelObject & Members<typeof TCP>
/** A socket of any state; `full()` gives the rest where there is more. */
export interface SocketCommon extends KernelObject, Members<typeof COMMON> {
  /** The full socket (tc and cgroup_skb programs; Linux 5.1). */
  full(): Maybe<Socket>
  /** TCP's part, missing for other protocols (Linux 5.1). */
  tcp(): Maybe<TcpSocket>
}
/** A full socket. */
export interface Socket extends KernelObject, Members<typeof SOCK> {
  /** TCP's part, missing for other protocols (tc, cgroup_skb, sock_ops, cgroup sockopt programs; Linux 5.1). */
  tcp(): Maybe<TcpSocket>
}

const tcpOf = (fn: FunctionContext, operand: Operand): Maybe<TcpSocket> => {
  const now = here('socket.tcp')
  const raw = now.emitter.call(helper('tcp_sock'), [now.reach(fn, operand)], { pure: true })
  return new Maybe(now, nullable(now, raw), () => members(now, raw, TCP) as TcpSocket)
}
/** @internal */
export function socketAt(fn: FunctionContext, operand: Operand): Socket {
  return members(fn, operand, SOCK, { tcp: () => tcpOf(fn, operand) }) as Socket
}
/** @internal */
export function socketCommonAt(fn: FunctionContext, operand: Operand): SocketCommon {
  return members(fn, operand, COMMON, {
    tcp: () => tcpOf(fn, operand),
    full: () => {
      const now = here('socket.full')
      const raw = now.emitter.call(helper('sk_fullsock'), [now.reach(fn, operand)], { pure: true })
      return new Maybe(now, nullable(now, raw), () => socketAt(now, raw))
    },
  }) as SocketCommon
}
/** A socket pointer in a context: missing where the packet or event has none. @internal */
export function contextSocket(fn: FunctionContext, context: Operand, offset: number): Maybe<SocketCommon> {
  const raw = fn.emitter.load('ctx', 8, context, offset, { pointer: true })
  return new Maybe(fn, nullable(fn, raw), () => socketCommonAt(fn, raw))
}
/** @internal */
export function contextFullSocket(fn: FunctionContext, context: Operand, offset: number): Maybe<Socket> {
  const raw = fn.emitter.load('ctx', 8, context, offset, { pointer: true })
  return new Maybe(fn, nullable(fn, raw), () => socketAt(fn, raw))
}
