import { writeAll } from './write-all.ts'

/** A column of a table of events. Widths are least widths: longer cells push the rest of their line. */
export interface Column<Row> {
  readonly title: string
  readonly width: number
  readonly align?: 'left' | 'right'
  readonly value: (row: Row) => string | number | bigint
}

/** One value as JSON: 64-bit integers are numbers where that is exact, else decimal text; bytes are hex. */
export function json(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner === 'bigint')
      return inner >= -9007199254740991n && inner <= 9007199254740991n ? Number(inner) : inner.toString()
    if (inner instanceof Uint8Array) return Buffer.from(inner).toString('hex')
    if (inner instanceof Map) return Object.fromEntries(inner)
    return inner
  })
}

function line(cells: readonly string[], columns: readonly Column<never>[]): string {
  return cells
    .map((cell, i) => (columns[i].align === 'right' ? cell.padStart(columns[i].width) : cell.padEnd(columns[i].width)))
    .join(' ')
    .trimEnd()
}

/** Cells with commas between them; quotes where a cell has one of both. */
const csvLine = (cells: readonly string[]): string =>
  cells.map((cell) => (/[",]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell)).join(',')

/** Where events come from, see {@link Snoop}. */
interface EventSource<Event> {
  events(signal: AbortSignal): AsyncIterable<Event>
  lost(): bigint
}

/** Control characters would let a traced process write to the terminal. */
const CONTROL = /\p{Cc}/gu
export const printable = (text: string): string =>
  text.replace(CONTROL, (it) => `\\x${it.charCodeAt(0).toString(16).padStart(2, '0')}`)

export interface OutputOptions {
  readonly json?: boolean
  /** Takes what is written; default: standard output and standard error. False: nobody reads it any more. */
  readonly write?: (text: string) => boolean
  readonly note?: (text: string) => boolean
  /** Called once when nobody reads the output any more (`| head`), or with the error when it cannot be written. */
  readonly closed?: (error?: unknown) => void
}

/** Where a tool writes: tables and text for people, JSON Lines for scripts. Lines of one turn go out together. */
export class Output {
  readonly json: boolean
  readonly #write: (text: string) => boolean
  readonly #note: (text: string) => boolean
  readonly #closed: (error?: unknown) => void
  #isClosed = false
  #pending: string[] = []
  #headed = false

  constructor({ json, write, note, closed }: OutputOptions = {}) {
    this.json = json ?? false
    this.#write = write ?? ((text) => writeAll(1, text))
    this.#note = note ?? ((text) => writeAll(2, text))
    this.#closed = closed ?? (() => {})
  }

  /** A line for people; nothing with --json. */
  text(text = ''): void {
    if (!this.json) this.#put(text)
  }
  /** A line about the run itself (what is traced, what was lost): standard error, so that data stays data. */
  note(text: string): void {
    this.flush()
    this.#note(`${text}\n`)
  }
  /** The heading of a table; without it {@link row} writes it before its first row. */
  head<Row>(columns: readonly Column<Row>[], form = line): void {
    this.#headed = true
    this.text(
      form(
        columns.map(({ title }) => title),
        columns as readonly Column<never>[],
      ),
    )
    this.flush()
  }
  /** A row of a table, or the row's value as a line of JSON. */
  row<Row>(columns: readonly Column<Row>[], row: Row, form = line): void {
    if (this.json) {
      this.#put(json(row))
      return
    }
    if (!this.#headed) this.head(columns, form)
    this.#put(
      form(
        columns.map(({ value }) => printable(String(value(row)))),
        columns as readonly Column<never>[],
      ),
    )
  }
  /** All events of a source as rows, under a heading that is there at once; what was lost is said at the end. */
  async events<Row>(
    columns: readonly Column<Row>[],
    source: EventSource<Row>,
    signal: AbortSignal,
    { csv = false }: { readonly csv?: boolean } = {},
  ): Promise<void> {
    const form = csv ? csvLine : line
    this.head(columns, form)
    for await (const event of source.events(signal)) this.row(columns, event, form)
    const lost = source.lost()
    if (lost > 0n) this.note(`${lost} events were lost: they came faster than they could be written`)
  }
  /** A value as a line of JSON, or the text that `text` makes of it. */
  value(value: unknown, text: () => string): void {
    this.#put(this.json ? json(value) : text())
  }

  #put(text: string): void {
    if (this.#pending.push(text) === 1) setImmediate(() => this.flush())
  }
  flush(): void {
    if (this.#pending.length === 0) return
    const text = this.#pending.join('\n')
    this.#pending = []
    if (this.#isClosed) return
    try {
      if (this.#write(`${text}\n`)) return
      this.#isClosed = true
      this.#closed()
    } catch (error) {
      this.#isClosed = true
      this.#closed(error)
    }
  }
}
