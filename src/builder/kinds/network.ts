import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { type Type, u32 } from '../types/types.ts'
import { type Int, type Like, operandOf } from '../values/int.ts'
import type { Maybe } from '../values/maybe.ts'
import { CONTEXT } from '../values/place.ts'
import { contextFullSocket, type KernelObject, POINTER, type Socket } from '../values/socket.ts'
import type { View } from '../values/views.ts'
import type { ContextFields } from './context.ts'
import { SK_BUFF, SK_LOOKUP, SK_MSG, SK_REUSEPORT } from './contexts.ts'
import { define } from './define.ts'
import { FieldsBody } from './fields.ts'
import { call } from './helper-calls.ts'
import { Packet } from './packet.ts'
import { changing, loadBytes } from './packet-calls.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'

/** A classic socket filter: the answer is how many bytes to keep (0 drops). The packet is read by `load`. */
export class SocketFilterBody extends FieldsBody<number | Int<'u32'>, typeof SK_BUFF> {
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_BUFF)
  }
  /** Copies bytes at a packet offset into memory of its own; missing when the packet is shorter. */
  load<T extends Type>(offset: Like<'u32'>, type: T): Maybe<View<T, 'shared'>> {
    const fn = here('b.load')
    return loadBytes(fn, 'skb_load_bytes', this[CONTEXT](), offset, type)
  }
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

type SkVerdict = ReturnCode<'sk'>
const SK_PASS = new ReturnCode<'sk'>('PASS', 1)
const SK_DROP = new ReturnCode<'sk'>('DROP', 0)
/** Programs of sockets: PASS (1) or DROP (0), or what a redirect gave. */
class SkBody<C extends ContextFields> extends FieldsBody<SkVerdict | Int<'u32'>, C> {
  readonly PASS: SkVerdict = SK_PASS
  readonly DROP: SkVerdict = SK_DROP
}

/** struct sk_msg_md: where its socket is. */
const SK_MSG_SOCKET = 72
export class SkMsgBody extends SkBody<typeof SK_MSG> {
  /** The message's bytes in its first piece; {@link pull} makes more of them readable. */
  readonly packet: Packet<'write'>
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_MSG)
    this.packet = new Packet(fn, context, { data: 0, dataEnd: 8, size: 8 })
  }
  /** The socket that sends (Linux 5.8). */
  socket(): Maybe<Socket> {
    return contextFullSocket(here('b.socket'), this[CONTEXT](), SK_MSG_SOCKET)
  }
  /** Makes the bytes from `start` to `end` readable in one piece. 0 or a negative errno. */
  pull(start: Like<'u32'>, end: Like<'u32'>): Int<'i64'> {
    const fn = here('b.pull')
    const args = [operandOf(fn, u32, start), operandOf(fn, u32, end), constant(0)] as const
    return changing('b.pull', 'msg_pull_data', this[CONTEXT](), ...args)
  }
  /** The verdict holds for the next `bytes` bytes. */
  applyBytes(bytes: Like<'u32'>): Int<'i64'> {
    return call('b.applyBytes', 'msg_apply_bytes', this[CONTEXT](), operandOf(here('b.applyBytes'), u32, bytes))
  }
  /** The program runs again when `bytes` bytes are there. */
  corkBytes(bytes: Like<'u32'>): Int<'i64'> {
    return call('b.corkBytes', 'msg_cork_bytes', this[CONTEXT](), operandOf(here('b.corkBytes'), u32, bytes))
  }
}
/** Messages sent on sockets of a sockmap (Linux 4.17). */
export function skMsg(
  name: string,
  build: (b: SkMsgBody) => SkVerdict | Int<'u32'>,
  options: ProgramOptions = {},
): BpfProgram<'sk_msg'> {
  return define(
    {
      kind: 'sk_msg',
      type: 'sk_msg',
      attachType: 'sk_msg_verdict',
      section: 'sk_msg',
      contextType: 'sk_msg_md',
      since: [4, 17],
      body: (fn, context) => new SkMsgBody(fn, context),
    },
    name,
    options,
    build,
  )
}

