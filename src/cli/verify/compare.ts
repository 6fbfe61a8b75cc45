import { InputError } from '../../errors/index.ts'
import { table } from './print.ts'
import type { VerifyRow } from './rows.ts'

/** What a base file has of a program: the rows that `verify --json` printed earlier. */
export interface BaseRow {
  readonly object: string
  readonly program: string
  readonly kernel: string
  readonly verdict: string
  readonly processed: number
  readonly states: number
}

/** One program then and now. */
export interface Difference {
  readonly program: string
  readonly kernel: string
  readonly verdict: readonly [before: string, now: string]
  readonly processed: readonly [before: number, now: number]
  readonly states: readonly [before: number, now: number]
}

/** @throws InputError `verify.base` when the text is not what `verify --json` prints */
export function parseBase(text: string, path: string): BaseRow[] {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new InputError('verify.base', `${path}: not JSON: ${(cause as Error).message}`, { cause })
  }
  if (!Array.isArray(value)) throw new InputError('verify.base', `${path}: an array of rows is needed (verify --json)`)
  return value.map((row: unknown, i) => {
    const { object, program, kernel, verdict, processed, states } = (row ?? {}) as Partial<
      Record<keyof BaseRow, unknown>
    >
    if (typeof program !== 'string' || typeof verdict !== 'string' || typeof processed !== 'number')
      throw new InputError('verify.base', `${path}: row ${i} has no program, verdict and processed`)
    return {
      object: String(object ?? ''),
      program,
      kernel: String(kernel ?? ''),
      verdict,
      processed,
      states: typeof states === 'number' ? states : 0,
    }
  })
}

/** Programs of both lists; a new or a vanished one has the verdict `-` on the other side. */
export function differences(base: readonly BaseRow[], rows: readonly VerifyRow[]): Difference[] {
  const key = (row: { program: string; kernel: string; object: string }): string =>
    `${row.object.replace(/.*\//, '')} ${row.program} ${row.kernel}`
  const before = new Map(base.map((row) => [key(row), row]))
  const seen = new Set<string>()
  const result = rows.map((row): Difference => {
    seen.add(key(row))
    const old = before.get(key(row))
    return {
      program: row.program,
      kernel: row.kernel,
      verdict: [old?.verdict ?? '-', row.verdict],
      processed: [old?.processed ?? 0, row.processed],
      states: [old?.states ?? 0, row.states],
    }
  })
  for (const [name, old] of before)
    if (!seen.has(name))
      result.push({
        program: old.program,
        kernel: old.kernel,
        verdict: [old.verdict, '-'],
        processed: [old.processed, 0],
        states: [old.states, 0],
      })
  return result
}

/** True when a program that was accepted is not any more. */
export function worse(list: readonly Difference[]): boolean {
  return list.some(({ verdict: [before, now] }) => before === 'accept' && now !== 'accept' && now !== '-')
}

function change([before, now]: readonly [number, number]): string {
  const difference = now - before
  const percent = before === 0 ? '' : ` (${difference >= 0 ? '+' : ''}${((100 * difference) / before).toFixed(2)}%)`
  return `${difference >= 0 ? '+' : ''}${difference}${percent}`
}

const HEADER = [
  'Program',
  'Kernel',
  'Verdict',
  'Insns before',
  'Insns',
  'Insns diff',
  'States before',
  'States',
  'States diff',
]

function cells({ program, kernel, verdict, processed, states }: Difference): (string | number)[] {
  const both = verdict[0] === verdict[1] ? verdict[0] : `${verdict[0]} -> ${verdict[1]}`
  return [program, kernel, both, processed[0], processed[1], change(processed), states[0], states[1], change(states)]
}

export function comparisonTable(list: readonly Difference[]): string {
  return table(HEADER, list.map(cells))
}

/** The same as Markdown, for a pull request. */
export function comparisonMarkdown(list: readonly Difference[]): string {
  const row = (values: readonly (string | number)[]): string => `| ${values.join(' | ')} |`
  return [row(HEADER), row(HEADER.map(() => '---')), ...list.map((difference) => row(cells(difference)))].join('\n')
}
