/**
 * The programs of the corpora, judged by the model and held against what Linux 6.18 said of them.
 *
 *   node --conditions=typebpf-source --import tsx test/differential/verifier/corpora.ts [--kernel] [--only TEXT] [--json]
 *
 * `--kernel` also asks the running kernel in the same run, for times. The last line is a JSON summary.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { readObject } from '../../../src/elf/index.ts'
import { linkProgram, type ObjectSpec, type ProgramImage } from '../../../src/spec/index.ts'
import { createJudge } from '../../../src/syscall/index.ts'
import { kernelTypes } from './kernel-types.ts'
import { judgeImage, type ModelAnswer } from './model.ts'

// As test/requirements.ts has it, which only vitest can import.
const corporaFolder = process.env['TYPEBPF_CORPORA'] ?? new URL('../../../../shared/corpora', import.meta.url).pathname

/** One line of programs.jsonl. */
export interface CorpusRow {
  readonly object: string
  readonly section: string
  readonly program: string | null
  readonly insns: number
  readonly prog_type: number | null
  readonly expected_attach_type: number | null
  readonly verdict: string
  readonly processed?: number
  readonly kernel_us?: number
  readonly reason?: readonly string[]
}

export function corpusRows(): CorpusRow[] {
  return readFileSync(`${corporaFolder}/programs.jsonl`, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as CorpusRow)
}

const objects = new Map<string, ObjectSpec>()

/** The row's program as the loader gave it to the kernel. @throws BpfError where the object cannot be read or linked */
export function corpusImage(row: CorpusRow): ProgramImage {
  let object = objects.get(row.object)
  if (object === undefined) {
    object = readObject(readFileSync(`${corporaFolder}/objects/${row.object}`), { what: row.object })
    objects.set(row.object, object)
  }
  let spec =
    object.programs.find((p) => p.section === row.section && p.name === row.program) ??
    object.programs.find((p) => p.section === row.section) ??
    object.programs.find((p) => p.name === row.program)
  if (spec === undefined && row.program === null && object.functions.length > 0) {
    // A section that is no program by its name: the plain loader took it all the same.
    spec = { ...object.functions[0], section: row.section, type: row.prog_type ?? 0, expectedAttachType: 0, flags: 0 }
    object = { ...object, programs: [...object.programs, spec], functions: object.functions.slice(1) }
  }
  if (spec === undefined) throw new Error(`no program ${row.program} in section ${row.section}`)
  const image = linkProgram(object, spec.name, { kernelBtf: kernelTypes() })
  return {
    ...image,
    type: row.prog_type ?? image.type,
    expectedAttachType: row.expected_attach_type ?? image.expectedAttachType,
    // The plain loader knew nothing of attach targets.
    ...(row.program === null ? { attachTo: undefined, attachBtfId: undefined } : {}),
    ...(image.license === '' ? { license: 'GPL' } : {}),
  }
}

/** The row's reason lines occur in the log in this order; an instruction's own line and libbpf's words do not count. */
export function reasonMatches(reason: readonly string[], log: string): boolean {
  let at = 0
  for (const line of reason) {
    if (/^\d+: (\([0-9a-f]{2}\)|<)/.test(line) || /^failed to resolve|is referenced but wasn't/.test(line)) continue
    const found = log.indexOf(line, at)
    if (found < 0) return false
    at = found + line.length
  }
  return true
}

export interface CorpusResult {
  readonly row: CorpusRow
  readonly outcome: 'equal' | 'wrong-accept' | 'wrong-reject' | 'reason' | 'unsupported' | 'not-linked' | 'crash'
  readonly detail?: string
  readonly model?: ModelAnswer
  readonly modelUs: number
  readonly kernel?: {
    readonly verdict: string
    readonly timeUs?: number
    readonly processed?: number
    readonly message?: string
  }
}

export function judgeRow(row: CorpusRow, ask?: ReturnType<typeof createJudge>): CorpusResult {
  let image: ProgramImage
  try {
    image = corpusImage(row)
  } catch (error) {
    return { row, outcome: 'not-linked', detail: error instanceof Error ? error.message : String(error), modelUs: 0 }
  }
  const kernel = ask?.judge(image)
  const started = performance.now()
  const model = judgeImage(image)
  const modelUs = (performance.now() - started) * 1000
  const common = { row, model, modelUs, ...(kernel === undefined ? {} : { kernel }) }
  if (model.verdict === 'crash') return { ...common, outcome: 'crash', detail: model.message }
  if (model.verdict === 'unsupported') return { ...common, outcome: 'unsupported', detail: model.message }
  if (row.verdict === 'ACCEPT')
    return model.verdict === 'accept'
      ? { ...common, outcome: 'equal' }
      : { ...common, outcome: 'wrong-reject', detail: `${model.verdict}: ${model.message}` }
  if (model.verdict === 'accept') return { ...common, outcome: 'wrong-accept', detail: row.reason?.join(' / ') }
  const log = judgeImage(image, 1).log ?? ''
  return reasonMatches(row.reason ?? [], log)
    ? { ...common, outcome: 'equal' }
    : { ...common, outcome: 'reason', detail: `kernel ${row.reason?.join(' / ')} | model ${model.message}` }
}

function main(): void {
  const { values } = parseArgs({
    options: { kernel: { type: 'boolean' }, only: { type: 'string' }, json: { type: 'boolean' } },
  })
  const judge = values.kernel === true ? createJudge() : undefined
  const rows = corpusRows().filter(
    (row) =>
      /ACCEPT|REJECT/.test(row.verdict) &&
      (values.only === undefined || `${row.object} ${row.section} ${row.program}`.includes(values.only)),
  )
  const counts: Record<string, number> = {}
  let kernelProcessed = 0
  let modelProcessed = 0
  let equalProcessed = 0
  let accepted = 0
  let kernelUs = 0
  let modelUs = 0
  let disagreeing = 0
  for (const row of rows) {
    const result = judgeRow(row, judge)
    counts[result.outcome] = (counts[result.outcome] ?? 0) + 1
    if (result.kernel !== undefined && (result.kernel.verdict === 'accept') !== (row.verdict === 'ACCEPT')) {
      disagreeing++
      process.stdout.write(
        `kernel-now ${row.object} ${row.section} ${row.program}: ${result.kernel.verdict} ${result.kernel.message ?? ''}\n`,
      )
    }
    if (result.outcome !== 'equal')
      process.stdout.write(`${result.outcome} ${row.object} ${row.section} ${row.program}: ${result.detail ?? ''}\n`)
    if (row.verdict === 'ACCEPT' && result.outcome === 'equal') {
      accepted++
      const want = result.kernel?.processed ?? row.processed ?? 0
      kernelProcessed += want
      modelProcessed += result.model?.processed ?? 0
      kernelUs += result.kernel?.timeUs ?? row.kernel_us ?? 0
      modelUs += result.modelUs
      if (want === result.model?.processed) equalProcessed++
      else
        process.stdout.write(
          `processed ${row.object} ${row.section} ${row.program}: kernel ${want} model ${result.model?.processed}\n`,
        )
    }
  }
  process.stdout.write(
    `${JSON.stringify({ programs: rows.length, ...counts, accepted, equalProcessed, kernelProcessed, modelProcessed, processedRatio: modelProcessed / kernelProcessed, kernelUs, modelUs: Math.round(modelUs), timeRatio: modelUs / kernelUs, kernelNowDisagrees: disagreeing })}\n`,
  )
}

if (process.argv[1]?.endsWith('corpora.ts')) main()
