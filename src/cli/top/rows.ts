import { UsageError } from '../../errors/index.ts'
import {
  kernelMemory,
  linkInfo,
  objectIds,
  openById,
  type ProgramSample,
  programDetails,
  type StatsSample,
  type Sys,
} from '../../syscall/index.ts'
import { LINK_TYPES, programTypeName } from '../../uapi/index.ts'
import { holders } from '../objects/holders.ts'

/** One program in one interval, as the table and the JSON show it. */
export interface TopRow {
  readonly id: number
  readonly type: string
  readonly name: string
  readonly tag: string
  readonly runs_per_second: number
  /** Nanoseconds a run in the interval, 0 without a run. */
  readonly ns_per_run: number
  /** Nanoseconds a run since statistics count it. */
  readonly ns_per_run_average: number
  /** Share of one CPU in percent. */
  readonly cpu_percent: number
  readonly runs: number
  readonly total_runs: bigint
  readonly total_time_ns: bigint
  readonly recursion_misses: bigint
  readonly instructions: number
  readonly bytes_jited: number
  /** Kernel memory of its maps, from fdinfo. */
  readonly bytes_maps: number
  readonly map_ids: readonly number[]
  /** Link types by which it is attached; empty when no link holds it. */
  readonly attached: readonly string[]
  /** `comm(pid)` of the processes that hold it. */
  readonly owners: readonly string[]
}

/** What changes seldom is asked for once a program. */
type Fixed = Pick<TopRow, 'instructions' | 'bytes_jited' | 'map_ids'>

const LINK_NAMES = new Map<number, string>(Object.entries(LINK_TYPES).map(([name, number]) => [number, name]))

/** Seconds between two looks at links, owners and map memory, which cost more than the counters. */
const SLOW_MS = 5000

/** Joins samples with what else is known of the programs. */
export class RowSource {
  readonly #sys: Sys
  readonly #fixed = new Map<string, Fixed>()
  #slowAt = Number.NEGATIVE_INFINITY
  #attached = new Map<number, string[]>()
  #owners: ReadonlyMap<number, readonly { pid: number; comm: string }[]> = new Map()
  #memory = new Map<number, number>()

  constructor(sys: Sys) {
    this.#sys = sys
  }

  #slow(): void {
    if (performance.now() - this.#slowAt < SLOW_MS) return
    this.#slowAt = performance.now()
    this.#owners = holders().prog_id
    this.#memory = new Map()
    this.#attached = new Map()
    for (const id of objectIds(this.#sys, 'link')) {
      using fd = openById(this.#sys, 'link', id)
      if (fd === undefined) continue
      const info = linkInfo(this.#sys, fd.fd)
      const list = this.#attached.get(info.programId) ?? []
      list.push(LINK_NAMES.get(info.type) ?? `type ${info.type}`)
      this.#attached.set(info.programId, list)
    }
  }

  #mapMemory(id: number): number {
    let bytes = this.#memory.get(id)
    if (bytes === undefined) {
      using fd = openById(this.#sys, 'map', id)
      bytes = fd === undefined ? 0 : kernelMemory(fd.fd)
      this.#memory.set(id, bytes)
    }
    return bytes
  }

  #fixedOf(sample: ProgramSample): Fixed | undefined {
    const key = `${sample.id}/${sample.tag}/${sample.loadTime}`
    let fixed = this.#fixed.get(key)
    if (fixed === undefined) {
      using fd = openById(this.#sys, 'program', sample.id)
      if (fd === undefined) return undefined
      const { xlatedBytes, jitedBytes, mapIds } = programDetails(this.#sys, fd.fd)
      fixed = { instructions: xlatedBytes / 8, bytes_jited: jitedBytes, map_ids: mapIds }
      this.#fixed.set(key, fixed)
    }
    return fixed
  }

  rows({ programs }: StatsSample): TopRow[] {
    this.#slow()
    const rows: TopRow[] = []
    for (const sample of programs) {
      const fixed = this.#fixedOf(sample)
      if (fixed === undefined) continue // it went away between the two calls
      rows.push({
        id: sample.id,
        type: programTypeName(sample.type) ?? `type ${sample.type}`,
        name: sample.name,
        tag: sample.tag,
        runs_per_second: sample.runsPerSecond,
        ns_per_run: sample.nsPerRun,
        ns_per_run_average: sample.nsPerRunAverage,
        cpu_percent: sample.cpuShare * 100,
        runs: sample.runs,
        total_runs: sample.totalRuns,
        total_time_ns: sample.totalTimeNs,
        recursion_misses: sample.recursionMisses,
        ...fixed,
        bytes_maps: fixed.map_ids.reduce((sum, id) => sum + this.#mapMemory(id), 0),
        attached: this.#attached.get(sample.id) ?? [],
        owners: (this.#owners.get(sample.id) ?? []).map(({ comm, pid }) => `${comm}(${pid})`),
      })
    }
    return rows
  }
}

/** Columns that can be sorted and asked for in `--fail-if`. */
export const NUMERIC = [
  'cpu_percent',
  'runs_per_second',
  'ns_per_run',
  'ns_per_run_average',
  'instructions',
  'bytes_jited',
  'bytes_maps',
  'recursion_misses',
  'total_runs',
  'id',
] as const
export type NumericColumn = (typeof NUMERIC)[number]

export function isNumericColumn(text: string): text is NumericColumn {
  return (NUMERIC as readonly string[]).includes(text)
}

/** Largest first; ids smallest first. Ties by id, so that rows do not jump. */
export function sortRows(rows: readonly TopRow[], by: NumericColumn): TopRow[] {
  const sign = by === 'id' ? 1 : -1
  return [...rows].sort((a, b) => sign * (Number(a[by]) - Number(b[by])) || a.id - b.id)
}

/** Rows whose id, name, type, attach point or owner has the text in it. */
export function filterRows(rows: readonly TopRow[], text: string): readonly TopRow[] {
  if (text === '') return rows
  const wanted = text.toLowerCase()
  return rows.filter((row) =>
    [String(row.id), row.name, row.type, ...row.attached, ...row.owners].some((one) =>
      one.toLowerCase().includes(wanted),
    ),
  )
}

/** A limit such as `ns_per_run > 500`. */
export interface Limit {
  readonly column: NumericColumn
  readonly text: string
  readonly broken: (row: TopRow) => boolean
}

const COMPARE: Readonly<Record<string, (a: number, b: number) => boolean>> = {
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
}

/** @throws UsageError for anything but COLUMN > NUMBER (or >=, <, <=) */
export function parseLimit(text: string): Limit {
  const match = /^\s*(\w+)\s*(>=|<=|>|<)\s*([0-9.]+(?:e\d+)?)\s*$/.exec(text)
  const column = match?.[1] ?? ''
  const bound = Number(match?.[3])
  if (match === null || !isNumericColumn(column) || !Number.isFinite(bound))
    throw new UsageError(
      'top.limit',
      `${JSON.stringify(text)} is no limit: COLUMN > NUMBER (or >=, <, <=), columns ${NUMERIC.join(', ')}`,
    )
  const compare = COMPARE[match[2]]
  return { column, text: text.trim(), broken: (row) => compare(Number(row[column]), bound) }
}
