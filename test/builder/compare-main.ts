// The table of docs/builder.md: node --conditions=typebpf-source --import tsx test/builder/compare-main.ts
import { compareRow, pairs } from './compare.ts'
import { frames } from './frames.ts'

const inputs = frames(500)
const totals = { c: 0, builder: 0, cProcessed: 0, builderProcessed: 0 }
const ratio = (a: number, b: number): string => (a / b).toFixed(2)
console.log('| program | clang | builder | ratio | clang processed | builder processed | ratio | runs | different |')
console.log('|---|---|---|---|---|---|---|---|---|')
for (const pair of pairs()) {
  const row = compareRow(pair, inputs)
  totals.c += row.c
  totals.builder += row.builder
  totals.cProcessed += row.cProcessed
  totals.builderProcessed += row.builderProcessed
  console.log(
    `| ${row.name} | ${row.c} | ${row.builder} | ${ratio(row.builder, row.c)} | ${row.cProcessed} | ${row.builderProcessed} | ${ratio(row.builderProcessed, row.cProcessed)} | ${row.runs ?? '–'} | ${row.different ?? '–'} |`,
  )
}
console.log(
  `| **total** | ${totals.c} | ${totals.builder} | ${ratio(totals.builder, totals.c)} | ${totals.cProcessed} | ${totals.builderProcessed} | ${ratio(totals.builderProcessed, totals.cProcessed)} | | |`,
)
