import type { NumericColumn, TopRow } from './rows.ts'

const UNITS = ['', 'k', 'M', 'G', 'T'] as const

/** 12,345,678 as `12.3M`. */
export function short(value: number): string {
  let scaled = value
  let unit = 0
  while (scaled >= 999.5 && unit < UNITS.length - 1) {
    scaled /= 1000
    unit++
  }
  const digits = unit === 0 && Number.isInteger(scaled) ? 0 : scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2
  return `${scaled.toFixed(digits)}${UNITS[unit]}`
}

const BARS = '▁▂▃▄▅▆▇█'
const PLAIN_BARS = '_.-=+*#@'

/** The history as one character a sample, the largest as the full bar. */
export function sparkline(history: readonly number[], utf8: boolean): string {
  const bars = utf8 ? BARS : PLAIN_BARS
  const top = Math.max(...history, 0)
  return history.map((value) => (top === 0 ? bars[0] : bars[Math.min(7, Math.floor((value / top) * 7.999))])).join('')
}

interface Column {
  readonly head: string
  readonly width: number
  readonly right?: boolean
  /** Columns of a lower rank go first when the terminal is narrow. */
  readonly rank: number
  readonly sort?: NumericColumn
  readonly text: (row: TopRow, history: readonly number[], utf8: boolean) => string
}

const COLUMNS: readonly Column[] = [
  { head: 'ID', width: 7, right: true, rank: 9, sort: 'id', text: (row) => String(row.id) },
  { head: 'TYPE', width: 14, rank: 6, text: (row) => row.type },
  { head: 'NAME', width: 16, rank: 9, text: (row) => row.name },
  {
    head: 'RUNS/S',
    width: 7,
    right: true,
    rank: 9,
    sort: 'runs_per_second',
    text: (row) => short(row.runs_per_second),
  },
  {
    head: 'NS/RUN',
    width: 7,
    right: true,
    rank: 9,
    sort: 'ns_per_run',
    text: (row) => short(Math.round(row.ns_per_run)),
  },
  {
    head: 'AVG NS',
    width: 7,
    right: true,
    rank: 7,
    sort: 'ns_per_run_average',
    text: (row) => short(Math.round(row.ns_per_run_average)),
  },
  { head: 'CPU%', width: 6, right: true, rank: 9, sort: 'cpu_percent', text: (row) => row.cpu_percent.toFixed(2) },
  { head: 'HISTORY', width: 12, rank: 5, text: (_, history, utf8) => sparkline(history.slice(-12), utf8) },
  {
    head: 'MISS',
    width: 5,
    right: true,
    rank: 2,
    sort: 'recursion_misses',
    text: (row) => short(Number(row.recursion_misses)),
  },
  { head: 'INSNS', width: 6, right: true, rank: 4, sort: 'instructions', text: (row) => short(row.instructions) },
  { head: 'JITED', width: 6, right: true, rank: 3, sort: 'bytes_jited', text: (row) => short(row.bytes_jited) },
  { head: 'MAPS', width: 6, right: true, rank: 4, sort: 'bytes_maps', text: (row) => short(row.bytes_maps) },
  { head: 'ATTACHED', width: 14, rank: 3, text: (row) => row.attached.join(',') || '-' },
  { head: 'OWNER', width: 20, rank: 2, text: (row) => row.owners.join(',') || '-' },
]

/** The columns that fit, the least important left out first. */
function fitting(width: number): Column[] {
  let columns = [...COLUMNS]
  const total = (): number => columns.reduce((sum, column) => sum + column.width + 1, -1)
  while (total() > width && columns.length > 4) {
    const lowest = Math.min(...columns.map(({ rank }) => rank))
    const drop = columns.findLastIndex(({ rank }) => rank === lowest)
    columns = columns.filter((_, index) => index !== drop)
  }
  return columns
}

const cell = (text: string, { width, right }: Column): string => {
  const cut = text.length > width ? `${text.slice(0, width - 1)}+` : text
  return right === true ? cut.padStart(width) : cut.padEnd(width)
}

export interface ScreenOptions {
  readonly width: number
  /** Rows of the terminal; absent: all rows are printed. */
  readonly height?: number
  readonly colour: boolean
  readonly utf8: boolean
  readonly sort: NumericColumn
  readonly selected?: number
}

/** The table as text lines, no wider than `width`. */
export function tableLines(
  rows: readonly TopRow[],
  history: ReadonlyMap<number, readonly number[]>,
  { width, height, colour, utf8, sort, selected }: ScreenOptions,
): string[] {
  const columns = fitting(width)
  const head = columns.map((column) => cell(column.sort === sort ? `${column.head}*` : column.head, column)).join(' ')
  const invert = (text: string): string => (colour ? `\x1b[7m${text}\x1b[0m` : text)
  const room = height === undefined ? rows.length : Math.max(0, height - 1)
  const lines = rows.slice(0, room).map((row) => {
    const text = columns.map((column) => cell(column.text(row, history.get(row.id) ?? [], utf8), column)).join(' ')
    return row.id === selected ? invert(text) : text
  })
  return [colour ? `\x1b[1m${head}\x1b[0m` : head, ...lines].map((line) => line.trimEnd())
}

/** Everything known of one program. */
export function detailLines(row: TopRow, history: readonly number[], utf8: boolean): string[] {
  return [
    `${row.id}: ${row.type}  ${row.name}  tag ${row.tag}`,
    `  now      ${short(row.runs_per_second)} runs/s, ${row.ns_per_run.toFixed(1)} ns a run, ${row.cpu_percent.toFixed(3)} % of a CPU`,
    `  total    ${row.total_runs} runs, ${row.total_time_ns} ns, ${row.ns_per_run_average.toFixed(1)} ns a run, ${row.recursion_misses} recursion misses`,
    `  code     ${row.instructions} instructions, ${row.bytes_jited} bytes jited`,
    `  maps     ${row.map_ids.join(', ') || 'none'} (${row.bytes_maps} bytes)`,
    `  attached ${row.attached.join(', ') || 'by no link'}`,
    `  held by  ${row.owners.join(', ') || 'no process (a link, a pin or an attachment holds it)'}`,
    `  CPU      ${sparkline(history, utf8)}`,
  ]
}
