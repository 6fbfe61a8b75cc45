import type { Int } from '../values/int.ts'
import { define } from './define.ts'
import type { Gated, Only } from './gates.ts'
import type { BpfProgram, ProgramOptions } from './program.ts'
import { type Sleepable, sleeping } from './trace.ts'
import { ProbeBody, ReturnProbeBody, SyscallBody } from './tracing.ts'

/** Probes end with a number that nobody reads; 0 by habit. */
type Any = number | Int<'u32'>

type KernelFunction = ProgramOptions & { readonly function: string; readonly offset?: number }
/** Entry of a kernel function (or a place in it) by a breakpoint. */
export function kprobe<const O extends KernelFunction>(
  name: string,
  options: Only<O, KernelFunction>,
  build: (b: Gated<ProbeBody, O>) => Any,
): BpfProgram<'kprobe'> {
  const { offset } = options
  return define(
    {
      kind: 'kprobe',
      type: 'kprobe',
      section: `kprobe/${options.function}${offset ? `+${offset}` : ''}`,
      contextType: 'pt_regs',
      attach: { kind: 'kprobe', function: options.function, ...(offset ? { offset } : {}) },
      body: () => new ProbeBody(),
    },
    name,
    options,
    build,
  )
}
/** Return of a kernel function. */
export function kretprobe<const O extends ProgramOptions & { readonly function: string }>(
  name: string,
  options: Only<O, ProgramOptions & { readonly function: string }>,
  build: (b: Gated<ReturnProbeBody, O>) => Any,
): BpfProgram<'kretprobe'> {
  return define(
    {
      kind: 'kretprobe',
      type: 'kprobe',
      section: `kretprobe/${options.function}`,
      contextType: 'pt_regs',
      attach: { kind: 'kprobe', function: options.function, retprobe: true },
      body: () => new ReturnProbeBody(),
    },
    name,
    options,
    build,
  )
}
/** Entry of a system call on every kernel: the function behind it is found at load. x86-64. */
export function ksyscall<const O extends ProgramOptions & { readonly syscall: string }>(
  name: string,
  options: Only<O, ProgramOptions & { readonly syscall: string }>,
  build: (b: Gated<SyscallBody, O>) => Any,
): BpfProgram<'ksyscall'> {
  const { syscall: call } = options
  return define(
    {
      kind: 'ksyscall',
      type: 'kprobe',
      section: `ksyscall/${call}`,
      contextType: 'pt_regs',
      attach: { kind: 'ksyscall', syscall: call },
      body: () => new SyscallBody(),
    },
    name,
    options,
    build,
  )
}
/** Return of a system call. */
export function kretsyscall<const O extends ProgramOptions & { readonly syscall: string }>(
  name: string,
  options: Only<O, ProgramOptions & { readonly syscall: string }>,
  build: (b: Gated<ReturnProbeBody, O>) => Any,
): BpfProgram<'kretsyscall'> {
  const { syscall: call } = options
  return define(
    {
      kind: 'kretsyscall',
      type: 'kprobe',
      section: `kretsyscall/${call}`,
      contextType: 'pt_regs',
      attach: { kind: 'ksyscall', syscall: call, retprobe: true },
      body: () => new ReturnProbeBody(),
    },
    name,
    options,
    build,
  )
}
type UserFunction = ProgramOptions &
  Sleepable & {
    /** A binary's path or a library's name. */
    readonly binary: string
    readonly function?: string
    readonly offset?: number
  }
const userSection = (kind: string, { binary, function: symbol, offset }: UserFunction): string =>
  `${kind}/${binary}:${symbol ?? `0x${(offset ?? 0).toString(16)}`}${symbol !== undefined && offset ? `+${offset}` : ''}`
/** Entry of a user-space function. */
export function uprobe<const O extends UserFunction>(
  name: string,
  options: Only<O, UserFunction>,
  build: (b: Gated<ProbeBody, O>) => Any,
): BpfProgram<'uprobe'> {
  const { binary, function: symbol, offset } = options
  const { flags, suffix } = sleeping(options)
  return define(
    {
      kind: 'uprobe',
      type: 'kprobe',
      section: userSection(`uprobe${suffix}`, options),
      ...(flags === undefined ? {} : { flags, since: [6, 0] as const }),
      contextType: 'pt_regs',
      attach: {
        kind: 'uprobe',
        binary,
        ...(symbol === undefined ? {} : { function: symbol }),
        ...(offset ? { offset } : {}),
      },
      body: () => new ProbeBody(),
    },
    name,
    options,
    build,
  )
}
/** Return of a user-space function. */
export function uretprobe<const O extends UserFunction>(
  name: string,
  options: Only<O, UserFunction>,
  build: (b: Gated<ReturnProbeBody, O>) => Any,
): BpfProgram<'uretprobe'> {
  const { binary, function: symbol } = options
  const { flags, suffix } = sleeping(options)
  return define(
    {
      kind: 'uretprobe',
      type: 'kprobe',
      section: userSection(`uretprobe${suffix}`, options),
      ...(flags === undefined ? {} : { flags, since: [6, 0] as const }),
      contextType: 'pt_regs',
      attach: { kind: 'uprobe', binary, retprobe: true, ...(symbol === undefined ? {} : { function: symbol }) },
      body: () => new ReturnProbeBody(),
    },
    name,
    options,
    build,
  )
}
