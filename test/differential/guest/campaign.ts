import { type ProgramImage, parseBatchRequest } from '../../../src/spec/index.ts'
import { KERNEL_FAULT } from '../../../src/verifier/index.ts'
import { reasonShape } from '../verifier/campaign.ts'
import { type Comparison, compare, type Failure } from '../verifier/compare.ts'
import { JUDGED, zeroes } from '../verifier/counters.ts'
import type { ModelAnswer } from '../verifier/model.ts'
import { Random } from '../verifier/random.ts'
import { requestOfImage } from '../verifier/request.ts'
import type { ProbeFamily } from './families/site.ts'
import type { GuestAnswer } from './guest.ts'
import { knownDifference } from './known.ts'
import type { SecondOpinion } from './second-opinion.ts'

/** Counts of one family, named as in the ordinary campaign. */
export interface FamilyReport {
  readonly generator: string
  programs: number
  /** What the kernel said; `invalid`: it refused before its verifier spoke. */
  accepts: number
  rejects: number
  invalid: number
  wrongAccepts: number
  wrongRejects: number
  crashes: number
  unsupported: number
  /** Not counted as wrong: the two kernels differ there (known.ts). */
  known: number
  /** Not compared: a fault of this kernel that the model knows (never sent) or that the kernel found in itself. */
  kernelBugs: number
  /** Not compared: the loader could not ask (a map that cannot be made, a target that is refused). */
  notAsked: number
  /** The guest ended while it was asked. */
  endedGuest: number
  bothReject: number
  reasonEqual: number
  bothAccept: number
  processedEqual: number
  modelUs: number
}

export interface GuestFailure {
  readonly kind: Failure | 'ended-guest'
  readonly generator: string
  readonly seed: number
  readonly index: number
  readonly what: string
  readonly kernel: { readonly verdict: string; readonly message?: string; readonly processed?: number }
  readonly model: ModelAnswer
  /** The request of `load --batch` and `verify --batch`. */
  readonly request: string
}

export interface GuestCampaignOptions {
  readonly families: readonly ProbeFamily[]
  readonly programs: number
  readonly seed: number
  /** The guest's `uname -r`. */
  readonly release: string
  /** The guest: one answer a request. */
  ask(requests: readonly string[]): Promise<GuestAnswer[]>
  /** The model, with the guest's types. */
  judge(request: ReturnType<typeof parseBatchRequest>): ModelAnswer
  /** Another kernel's answer to what the guest and the model answer differently. */
  second?: SecondOpinion
  /** Requests of so many bytes go to the guest at once. */
  readonly roundBytes?: number
  progress?(text: string): void
}

export interface GuestCampaignResult {
  readonly reports: readonly FamilyReport[]
  readonly failures: readonly GuestFailure[]
  readonly unsupported: ReadonlyMap<string, number>
  /** Reasons of differences that are known. */
  readonly known: ReadonlyMap<string, number>
  readonly notAsked: ReadonlyMap<string, number>
}

interface Asked {
  readonly generator: string
  readonly index: number
  readonly what: string
  readonly request: string
  readonly image: ProgramImage
  readonly model: ModelAnswer
}

const ROUND_BYTES = 24 * 2 ** 20
const KEPT_FAILURES = 2000

/** The n-th request of a seed: families take turns. */
export function requestAt(
  families: readonly ProbeFamily[],
  seed: number,
  index: number,
): { readonly generator: string; readonly what: string; readonly request: string } {
  const slot = index % families.length
  const family = families[slot]
  // which turn of this family it is: it may stand in the list more than once
  const places = families.flatMap((other, at) => (other === family ? [at] : []))
  const turn = Math.floor(index / families.length) * places.length + places.indexOf(slot)
  const { what, image } = family.generate(new Random(seed, index), turn)
  return { generator: family.name, what, request: JSON.stringify(requestOfImage(`${family.name} ${index}`, image)) }
}

class Counts {
  readonly reports = new Map<string, FamilyReport>()
  readonly failures: GuestFailure[] = []
  readonly unsupported = new Map<string, number>()
  readonly notAsked = new Map<string, number>()
  readonly known = new Map<string, number>()
  readonly #seed: number
  readonly #release: string
  readonly #second: SecondOpinion | undefined

  constructor({ seed, release, second }: Pick<GuestCampaignOptions, 'seed' | 'release' | 'second'>) {
    this.#seed = seed
    this.#release = release
    this.#second = second
  }

  of(generator: string): FamilyReport {
    let report = this.reports.get(generator)
    if (report === undefined) this.reports.set(generator, (report = { generator: generator, ...zeroes(COUNTERS) }))
    return report
  }

