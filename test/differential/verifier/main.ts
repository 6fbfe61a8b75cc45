/**
 * The differential campaign: generated programs, judged by the running kernel and by the model.
 *
 *   npm run fuzz:verifier -- --programs N --seed S [--generator NAME] [--max-processed N] [--failures DIR]
 *       [--sites FILE] [--json]
 *
 * `--sites` writes the model's reject sites that were reached. The last line is a JSON summary; exit 1 on any wrong accept, wrong reject or crash.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type CampaignFailure, COUNTERS, type GeneratorReport, reasonShape, runCampaign } from './campaign.ts'
import { compare, reasonText } from './compare.ts'
import { totals } from './counters.ts'
import { type KernelJudge, openKernel } from './kernel.ts'
import { model } from './model.ts'
import { requestOf } from './request.ts'
import { shrink } from './shrink.ts'
import { rejectSites, unreachedSites, watchSites } from './sites.ts'

const { values } = parseArgs({
  options: {
    programs: { type: 'string', default: '10000' },
    seed: { type: 'string', default: '1' },
    generator: { type: 'string' },
    failures: { type: 'string' },
    sites: { type: 'string' },
    'max-processed': { type: 'string' },
    json: { type: 'boolean', default: false },
  },
})
const programs = Number(values.programs)
const seed = Number(values.seed)
if (!Number.isInteger(programs) || programs < 1 || !Number.isInteger(seed)) {
  process.stderr.write(
    'usage: fuzz:verifier -- --programs N --seed S [--generator NAME] [--max-processed N] [--failures DIR] [--sites FILE] [--json]\n',
  )
  process.exit(2)
}

function share(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(2)}%`
}

function line(r: GeneratorReport): string {
  return [
    r.generator.padEnd(12),
    `programs ${r.programs}`,
    `accept ${share(r.accepts, r.programs)}`,
    `reject ${share(r.rejects, r.programs)}`,
    `wrong accepts ${r.wrongAccepts}`,
    `wrong rejects ${r.wrongRejects}`,
    `crashes ${r.crashes}`,
    `unsupported ${share(r.unsupported, r.programs)}`,
    `reason equal ${share(r.reasonEqual, r.bothReject)}`,
    `processed equal ${share(r.processedEqual, r.bothAccept)}`,
    `model/kernel time ${r.kernelUs === 0 ? '-' : (r.modelUs / r.kernelUs).toFixed(2)}`,
  ].join('  ')
}

/** The same kind of failure for the same shapes of reasons: worth one example, made small. */
function examples(failures: readonly CampaignFailure[], kernel: KernelJudge, folder: string): void {
  mkdirSync(folder, { recursive: true })
  const groups = new Map<string, CampaignFailure[]>()
  for (const failure of failures) {
    const key = `${failure.kind}: kernel ${shapeOf(failure.kernel)} | model ${shapeOf(failure.model)}`
    groups.set(key, [...(groups.get(key) ?? []), failure])
  }
  const sorted = [...groups].sort(
    (a, b) => ORDER.indexOf(a[1][0].kind) - ORDER.indexOf(b[1][0].kind) || b[1].length - a[1].length,
  )
  const rows: string[] = []
  const index: string[] = []
  for (const [key, group] of sorted) {
    index.push(`${String(group.length).padStart(5)} ${key}`)
    if (rows.length >= 60) continue
    const first = group.reduce((a, b) => (b.program.slots.length < a.program.slots.length ? b : a))
    const same = (candidate: CampaignFailure['program']): boolean => {
      const ours = kernel.judge(candidate)
      const theirs = model(candidate)
      const outcome = compare(ours, theirs)
      return (
        outcome.failure === first.kind &&
        (first.kind === 'processed' ||
          `${shapeOf(ours)}|${shapeOf(theirs)}` === `${shapeOf(first.kernel)}|${shapeOf(first.model)}`)
      )
    }
    const small = shrink(first.program, same, first.kind === 'processed' ? 300 : 600)
    rows.push(
      JSON.stringify({
        kind: first.kind,
        generator: first.generator,
        seed: first.seed,
        index: first.index,
        kernel: first.kernel,
        model: { ...first.model, log: undefined },
        slots: small.slots.map((slot) => slot.join(' ')),
        request: requestOf(`${first.generator}-${first.seed}-${first.index}`, small),
      }),
    )
  }
  writeFileSync(`${folder}/INDEX`, `${index.join('\n')}\n`)
  writeFileSync(`${folder}/failures.jsonl`, `${rows.join('\n')}\n`)
}

const ORDER = ['wrong-accept', 'wrong-reject', 'crash', 'reason', 'processed']

function shapeOf(answer: { readonly verdict: string; readonly message?: string; readonly log?: string }): string {
  return answer.verdict === 'accept' ? 'accept' : `${answer.verdict} ${reasonShape(reasonText(answer.message))}`
}

const kernel = openKernel()
const started = Date.now()
// read before the campaign: lines move while one works on the model
const sites = rejectSites()
const watched = watchSites()
const { reports, failures, reasons, unsupported } = runCampaign(kernel, {
  programs,
  seed,
  only: values.generator,
  ...(values['max-processed'] === undefined ? {} : { maxProcessed: Number(values['max-processed']) }),
})
watched.stop()

const unreached = [...reasons].filter(([, { model: same }]) => same === 0)
if (!values.json) {
  for (const report of reports) process.stdout.write(`${line(report)}\n`)
  process.stdout.write(
    `\nunsupported:\n${[...unsupported]
      .sort((a, b) => b[1] - a[1])
      .slice(0, 30)
      .map(([what, n]) => `${String(n).padStart(7)}  ${what}`)
      .join('\n')}\n`,
  )
  process.stdout.write(
    `\n${reasons.size} kinds of reason from the kernel; never given alike by the model:\n${unreached.map(([what, { kernel: n }]) => `${String(n).padStart(7)}  ${what}`).join('\n')}\n`,
  )
}
const silent = unreachedSites(sites, watched.places)
if (values.sites !== undefined) {
  const reached = sites.filter(({ place }) => watched.places.has(place)).map(({ key }) => key)
  writeFileSync(values.sites, `${JSON.stringify({ programs, seed, reached }, undefined, 2)}\n`)
}
if (!values.json)
  process.stdout.write(
    `\n${sites.length} places in the model refuse programs; not reached (but for those that cannot be: UNREACHABLE in sites.ts):\n${silent.map(({ place, text }) => `  ${place}  ${text}`).join('\n')}\n`,
  )
const summary = {
  ...totals(reports, COUNTERS),
  seed,
  rejectSites: sites.length,
  rejectSitesUnreached: silent.length,
  reasonKinds: reasons.size,
  reasonKindsNeverEqual: unreached.length,
  seconds: Math.round((Date.now() - started) / 1000),
  generators: values.json ? reports : undefined,
}
if (values.failures !== undefined) examples(failures, kernel, values.failures)
kernel.close()
process.stdout.write(`${JSON.stringify(summary)}\n`)
process.exit(summary.wrongAccepts + summary.wrongRejects + summary.crashes > 0 ? 1 : 0)
