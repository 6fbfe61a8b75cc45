import { buildError, type FunctionContext } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { contextAt, type KernelStruct, type KernelView } from '../kernel.ts'
import { type Fields, i64, type StructType, struct, u64 } from '../types/types.ts'
import type { Int } from '../values/int.ts'
import { type StructView, view } from '../values/views.ts'
import { type ContextView, contextView } from './context.ts'
import { PERF_EVENT } from './contexts.ts'
import { define } from './define.ts'
import type { Gated, Only } from './gates.ts'
import { type BpfProgram, type ProgramOptions, ReturnCode } from './program.ts'
import { ArgumentsBody, type SleepableCalls, TracepointBody, TracingBody, TypedArgumentsBody } from './tracing.ts'

/** Tracing programs end with a number that nobody reads; 0 by habit. */
type Any = number | Int<'u32'>

export interface TracepointOptions<F extends Fields | KernelStruct<unknown>> extends ProgramOptions {
  /** "syscalls:sys_enter_openat": category and name, as below /sys/kernel/tracing/events. */
  readonly event: `${string}:${string}`
  /**
   * The event's fields behind its 8 common bytes, in the order and sizes of its format file; or the members that are used of
   * the kernel's struct for it, which are found by CO-RE: `kernelStruct('trace_event_raw_sched_switch', { next_pid: i32 })`.
   */
  readonly args?: F
}
/** The event's fields as a program reads them. */
export type EventOf<F> = F extends { readonly kind: 'kernel' }
  ? KernelView<F>
  : F extends Fields
    ? StructView<F, 'read'>
    : never

/** A program at a tracepoint: `tracepoint('on_exec', { event: 'sched:sched_process_exec' }, (b) => 0)`. */
export function tracepoint<const F extends Fields | KernelStruct<unknown>>(
  name: string,
  options: TracepointOptions<F>,
  build: (b: TracepointBody<EventOf<F>>) => Any,
): BpfProgram<'tracepoint'> {
  const [category, event] = options.event.split(':')
  const { args } = options
  const kernel = args?.kind === 'kernel' ? (args as KernelStruct<unknown>) : undefined
  const type = struct(`trace_event_${event}`, { common: u64, ...((kernel === undefined ? args : {}) as Fields) })
  return define(
    {
      kind: 'tracepoint',
      type: 'tracepoint',
      section: `tracepoint/${category}/${event}`,
      contextType: 'void',
      attach: { kind: 'tracepoint', category, name: event },
      body: (fn, context) =>
        new TracepointBody(kernel === undefined ? tracepointArgs(fn, context, type) : contextAt(fn, kernel, context)),
    },
    name,
    options,
    build,
  )
}
function tracepointArgs(fn: FunctionContext, base: Operand, type: StructType): unknown {
  return view(type, { fn, region: 'ctx', base, offset: 0, access: 'read' })
}

/**
 * Entry of a system call by its tracepoint: `b.args` has `nr` and `arg0` to `arg5`, or the names that `args` gives them:
 * `{ syscall: 'openat', args: ['directory', 'path', 'flags'] }`.
 */
export function syscallEnter<const A extends readonly string[] = readonly []>(
  name: string,
  options: ProgramOptions & { readonly syscall: string; readonly args?: A },
  build: (b: TracepointBody<StructView<SyscallFields<A>, 'read'>>) => Any,
): BpfProgram<'tracepoint'> {
  const { args: names = [], ...rest } = options
  if (names.length > 6)
    throw buildError('build.argument', `${name}: ${names.length} arguments`, 'a system call has six at most')
  const named = { nr: i64, ...Object.fromEntries(names.map((argument) => [argument, u64])) }
  const args = (names.length === 0 ? SYSCALL_ENTER : named) as SyscallFields<A>
  return tracepoint(name, { ...rest, event: `syscalls:sys_enter_${options.syscall}`, args }, build as never)
}
type SyscallFields<A extends readonly string[]> = A extends readonly []
  ? typeof SYSCALL_ENTER
  : { readonly nr: typeof i64 } & { readonly [K in A[number]]: typeof u64 }
