import type { FunctionContext } from '../context.ts'
import { here } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { constant } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import { formatString } from '../maps/strings.ts'
import { i64, u64 } from '../types/types.ts'
import type { PrintArguments } from '../values/format.ts'
import { convert, Int, ownOperand } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { CONTEXT, PLACE, type Place, placeOf } from '../values/place.ts'
import { type BytesView, typeOfView } from '../values/views.ts'
import { Body } from './body.ts'
import { NONE, SK_BUFF } from './contexts.ts'
import { define } from './define.ts'
import { FieldsBody } from './fields.ts'
import { helper } from './helper-calls.ts'
import { Packet } from './packet.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'
import { ArgumentsBody, ProbeBody, TracingBody } from './tracing.ts'

type Any = number | Int<'u32'>

export type NetfilterCode = ReturnCode<'netfilter'>
const NF_DROP = new ReturnCode<'netfilter'>('DROP', 0)
const NF_ACCEPT = new ReturnCode<'netfilter'>('ACCEPT', 1)
export class NetfilterBody extends Body<NetfilterCode> {
  readonly DROP: NetfilterCode = NF_DROP
  readonly ACCEPT: NetfilterCode = NF_ACCEPT
}
export interface NetfilterOptions extends ProgramOptions {
  readonly family: 'ipv4' | 'ipv6'
  readonly hook: 'prerouting' | 'input' | 'forward' | 'output' | 'postrouting'
  readonly priority: number
}
/** A netfilter hook (Linux 6.4). */
export function netfilter(
  name: string,
  options: NetfilterOptions,
  build: (b: NetfilterBody) => NetfilterCode,
): BpfProgram<'netfilter'> {
  const { family, hook, priority } = options
  return define(
    {
      kind: 'netfilter',
      type: 'netfilter',
      attachType: 'netfilter',
      section: 'netfilter',
      contextType: 'bpf_nf_ctx',
      attach: { kind: 'netfilter', family, hook, priority },
      since: [6, 4],
      body: () => new NetfilterBody(),
    },
    name,
    options,
    build,
  )
}

export type LwtCode = ReturnCode<'lwt'>
const LWT_OK = new ReturnCode<'lwt'>('OK', 0)
const LWT_DROP = new ReturnCode<'lwt'>('DROP', 2)
export class LwtBody extends FieldsBody<LwtCode, typeof SK_BUFF> {
  readonly OK: LwtCode = LWT_OK
  readonly DROP: LwtCode = LWT_DROP
  readonly packet: Packet<'read'>
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, SK_BUFF)
    this.packet = new Packet(fn, context, { data: 76, dataEnd: 80 })
  }
}
/** Lightweight tunnels: packets of a route, coming in, going out or transmitted (Linux 4.10). */
export function lwt(
  name: string,
  options: ProgramOptions & { readonly hook: 'in' | 'out' | 'xmit' },
  build: (b: LwtBody) => LwtCode,
): BpfProgram<'lwt'> {
  return define(
    {
      kind: 'lwt',
      type: `lwt_${options.hook}`,
      section: `lwt_${options.hook}`,
      contextType: '__sk_buff',
      body: (fn, context) => new LwtBody(fn, context),
    },
    name,
    options,
    build,
  )
}

export type FlowCode = ReturnCode<'flow'>
const FLOW_OK = new ReturnCode<'flow'>('OK', 0)
const FLOW_DROP = new ReturnCode<'flow'>('DROP', 2)
export class FlowBody extends FieldsBody<FlowCode, typeof NONE> {
  readonly OK: FlowCode = FLOW_OK
  readonly DROP: FlowCode = FLOW_DROP
  readonly packet: Packet<'read'>
  constructor(fn: FunctionContext, context: Operand) {
    super(fn, context, NONE)
    this.packet = new Packet(fn, context, { data: 76, dataEnd: 80 })
  }
}
/** Dissects packets to flow keys (Linux 4.20). */
export function flowDissector(
  name: string,
  build: (b: FlowBody) => FlowCode,
  options: ProgramOptions = {},
): BpfProgram<'flow_dissector'> {
  return define(
    {
      kind: 'flow_dissector',
      type: 'flow_dissector',
      attachType: 'flow_dissector',
      section: 'flow_dissector',
      contextType: '__sk_buff',
      attach: { kind: 'netns' },
      body: (fn, context) => new FlowBody(fn, context),
    },
    name,
    options,
    build,
  )
}

