import { KERNEL_FAULT } from '../../../src/verifier/index.ts'
import { compare, type Failure, reasonText } from './compare.ts'
import { JUDGED, zeroes } from './counters.ts'
import { GENERATORS } from './generators/index.ts'
import type { KernelJudge } from './kernel.ts'
import { type ModelAnswer, model } from './model.ts'
import type { Generated } from './program.ts'
import { Random } from './random.ts'

/** Counts of one generator. */
export interface GeneratorReport {
  readonly generator: string
  programs: number
  /** What the kernel said. */
  accepts: number
  rejects: number
  invalid: number
  wrongAccepts: number
  wrongRejects: number
  crashes: number
  unsupported: number
  /** Left out: more processed instructions than the campaign was given, or a bug that the kernel found in itself. */
  large: number
  kernelBugs: number
  /** Rejects that both gave, and how many of them for the same reason, numbers included. */
  bothReject: number
  reasonEqual: number
  /** Accepts that both gave, and how many with the same count of processed instructions. */
  bothAccept: number
  processedEqual: number
  kernelUs: number
  modelUs: number
}

export interface CampaignFailure {
  readonly generator: string
  readonly seed: number
  readonly index: number
  readonly kind: Failure
  readonly program: Generated
  readonly kernel: { readonly verdict: string; readonly message?: string; readonly processed?: number }
  readonly model: ModelAnswer
}

export interface CampaignResult {
  readonly reports: readonly GeneratorReport[]
  readonly failures: readonly CampaignFailure[]
  /** Reasons of the kernel by their text without numbers: how often, and how often the model gave the same one. */
  readonly reasons: ReadonlyMap<string, { kernel: number; model: number }>
  readonly unsupported: ReadonlyMap<string, number>
}

export interface CampaignOptions {
  readonly programs: number
  readonly seed: number
  readonly only?: string
  /** Programs that take the kernel more processed instructions are left out (counted as `large`). */
  readonly maxProcessed?: number
  /** Called for every failure; the default keeps the first 2,000. */
  readonly progress?: (done: number) => void
}

export const COUNTERS = [...JUDGED, 'large', 'kernelUs'] as const

/** A reason without what differs from program to program. */
export function reasonShape(text: string): string {
  return text
    .replace(/0x[0-9a-f…]+/g, 'N')
    .replace(/unknown opcode \w+/, 'unknown opcode')
    .replace(/invalid atomic opcode \w+/, 'invalid atomic opcode')
    .replace(/bpf_\w+#\d+/, 'bpf_…')
    .replace(/-?\d+/g, 'N')
    .replace(/(has|value) (smin|smax|value|unknown).*?should/, '$1 … should')
    .replace(/^(old|cur) state:.*/, 'infinite loop: $1 state')
    .slice(0, 120)
}

/** The n-th program of a seed: generators take turns. */
export function programAt(seed: number, index: number, only?: string): { generator: string; program: Generated } {
  const chosen = only === undefined ? GENERATORS : GENERATORS.filter(({ name }) => name === only)
  const generator = chosen[index % chosen.length]
  return { generator: generator.name, program: generator.generate(new Random(seed, index)) }
}

const KEPT_FAILURES = 2000

function timed(program: Generated): { readonly answer: ModelAnswer; readonly us: number } {
  const started = performance.now()
  const answer = model(program)
  return { answer, us: (performance.now() - started) * 1000 }
}

/** Generates programs, asks both judges, counts. */
export function runCampaign(kernel: KernelJudge, options: CampaignOptions): CampaignResult {
  const reports = new Map<string, GeneratorReport>()
  const failures: CampaignFailure[] = []
  const reasons = new Map<string, { kernel: number; model: number }>()
  const unsupported = new Map<string, number>()
  for (let index = 0; index < options.programs; index++) {
    const { generator, program } = programAt(options.seed, index, options.only)
    let report = reports.get(generator)
    if (report === undefined) {
      report = { generator, ...zeroes(COUNTERS) }
      reports.set(generator, report)
    }
    report.programs++
    // a program that the kernel's verifier does not survive takes the campaign with it, so the model goes first; not in the
    // short form, whose large programs are for the kernel only: there it goes first where no program is large
    const first = options.maxProcessed === undefined || generator === 'objects' ? timed(program) : undefined
    if (first?.answer.message === KERNEL_FAULT) {
      report.kernelBugs++
      continue
    }
    const ours = kernel.judge(program)
    if (ours.verdict === 'accept') report.accepts++
    else if (ours.verdict === 'reject') report.rejects++
    else report.invalid++
    report.kernelUs += ours.timeUs ?? 0
    const shape = ours.verdict === 'reject' ? reasonShape(reasonText(ours.message)) : undefined
    const count = shape === undefined ? undefined : (reasons.get(shape) ?? { kernel: 0, model: 0 })
    if (shape !== undefined && count !== undefined) {
      count.kernel++
      reasons.set(shape, count)
    }
    options.progress?.(index)
    // The kernel's verifier met a bug of its own: its words are no rule, but it loads no such program.
    if (ours.message?.startsWith('verifier bug:')) {
      report.kernelBugs++
      if ((first ?? timed(program)).answer.verdict !== 'accept') continue
    }
    if (options.maxProcessed !== undefined && (ours.processed ?? 0) > options.maxProcessed) {
      report.large++
      continue
    }
    const { answer: theirs, us } = first ?? timed(program)
    report.modelUs += us
    const outcome = compare(ours, theirs)
    if (outcome.unsupported) {
      report.unsupported++
      const what = reasonShape(theirs.message ?? theirs.code ?? '')
      unsupported.set(what, (unsupported.get(what) ?? 0) + 1)
    }
    if (outcome.reasonEqual !== undefined) report.bothReject++
    if (outcome.reasonEqual === true) {
      report.reasonEqual++
      if (count !== undefined) count.model++
    }
    if (outcome.processedEqual !== undefined) report.bothAccept++
    if (outcome.processedEqual === true) report.processedEqual++
    if (outcome.failure === 'wrong-accept') report.wrongAccepts++
    if (outcome.failure === 'wrong-reject') report.wrongRejects++
    if (outcome.failure === 'crash') report.crashes++
    if (outcome.failure !== undefined && failures.length < KEPT_FAILURES)
      failures.push({
        generator,
        seed: options.seed,
        index,
        kind: outcome.failure,
        program,
        kernel: { verdict: ours.verdict, message: ours.message, processed: ours.processed },
        model: theirs,
      })
  }
  return { reports: [...reports.values()], failures, reasons, unsupported }
}
