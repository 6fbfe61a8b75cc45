import type { SourceLocation } from '../../asm/index.ts'
import { Btf } from '../../btf/index.ts'
import { UnsupportedError, UsageError } from '../../errors/index.ts'
import { type LinkProgramOptions, linkProgram, type ObjectSpec, type ProgramImage } from '../../spec/index.ts'
import { PROFILES, programTypeName } from '../../uapi/index.ts'
import { type Diagnosis, diagnose, rowFor, sourcesOf } from '../../verifier/diagnosis/index.ts'
import { type ModelAnswer, verify } from './model.ts'

/** One program's answer as `verify --json` prints it (docs/contracts.md), with veristat's figures. */
export interface VerifyRow {
  readonly object: string
  readonly section: string
  readonly program: string
  readonly type: string
  readonly verdict: ModelAnswer['verdict']
  readonly code?: string
  readonly message?: string
  readonly insn?: number
  readonly source?: SourceLocation
  readonly processed: number
  readonly states: number
  readonly peakStates?: number
  readonly maxStatesPerInsn?: number
  readonly stackDepth?: string
  /** Instructions of the program as loaded. */
  readonly insns: number
  readonly timeUs: number
  readonly kernel: string
  readonly log?: string
  readonly diagnosis?: Diagnosis
  readonly topLines?: readonly LineCost[]
}

/** How often the instructions of one source line were walked. */
export interface LineCost {
  readonly source?: SourceLocation
  /** First slot of the line, where no source is known. */
  readonly insn: number
  readonly processed: number
}

export interface VerifyOptions {
  readonly kernel: string
  readonly logLevel?: number
  /** How many of the costliest lines to count. */
  readonly topLines?: number
  /** The target kernel's types, or how to get them. */
  readonly kernelBtf?: Btf | (() => Btf | undefined)
  /** Program type for sections whose name does not tell it. */
  readonly type?: number
  /** The program that extensions replace a function of, and tracing programs trace one of. */
  readonly target?: ProgramImage
}

/** Kernel versions of `--kernel 6.18,6.1`. @throws UsageError naming those there are */
export function kernelVersions(text: string): string[] {
  const versions = text.split(',').map((version) => version.trim())
  for (const version of versions)
    if (!Object.hasOwn(PROFILES, version))
      throw new UsageError(
        'verify.kernel',
        `there is no profile for kernel ${JSON.stringify(version)}; there is ${Object.keys(PROFILES).join(', ')}`,
      )
  return versions
}

/** Tracing, struct_ops, extensions, LSM: their targets are types of the kernel. */
const NEEDS_TARGET: ReadonlySet<number> = new Set([26, 27, 28, 29])

/** True when linking the object asks for the kernel's types, symbols or configuration. */
export function needsKernel(object: ObjectSpec): boolean {
  if (object.programs.some(({ type }) => NEEDS_TARGET.has(type))) return true
  return [...object.programs, ...object.functions].some(({ instructions }) =>
    instructions.some(
      ({ core, reference }) => core !== undefined || ['kfunc', 'ksym', 'kconfig'].includes(reference?.kind ?? ''),
    ),
  )
}

const TRACING = 26
const EXT = 28

/** The image with its target: extensions always, tracing programs where the target has the function that they name. */
function attachedTo(target: ProgramImage | undefined, image: ProgramImage): ProgramImage {
  const { attachTo, type } = image
  if (target?.btf === undefined || attachTo === undefined || (type !== EXT && type !== TRACING)) return image
  if (type === TRACING && new Btf(target.btf).idByName(attachTo.name, 'func') === undefined) return image
  return { ...image, attachTo: { name: attachTo.name, program: target } }
}

/** Verifies one program of an object. What cannot even be linked is `unsupported` with the linker's words. */
export function verifyProgram(
  object: ObjectSpec,
  name: string,
  path: string,
  options: VerifyOptions,
  link: LinkProgramOptions,
): VerifyRow {
  const spec = object.programs.find((program) => program.name === name)
  const common = {
    object: path,
    section: spec?.section ?? '',
    program: name,
    type: programTypeName(spec?.type || (options.type ?? 0)) ?? String(spec?.type),
    kernel: options.kernel,
  }
  const image = attachedTo(options.target, linkProgram(object, name, link))
  const type = image.type || (options.type ?? 0)
  if (type === 0)
    throw new UsageError(
      'verify.type',
      `${path}: section ${JSON.stringify(common.section)} does not tell the program type of ${name}; give it by --type`,
    )
  return { ...common, ...answerRow({ ...image, type }, options) }
}

