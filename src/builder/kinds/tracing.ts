import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type LoadSize, type Operand } from '../ir/ops.ts'
import { unwritten } from '../maps/keys.ts'
import type { IntName } from '../types/forms.ts'
import { type IntType, i64, type Type, u32, u64 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { convert, Int, ownOperand } from '../values/int.ts'
import { Maybe } from '../values/maybe.ts'
import { PLACE } from '../values/place.ts'
import { type BytesView, type View, view } from '../values/views.ts'
import { Body } from './body.ts'
import { helper } from './helper-calls.ts'

/** What tracing programs have: the current task, reads of kernel and user memory. */
export abstract class TracingBody<R> extends Body<R> {
  /** tgid << 32 | pid of the current task (in kernel words; user space says process and thread). */
  pidTgid(): Int<'u64'> {
    const fn = here('b.pidTgid')
    const known = fn.emitter.known('pid_tgid')
    const raw = known ?? fn.emitter.call(helper('get_current_pid_tgid'), [], { pure: true })
    fn.emitter.remember('pid_tgid', raw)
    return new Int(u64, raw, fn)
  }
  /** The process's id (the kernel's tgid). */
  pid(): Int<'u32'> {
    const fn = here('b.pid')
    return new Int(u32, fn.emitter.alu('rsh', 64, this.pidTgid().operand, constant(32)), fn)
  }
  /** The thread's id (the kernel's pid). */
  tid(): Int<'u32'> {
    const fn = here('b.tid')
    return new Int(u32, fn.emitter.zext(32, this.pidTgid().operand), fn)
  }
  uid(): Int<'u32'> {
    const fn = here('b.uid')
    return new Int(u32, fn.emitter.zext(32, fn.emitter.call(helper('get_current_uid_gid'), [], { pure: true })), fn)
  }
  /** The name of the current task into a text field of at least 16 bytes. */
  comm(into: BytesView<number, 'shared'>): void {
    const fn = here('b.comm')
    const place = into[PLACE]
    fn.emitter.call(helper('get_current_comm'), [fn.emitter.address(place.base, place.offset), constant(into.length)], {
      result: false,
    })
    fn.emitter.touch(place.region)
  }
  /** The cgroup's id of the current task (cgroup v2). */
  cgroupId(): Int<'u64'> {
    const fn = here('b.cgroupId')
    return new Int(u64, fn.emitter.call(helper('get_current_cgroup_id'), [], { pure: true }), fn)
  }

  /** A value at a kernel address; missing when the address is bad. Linux 5.5. */
  readKernel<T extends Type>(type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
    return this.#read('probe_read_kernel', type, address)
  }
  /** A value at a user-space address of the current task; missing when the page is not there. Linux 5.5. */
  readUser<T extends Type>(type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
    return this.#read('probe_read_user', type, address)
  }
  #read<T extends Type>(name: string, type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
    const fn = here(name)
    fn.unit.need(5, 5, name)
    const base = unwritten(fn, type, `read by ${name}`)
    const result = fn.emitter.call(helper(name), [base, constant(type.size), ownOperand(fn, address)])
    const region = typeof base === 'object' && base.kind === 'frame' ? (`stack${base.slot.id}` as const) : 'map'
    const there = new Bool(
      { kind: 'compare', cmp: 'eq', width: 64, a: result, b: constant(0), site: fn.emitter.site },
      fn,
    )
    return new Maybe(fn, there, () => view<T, 'shared'>(type, { fn, region, base, offset: 0, access: 'shared' }))
  }
  /** A NUL-terminated string of user space into a text field; the answer is its length with the NUL, or a negative errno. */
  readUserText(into: BytesView<number, 'shared'>, address: Int<'u64'>): Int<'i64'> {
    return this.#text('probe_read_user_str', into, address)
  }
  /** A NUL-terminated string of the kernel into a text field; the answer is its length with the NUL, or a negative errno. */
  readKernelText(into: BytesView<number, 'shared'>, address: Int<'u64'>): Int<'i64'> {
    return this.#text('probe_read_kernel_str', into, address)
  }
  #text(name: string, into: BytesView<number, 'shared'>, address: Int<'u64'>): Int<'i64'> {
    const fn = here(name)
    fn.unit.need(5, 5, name)
    const place = into[PLACE]
    const to = fn.emitter.address(place.base, place.offset)
    const result = fn.emitter.call(helper(name), [to, constant(into.length), ownOperand(fn, address)])
    fn.emitter.touch(place.region)
    return new Int(i64, result, fn)
  }
  /** Sends a signal to the current process. Linux 5.3. */
  sendSignal(signal: number): Int<'i64'> {
    const fn = here('b.sendSignal')
    fn.unit.need(5, 3, 'sendSignal')
    return new Int(i64, fn.emitter.call(helper('send_signal'), [constant(signal)]), fn)
  }
}

