import type { FunctionContext } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import type { Access } from '../values/place.ts'
import { Body } from './body.ts'
import { type ContextFields, type ContextView, contextView } from './context.ts'
import { Packet } from './packet.ts'
import { ReturnCode } from './program.ts'

/** struct __sk_buff: where its socket is. */
export const SKB_SOCKET = 168
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
export const ALLOW: Verdict = new ReturnCode<'verdict'>('ALLOW', 1)
export const REJECT: Verdict = new ReturnCode<'verdict'>('REJECT', 0)

/** Programs that allow (1) or reject (0). */
export class VerdictBody<C extends ContextFields> extends FieldsBody<Verdict, C> {
  readonly ALLOW: Verdict = ALLOW
  readonly REJECT: Verdict = REJECT
}

/** Socket-buffer programs that may look at the packet's bytes. */
export class SkbBody<R, C extends ContextFields, A extends Access> extends FieldsBody<R, C> {
  readonly packet: Packet<A>
  constructor(fn: FunctionContext, context: Operand, fields: C) {
    super(fn, context, fields)
    this.packet = new Packet(fn, context, SKB_PACKET)
  }
}
