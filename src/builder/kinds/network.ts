import type { FunctionContext } from '../context.ts'
import { here } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import type { Type } from '../types/types.ts'
import type { Int, Like } from '../values/int.ts'
import type { Maybe } from '../values/maybe.ts'
import { CONTEXT } from '../values/place.ts'
import type { View } from '../values/views.ts'
import { SK_BUFF, SK_LOOKUP, SK_MSG, SK_REUSEPORT } from './contexts.ts'
import { define } from './define.ts'
import { FieldsBody, verdictKind } from './fields.ts'
import { loadBytes } from './packet-calls.ts'
import type { BpfProgram, ProgramOptions } from './program.ts'

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