/** Return of a system call by its tracepoint. */
export function syscallExit(
  name: string,
  options: ProgramOptions & { readonly syscall: string },
  build: (b: TracepointBody<StructView<typeof SYSCALL_EXIT, 'read'>>) => Any,
): BpfProgram<'tracepoint'> {
  return tracepoint(name, { ...options, event: `syscalls:sys_exit_${options.syscall}`, args: SYSCALL_EXIT }, build)
}
const SYSCALL_ENTER = { nr: i64, arg0: u64, arg1: u64, arg2: u64, arg3: u64, arg4: u64, arg5: u64 } as const
const SYSCALL_EXIT = { nr: i64, ret: i64 } as const

/** A raw tracepoint: the arguments of the trace event as numbers (Linux 4.17). */
export function rawTracepoint<const O extends ProgramOptions & { readonly event: string }>(
  name: string,
  options: Only<O, ProgramOptions & { readonly event: string }>,
  build: (b: Gated<ArgumentsBody<Any>, O>) => Any,
): BpfProgram<'raw_tracepoint'> {
  return define(
    {
      kind: 'raw_tracepoint',
      type: 'raw_tracepoint',
      section: `raw_tracepoint/${options.event}`,
      contextType: 'bpf_raw_tracepoint_args',
      attach: { kind: 'raw_tracepoint', name: options.event },
      body: () => new ArgumentsBody<Any>(),
    },
    name,
    options,
    build,
  )
}

/** A program that may sleep: it can bring in pages of user memory, and blocks nothing that must not wait. */
export interface Sleepable {
  readonly sleepable?: boolean
}
export const sleeping = ({ sleepable }: Sleepable): { flags?: readonly ['sleepable']; suffix: '' | '.s' } =>
  sleepable ? { flags: ['sleepable'], suffix: '.s' } : { suffix: '' }

type TracingOptions = ProgramOptions & {
  /** The kernel function (fentry, fexit, fmod_ret), trace event (tp_btf) or LSM hook. */
  readonly attachTo: string
  /** The kernel module that has it. */
  readonly module?: string
}
function tracing<K extends 'tp_btf' | 'fentry' | 'fexit' | 'fmod_ret', O extends TracingOptions>(kind: K) {
  const attachType = {
    tp_btf: 'trace_raw_tp',
    fentry: 'trace_fentry',
    fexit: 'trace_fexit',
    fmod_ret: 'modify_return',
  } as const
  return <const P extends O>(
    name: string,
    options: Only<P, O>,
    build: (b: Gated<TypedArgumentsBody<Any>, P>) => Any,
  ): BpfProgram<K> => {
    const { flags, suffix } = sleeping(options as Sleepable)
    return define(
      {
        kind,
        type: 'tracing',
        attachType: attachType[kind],
        section: `${kind}${suffix}/${options.attachTo}`,
        ...(flags === undefined ? {} : { flags }),
        contextType: 'void',
        attachTo: { name: options.attachTo, ...(options.module === undefined ? {} : { module: options.module }) },
        attach: { kind: 'tracing', target: options.attachTo },
        since: flags !== undefined ? [5, 10] : kind === 'fmod_ret' ? [5, 7] : [5, 5],
        body: () => new TypedArgumentsBody<Any>(),
      },
      name,
      options,
      build,
    )
  }
}
/** A trace event with typed arguments (Linux 5.5). */
export const tpBtf = tracing<'tp_btf', TracingOptions>('tp_btf')
/** Entry of a kernel function (Linux 5.5; `sleepable` 5.10). */
export const fentry = tracing<'fentry', TracingOptions & Sleepable>('fentry')
/** Return of a kernel function; the argument behind the last is the result (Linux 5.5; `sleepable` 5.10). */
export const fexit = tracing<'fexit', TracingOptions & Sleepable>('fexit')
/** Replaces a kernel function's result where the kernel allows it (Linux 5.7; `sleepable` 5.10). */
export const fmodRet = tracing<'fmod_ret', TracingOptions & Sleepable>('fmod_ret')

