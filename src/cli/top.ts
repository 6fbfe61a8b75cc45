import type { Command } from 'commander'
import { EXIT, UsageError } from '../errors/index.ts'
import { realSys, stats } from '../syscall/index.ts'
import { type Json, toJson } from './objects/json.ts'
import {
  filterRows,
  isNumericColumn,
  type Limit,
  NUMERIC,
  type NumericColumn,
  parseLimit,
  RowSource,
  sortRows,
  type TopRow,
} from './top/rows.ts'
import { detailLines, tableLines } from './top/screen.ts'

interface TopOptions {
  readonly once?: boolean
  readonly json?: boolean
  readonly csv?: boolean
  readonly interval: string
  readonly count?: string
  readonly sort: string
  readonly filter?: string
  readonly failIf?: string[]
}

const HISTORY = 60
/** An arrow key's sequence, or one character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences begin with one
const KEY = /\x1b\[[A-Z]|[\s\S]/gu
const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
const ALTERNATE = '\x1b[?1049h'
const MAIN_SCREEN = '\x1b[?1049l'
const HOME_AND_CLEAR = '\x1b[H\x1b[J'

const CSV: readonly (keyof TopRow)[] = [
  'id',
  'type',
  'name',
  'tag',
  'runs_per_second',
  'ns_per_run',
  'ns_per_run_average',
  'cpu_percent',
  'runs',
  'total_runs',
  'total_time_ns',
  'recursion_misses',
  'instructions',
  'bytes_jited',
  'bytes_maps',
  'attached',
  'owners',
]

const csvCell = (value: unknown): string => {
  const text = Array.isArray(value) ? value.join(' ') : String(value)
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}

function positive(text: string, what: string): number {
  const value = Number(text)
  if (!Number.isFinite(value) || value <= 0)
    throw new UsageError('top.number', `${what}: ${JSON.stringify(text)} is no number above 0`)
  return value
}

/** What the keys change while the table is shown. */
interface View {
  sort: NumericColumn
  filter: string
  typing: boolean
  selected: number
  details: boolean
}

function onKey(key: string, view: View, stop: () => void): void {
  if (key === '\x03') {
    stop()
    return
  }
  if (view.typing) {
    if (key === '\r' || key === '\x1b') view.typing = false
    else if (key === '\x7f') view.filter = view.filter.slice(0, -1)
    else if (key >= ' ' && key.length === 1) view.filter += key
    return
  }
  switch (key) {
    case 'q':
      stop()
      return
    case 's':
      view.sort = NUMERIC[(NUMERIC.indexOf(view.sort) + 1) % NUMERIC.length]
      return
    case '/':
      view.typing = true
      view.filter = ''
      return
    case 'j':
    case '\x1b[B':
      view.selected++
      return
    case 'k':
    case '\x1b[A':
      view.selected = Math.max(0, view.selected - 1)
      return
    case '\r':
      view.details = !view.details
      return
    case '\x1b':
      view.details = false
  }
}

