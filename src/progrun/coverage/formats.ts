import type { CoverageSummary, FileCoverage, LineCoverage } from './files.ts'
import { summarize } from './files.ts'

/** lcov's tracefile format (geninfo(1)): what `genhtml`, Codecov and editors read. Dead lines are left out. */
export function toLcov(files: readonly FileCoverage[]): string {
  const out: string[] = []
  for (const { path, lines, functions } of files) {
    const live = lines.filter(({ dead }) => !dead)
    const branches = live.flatMap((line) =>
      line.branches.flatMap(({ slot, jumped, fellThrough }) => {
        const never = jumped + fellThrough === 0
        return [fellThrough, jumped].map(
          (count, number) => `BRDA:${line.line},${slot},${number},${never ? '-' : count}`,
        )
      }),
    )
    out.push('TN:typebpf', `SF:${path}`)
    for (const { name, line } of functions) out.push(`FN:${line},${name}`)
    for (const { name, hits } of functions) out.push(`FNDA:${hits},${name}`)
    out.push(`FNF:${functions.length}`, `FNH:${functions.filter(({ hits }) => hits > 0).length}`, ...branches)
    const summary = summarize([{ path, lines: live, functions, text: [] }])
    out.push(`BRF:${summary.branches}`, `BRH:${summary.branchesHit}`)
    for (const { line, hits } of live) out.push(`DA:${line},${hits}`)
    out.push(`LF:${summary.lines}`, `LH:${summary.linesHit}`, 'end_of_record')
  }
  return `${out.join('\n')}\n`
}

interface Range {
  readonly start: { readonly line: number; readonly column: number }
  readonly end: { readonly line: number; readonly column: number }
}

/** Istanbul's coverage-final.json: a statement a line, a branch a conditional jump (fell through, jumped). */
export function toIstanbul(files: readonly FileCoverage[]): Record<string, unknown> {
  return Object.fromEntries(
    files.map(({ path, lines, functions, text }) => {
      const range = (line: number): Range => {
        const source = text[line - 1] ?? ''
        const column = source.length - source.trimStart().length
        return { start: { line, column }, end: { line, column: Math.max(column, source.trimEnd().length) } }
      }
      const live = lines.filter(({ dead }) => !dead)
      const branches = live.flatMap((line) => line.branches.map((branch) => ({ line: line.line, ...branch })))
      const numbered = <T, V>(list: readonly T[], value: (item: T) => V): Record<string, V> =>
        Object.fromEntries(list.map((item, index) => [String(index), value(item)]))
      const body = {
        path,
        statementMap: numbered(live, ({ line }) => range(line)),
        s: numbered(live, ({ hits }) => hits),
        branchMap: numbered(branches, ({ line }) => ({
          type: 'if',
          line,
          loc: range(line),
          locations: [range(line), range(line)],
        })),
        b: numbered(branches, ({ fellThrough, jumped }) => [fellThrough, jumped]),
        fnMap: numbered(functions, ({ name, line }) => ({ name, line, decl: range(line), loc: range(line) })),
        f: numbered(functions, ({ hits }) => hits),
      }
      return [path, body]
    }),
  )
}

const escapeHtml = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/>/g, '&gt;')
const percent = (part: number, whole: number): string => (whole === 0 ? '–' : `${((100 * part) / whole).toFixed(1)} %`)

function row(number: number, text: string, line: LineCoverage | undefined): string {
  const missed = line?.branches.flatMap(({ slot, jumped, fellThrough }) => [
    ...(jumped === 0 ? [`instruction ${slot} never jumped`] : []),
    ...(fellThrough === 0 ? [`instruction ${slot} always jumped`] : []),
  ])
  const kind =
    line === undefined ? '' : line.dead ? 'dead' : line.hits === 0 ? 'miss' : (missed?.length ?? 0) > 0 ? 'part' : 'hit'
  const count = line === undefined ? '' : line.dead ? 'dead' : `${line.hits}×`
  const title =
    missed === undefined || missed.length === 0 || line?.hits === 0 ? '' : ` title="${escapeHtml(missed.join('; '))}"`
  return `<tr class="${kind}"${title}><td>${number}</td><td>${count}</td><td><pre>${escapeHtml(text) || ' '}</pre></td></tr>`
}

function summaryRow(path: string, summary: CoverageSummary): string {
  const { lines, linesHit, linesDead, branches, branchesHit } = summary
  return `<tr><td>${escapeHtml(path)}</td><td>${percent(linesHit, lines)} (${linesHit}/${lines})</td><td>${percent(branchesHit, branches)} (${branchesHit}/${branches})</td><td>${linesDead}</td></tr>`
}

/** One page without scripts or other files: a table of files, then each file's lines with their counts. */
export function toHtml(files: readonly FileCoverage[], title = 'BPF coverage'): string {
  const parts = files.map(({ path, text, lines }) => {
    const byLine = new Map(lines.map((line) => [line.line, line]))
    const rows = text.map((source, index) => row(index + 1, source, byLine.get(index + 1)))
    return `<h2>${escapeHtml(path)}</h2><table class="source">${rows.join('\n')}</table>`
  })
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>${escapeHtml(title)}</title><style>
body{font:14px system-ui,sans-serif;margin:2em}table{border-collapse:collapse}.files td,.files th{padding:2px 12px;text-align:left}
.source td{padding:0 8px;vertical-align:top}.source td:nth-child(-n+2){text-align:right;color:#666}pre{margin:0;white-space:pre-wrap}
.hit td{background:#e6f6e6}.part td{background:#fff5d6}.miss td{background:#fbe3e3}.dead td{background:#eee;color:#888}
</style></head><body><h1>${escapeHtml(title)}</h1>
<p>Lines and branches of BPF code as the emulator ran it. Yellow: a branch was never or always taken. Grey: the verifier proves that it cannot run.</p>
<table class="files"><tr><th>file</th><th>lines</th><th>branches</th><th>dead lines</th></tr>
${files.map((file) => summaryRow(file.path, summarize([file]))).join('\n')}
${files.length > 1 ? summaryRow('all', summarize(files)) : ''}</table>
${parts.join('\n')}</body></html>
`
}
