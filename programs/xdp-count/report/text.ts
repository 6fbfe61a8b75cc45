/** A number with its thousands apart: 12,345. */
export function thousands(value: number | bigint): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Rows of cells as columns: text to the left, everything after the first column to the right. */
export function columns(rows: readonly (readonly string[])[], indent = '  '): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)))
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === 0 ? cell.padEnd(widths[0]) : cell.padStart(widths[column]))).join('  ')
  return rows.map((row) => `${indent}${line(row).trimEnd()}`).join('\n')
}

/** A labelled paragraph of the report. */
export function say(label: string, text: string): void {
  const [first, ...rest] = text.split('\n')
  console.log(`${label.padEnd(11)}${first}`)
  for (const line of rest) console.log(`${' '.repeat(11)}${line}`)
}
