/**
 * Keeps shrunk failures of the differential campaign as fixtures, with what the running kernel says of them.
 *
 *   node --conditions=typebpf-source --import tsx scripts/record-verifier-regressions.ts FAILURES.jsonl …
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseBatchRequest } from '../src/spec/index.ts'
import { createJudge } from '../src/syscall/index.ts'

interface Kept {
  readonly request: { readonly id: unknown; readonly insns: string }
  readonly verdict: string
  readonly message?: string
  readonly processed?: number
}

const output = new URL('../test/fixtures/verifier/regressions.json', import.meta.url)
const kept: Kept[] = existsSync(output) ? (JSON.parse(readFileSync(output, 'utf8')) as Kept[]) : []
const known = new Set(kept.map(({ request }) => request.insns))
const judge = createJudge()
for (const path of process.argv.slice(2))
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    if (line === '') continue
    const { request } = JSON.parse(line) as { request: Kept['request'] }
    if (known.has(request.insns) || request.insns.length > 2400) continue
    known.add(request.insns)
    const { verdict, message, processed } = judge.judge(parseBatchRequest(request).image)
    // What the kernel says here must not depend on this machine: no bugs, no missing types, no million steps.
    if (verdict === 'invalid' || (processed ?? 0) > 20_000 || /verifier bug|without a reason/.test(message ?? ''))
      continue
    kept.push({
      request,
      verdict,
      ...(message === undefined ? {} : { message }),
      ...(processed === undefined ? {} : { processed }),
    })
  }
writeFileSync(output, `[\n${kept.map((row) => JSON.stringify(row)).join(',\n')}\n]\n`)
process.stdout.write(`${kept.length} kept\n`)
