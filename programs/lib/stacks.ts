import type { Output } from './output.ts'
import type { Frame } from './symbols.ts'

/** Something counted or measured on one pair of stacks. */
export interface StackRow {
  readonly pid: number
  readonly comm: string
  /** Innermost first; absent when it was not asked for or there is none. */
  readonly user?: readonly Frame[]
  readonly kernel?: readonly Frame[]
  readonly value: bigint
}

export interface StackStyle {
  /** One line a stack, outermost first, for flame graphs. */
  readonly folded?: boolean
  /** A mark between kernel and user frames. */
  readonly delimited?: boolean
  /** `_[k]` behind kernel functions. */
  readonly annotated?: boolean
  /** What `value` is, the name of its key in JSON. */
  readonly what: string
}

const names = (frames: readonly Frame[] | undefined, mark = ''): string[] =>
  (frames ?? []).map(({ name }) => `${name}${name === '[unknown]' ? '' : mark}`)

function foldedLine(row: StackRow, style: StackStyle): string {
  const kernel = names(row.kernel, style.annotated === true ? '_[k]' : '').reverse()
  const user = names(row.user).reverse()
  const between = style.delimited === true && kernel.length > 0 && user.length > 0 ? ['-'] : []
  const process = row.comm.replaceAll(';', ':')
  return `${[process, ...user, ...between, ...kernel].join(';')} ${row.value}`
}

function stackLines(row: StackRow, style: StackStyle): string {
  const kernel = names(row.kernel, style.annotated === true ? '_[k]' : '')
  const user = names(row.user)
  const between = style.delimited === true && kernel.length > 0 && user.length > 0 ? ['--'] : []
  const frames = [...kernel, ...between, ...user].map((name) => `    ${name}`)
  return [...frames, `    ${'-'.padEnd(16)} ${row.comm} (${row.pid})`, `        ${row.value}`, ''].join('\n')
}

/** Stacks that read the same (other places of the same functions) together. */
function merged(rows: readonly StackRow[]): StackRow[] {
  const byText = new Map<string, StackRow>()
  for (const row of rows) {
    const key = [row.pid, row.comm, ...names(row.user), '', ...names(row.kernel)].join('\n')
    const known = byText.get(key)
    byText.set(key, known === undefined ? row : { ...known, value: known.value + row.value })
  }
  return [...byText.values()]
}

/** Writes stacks, the largest last, where the eye is when the output ends. */
export function reportStacks(out: Output, rows: readonly StackRow[], style: StackStyle): void {
  const sorted = merged(rows).sort((a, b) => (a.value < b.value ? -1 : a.value > b.value ? 1 : 0))
  for (const row of sorted) {
    const { pid, comm, user, kernel, value } = row
    const data = { pid, comm, [style.what]: value, user: names(user), kernel: names(kernel) }
    out.value(data, () => (style.folded === true ? foldedLine(row, style) : stackLines(row, style)))
  }
}
