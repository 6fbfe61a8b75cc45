import { here } from '../context.ts'
import { constant } from '../ir/ops.ts'
import { i32, type Type, u16, u32, u64 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import type { Maybe } from '../values/maybe.ts'
import { CONTEXT } from '../values/place.ts'
import { contextSocket, POINTER, type Socket, type SocketCommon } from '../values/socket.ts'
import type { InitOf, StructView, View } from '../values/views.ts'
import { SK_BUFF_TC } from './contexts.ts'
import { define, split } from './define.ts'
import { type FibLookup, fibLookup } from './fib.ts'
import { SKB_SOCKET, SkbBody } from './fields.ts'
import type { Gated, Only } from './gates.ts'
import { call, helper } from './helper-calls.ts'
import {
  bytesOperand,
  type ChecksumChange,
  type ChecksumDiff,
  changing,
  checksumDiff,
  loadBytes,
  replaceChecksum,
  storeBytes,
} from './packet-calls.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'
import { type SocketTuple, withSocket } from './socket-lookup.ts'

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

  /** Makes the first `bytes` of the packet readable directly (0: all of the linear part writable); all earlier headers are gone. Linux 4.9. */
  pull(bytes: Like<'u32'>): Int<'i64'> {
    return changing('b.pull', 'skb_pull_data', this[CONTEXT](), operandOf(here('b.pull'), u32, bytes))
  }
  /** Sends the packet out (or in) at another interface; the answer is the return code. */
  redirect(ifindex: Like<'u32'>, ingress = false): Int<'i32'> {
    const fn = here('b.redirect')
    const raw = fn.emitter.call(helper('redirect'), [operandOf(fn, u32, ifindex), constant(ingress ? 1 : 0)])
    return new Int(i32, fn.emitter.zext(32, raw), fn)
  }
  /** As {@link redirect}, straight into the peer of a veth in another namespace (ingress only, Linux 5.10). */
  redirectPeer(ifindex: Like<'u32'>): Int<'i32'> {
    const fn = here('b.redirectPeer')
    const raw = fn.emitter.call(helper('redirect_peer'), [operandOf(fn, u32, ifindex), constant(0)])
    return new Int(i32, fn.emitter.zext(32, raw), fn)
  }
  /** As {@link redirect}, the addresses filled in by the neighbour table (Linux 5.10). */
  redirectNeigh(ifindex: Like<'u32'>): Int<'i32'> {
    const fn = here('b.redirectNeigh')
    const args = [operandOf(fn, u32, ifindex), constant(0), constant(0), constant(0)]
    return new Int(i32, fn.emitter.zext(32, fn.emitter.call(helper('redirect_neigh'), args)), fn)
  }
  /** Sends a copy to another interface; this packet goes on. 0 or a negative errno. Linux 4.2. */
  cloneRedirect(ifindex: Like<'u32'>, ingress = false): Int<'i64'> {
    const fn = here('b.cloneRedirect')
    const args = [operandOf(fn, u32, ifindex), constant(ingress ? 1 : 0)] as const
    return changing('b.cloneRedirect', 'clone_redirect', this[CONTEXT](), ...args)
  }
  /** Copies packet bytes at an offset, from any part of the packet. */
  load<T extends Type>(offset: Like<'u32'>, type: T): Maybe<View<T, 'shared'>> {
    return loadBytes(here('b.load'), 'skb_load_bytes', this[CONTEXT](), offset, type)
  }
  /** Writes a value into the packet at an offset; `recompute` keeps the buffer's own checksum right. 0 or a negative errno. */
  store<T extends Type>(offset: Like<'u32'>, type: T, value: InitOf<T>, options: StoreOptions = {}): Int<'i64'> {
    const flags = (options.recompute ? 1 : 0) | (options.invalidateHash ? 2 : 0)
    return storeBytes(here('b.store'), 'skb_store_bytes', this[CONTEXT](), offset, type, value, flags)
  }
  /**
   * Brings the IP checksum at a packet offset up to date: `from` became `to`, 16 or 32 bits in network order; or a sum of
   * {@link checksumDiff} as `to` alone. 0 or a negative errno.
   */
  replaceL3Checksum(offset: Like<'u32'>, change: ChecksumChange): Int<'i64'> {
    return replaceChecksum('l3_csum_replace', this[CONTEXT](), offset, change, 0)
  }
  /** The same for TCP and UDP: `pseudo` when the change is an address (part of the pseudo header), `udp` keeps 0 as no checksum. */
  replaceL4Checksum(
    offset: Like<'u32'>,
    change: ChecksumChange & { readonly pseudo?: boolean; readonly udp?: boolean },
  ): Int<'i64'> {
    const flags = (change.pseudo ? 0x10 : 0) | (change.udp ? 0x20 : 0)
    return replaceChecksum('l4_csum_replace', this[CONTEXT](), offset, change, flags)
  }
  /** The unfolded sum of 16-bit words: what `to` has more than `from` ({@link checksumFold}). Linux 4.6. */
  checksumDiff(diff: ChecksumDiff): Int<'i64'> {
    return checksumDiff(diff)
  }
  /** Makes the packet this long: cut, or grown by zeros. 0 or a negative errno. Linux 4.9. */
  changeTail(length: Like<'u32'>): Int<'i64'> {
    const fn = here('b.changeTail')
    return changing('b.changeTail', 'skb_change_tail', this[CONTEXT](), operandOf(fn, u32, length), constant(0))
  }
  /** Makes room in front of the packet. 0 or a negative errno. Linux 4.10. */
  changeHead(bytes: Like<'u32'>): Int<'i64'> {
    const fn = here('b.changeHead')
    return changing('b.changeHead', 'skb_change_head', this[CONTEXT](), operandOf(fn, u32, bytes), constant(0))
  }
  /** Grows or shrinks the packet behind its Ethernet ('mac') or IP ('net') header. 0 or a negative errno. Linux 4.13, 'mac' 5.0. */
  adjustRoom(bytes: number | Int<'i32'>, mode: 'net' | 'mac', flags = 0): Int<'i64'> {
    const fn = here('b.adjustRoom')
    if (mode === 'mac') fn.unit.need(5, 0, "adjustRoom with 'mac'")
    const args = [bytesOperand(fn, bytes), constant(mode === 'mac' ? 1 : 0), constant(flags)] as const
    return changing('b.adjustRoom', 'skb_adjust_room', this[CONTEXT](), ...args)
  }
  /** Changes the packet between IPv4 (0x0800) and IPv6 (0x86dd). 0 or a negative errno. Linux 4.8. */
  changeProtocol(protocol: 0x0800 | 0x86dd): Int<'i64'> {
    const swapped = ((protocol & 0xff) << 8) | (protocol >> 8)
    return changing('b.changeProtocol', 'skb_change_proto', this[CONTEXT](), constant(swapped), constant(0))
  }
  /** Adds a VLAN tag. 0 or a negative errno. Linux 4.3. */
  vlanPush(tci: Like<'u16'>, protocol: 0x8100 | 0x88a8 = 0x8100): Int<'i64'> {
    const fn = here('b.vlanPush')
    const swapped = ((protocol & 0xff) << 8) | (protocol >> 8)
    return changing('b.vlanPush', 'skb_vlan_push', this[CONTEXT](), constant(swapped), operandOf(fn, u16, tci))
  }
  /** Takes the VLAN tag away. 0 or a negative errno. Linux 4.3. */
  vlanPop(): Int<'i64'> {
    return changing('b.vlanPop', 'skb_vlan_pop', this[CONTEXT]())
  }
  /** Sets the type of the packet: 0 to this host, 1 broadcast, 2 multicast, 3 to another host. Linux 4.8. */
  changeType(type: Like<'u32'>): Int<'i64'> {
    return call('b.changeType', 'skb_change_type', this[CONTEXT](), operandOf(here('b.changeType'), u32, type))
  }
  /** The flow's hash, computed when it is not known yet. Linux 4.8. */
  flowHash(): Int<'u32'> {
    const fn = here('b.flowHash')
    return new Int(u32, fn.emitter.zext(32, fn.emitter.call(helper('get_hash_recalc'), [this[CONTEXT]()])), fn)
  }
  /** The packet's mark of congestion (ECN CE); false when the packet cannot carry it. Linux 5.1. */
  markCongestion(): Bool {
    const fn = here('b.markCongestion')
    const a = fn.emitter.call(helper('skb_ecn_set_ce'), [this[CONTEXT]()])
    return new Bool({ kind: 'compare', cmp: 'ne', width: 64, a, b: constant(0), site: fn.emitter.site }, fn)
  }
  /** When the packet leaves (fq qdisc; ns of CLOCK_MONOTONIC by default). Linux 5.18; before, write `b.ctx.tstamp`. */
  setDepartureTime(ns: Like<'u64'>): Int<'i64'> {
    const fn = here('b.setDepartureTime')
    return call('b.setDepartureTime', 'skb_set_tstamp', this[CONTEXT](), operandOf(fn, u64, ns), constant(1))
  }
  /** The id of the cgroup of the packet's socket (egress; Linux 4.18). */
  packetCgroupId(): Int<'u64'> {
    const fn = here('b.packetCgroupId')
    return new Int(u64, fn.emitter.call(helper('skb_cgroup_id'), [this[CONTEXT]()]), fn)
  }
  /**
   * Finds a TCP socket and runs `found` with it; the reference is given back on every path. `missing` runs when there is
   * none. Linux 4.20.
   */
  withTcpSocket(tuple: SocketTuple, found: (socket: Socket) => void, missing?: () => void): void {
    withSocket(this[CONTEXT](), 'sk_lookup_tcp', tuple, found, missing)
  }
  /** The same for UDP. */
  withUdpSocket(tuple: SocketTuple, found: (socket: Socket) => void, missing?: () => void): void {
    withSocket(this[CONTEXT](), 'sk_lookup_udp', tuple, found, missing)
  }
  /** Gives the packet to a socket instead of the one that its addresses say (ingress, Linux 5.7). 0 or a negative errno. */
  assign(socket: Socket): Int<'i64'> {
    const fn = here('b.assign')
    const to = socket[POINTER]
    return call('b.assign', 'sk_assign', this[CONTEXT](), fn.reach(to.fn, to.operand), constant(0))
  }
  /** Asks the routing table ({@link FibLookup}); the answer is BPF_FIB_LKUP_RET_* (0: found). Linux 4.18. */
  fibLookup(params: StructView<typeof FibLookup.fields, 'shared'>, flags = 0): Int<'i64'> {
    return fibLookup(this[CONTEXT](), params, flags)
  }
  /** The packet's socket (Linux 5.1). */
  socket(): Maybe<SocketCommon> {
    return contextSocket(here('b.socket'), this[CONTEXT](), SKB_SOCKET)
  }
}
export interface StoreOptions {
  /** BPF_F_RECOMPUTE_CSUM */
  readonly recompute?: boolean
  /** BPF_F_INVALIDATE_HASH */
  readonly invalidateHash?: boolean
}

/** A traffic-control program for clsact or tcx: `tc('name', (b) => b.OK)`. */
export function tc(name: string, build: (b: TcBody) => TcCode | Int<'i32'>): BpfProgram<'tc'>
export function tc<const O extends ProgramOptions>(
  name: string,
  options: Only<O, ProgramOptions>,
  build: (b: Gated<TcBody, O>) => TcCode | Int<'i32'>,
): BpfProgram<'tc'>
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
export function tcx<const O extends TcxOptions>(
  name: string,
  options: Only<O, TcxOptions>,
  build: (b: Gated<TcBody, O>) => TcCode | Int<'i32'>,
): BpfProgram<'tcx'> {
  const { direction } = options
  return define(
    {
      kind: 'tcx',
      type: 'sched_cls',
      attachType: direction === 'ingress' ? 'tcx_ingress' : 'tcx_egress',
      section: `tcx/${direction}`,
      contextType: '__sk_buff',
      attach: { kind: 'tcx', direction },
      since: [6, 6],
      body: (fn, context) => new TcBody(fn, context, SK_BUFF_TC),
    },
    name,
    options,
    build,
  )
}
