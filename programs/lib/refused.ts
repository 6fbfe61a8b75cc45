import { type BpfError, NegativeError, SystemError, type UsageError } from 'typebpf'
import type { LoadResult } from 'typebpf/kernel'
import type { ProgramSpec } from 'typebpf/spec'

/** How a kernel comes to have the events of a category, for those that a configuration can leave out. */
const CONFIGURATION: Readonly<Record<string, string>> = {
  syscalls: 'CONFIG_FTRACE_SYSCALLS',
  block: 'CONFIG_BLOCK and CONFIG_EVENT_TRACING',
  sock: 'CONFIG_NET and CONFIG_EVENT_TRACING',
}

/** The kernel did not take a program of a tool. */
export function refused(tool: string, spec: ProgramSpec, result: LoadResult, error?: BpfError): BpfError {
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
