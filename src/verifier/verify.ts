/** The model's entry point: one image in, one answer out, whatever the bytes. */

import { Btf } from '../btf/index.ts'
import type { ProgramImage } from '../spec/index.ts'
import { PROGRAM_TYPES } from '../uapi/index.ts'
import { isMainUnreliable } from './calls/global-functions.ts'
import { KernelTypes } from './kernel/kernel-types.ts'
import { hasFaultyObject, type KernelSource } from './kernel/object-fields.ts'
import type { ProgramFacts } from './kernel/prototype.ts'
import { checkAttachRules } from './program/attach-rules.ts'
import { type AttachTarget, resolveTarget } from './program/attach-target.ts'
import { checkBtfInfo, checkBtfInfoEarly } from './program/btf-info.ts'
import { checkCfg, computeLiveRegisters, computeLoops, computePostorder } from './program/cfg.ts'
import { markFastcallPatterns, removeFastcallSpills } from './program/fastcall.ts'
import { describeMap } from './program/program.ts'
import type { TargetProgram } from './program/program-target.ts'
import { addInlinedStack, checkStackDepth, removeDeadFunctions } from './program/stack-depth.ts'
import { addSubprograms, checkSubprograms, resolveImmediates } from './program/structure.ts'
import { Env, Rejection, Unmodelled } from './state/env.ts'
import { tables } from './tables/index.ts'
import { checkFunction } from './walk/engine.ts'

export type VerifierVerdict = 'accept' | 'reject' | 'unsupported' | 'invalid'

export interface VerifyOptions {
  /** Bits of the kernel's log level: 1 the last path's instructions, 2 every state, 4 statistics. Default 0: no log. */
  readonly logLevel?: number
  /** The kernel's types (/sys/kernel/btf/vmlinux), or how to get them; asked only by programs that depend on them. */
  readonly kernelBtf?: Btf | (() => Btf | undefined)
}

const kernels = new WeakMap<Btf, KernelTypes>()

/** The kernel's types, read when first asked for and kept for as long as their BTF is. */
function kernelOf(given: VerifyOptions['kernelBtf']): () => KernelTypes | undefined {
  let known: KernelTypes | undefined
  let asked = false
  return () => {
    if (asked) return known
    asked = true
    const btf = typeof given === 'function' ? given() : given
    if (btf !== undefined) {
      known = kernels.get(btf)
      if (known === undefined) kernels.set(btf, (known = new KernelTypes(btf)))
    }
    return known
  }
}

export interface VerifierResult {
  readonly verdict: VerifierVerdict
  /** Stable name of an `unsupported` or `invalid` answer's kind. */
  readonly code?: string
  /** The line of the log that says why; what is not modelled; what the system call would refuse. */
  readonly message?: string
  /** Slot at which the program was refused. */
  readonly insn?: number
  /** Instructions that were walked. */
  readonly processed: number
  /** States that were remembered, in total. */
  readonly states: number
  readonly peakStates: number
  readonly maxStatesPerInsn: number
  /** Stack bytes of every subprogram, `64+32`. */
  readonly stackDepth: string
  /** The model's own time. */
  readonly timeUs: number
  readonly log?: string
  /** True when the beginning of the log was dropped. */
  readonly logTruncated?: boolean
}

const MAX_INSTRUCTIONS = 1_000_000
/** The largest id of a type that an attach target may have. */
const MAX_TYPE_ID = 0xfffff
const KNOWN_FLAGS = 0xff
const SLEEPABLE = 1 << 4
const MAX_LOG = 16 * 1024 * 1024

function nothing(verdict: VerifierVerdict, code: string, message: string): VerifierResult {
  return {
    verdict,
    code,
    message,
    processed: 0,
    states: 0,
    peakStates: 0,
    maxStatesPerInsn: 0,
    stackDepth: '',
    timeUs: 0,
  }
}

/** What BPF_PROG_LOAD refuses before its verifier speaks. */
function refusedLoad(image: ProgramImage): string | undefined {
  const count = image.insns.length / 8
  if (!Number.isInteger(count) || count === 0) return 'the program has no whole instructions'
  if (count > MAX_INSTRUCTIONS) return `more than ${MAX_INSTRUCTIONS} instructions`
  if ((image.flags & ~KNOWN_FLAGS) !== 0) return 'unknown program flags'
  if ((image.attachBtfId ?? 0) > MAX_TYPE_ID) return 'no BTF has a type of that number'
  if (image.type === EXT && image.expectedAttachType !== 0) return 'an extension has no attach type'
  return tables.refusal(factsOf(image))
}

/** Program types whose context is that of their target: tracing, struct_ops, LSM. */
const CONTEXT_OF_TARGET: ReadonlySet<number> = new Set([26, 27, 29])

