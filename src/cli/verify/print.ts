import { excerpt } from '../../verifier/diagnosis/index.ts'
import type { VerifyRow } from './rows.ts'

const COLUMNS: readonly (readonly [title: string, value: (row: VerifyRow) => string | number])[] = [
  ['File', (row) => row.object.replace(/.*\//, '')],
  ['Program', (row) => row.program],
  ['Verdict', (row) => row.verdict],
  ['Duration (us)', (row) => row.timeUs],
  ['Insns', (row) => row.processed],
  ['States', (row) => row.states],
  ['Peak states', (row) => row.peakStates ?? '-'],
  ['Max states/insn', (row) => row.maxStatesPerInsn ?? '-'],
  ['Stack depth', (row) => row.stackDepth ?? '-'],
  ['Program size', (row) => row.insns],
]

/** Columns that line up, numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly (string | number)[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => String(row[i]).length)))
  const line = (cells: readonly (string | number)[]): string =>
    cells
      .map((cell, i) => (typeof cell === 'number' ? String(cell).padStart(widths[i]) : cell.padEnd(widths[i])))
      .join('  ')
      .trimEnd()
  return [line(header), widths.map((width) => '-'.repeat(width)).join('  '), ...rows.map(line)].join('\n')
}

/** veristat's columns. */
export function statistics(rows: readonly VerifyRow[]): string {
  return table(
    COLUMNS.map(([title]) => title),
    rows.map((row) => COLUMNS.map(([, value]) => value(row))),
  )
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n')
}

const WORDS = {
  born: 'comes from',
  changed: 'changed by',
  copied: 'copied by',
  spilled: 'saved to the stack by',
  filled: 'read back from the stack by',
  checked: 'compared by',
  acquired: 'acquired by',
  clobbered: 'lost by the call at',
} as const

/** One program's verdict and, of a rejection, why, where and what to do. */
export function explanation(row: VerifyRow): string {
  const head = `${row.program} (${row.section || row.type}): `
  if (row.verdict === 'accept')
    return `${head}accepted, ${row.processed} instructions processed, ${row.states} states, ${row.timeUs} us`
  const lines = [`${head}${row.verdict === 'reject' ? 'rejected' : row.verdict}: ${row.message ?? row.code ?? ''}`]
  const { diagnosis } = row
  if (diagnosis !== undefined) {
    lines.push(`  ${diagnosis.code} (${diagnosis.category}): ${diagnosis.cause}`)
    const at = diagnosis.insn === undefined ? '' : `at instruction ${diagnosis.insn}`
    if (diagnosis.source !== undefined)
      lines.push(
        `  ${at}, ${excerpt(diagnosis.source).split('\n')[0]}`,
        indented(excerpt(diagnosis.source).split('\n').slice(1).join('\n')),
      )
    else if (at !== '') lines.push(`  ${at}`)
    for (const step of diagnosis.causalPath) {
      const place =
        step.source === undefined ? '' : `  ${step.source.file}:${step.source.line}  ${step.source.text?.trim() ?? ''}`
      lines.push(
        `    ${step.register === undefined ? '' : `R${step.register} `}${WORDS[step.what]} instruction ${step.insn}${place}`,
      )
    }
    lines.push(`  what to do: ${diagnosis.suggestion}`)
  }
  return lines.filter((line) => line.trim() !== '').join('\n')
}

/** The costliest lines of each program. */
export function hottest(rows: readonly VerifyRow[]): string {
  return rows
    .filter((row) => row.topLines !== undefined)
    .map((row) => {
      const lines = (row.topLines ?? []).map(({ source, insn, processed }) => {
        const place = source === undefined ? `instruction ${insn}` : `${source.file}:${source.line}`
        return `${String(processed).padStart(9)}  ${place}${source?.text === undefined ? '' : `  ${source.text.trim()}`}`
      })
      return [`${row.program}: processed instructions by line`, ...lines].join('\n')
    })
    .join('\n')
}
