import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { type Type, u32 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import type { Maybe } from '../values/maybe.ts'
import { CONTEXT } from '../values/place.ts'
import type { Socket } from '../values/socket.ts'
import type { InitOf, StructView, View } from '../values/views.ts'
import { Body } from './body.ts'
import type { ContextField } from './context.ts'
import { XDP_DEVMAP_MD, XDP_MD } from './contexts.ts'
import { define, split } from './define.ts'
import { type FibLookup, fibLookup } from './fib.ts'
import type { Gated, Only } from './gates.ts'
import { helper } from './helper-calls.ts'
import { Packet } from './packet.ts'
import { bytesOperand, type ChecksumDiff, changing, checksumDiff, loadBytes, storeBytes } from './packet-calls.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'
import { type SocketTuple, withSocket } from './socket-lookup.ts'

export type XdpCode = ReturnCode<'xdp'>
const ABORTED = new ReturnCode<'xdp'>('ABORTED', 0)
const DROP = new ReturnCode<'xdp'>('DROP', 1)
const PASS = new ReturnCode<'xdp'>('PASS', 2)
const TX = new ReturnCode<'xdp'>('TX', 3)
const REDIRECT = new ReturnCode<'xdp'>('REDIRECT', 4)

/** struct xdp_md (include/uapi/linux/bpf.h): where its pointers are, in bytes. */
const MD = { data: 0, dataEnd: 4, dataMeta: 8 } as const

/** What an XDP program works with. */
export class XdpBody extends Body<XdpCode | Int<'u32'>> {
  /** An error: the packet is dropped and a tracepoint fires. */
  readonly ABORTED: XdpCode = ABORTED
  readonly DROP: XdpCode = DROP
  readonly PASS: XdpCode = PASS
  /** Out again where it came in. */
  readonly TX: XdpCode = TX
  /** As a redirect helper said. */
  readonly REDIRECT: XdpCode = REDIRECT
  readonly packet: Packet<'write'>
  /** Bytes in front of the packet for tc programs and AF_XDP, made by {@link adjustMeta}. */
  readonly metadata: Packet<'write'>

  constructor(fn: FunctionContext, context: Operand) {
    super()
    this.packet = new Packet(fn, context, MD)
    this.metadata = new Packet(fn, context, { data: MD.dataMeta, dataEnd: MD.data })
  }
  protected field({ offset }: ContextField<typeof u32>): Int<'u32'> {
    const fn = here('a context field')
    return new Int(u32, fn.emitter.load('ctx', 4, this[CONTEXT](), offset), fn)
  }
  /** The interface the packet came in on. */
  get ingressIfindex(): Int<'u32'> {
    return this.field(XDP_MD.ingressIfindex)
  }
  get rxQueueIndex(): Int<'u32'> {
    return this.field(XDP_MD.rxQueueIndex)
  }

  /** Moves the packet's start: below 0 makes room for a header, above 0 takes one away. 0 or a negative errno. Linux 4.10. */
  adjustHead(bytes: number | Int<'i32'>): Int<'i64'> {
    return changing('b.adjustHead', 'xdp_adjust_head', this[CONTEXT](), bytesOperand(here('b.adjustHead'), bytes))
  }
  /** Moves the packet's end: below 0 cuts, above 0 grows (Linux 5.8). 0 or a negative errno. Linux 4.18. */
  adjustTail(bytes: number | Int<'i32'>): Int<'i64'> {
    return changing('b.adjustTail', 'xdp_adjust_tail', this[CONTEXT](), bytesOperand(here('b.adjustTail'), bytes))
  }
  /** Moves the start of the metadata in front of the packet: below 0 makes room. 0 or a negative errno. Linux 4.15. */
  adjustMeta(bytes: number | Int<'i32'>): Int<'i64'> {
    return changing('b.adjustMeta', 'xdp_adjust_meta', this[CONTEXT](), bytesOperand(here('b.adjustMeta'), bytes))
  }
  /** All of the packet's bytes, those behind the first buffer too (Linux 5.18). */
  totalLength(): Int<'u32'> {
    const fn = here('b.totalLength')
    return new Int(u32, fn.emitter.zext(32, fn.emitter.call(helper('xdp_get_buff_len'), [this[CONTEXT]()])), fn)
  }
  /** Copies packet bytes at an offset, from any buffer (Linux 5.18). */
  load<T extends Type>(offset: Like<'u32'>, type: T): Maybe<View<T, 'shared'>> {
    return loadBytes(here('b.load'), 'xdp_load_bytes', this[CONTEXT](), offset, type)
  }
  /** Writes a value into the packet at an offset, in any buffer (Linux 5.18). 0 or a negative errno. */
  store<T extends Type>(offset: Like<'u32'>, type: T, value: InitOf<T>): Int<'i64'> {
    return storeBytes(here('b.store'), 'xdp_store_bytes', this[CONTEXT](), offset, type, value, undefined)
  }
  /** The unfolded sum of 16-bit words: what `to` has more than `from` ({@link checksumFold}). Linux 4.6. */
  checksumDiff(diff: ChecksumDiff): Int<'i64'> {
    return checksumDiff(diff)
  }
  /** Sends the packet out at an interface; the answer is the return code. Maps ({@link map.devmap}) are faster. Linux 4.14. */
  redirect(ifindex: Like<'u32'>): Int<'u32'> {
    const fn = here('b.redirect')
    const raw = fn.emitter.call(helper('redirect'), [operandOf(fn, u32, ifindex), constant(0)])
    return new Int(u32, fn.emitter.zext(32, raw), fn)
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
  /** Asks the routing table ({@link FibLookup}); the answer is BPF_FIB_LKUP_RET_* (0: found). Linux 4.18. */
  fibLookup(params: StructView<typeof FibLookup.fields, 'shared'>, flags = 0): Int<'i64'> {
    return fibLookup(this[CONTEXT](), params, flags)
  }
}

export interface XdpOptions extends ProgramOptions {
  /** The program takes packets in several buffers (Linux 5.18). */
  readonly frags?: boolean
}

type XdpBuild<B> = (b: B) => XdpCode | Int<'u32'>

function xdpKind<B extends XdpBody>(
  row: { readonly hook: '' | '/devmap' | '/cpumap'; readonly attachType: 'xdp' | 'xdp_devmap' | 'xdp_cpumap' },
  body: (fn: FunctionContext, context: Operand) => B,
) {
  return (name: string, first: XdpOptions | XdpBuild<B>, last?: XdpBuild<B>): BpfProgram<'xdp'> => {
    const [options, build] = split<XdpOptions, XdpBuild<B>>(first, last)
    return define(
      {
        kind: 'xdp',
        type: 'xdp',
        attachType: row.attachType,
        section: `xdp${options.frags ? '.frags' : ''}${row.hook}`,
        flags: options.frags ? ['xdp_has_frags'] : [],
        contextType: 'xdp_md',
        ...(row.hook === '' ? { attach: { kind: 'xdp' } as const } : {}),
        since: options.frags ? [5, 18] : row.hook === '/devmap' ? [5, 8] : row.hook === '/cpumap' ? [5, 9] : [4, 8],
        body,
      },
      name,
      options,
      build,
    )
  }
}
interface XdpKind<B> {
  (name: string, build: XdpBuild<B>): BpfProgram<'xdp'>
  <const O extends XdpOptions>(
    name: string,
    options: Only<O, XdpOptions>,
    build: XdpBuild<Gated<B, O>>,
  ): BpfProgram<'xdp'>
}

/** A program that sees each packet as the driver receives it: `xdp('name', (b) => { …; return b.PASS })`. */
export const xdp: XdpKind<XdpBody> = xdpKind({ hook: '', attachType: 'xdp' }, (fn, context) => new XdpBody(fn, context))

/** What a program of a device map's entry works with. */
export class XdpDevmapBody extends XdpBody {
  /** The interface that the packet goes out at. */
  get egressIfindex(): Int<'u32'> {
    return this.field(XDP_DEVMAP_MD.egressIfindex)
  }
}
/** A program of a device map's entry: it runs where the packet goes out (Linux 5.8). */
export const xdpDevmap: XdpKind<XdpDevmapBody> = xdpKind(
  { hook: '/devmap', attachType: 'xdp_devmap' },
  (fn, context) => new XdpDevmapBody(fn, context),
)
/** A program of a CPU map's entry: it runs on the CPU that the packet was sent to (Linux 5.9). */
export const xdpCpumap: XdpKind<XdpBody> = xdpKind(
  { hook: '/cpumap', attachType: 'xdp_cpumap' },
  (fn, context) => new XdpBody(fn, context),
)