/** An iterator over kernel objects (Linux 5.8): `task`, `bpf_map`, `tcp` … The text goes to the reader of its file. */
export class IterBody extends TracingBody<Any> {
  #meta(): Operand {
    return here('b.meta').emitter.load('ctx', 8, this[CONTEXT](), 0, { pointer: true })
  }
  /** Whether this call is the last one, without an object. */
  object(): Int<'u64'> {
    const fn = here('b.object')
    return new Int(u64, fn.emitter.load('ctx', 8, this[CONTEXT](), 8, { pointer: true }), fn)
  }
  /** The object of this call as a typed pointer; missing in the last call. */
  item<F extends KernelFields>(type: KernelStruct<F>): Maybe<TrustedView<KernelStruct<F>>> {
    const fn = here('b.item')
    const raw = this.object().operand
    return new Maybe(fn, nullable(fn, raw), () => trustedAt(fn, type, raw))
  }
  /** How many objects there were before this one. */
  sequence(): Int<'u64'> {
    const fn = here('b.sequence')
    return new Int(u64, fn.emitter.load('kernel', 8, this.#meta(), 16), fn)
  }
  #reader(): Operand {
    return here('b.write').emitter.load('kernel', 8, this.#meta(), 0, { pointer: true })
  }
  /** Writes the bytes of a value to the reader: all of them, or the first `sizeBytes`. */
  write(view: { readonly [PLACE]: Place }, sizeBytes: number = typeOfView(view).size): Int<'i64'> {
    const fn = here('b.write')
    const place = placeOf(view)
    const from = fn.emitter.address(place.base, place.offset)
    return new Int(i64, fn.emitter.call(helper('seq_write'), [this.#reader(), from, constant(sizeBytes)]), fn)
  }
  /** Writes a line to the reader: `b.print('%d %s\n', task.tgid, task.comm)`. Texts are `%s`; twelve values at most. */
  print<const S extends string>(format: S, ...values: PrintArguments<S>): void {
    const fn = here('b.print')
    const { emitter } = fn
    const text = formatString(fn, format, values.length, { most: 12, texts: true })
    const slot = emitter.slot(Math.max(8, 8 * values.length), 8, 'printed values')
    const frame: Operand = { kind: 'frame', slot, offset: 0 }
    ;(values as readonly (Int | BytesView)[]).forEach((value, i) => {
      emitter.store(`stack${slot.id}`, 8, frame, 8 * i, printed(fn, value))
    })
    const args = [this.#reader(), text.address, constant(text.size), values.length > 0 ? frame : constant(0)]
    emitter.call(helper('seq_printf'), [...args, constant(8 * values.length)], { result: false })
  }
}
/** A value as a conversion takes it: 64 bits, signed ones extended; texts by their address. */
function printed(fn: FunctionContext, value: Int | BytesView): Operand {
  const { emitter } = fn
  if (value instanceof Int)
    return value.type.signed ? convert(emitter, value.type.id, 'i64', ownOperand(fn, value)) : ownOperand(fn, value)
  const { base, offset } = placeOf(value)
  return emitter.address(base, offset)
}
export function iter(
  name: string,
  options: ProgramOptions & { readonly over: string },
  build: (b: IterBody) => Any,
): BpfProgram<'iter'> {
  const { over } = options
  return define(
    {
      kind: 'iter',
      type: 'tracing',
      attachType: 'trace_iter',
      section: `iter/${over}`,
      contextType: 'void',
      attachTo: { name: over },
      attach: { kind: 'iter', target: over },
      since: [5, 8],
      body: () => new IterBody(),
    },
    name,
    options,
    build,
  )
}

/** Many kernel functions with one program (Linux 5.18): `pattern: 'tcp_*'`. */
export function kprobeMulti(
  name: string,
  options: ProgramOptions & { readonly pattern: string },
  build: (b: ProbeBody) => Any,
): BpfProgram<'kprobe_multi'> {
  return define(
    {
      kind: 'kprobe_multi',
      type: 'kprobe',
      attachType: 'trace_kprobe_multi',
      section: `kprobe.multi/${options.pattern}`,
      contextType: 'pt_regs',
      attach: { kind: 'kprobe_multi', pattern: options.pattern },
      since: [5, 18],
      body: () => new ProbeBody(),
    },
    name,
    options,
    build,
  )
}
/** Replaces a global function of a loaded program (Linux 5.6). */
export function freplace(
  name: string,
  options: ProgramOptions & { readonly function: string },
  build: (b: ArgumentsBody<Any>) => Any,
): BpfProgram<'freplace'> {
  return define(
    {
      kind: 'freplace',
      type: 'ext',
      section: `freplace/${options.function}`,
      contextType: 'void',
      attachTo: { name: options.function },
      attach: { kind: 'freplace', function: options.function },
      since: [5, 6],
      body: () => new ArgumentsBody<Any>(),
    },
    name,
    options,
    build,
  )
}
