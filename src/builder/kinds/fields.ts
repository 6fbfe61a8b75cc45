import type { AttachSpec } from '../../spec/index.ts'
import type { AttachType, ProgramType } from '../../uapi/index.ts'
import type { FunctionContext } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import type { Access } from '../values/place.ts'
import { Body } from './body.ts'
import { type ContextFields, type ContextView, contextView } from './context.ts'
import { define } from './define.ts'
import { Packet } from './packet.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'

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

/** A kind with typed fields, ALLOW and REJECT, and nothing to choose. */
export function verdictKind<K extends string, C extends ContextFields>(
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