function factsOf(image: ProgramImage, target?: AttachTarget): ProgramFacts {
  const replaced = target?.program?.replaces === true ? target.program.program : undefined
  if (replaced !== undefined)
    return {
      type: replaced.contextType,
      expectedAttachType: replaced.expectedAttachType,
      sleepable: (image.flags & SLEEPABLE) !== 0,
      // Extensions of these are refused, or not modelled, before a fact of theirs is asked for.
      ...(CONTEXT_OF_TARGET.has(replaced.contextType) ? { targetKey: 'tracing-fentry' } : {}),
    }
  return {
    type: image.type,
    expectedAttachType: image.expectedAttachType,
    sleepable: (image.flags & SLEEPABLE) !== 0,
    ...(image.attachTo === undefined ? {} : { attachTo: image.attachTo.name }),
    ...(target === undefined ? {} : { targetKey: target.key }),
  }
}

function stackText(env: Env): string {
  return env.subprograms.map((s) => s.stackDepth).join('+')
}

function statistics(env: Env, timeUs: number): string {
  const counts =
    `processed ${env.processed} insns (limit 1000000) max_states_per_insn ${env.maxStatesPerInsn} ` +
    `total_states ${env.totalStates} peak_states ${env.peakStates} mark_read 0\n`
  if ((env.log.level & 4) === 0) return counts
  return `verification time ${timeUs} usec\nstack depth ${stackText(env)}\n${counts}`
}

/** Lines that are no reasons: where functions begin, and the source line after a refused context access. */
const NO_REASON = /^; .* @ \S+:\d+$|^func#\d+ @\d+$/

/** The last line with words in it that is no source line. */
function lastLine(text: string): string | undefined {
  const tail = text.length > 65536 ? text.slice(-65536) : text
  const lines = tail.split('\n')
  for (let i = lines.length - 1; i >= 0; i--)
    if (lines[i].trim() !== '' && !NO_REASON.test(lines[i])) return lines[i].trimEnd()
  return undefined
}

function judge(env: Env): void {
  checkBtfInfoEarly(env)
  addSubprograms(env)
  checkSubprograms(env)
  checkBtfInfo(env)
  resolveImmediates(env)
  checkCfg(env)
  computePostorder(env)
  checkAttachRules(env)
  computeLoops(env)
  computeLiveRegisters(env)
  markFastcallPatterns(env)
  checkFunction(env, 0)
  checkGlobals(env)
  removeFastcallSpills(env)
  checkStackDepth(env)
  addInlinedStack(env)
  removeDeadFunctions(env)
  if (env.callsNothing) env.reject('invalid kernel function call not eliminated in verifier pass')
}

/** Global functions that were called are verified for themselves, until no more are. */
function checkGlobals(env: Env): void {
  if (env.exceptionCallback !== 0) env.subprograms[env.exceptionCallback].called = true
  for (let again = true; again; ) {
    again = false
    for (const [index, subprogram] of env.subprograms.entries()) {
      if (index === 0 || subprogram.linkage !== 'global' || !subprogram.called || subprogram.verified) continue
      checkFunction(env, index)
      if (env.log.verbose) env.say(`Func#${index} ('${subprogram.name}') is safe for any args that match its prototype`)
      subprogram.verified = true
      again = true
    }
  }
}

function parseBtf(image: ProgramImage, kernel: KernelSource): Btf | undefined | 'bad' {
  if (image.btf === undefined) return undefined
  try {
    const btf = new Btf(image.btf)
    return hasFaultyObject(btf, kernel) ? 'bad' : btf
  } catch {
    return 'bad'
  }
}

interface Examined {
  readonly result: VerifierResult
  /** What the verification knew at its end. */
  readonly env?: Env
}

/** The answer of Linux 6.18 (x86-64, privileged) to a program, without asking it. Throws nothing. */
export function verify(image: ProgramImage, options: VerifyOptions = {}): VerifierResult {
  try {
    return examine(image, options, 0).result
  } catch (error) {
    // A target whose types contradict themselves.
    return error instanceof Unmodelled ? nothing('unsupported', 'unsupported', error.message) : failed(error)
  }
}

function failed(error: unknown): VerifierResult {
  const text = error instanceof Error ? error.message : String(error)
  return nothing('unsupported', 'unsupported.internal', `the model failed: ${text}`)
}

