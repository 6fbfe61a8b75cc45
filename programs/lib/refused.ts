import { release } from 'node:os'
import { type BpfError, NegativeError, SystemError, type UsageError } from 'typebpf'
import type { LoadResult } from 'typebpf/kernel'
import { compareVersions, minimumKernel, type ObjectSpec, type ProgramSpec } from 'typebpf/spec'

/** How a kernel comes to have the events of a category, for those that a configuration can leave out. */
const CONFIGURATION: Readonly<Record<string, string>> = {
  syscalls: 'CONFIG_FTRACE_SYSCALLS',
  block: 'CONFIG_BLOCK and CONFIG_EVENT_TRACING',
  sock: 'CONFIG_NET and CONFIG_EVENT_TRACING',
}

export interface Refusal {
  readonly object: ObjectSpec
  readonly spec: ProgramSpec
  readonly result: Pick<LoadResult, 'verdict' | 'message' | 'errno'>
  readonly error?: BpfError
  /** `uname -r`. */
  readonly kernel?: string
}

/** The kernel did not take a program of a tool: it is too old for it, or somebody made a mistake. */
export function refused(tool: string, { object, spec, result, error, kernel = release() }: Refusal): BpfError {
  const { version, because } = minimumKernel(object, spec)
  const running = /^\d+\.\d+/.exec(kernel)?.[0]
  // asked only now: distributions bring new features to old kernels
  if (running !== undefined && compareVersions(running, version) < 0)
    return new SystemError('tool.kernel', `${tool} needs Linux ${version} or newer, this is ${kernel}`, {
      details: [`because of: ${because.join(', ')}`],
    })
  const message = `${tool}: the kernel ${result.verdict === 'reject' ? 'rejects' : 'refuses'} ${spec.name}: ${result.message ?? result.verdict}`
  if (result.verdict === 'reject')
    return new NegativeError('tool.rejected', message, {
      details: ['this is a mistake of the tool: please report it with this text and the kernel version'],
    })
  return new SystemError('tool.refused', message, { errno: result.errno, details: error?.details, cause: error })
}

/** The running kernel lacks a tracepoint. */
export function noTracepoint(tool: string, spec: ProgramSpec, cause: UsageError): SystemError {
  const category = spec.attach?.kind === 'tracepoint' ? spec.attach.category : ''
  const name = spec.attach?.kind === 'tracepoint' ? spec.attach.name : ''
  const how = CONFIGURATION[category]
  return new SystemError('tool.tracepoint', `${tool} needs the tracepoint ${category}:${name}, this kernel has none`, {
    cause,
    details: [
      how === undefined ? 'it came with a newer kernel or another configuration' : `it comes with ${how}`,
      'see what there is: ls /sys/kernel/tracing/events',
    ],
  })
}
