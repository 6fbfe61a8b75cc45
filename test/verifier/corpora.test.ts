import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'

/** The path-explosion rows are for the runner: test/differential/verifier/corpora.ts. */
const LARGEST_PROCESSED = 10_000

describe("other people's programs", () => {
  testWith('corpora', 'bpf')(
    'get the verdict, the reason and the count that Linux 6.18 gave them',
    async () => {
      const { corpusRows, judgeRow } = await import('../differential/verifier/corpora.ts')
      const rows = corpusRows().filter(
        ({ verdict, processed }) => /ACCEPT|REJECT/.test(verdict) && (processed ?? 0) <= LARGEST_PROCESSED,
      )
      const results = rows.map((row) => judgeRow(row))
      const wrong = results.filter(({ outcome }) => outcome !== 'equal' && outcome !== 'unsupported')
      expect(
        wrong.map(({ row, outcome, detail }) => `${outcome} ${row.object} ${row.section} ${row.program}: ${detail}`),
      ).toEqual([])
      expect(results.filter(({ outcome }) => outcome === 'unsupported').length).toBeLessThanOrEqual(3)
      const accepted = results.filter(({ row, outcome }) => row.verdict === 'ACCEPT' && outcome === 'equal')
      const kernel = accepted.reduce((sum, { row }) => sum + (row.processed ?? 0), 0)
      const model = accepted.reduce((sum, { model: answer }) => sum + (answer?.processed ?? 0), 0)
      expect(Math.abs(model / kernel - 1)).toBeLessThan(0.02)
    },
    120_000,
  )
})
