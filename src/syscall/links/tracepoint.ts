import { readFileSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import { findTracefs, tracefs } from '../events/tracefs.ts'
import type { Link, ProgramHandle } from './link.ts'
import { attachToPerfEvent, openPerfEvent } from './perf-event.ts'

const PERF_TYPE_TRACEPOINT = 2

/** The number of a tracepoint in the running kernel. @throws UsageError `link.tracepoint` */
export function tracepointId(category: string, name: string, folder?: string): number {
  const path = `${tracefs(folder)}/events/${category}/${name}/id`
  try {
    return Number(readFileSync(path, 'utf8'))
  } catch (cause) {
    throw new UsageError('link.tracepoint', `the running kernel has no tracepoint ${category}/${name}`, { cause })
  }
}

export interface TracepointOptions {
  readonly category: string
  readonly name: string
  readonly cookie?: bigint
  /** Where tracefs is mounted, when not at its usual place. Where it is not mounted a private mount is used. */
  readonly tracefs?: string
}

/** Runs a program at a tracepoint, whichever task hits it. Linux 4.7. */
export function attachTracepoint(program: ProgramHandle, options: TracepointOptions): Link {
  const { sys } = program
  // Where nobody mounted tracefs a mount of this process alone serves.
  const folder = sys.kind === 'kernel' ? findTracefs(sys, options.tracefs) : options.tracefs
  const id = tracepointId(options.category, options.name, folder)
  const event = openPerfEvent(program.sys, { type: PERF_TYPE_TRACEPOINT, config: BigInt(id), period: 1n })
  return attachToPerfEvent(program, event, `tracepoint ${options.category}/${options.name}`, options.cookie)
}