  fail(
    { generator, index, what, request, model }: Asked,
    kind: GuestFailure['kind'],
    kernel: GuestFailure['kernel'],
  ): void {
    if (this.failures.length >= KEPT_FAILURES) return
    const { verdict, message, processed } = kernel
    this.failures.push({
      kind,
      generator,
      seed: this.#seed,
      index,
      what,
      kernel: { verdict, message, processed },
      model: { ...model, log: undefined },
      request,
    })
  }

  add(asked: Asked, answer: GuestAnswer): void {
    const report = this.of(asked.generator)
    if (answer.is === 'not-asked') {
      report.notAsked++
      bump(this.notAsked, reasonShape(`${answer.code}: ${answer.message}`))
      return
    }
    if (answer.is === 'ended-guest') {
      report.endedGuest++
      this.fail(asked, 'ended-guest', { verdict: 'none', message: answer.message })
      return
    }
    const { judgement } = answer
    if (judgement.verdict === 'accept') report.accepts++
    else if (judgement.verdict === 'reject') report.rejects++
    else report.invalid++
    // The kernel's verifier met a bug of its own: its words are no rule, but it loads no such program.
    if (judgement.message?.startsWith('verifier bug:')) {
      report.kernelBugs++
      if (asked.model.verdict !== 'accept') return
    }
    const outcome = compare(judgement, asked.model)
    if (outcome.failure !== undefined) {
      const { image, model } = asked
      const why =
        knownDifference({ release: this.#release, image, kernel: judgement, model }) ?? this.#asTheModel(image, model)
      if (why !== undefined) {
        report.known++
        bump(this.known, why)
        return
      }
    }
    this.#count(report, outcome, asked.model)
    if (outcome.failure !== undefined) this.fail(asked, outcome.failure, judgement)
  }

  /** The second kernel gives the model's answer: it is the guest that is of another release. */
  #asTheModel(image: ProgramImage, model: ModelAnswer): string | undefined {
    const other = this.#second?.judge(image)
    if (other === undefined || compare(other, model).failure !== undefined) return undefined
    return `point releases: the running ${this.#second?.release} answers as the model`
  }

  #count(report: FamilyReport, outcome: Comparison, model: ModelAnswer): void {
    if (outcome.unsupported) {
      report.unsupported++
      bump(this.unsupported, reasonShape(model.message ?? model.code ?? ''))
    }
    if (outcome.reasonEqual !== undefined) report.bothReject++
    if (outcome.reasonEqual === true) report.reasonEqual++
    if (outcome.processedEqual !== undefined) report.bothAccept++
    if (outcome.processedEqual === true) report.processedEqual++
    if (outcome.failure === 'wrong-accept') report.wrongAccepts++
    if (outcome.failure === 'wrong-reject') report.wrongRejects++
    if (outcome.failure === 'crash') report.crashes++
  }
}

function bump(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1)
}

export const COUNTERS = [...JUDGED, 'known', 'notAsked', 'endedGuest'] as const

/** Makes requests, asks the model and then the guest, round by round, and counts how the answers stand to each other. */
export async function runGuestCampaign(options: GuestCampaignOptions): Promise<GuestCampaignResult> {
  const { families, programs, seed, ask, judge, roundBytes = ROUND_BYTES, progress = () => {} } = options
  const counts = new Counts(options)
  let round: Asked[] = []
  let bytes = 0
  const flush = async (done: number): Promise<void> => {
    if (round.length === 0) return
    progress(`${done} of ${programs} programs: the guest is asked about ${round.length}`)
    const answers = await ask(round.map(({ request }) => request))
    round.forEach((asked, i) => {
      counts.add(asked, answers[i] ?? { is: 'not-asked', code: 'guest', message: 'no answer' })
    })
    progress(`${done} of ${programs} programs: ${counts.failures.length} differences so far`)
    round = []
    bytes = 0
  }
  for (let index = 0; index < programs; index++) {
    const { generator, what, request } = requestAt(families, seed, index)
    const report = counts.of(generator)
    report.programs++
    const started = performance.now()
    const parsed = parseBatchRequest(JSON.parse(request))
    const model = judge(parsed)
    report.modelUs += (performance.now() - started) * 1000
    // the guest would not survive it
    if (model.message?.includes(KERNEL_FAULT)) {
      report.kernelBugs++
      continue
    }
    round.push({ generator, index, what, request, model, image: parsed.image })
    bytes += request.length
    if (bytes >= roundBytes) await flush(index + 1)
  }
  await flush(programs)
  return {
    reports: [...counts.reports.values()],
    failures: counts.failures,
    unsupported: counts.unsupported,
    known: counts.known,
    notAsked: counts.notAsked,
  }
}