/** A tracepoint: the fields of its event. */
export class TracepointBody<A> extends TracingBody<number | Int<'u32'>> {
  /** The event's fields, as its format file lists them. */
  readonly args: A
  constructor(args: A) {
    super()
    this.args = args
  }
}

/** Programs whose context is an array of 64-bit arguments (raw tracepoints, fentry, fexit, tp_btf, lsm). */
export class ArgumentsBody<R> extends TracingBody<R> {
  readonly #fn: FunctionContext
  readonly #context: Operand
  constructor(fn: FunctionContext, context: Operand) {
    super()
    this.#fn = fn
    this.#context = context
  }
  /** An argument by position as an integer of a type; pointers are u64. */
  arg<N extends IntName = 'u64'>(index: number, type?: IntType<N>): Int<N> {
    const fn = here('b.arg')
    if (!Number.isInteger(index) || index < 0 || index > 11)
      throw buildError('build.argument', `argument ${index}`, 'arguments are 0 to 11')
    const raw = this.#fn.emitter.load('ctx', 8, this.#context, 8 * index, { pointer: true })
    return new Int((type ?? u64) as IntType<N>, convert(fn.emitter, 'u64', (type ?? u64).id, raw), fn)
  }
}

/** pt_regs of x86-64: where the calling convention keeps arguments and result (arch/x86/include/asm/ptrace.h). */
const X86_ARGUMENTS = [112, 104, 96, 88, 72, 64] as const
const X86_RESULT = 80

/** Probes: the registers at the place. */
export class ProbeBody extends TracingBody<number | Int<'u32'>> {
  readonly #context: Operand
  constructor(context: Operand) {
    super()
    this.#context = context
  }
  #register(offset: number): Operand {
    return here('a register').emitter.load('ctx', 8 as LoadSize, this.#context, offset)
  }
  /** An argument of the probed function (0 to 5, x86-64). */
  arg<N extends IntName = 'u64'>(index: number, type?: IntType<N>): Int<N> {
    const fn = here('b.arg')
    const offset = X86_ARGUMENTS[index]
    if (offset === undefined) throw buildError('build.argument', `argument ${index}`, 'registers hold arguments 0 to 5')
    return new Int(
      (type ?? u64) as IntType<N>,
      convert(fn.emitter, 'u64', (type ?? u64).id, this.#register(offset)),
      fn,
    )
  }
}
/** Return probes. */
export class ReturnProbeBody extends TracingBody<number | Int<'u32'>> {
  readonly #context: Operand
  constructor(context: Operand) {
    super()
    this.#context = context
  }
  /** What the probed function returns (x86-64). */
  result<N extends IntName = 'u64'>(type?: IntType<N>): Int<N> {
    const fn = here('b.result')
    const raw = fn.emitter.load('ctx', 8, this.#context, X86_RESULT)
    return new Int((type ?? u64) as IntType<N>, convert(fn.emitter, 'u64', (type ?? u64).id, raw), fn)
  }
}