async function top(options: TopOptions): Promise<void> {
  const interval = positive(options.interval, '--interval') * 1000
  const count =
    options.once === true
      ? 1
      : options.count === undefined
        ? Number.POSITIVE_INFINITY
        : positive(options.count, '--count')
  if (!isNumericColumn(options.sort))
    throw new UsageError('top.sort', `--sort: ${JSON.stringify(options.sort)} is no column: ${NUMERIC.join(', ')}`)
  const limits = (options.failIf ?? []).map(parseLimit)
  const sys = realSys()
  const source = new RowSource(sys)
  const history = new Map<number, number[]>()
  const controller = new AbortController()
  const stop = (): void => controller.abort()
  const live =
    process.stdout.isTTY === true &&
    process.stdin.isTTY === true &&
    count === Number.POSITIVE_INFINITY &&
    options.json !== true &&
    options.csv !== true
  const view: View = { sort: options.sort, filter: options.filter ?? '', typing: false, selected: 0, details: false }
  const utf8 = /utf-?8/i.test(process.env['LC_ALL'] || process.env['LC_CTYPE'] || process.env['LANG'] || '')
  const colour = process.stdout.isTTY === true && process.env['NO_COLOR'] === undefined
  let last: readonly TopRow[] = []
  const broken = new Map<string, TopRow>()

  const draw = (): void => {
    const rows = sortRows(filterRows(last, view.filter), view.sort)
    view.selected = Math.max(0, Math.min(view.selected, rows.length - 1))
    const chosen = rows[view.selected]
    const width = process.stdout.columns ?? 80
    const height = process.stdout.rows ?? 24
    const title = `${rows.length} of ${last.length} programs, every ${interval / 1000} s  sort ${view.sort}${view.filter === '' && !view.typing ? '' : `  filter ${view.filter}${view.typing ? '_' : ''}`}`
    const keys = 'q quit  s sort  / filter  arrows select  enter details'
    const body =
      view.details && chosen !== undefined
        ? detailLines(chosen, history.get(chosen.id) ?? [], utf8)
        : tableLines(rows, history, { width, height: height - 2, colour, utf8, sort: view.sort, selected: chosen?.id })
    process.stdout.write(HOME_AND_CLEAR + [title.slice(0, width), ...body, keys.slice(0, width)].join('\r\n'))
  }

  const restore = live ? openScreen(view, stop, draw) : undefined
  process.once('SIGINT', stop)
  process.once('SIGTERM', stop)
  if (options.csv === true) process.stdout.write(`${CSV.join(',')}\n`)
  try {
    let samples = 0
    for await (const sample of stats(sys, { every: interval, signal: controller.signal })) {
      last = source.rows(sample)
      for (const row of last) {
        const values = history.get(row.id) ?? []
        values.push(row.cpu_percent)
        history.set(row.id, values.slice(-HISTORY))
      }
      for (const limit of limits)
        for (const row of last) if (limit.broken(row)) broken.set(`${limit.text} ${row.id}`, row)
      if (live) draw()
      else print(sortRows(filterRows(last, view.filter), view.sort), history, options, { utf8, sort: view.sort })
      if (++samples >= count) break
    }
  } finally {
    restore?.()
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
  judge(limits, broken)
}

function judge(limits: readonly Limit[], broken: ReadonlyMap<string, TopRow>): void {
  for (const limit of limits)
    for (const [key, row] of broken)
      if (key === `${limit.text} ${row.id}`)
        process.stderr.write(
          `typebpf: program ${row.id} ${row.name}: ${limit.text} (${limit.column} ${Number(row[limit.column]).toFixed(2)})\n`,
        )
  if (broken.size > 0) process.exitCode = EXIT.no
}

/** The alternate screen and raw keys; the answer gives the terminal back. */
function openScreen(view: View, stop: () => void, draw: () => void): () => void {
  const keys = (data: Buffer): void => {
    // several keys may come in one piece (pasted text, a slow line)
    for (const [key] of data.toString('utf8').matchAll(KEY)) onKey(key, view, stop)
    draw()
  }
  process.stdout.write(ALTERNATE + HIDE_CURSOR)
  process.stdin.setRawMode(true)
  process.stdin.resume()
  process.stdin.on('data', keys)
  process.stdout.on('resize', draw)
  let open = true
  const restore = (): void => {
    if (!open) return
    open = false
    process.stdin.off('data', keys)
    process.stdout.off('resize', draw)
    process.stdin.setRawMode(false)
    process.stdin.pause()
    process.stdout.write(SHOW_CURSOR + MAIN_SCREEN)
    process.off('exit', restore)
  }
  process.on('exit', restore)
  return restore
}

function print(
  rows: readonly TopRow[],
  history: ReadonlyMap<number, readonly number[]>,
  options: TopOptions,
  { utf8, sort }: { utf8: boolean; sort: NumericColumn },
): void {
  if (options.json === true) process.stdout.write(`${toJson(rows.map((row) => ({ ...row }) as Json))}\n`)
  else if (options.csv === true)
    for (const row of rows) process.stdout.write(`${CSV.map((key) => csvCell(row[key])).join(',')}\n`)
  else {
    const width = process.stdout.isTTY === true ? (process.stdout.columns ?? 80) : 200
    process.stdout.write(`${tableLines(rows, history, { width, colour: false, utf8, sort }).join('\n')}\n`)
  }
}

export function register(program: Command): void {
  program
    .command('top')
    .description('a live table of what the programs in the kernel cost; statistics are on only while it runs')
    .option('--once', 'one interval, then end')
    .option('--count <n>', 'end after this many intervals')
    .option('-i, --interval <seconds>', 'seconds between two looks', '1')
    .option('-s, --sort <column>', `one of ${NUMERIC.join(', ')}`, 'cpu_percent')
    .option('-f, --filter <text>', 'only programs with this in their id, name, type, attach point or owner')
    .option('-j, --json', 'an array of rows a line, one line an interval')
    .option('--csv', 'comma-separated values')
    .option('--fail-if <limit...>', "exit 1 when a program breaks a limit, as 'ns_per_run > 500'")
    .addHelpText('after', '\nNeeds CAP_SYS_ADMIN. Exit: 0 done, 1 a limit was broken, 3 no privilege.')
    .action(top)
}