type AnswerPart = Omit<VerifyRow, 'object' | 'section' | 'program' | 'type' | 'kernel'>

/** The model's answer to an image, with the diagnosis of a rejection. */
export function answerRow(image: ProgramImage, options: VerifyOptions): AnswerPart {
  const kernel = options.kernelBtf === undefined ? {} : { kernelBtf: options.kernelBtf }
  const answer = verify(image, options.logLevel === undefined ? kernel : { ...kernel, logLevel: options.logLevel })
  const message = answer.message
  // The walk is only written down when somebody will look at it: a second run, for refusals that a walk explains.
  const walk = (reason: string): string | undefined => {
    if (((options.logLevel ?? 0) & 3) !== 0) return answer.log
    return rowFor(reason).follow === 'none' ? undefined : verify(image, { ...kernel, logLevel: 1 }).log
  }
  const diagnosis =
    answer.verdict === 'reject' && message !== undefined
      ? diagnose(image, { message, insn: answer.insn, log: walk(message) })
      : undefined
  const code = answer.verdict === 'accept' ? undefined : (diagnosis?.code ?? answer.code)
  return {
    verdict: answer.verdict,
    ...(code === undefined ? {} : { code }),
    ...(message === undefined ? {} : { message }),
    ...(answer.insn === undefined ? {} : { insn: answer.insn }),
    ...(diagnosis?.source === undefined ? {} : { source: diagnosis.source }),
    processed: answer.processed ?? 0,
    states: answer.states ?? 0,
    ...(answer.peakStates === undefined ? {} : { peakStates: answer.peakStates }),
    ...(answer.maxStatesPerInsn === undefined ? {} : { maxStatesPerInsn: answer.maxStatesPerInsn }),
    ...(answer.stackDepth === undefined ? {} : { stackDepth: answer.stackDepth }),
    insns: image.insns.length / 8,
    timeUs: answer.timeUs ?? 0,
    ...(options.logLevel === undefined || answer.log === undefined ? {} : { log: answer.log }),
    ...(diagnosis === undefined ? {} : { diagnosis }),
    ...(options.topLines === undefined ? {} : { topLines: costliestLines(image, options.topLines, options.kernelBtf) }),
  }
}

/** The source lines that were walked most, from the walk's own log. */
function costliestLines(image: ProgramImage, count: number, kernelBtf: VerifyOptions['kernelBtf']): LineCost[] {
  const log = verify(image, { logLevel: 2, ...(kernelBtf === undefined ? {} : { kernelBtf }) }).log ?? ''
  const sources = lineStarts(image)
  const costs = new Map<string, { source?: SourceLocation; insn: number; processed: number }>()
  for (const match of log.matchAll(/^(\d+): \([0-9a-f]{2}\) /gm)) {
    const insn = Number(match[1])
    const at = sources[insn]
    const key = at?.source === undefined ? `insn ${insn}` : `${at.source.file}:${at.source.line}`
    const cost = costs.get(key) ?? {
      source: at?.source,
      insn: at?.source === undefined ? insn : at.first,
      processed: 0,
    }
    cost.processed++
    costs.set(key, cost)
  }
  return [...costs.values()].sort((a, b) => b.processed - a.processed).slice(0, count)
}

function lineStarts(image: ProgramImage): { source?: SourceLocation; first: number }[] {
  const sources = sourcesOf(image)
  const result: { source?: SourceLocation; first: number }[] = []
  let source: SourceLocation | undefined
  let first = 0
  for (let slot = 0; slot < image.insns.length / 8; slot++) {
    const here = sources.get(slot)
    if (here !== undefined) {
      source = here
      first = slot
    }
    result.push({ source, first })
  }
  return result
}

/** BTF of a file: raw, as /sys/kernel/btf has it. @throws InputError `btf.*` */
export function readBtf(bytes: Uint8Array, path: string): Btf {
  if (bytes[0] === 0x7f) throw new UnsupportedError('verify.btf', `${path}: give the raw BTF, not an ELF file`)
  return new Btf(bytes, { what: path })
}