export type LsmCode = ReturnCode<'lsm'>
const LSM_ALLOW = new ReturnCode<'lsm'>('ALLOW', 0)
const EPERM = new ReturnCode<'lsm'>('EPERM', -1)
const EACCES = new ReturnCode<'lsm'>('EACCES', -13)
export class LsmBody extends TypedArgumentsBody<LsmCode | Int<'i32'>> {
  readonly ALLOW: LsmCode = LSM_ALLOW
  readonly EPERM: LsmCode = EPERM
  readonly EACCES: LsmCode = EACCES
}
/** A security hook: ALLOW or a negative errno (Linux 5.7; `sleepable` 5.10). */
export function lsm<const O extends TracingOptions & Sleepable>(
  name: string,
  options: Only<O, TracingOptions & Sleepable>,
  build: (b: Gated<LsmBody, O>) => LsmCode | Int<'i32'>,
): BpfProgram<'lsm'> {
  const { flags, suffix } = sleeping(options)
  return define(
    {
      kind: 'lsm',
      type: 'lsm',
      attachType: 'lsm_mac',
      section: `lsm${suffix}/${options.attachTo}`,
      ...(flags === undefined ? {} : { flags }),
      contextType: 'void',
      attachTo: { name: options.attachTo },
      attach: { kind: 'tracing', target: options.attachTo },
      since: flags === undefined ? [5, 7] : [5, 10],
      body: () => new LsmBody(),
    },
    name,
    options,
    build,
  )
}
const CGROUP_ALLOW = new ReturnCode<'lsm_cgroup'>('ALLOW', 1)
const CGROUP_REJECT = new ReturnCode<'lsm_cgroup'>('REJECT', 0)
export class LsmCgroupBody extends TypedArgumentsBody<ReturnCode<'lsm_cgroup'>> {
  readonly ALLOW: ReturnCode<'lsm_cgroup'> = CGROUP_ALLOW
  readonly REJECT: ReturnCode<'lsm_cgroup'> = CGROUP_REJECT
}
/** A security hook for the tasks of one cgroup (Linux 6.0): ALLOW, or REJECT with EPERM. */
export function lsmCgroup(
  name: string,
  options: ProgramOptions & { readonly attachTo: string },
  build: (b: LsmCgroupBody) => ReturnCode<'lsm_cgroup'>,
): BpfProgram<'lsm_cgroup'> {
  const { attachTo } = options
  return define(
    {
      kind: 'lsm_cgroup',
      type: 'lsm',
      attachType: 'lsm_cgroup',
      section: `lsm_cgroup/${attachTo}`,
      contextType: 'void',
      attachTo: { name: attachTo },
      attach: { kind: 'lsm_cgroup', hook: attachTo },
      since: [6, 0],
      body: () => new LsmCgroupBody(),
    },
    name,
    options,
    build,
  )
}

export class PerfEventBody extends TracingBody<Any> {
  readonly ctx: ContextView<typeof PERF_EVENT>
  constructor(fn: FunctionContext, context: Operand) {
    super()
    this.ctx = contextView(fn, context, PERF_EVENT)
  }
}
/** A sample of a perf event. */
export function perfEvent(
  name: string,
  build: (b: PerfEventBody) => Any,
  options: ProgramOptions = {},
): BpfProgram<'perf_event'> {
  return define(
    {
      kind: 'perf_event',
      type: 'perf_event',
      section: 'perf_event',
      contextType: 'bpf_perf_event_data',
      body: (fn, context) => new PerfEventBody(fn, context),
    },
    name,
    options,
    build,
  )
}

/** A program that user space runs by BPF_PROG_RUN; may sleep (Linux 5.14). */
export function syscall<const F extends Fields>(
  name: string,
  options: ProgramOptions & { readonly args: F },
  build: (b: TracepointBody<StructView<F, 'write'>> & SleepableCalls) => Any,
): BpfProgram<'syscall'> {
  const type = struct(`${name}_args`, options.args)
  return define(
    {
      kind: 'syscall',
      type: 'syscall',
      section: 'syscall',
      flags: ['sleepable'],
      contextType: 'void',
      since: [5, 14],
      body: (fn, context) =>
        new TracepointBody(
          view(type, { fn, region: 'ctx', base: context, offset: 0, access: 'write' }) as unknown as StructView<
            F,
            'write'
          >,
        ),
    },
    name,
    options,
    build,
  )
}
