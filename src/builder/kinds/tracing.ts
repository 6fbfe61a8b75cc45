import { buildError, here } from '../context.ts'
import { constant, type LoadSize, type Operand } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import { type StackOptions, stackFlags } from '../maps/handles.ts'
import { unwritten } from '../maps/keys.ts'
import type { IntName } from '../types/forms.ts'
import { type IntType, i64, type Type, u64 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { convert, Int, ownOperand } from '../values/int.ts'
import { Maybe } from '../values/maybe.ts'
import { CONTEXT, placeOf } from '../values/place.ts'
import { type ArrayView, type BytesView, type View, view } from '../values/views.ts'
import { helper } from './helper-calls.ts'
import { TaskBody } from './task.ts'

/** Reads memory at an address into the stack. */
function readInto<T extends Type>(name: string, type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
  const fn = here(name)
  const base = unwritten(fn, type, `read by ${name}`)
  const result = fn.emitter.call(helper(name), [base, constant(type.size), ownOperand(fn, address)])
  const region = typeof base === 'object' && base.kind === 'frame' ? (`stack${base.slot.id}` as const) : 'map'
  const there = new Bool(
    { kind: 'compare', cmp: 'eq', width: 64, a: result, b: constant(0), site: fn.emitter.site },
    fn,
  )
  return new Maybe(fn, there, () => view<T, 'shared'>(type, { fn, region, base, offset: 0, access: 'shared' }))
}

/** What only sleepable programs have. */
export interface SleepableCalls {
  /** As `readUser`, bringing the page in when it is not there. Linux 5.10. */
  copyFromUser<T extends Type>(type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>>
}
const SLEEPABLE: SleepableCalls = {
  copyFromUser: (type, address) => readInto('copy_from_user', type, address),
}

/** What tracing programs have: reads of kernel and user memory, stacks. */
export abstract class TracingBody<R> extends TaskBody<R> {
  constructor() {
    super()
    // only sleepable programs see them ({@link Gated}); elsewhere the build says why not
    Object.assign(this, SLEEPABLE)
  }
  /** A value at a kernel address; missing when the address is bad. Linux 5.5. */
  readKernel<T extends Type>(type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
    return readInto('probe_read_kernel', type, address)
  }
  /** A value at a user-space address of the current task; missing when the page is not there. Linux 5.5. */
  readUser<T extends Type>(type: T, address: Int<'u64'>): Maybe<View<T, 'shared'>> {
    return readInto('probe_read_user', type, address)
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
    const place = placeOf(into)
    const to = fn.emitter.address(place.base, place.offset)
    const result = fn.emitter.call(helper(name), [to, constant(into.length), ownOperand(fn, address)])
    fn.emitter.touch(place.region)
    return new Int(i64, result, fn)
  }
  /** Copies the current stack's addresses, innermost first; the answer is how many bytes, or a negative errno. Linux 4.18. */
  stack(into: ArrayView<IntType<'u64'>, number, 'shared'>, options: StackOptions = {}): Int<'i64'> {
    const fn = here('b.stack')
    const place = placeOf(into)
    const to = fn.emitter.address(place.base, place.offset)
    const args = [this[CONTEXT](), to, constant(8 * into.length), constant(stackFlags(options))]
    const raw = fn.emitter.call(helper('get_stack'), args)
    fn.emitter.touch(place.region)
    return new Int(i64, raw, fn)
  }
  /** The number that the attachment gave (`cookie`); 0 without. Linux 5.15. */
  attachCookie(): Int<'u64'> {
    const fn = here('b.attachCookie')
    return new Int(u64, fn.emitter.call(helper('get_attach_cookie'), [this[CONTEXT]()], { pure: true }), fn)
  }
  /** The address of the probed function. Linux 5.15. */
  functionAddress(): Int<'u64'> {
    const fn = here('b.functionAddress')
    return new Int(u64, fn.emitter.call(helper('get_func_ip'), [this[CONTEXT]()], { pure: true }), fn)
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
  /**
   * The text of a `__data_loc` field (declare it as u32): its place is in the low half, behind the event's bytes. The answer
   * is its length with the NUL, or a negative errno.
   */
  dynamicText(into: BytesView<number, 'shared'>, field: Int<'u32'>): Int<'i64'> {
    const fn = here('b.dynamicText')
    const { emitter } = fn
    const offset = emitter.mask(ownOperand(fn, field), 0xffffn)
    const place = placeOf(into)
    const to = emitter.address(place.base, place.offset)
    const args = [to, constant(into.length), emitter.alu('add', 64, this[CONTEXT](), offset)]
    const raw = emitter.call(helper('probe_read_kernel_str'), args)
    emitter.touch(place.region)
    return new Int(i64, raw, fn)
  }
}

/** Programs whose context is an array of 64-bit arguments (raw tracepoints, fentry, fexit, tp_btf, lsm). */
export class ArgumentsBody<R> extends TracingBody<R> {
  /** An argument by position as an integer of a type; pointers are u64. */
  arg<N extends IntName = 'u64'>(index: number, type?: IntType<N>): Int<N> {
    const fn = here('b.arg')
    if (!Number.isInteger(index) || index < 0 || index > 11)
      throw buildError('build.argument', `argument ${index}`, 'arguments are 0 to 11')
    const raw = fn.emitter.load('ctx', 8, this[CONTEXT](), 8 * index, { pointer: true })
    return new Int((type ?? u64) as IntType<N>, convert(fn.emitter, 'u64', (type ?? u64).id, raw), fn)
  }
}

/** Programs whose arguments have types that the verifier knows (tp_btf, fentry, fexit, lsm, struct_ops). */
export class TypedArgumentsBody<R> extends ArgumentsBody<R> {
  /** An argument that is a pointer to a kernel struct: its members are plain loads. */
  pointer<F extends KernelFields>(index: number, type: KernelStruct<F>): TrustedView<KernelStruct<F>> {
    const fn = here('b.pointer')
    return trustedAt(fn, type, this.arg(index).operand)
  }
}

/** pt_regs of x86-64: where the calling convention keeps arguments and result (arch/x86/include/asm/ptrace.h). */
const X86_ARGUMENTS = [112, 104, 96, 88, 72, 64] as const
const X86_RESULT = 80
/** The same for system calls: the fourth is in r10. */
const X86_SYSCALL = [112, 104, 96, 56, 72, 64] as const

/** Probes: the registers at the place. */
export class ProbeBody extends TracingBody<number | Int<'u32'>> {
  #register(offset: number): Operand {
    return here('a register').emitter.load('ctx', 8 as LoadSize, this[CONTEXT](), offset)
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
/** Entry of a system call by its kernel function: the arguments are in the caller's saved registers. */
export class SyscallBody extends ProbeBody {
  /** An argument of the system call (0 to 5, x86-64). */
  override arg<N extends IntName = 'u64'>(index: number, type?: IntType<N>): Int<N> {
    const fn = here('b.arg')
    const offset = X86_SYSCALL[index]
    if (offset === undefined)
      throw buildError('build.argument', `argument ${index}`, 'system calls have arguments 0 to 5')
    const registers = super.arg(0, u64)
    const saved = new Int(u64, fn.emitter.alu('add', 64, registers.operand, constant(offset)), fn)
    const slot = fn.emitter.slot(8, 8, `argument ${index}`)
    const frame: Operand = { kind: 'frame', slot, offset: 0 }
    fn.emitter.call(helper('probe_read_kernel'), [frame, constant(8), saved.operand], { result: false, pure: true })
    fn.emitter.touch(`stack${slot.id}`)
    const raw = fn.emitter.load(`stack${slot.id}`, 8, frame, 0)
    return new Int((type ?? u64) as IntType<N>, convert(fn.emitter, 'u64', (type ?? u64).id, raw), fn)
  }
}
/** Return probes. */
export class ReturnProbeBody extends TracingBody<number | Int<'u32'>> {
  /** What the probed function returns (x86-64). */
  result<N extends IntName = 'u64'>(type?: IntType<N>): Int<N> {
    const fn = here('b.result')
    const raw = fn.emitter.load('ctx', 8, this[CONTEXT](), X86_RESULT)
    return new Int((type ?? u64) as IntType<N>, convert(fn.emitter, 'u64', (type ?? u64).id, raw), fn)
  }
}