export class SkSkbBody extends SkBody<typeof SK_BUFF> {
  readonly packet: Packet<'write'>
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_BUFF)
    this.packet = new Packet(fn, context, { data: 76, dataEnd: 80 })
  }
  /** Makes the first `bytes` readable directly. 0 or a negative errno. */
  pull(bytes: Like<'u32'>): Int<'i64'> {
    return changing('b.pull', 'skb_pull_data', this[CONTEXT](), operandOf(here('b.pull'), u32, bytes))
  }
}
/** Data that arrives at a sockmap's sockets (Linux 5.13); `stream` for messages as a {@link skSkbParser} cuts them (4.14). */
export function skSkbVerdict(
  name: string,
  build: (b: SkSkbBody) => SkVerdict | Int<'u32'>,
  options: ProgramOptions & { readonly stream?: boolean } = {},
): BpfProgram<'sk_skb'> {
  return define(
    {
      kind: 'sk_skb',
      type: 'sk_skb',
      attachType: options.stream ? 'sk_skb_stream_verdict' : 'sk_skb_verdict',
      section: options.stream ? 'sk_skb/stream_verdict' : 'sk_skb/verdict',
      contextType: '__sk_buff',
      since: options.stream ? [4, 14] : [5, 13],
      body: (fn, context) => new SkSkbBody(fn, context),
    },
    name,
    options,
    build,
  )
}
/** Where a message ends in the stream of a sockmap's sockets: its length, 0 for more data, or a negative errno (Linux 4.14). */
export function skSkbParser(
  name: string,
  build: (b: SkSkbBody) => number | Int<'u32'>,
  options: ProgramOptions = {},
): BpfProgram<'sk_skb'> {
  return define(
    {
      kind: 'sk_skb',
      type: 'sk_skb',
      attachType: 'sk_skb_stream_parser',
      section: 'sk_skb/stream_parser',
      contextType: '__sk_buff',
      since: [4, 14],
      body: (fn, context) => new SkSkbBody(fn, context),
    },
    name,
    options,
    build,
  )
}

export class SkLookupBody extends SkBody<typeof SK_LOOKUP> {
  /** Chooses the socket for the connection or datagram ({@link SocketMap.withSocket} finds one). 0 or a negative errno. */
  assign(socket: KernelObject, flags = 0): Int<'i64'> {
    const fn = here('b.assign')
    const to = socket[POINTER]
    return call('b.assign', 'sk_assign', this[CONTEXT](), fn.reach(to.fn, to.operand), constant(flags))
  }
}
/** Which socket gets a new connection or datagram (Linux 5.9). */
export function skLookup(
  name: string,
  build: (b: SkLookupBody) => SkVerdict | Int<'u32'>,
  options: ProgramOptions = {},
): BpfProgram<'sk_lookup'> {
  return define(
    {
      kind: 'sk_lookup',
      type: 'sk_lookup',
      attachType: 'sk_lookup',
      section: 'sk_lookup',
      contextType: 'bpf_sk_lookup',
      attach: { kind: 'netns' },
      since: [5, 9],
      body: (fn, context) => new SkLookupBody(fn, context, SK_LOOKUP),
    },
    name,
    options,
    build,
  )
}

export class SkReuseportBody extends SkBody<typeof SK_REUSEPORT> {
  readonly packet: Packet<'read'>
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_REUSEPORT)
    this.packet = new Packet(fn, context, { data: 0, dataEnd: 8, size: 8 })
  }
}
/** Which socket of a reuseport group gets a packet (Linux 4.19). */
export function skReuseport(
  name: string,
  build: (b: SkReuseportBody) => SkVerdict | Int<'u32'>,
  options: ProgramOptions = {},
): BpfProgram<'sk_reuseport'> {
  return define(
    {
      kind: 'sk_reuseport',
      type: 'sk_reuseport',
      attachType: 'sk_reuseport_select',
      section: 'sk_reuseport',
      contextType: 'sk_reuseport_md',
      attach: { kind: 'socket', reuseport: true },
      since: [4, 19],
      body: (fn, context) => new SkReuseportBody(fn, context),
    },
    name,
    options,
    build,
  )
}