function examine(image: ProgramImage, options: VerifyOptions, depth: number): Examined {
  const started = performance.now()
  const only = (result: VerifierResult): Examined => ({ result })
  const refusal = refusedLoad(image)
  if (refusal !== undefined) return only(nothing('invalid', 'load.invalid', refusal))
  const kernel = kernelOf(options.kernelBtf)
  const program = targetProgram(image, options, depth)
  if (program !== undefined && 'unsupported' in program)
    return only(nothing('unsupported', 'unsupported', program.unsupported))
  const target = resolveTarget(image, kernel, program)
  if (target !== undefined && 'unsupported' in target)
    return only(nothing('unsupported', 'unsupported', target.unsupported))
  const facts = factsOf(image, target)
  const unsupported = target?.refusal === undefined ? tables.unsupportedProgram(facts) : undefined
  if (unsupported !== undefined) return only(nothing('unsupported', 'unsupported', unsupported))
  const btf = parseBtf(image, kernel)
  if (btf === 'bad') return only(nothing('invalid', 'load.btf', 'the BTF is not valid'))
  let env: Env | undefined
  try {
    const maps = image.maps.map((spec, index) => describeMap(spec, index, btf, kernel))
    env = new Env(image, facts, tables, maps, btf, options.logLevel ?? 0, kernel, target)
    judge(env)
    return { result: answer(env, 'accept', undefined, started, options), env }
  } catch (error) {
    if (env !== undefined && error instanceof Rejection)
      return only(answer(env, 'reject', silentRefusal(error.errno), started, options))
    if (env !== undefined && error instanceof Unmodelled)
      return only(answer(env, 'unsupported', error.message, started, options))
    return only(failed(error))
  }
}

const TRACING = PROGRAM_TYPES.tracing
const EXT = PROGRAM_TYPES.ext
/** Programs that programs are attached to, one behind the other. */
const MAX_DEPTH = 8
const targets = new WeakMap<ProgramImage, TargetProgram>()

/** The program that another one is attached to, as verification left it; undefined for a program without. */
function targetProgram(
  { type, attachTo }: ProgramImage,
  options: VerifyOptions,
  depth: number,
): TargetProgram | { readonly unsupported: string } | undefined {
  const image = attachTo?.program
  if (image === undefined || (type !== EXT && type !== TRACING)) return undefined
  if (depth >= MAX_DEPTH) return { unsupported: `more than ${MAX_DEPTH} programs attached to one another` }
  const known = targets.get(image)
  if (known !== undefined) return known
  const { result, env } = examine(image, { kernelBtf: options.kernelBtf }, depth + 1)
  if (env === undefined)
    return { unsupported: `a target program that is not accepted itself: ${result.message ?? result.verdict}` }
  const inner = env.target?.program
  const described: TargetProgram = {
    type: image.type,
    contextType: env.facts.type,
    expectedAttachType: image.type === EXT ? 0 : image.expectedAttachType,
    btf: env.btf,
    functions: (image.funcInfo?.length ?? 0) === 0 ? [] : functionsOf(env),
    tracesTracing: image.type === TRACING && inner?.program.type === TRACING,
  }
  targets.set(image, described)
  return described
}

function functionsOf(env: Env): TargetProgram['functions'] {
  return env.subprograms.map(({ btfType, unreliable, changesPacket, mightSleep, isExceptionCallback }, index) => ({
    btfType,
    unreliable: index === 0 && env.image.type !== EXT ? isMainUnreliable(env) : unreliable,
    changesPacket,
    mightSleep,
    isExceptionCallback,
  }))
}

const ERRNO_NAMES: Readonly<Record<number, string>> = {
  1: 'EPERM',
  2: 'ENOENT',
  7: 'E2BIG',
  13: 'EACCES',
  14: 'EFAULT',
  22: 'EINVAL',
  524: 'ENOTSUPP',
}

/** In the loader's words: what the kernel refuses with an error number alone. */
function silentRefusal(errno: number): string {
  return `prog_load: ${ERRNO_NAMES[errno] ?? `error ${errno}`} without a reason in the log`
}

function answer(
  env: Env,
  verdict: VerifierVerdict,
  what: string | undefined,
  started: number,
  options: VerifyOptions,
): VerifierResult {
  const timeUs = Math.round((performance.now() - started) * 1000)
  const text = env.log.text()
  const wanted = (options.logLevel ?? 0) !== 0
  const log = wanted ? text + statistics(env, timeUs) : ''
  const message = verdict === 'reject' ? (lastLine(text) ?? what) : what
  return {
    verdict,
    ...(verdict === 'unsupported' ? { code: 'unsupported' } : {}),
    ...(message === undefined ? {} : { message }),
    ...(verdict === 'accept' ? {} : { insn: env.insn }),
    processed: env.processed,
    states: env.totalStates,
    peakStates: env.peakStates,
    maxStatesPerInsn: env.maxStatesPerInsn,
    stackDepth: stackText(env),
    timeUs,
    ...(wanted ? { log: log.length > MAX_LOG ? log.slice(-MAX_LOG) : log } : {}),
    ...(log.length > MAX_LOG || env.log.truncated ? { logTruncated: true } : {}),
  }
}
