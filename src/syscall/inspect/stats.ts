import { setTimeout as sleep } from 'node:timers/promises'
import { UsageError } from '../../errors/index.ts'
import { bpf } from '../sys/command.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'
import { type ProgramInfo, programInfo } from './info.ts'
import { objectIds, openById } from './objects.ts'

/**
 * BPF_ENABLE_STATS: run time and run counts are kept while the fd is open, the sysctl stays as it is. Linux 5.8.
 * @throws SystemError `sys.eperm` without CAP_SYS_ADMIN
 */
export function enableStats(sys: Sys): OwnedFd {
  return new OwnedFd(sys, bpf(sys, 'enable_stats', { type: 0 }), 'run-time statistics')
}

/** One program over one interval. */
export interface ProgramSample {
  readonly id: number
  readonly name: string
  readonly tag: string
  readonly type: number
  /** With `id` and `tag` the identity of a program: ids are used again. */
  readonly loadTime: bigint
  /** Runs in the interval, and a second. */
  readonly runs: number
  readonly runsPerSecond: number
  /** Nanoseconds a run in the interval; 0 without a run. */
  readonly nsPerRun: number
  /** Nanoseconds a run since the statistics count it. */
  readonly nsPerRunAverage: number
  /** Share of one CPU, 0 to 1 (more when it runs on several). */
  readonly cpuShare: number
  readonly totalRuns: bigint
  readonly totalTimeNs: bigint
  /** Runs that did not happen because the program was running on that CPU already. */
  readonly recursionMisses: bigint
}

export interface StatsSample {
  /** Milliseconds between the two looks. */
  readonly elapsedMs: number
  readonly programs: readonly ProgramSample[]
}

export interface StatsOptions {
  /** Milliseconds between samples; default 1000. */
  readonly every?: number
  readonly signal?: AbortSignal
  /** Only these program ids; default all. */
  readonly ids?: readonly number[]
}

interface Look {
  readonly at: number
  readonly programs: ReadonlyMap<string, ProgramInfo>
}

const identity = (info: ProgramInfo): string => `${info.id}/${info.tag}/${info.loadTime}`

function look(sys: Sys, ids: Iterable<number>): Look {
  const programs = new Map<string, ProgramInfo>()
  for (const id of ids) {
    using fd = openById(sys, 'program', id)
    if (fd === undefined) continue
    const info = programInfo(sys, fd.fd)
    programs.set(identity(info), info)
  }
  return { at: performance.now(), programs }
}

/** What happened between two looks at a program. */
export function sampleOf(before: ProgramInfo | undefined, now: ProgramInfo, elapsedMs: number): ProgramSample {
  const runs = Number(now.runCount - (before?.runCount ?? 0n))
  const time = Number(now.runTimeNs - (before?.runTimeNs ?? 0n))
  return {
    id: now.id,
    name: now.name,
    tag: now.tag,
    type: now.type,
    loadTime: now.loadTime,
    runs,
    runsPerSecond: elapsedMs === 0 ? 0 : (runs * 1000) / elapsedMs,
    nsPerRun: runs === 0 ? 0 : time / runs,
    nsPerRunAverage: now.runCount === 0n ? 0 : Number(now.runTimeNs) / Number(now.runCount),
    cpuShare: elapsedMs === 0 ? 0 : time / (elapsedMs * 1e6),
    totalRuns: now.runCount,
    totalTimeNs: now.runTimeNs,
    recursionMisses: now.recursionMisses,
  }
}

/** Samples of the kernel's programs, one every interval, until the loop is left or the signal aborts. */
export async function* stats(sys: Sys, options: StatsOptions = {}): AsyncGenerator<StatsSample> {
  const { every = 1000 } = options
  if (!(every > 0)) throw new UsageError('stats.every', `${String(every)} is no number of milliseconds between samples`)
  using _ = enableStats(sys)
  const ids = (): Iterable<number> => options.ids ?? objectIds(sys, 'program')
  let before = look(sys, ids())
  while (options.signal?.aborted !== true) {
    try {
      await sleep(every, undefined, { signal: options.signal })
    } catch {
      return
    }
    const now = look(sys, ids())
    const elapsedMs = now.at - before.at
    const programs = [...now.programs].map(([key, info]) => sampleOf(before.programs.get(key), info, elapsedMs))
    before = now
    yield { elapsedMs, programs }
  }
}
