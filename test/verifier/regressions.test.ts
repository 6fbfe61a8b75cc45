import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parseBatchRequest } from '../../src/spec/index.ts'
import { verify } from '../../src/verifier/index.ts'
import { reasonText } from '../differential/verifier/compare.ts'

interface Row {
  readonly request: { readonly id: unknown }
  readonly verdict: string
  readonly message?: string
  readonly processed?: number
}

const rows = JSON.parse(
  readFileSync(new URL('../fixtures/verifier/regressions.json', import.meta.url), 'utf8'),
) as Row[]

test.each(rows.map((row) => [String(row.request.id), row] as const))(
  '%s is judged as Linux 6.18 judged it',
  (_, row) => {
    const answer = verify(parseBatchRequest(row.request).image)
    expect({ verdict: answer.verdict, message: reasonText(answer.message), processed: answer.processed }).toEqual({
      verdict: row.verdict,
      message: reasonText(row.message),
      processed: row.processed,
    })
  },
)
