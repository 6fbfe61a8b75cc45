import { readFileSync } from 'node:fs'
import { reasonShape } from '../verifier/campaign.ts'
import { reasonText } from '../verifier/compare.ts'
import { totals } from '../verifier/counters.ts'
import { COUNTERS, type FamilyReport, type GuestCampaignResult, type GuestFailure } from './campaign.ts'

function share(part: number, whole: number): string {
  return whole === 0 ? '-' : `${((100 * part) / whole).toFixed(2)}%`
}

export function familyLine(r: FamilyReport): string {
  return [
    r.generator.padEnd(12),
    `programs ${r.programs}`,
    `accept ${share(r.accepts, r.programs)}`,
    `reject ${share(r.rejects + r.invalid, r.programs)}`,
    `wrong accepts ${r.wrongAccepts}`,
    `wrong rejects ${r.wrongRejects}`,
    `crashes ${r.crashes}`,
    `unsupported ${share(r.unsupported, r.programs)}`,
    `reason equal ${share(r.reasonEqual, r.bothReject)}`,
    `processed equal ${share(r.processedEqual, r.bothAccept)}`,
    `known ${r.known}`,
    `not asked ${r.notAsked}`,
    `ended the guest ${r.endedGuest}`,
  ].join('  ')
}

/** The JSON line at the end. */
export function summaryOf(
  { reports }: Pick<GuestCampaignResult, 'reports'>,
  about: { readonly seed: number; readonly kernel: string; readonly seconds: number },
) {
  return {
    campaign: 'guest',
    kernel: about.kernel,
    seed: about.seed,
    ...totals(reports, COUNTERS),
    seconds: about.seconds,
  }
}

const ORDER: readonly GuestFailure['kind'][] = [
  'wrong-accept',
  'wrong-reject',
  'crash',
  'ended-guest',
  'reason',
  'processed',
]
const EXAMPLES = 60

function shapeOf({ verdict, message }: { readonly verdict: string; readonly message?: string }): string {
  return verdict === 'accept' ? 'accept' : `${verdict} ${reasonShape(reasonText(message))}`
}

/** Failures by the shapes of both answers: how many, and the shortest request of each. */
export function examples(failures: readonly GuestFailure[]): { index: string[]; rows: GuestFailure[] } {
  const groups = new Map<string, GuestFailure[]>()
  for (const failure of failures) {
    const key = `${failure.kind}: kernel ${shapeOf(failure.kernel)} | model ${shapeOf(failure.model)}`
    groups.set(key, [...(groups.get(key) ?? []), failure])
  }
  const sorted = [...groups].sort(
    (a, b) => ORDER.indexOf(a[1][0].kind) - ORDER.indexOf(b[1][0].kind) || b[1].length - a[1].length,
  )
  return {
    index: sorted.map(([key, group]) => `${String(group.length).padStart(5)} ${key}`),
    rows: sorted
      .slice(0, EXAMPLES)
      .map(([, group]) => group.reduce((a, b) => (b.request.length < a.request.length ? b : a))),
  }
}

const SAY_EVERY_MS = 10_000

/** Says now and then how many answers have arrived in a file. */
export function counted(say: (text: string) => void): (path: string) => void {
  let last = Date.now()
  return (path) => {
    if (Date.now() - last < SAY_EVERY_MS) return
    last = Date.now()
    say(`  ${readFileSync(path, 'latin1').split('\n').length - 1} answers`)
  }
}
