/**
 * The long campaign: `npm run fuzz:object -- --programs 200000 --seed 1 [--json]`. Hostile variants of the fixtures are
 * read in every way; the last line is a JSON summary; exit 1 on any fault. A case over the time limit is measured again
 * alone (the machine may have been busy) and counts when it is slow twice more.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { check, LIMIT_BYTES, LIMIT_MS } from './check.ts'
import { mutate, randomFrom } from './mutate.ts'

const { values } = parseArgs({
  options: {
    programs: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean' },
  },
})
const total = Number(values.programs)
const seed = Number(values.seed)
const folder = new URL('../../fixtures/objects/', import.meta.url)
const objects = readdirSync(folder)
  .filter((name) => name.endsWith('.o'))
  .sort()
  .map((name) => readFileSync(new URL(name, folder)))

const counts = { value: 0, error: 0, fault: 0, slow: 0, large: 0 }
const codes = new Map<string, number>()
let slowest = 0
let largest = 0
const started = performance.now()
for (let i = 0; i < total; i++) {
  const caseSeed = (seed * 0x9e3779b1 + i) >>> 0
  const make = (): Uint8Array => {
    const random = randomFrom(caseSeed)
    return mutate(objects[Math.floor(random() * objects.length)], random)
  }
  const bytes = make()
  let outcome = check(bytes)
  for (let again = 0; again < 2 && outcome.timeMs > LIMIT_MS; again++) outcome = check(bytes)
  counts[outcome.kind]++
  if (outcome.kind === 'error') codes.set(outcome.what, (codes.get(outcome.what) ?? 0) + 1)
  slowest = Math.max(slowest, outcome.timeMs)
  largest = Math.max(largest, outcome.bytes)
  const say = (what: string): void => console.error(`case seed ${caseSeed}: ${what}`)
  if (outcome.kind === 'fault') say(outcome.what)
  if (outcome.timeMs > LIMIT_MS) {
    counts.slow++
    say(`${outcome.timeMs.toFixed(0)} ms`)
  }
  if (outcome.bytes > LIMIT_BYTES) {
    counts.large++
    say(`${outcome.bytes} bytes`)
  }
  if (!values.json && (i + 1) % 20000 === 0) console.log(`${i + 1} cases, ${counts.fault} faults`)
}
const summary = {
  campaign: 'object',
  seed,
  cases: total,
  ...counts,
  slowestMs: Math.round(slowest),
  largestMiB: Math.round(largest / 1048576),
  seconds: Math.round((performance.now() - started) / 1000),
  codes: Object.fromEntries([...codes].sort((a, b) => b[1] - a[1])),
}
console.log(JSON.stringify(summary))
process.exitCode = counts.fault + counts.slow + counts.large === 0 ? 0 : 1
