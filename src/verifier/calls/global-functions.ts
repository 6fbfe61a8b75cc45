/**
 * Arguments of functions by their BTF (btf_prepare_func_args of Linux 6.18): checked where a function is called, assumed where
 * a global one is verified on its own.
 */

import type { Btf, BtfFunc } from '../../btf/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { isContextType } from '../kernel/program-context.ts'
import type { ProgramFacts } from '../kernel/prototype.ts'
import { markNotNull } from '../memory/nullness.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isNull, markKnown, markUnknown } from '../scalars/bounds.ts'
import { EINVAL, type Env, Rejection } from '../state/env.ts'
import {
  ARENA,
  AUX,
  AUX2,
  CTX,
  DYNPTR,
  DYNPTR_LOCAL,
  ID,
  MAYBE_NULL,
  MEM,
  RDONLY,
  SCALAR,
  TYPE,
  WORDS,
} from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { checkHelperMemory } from './argument-memory.ts'
import { checkArgumentOffset } from './argument-types.ts'
import { checkDynptr } from './dynptrs.ts'
import { assumeObject, checkObjectArgument, describeObject, type ObjectArgument } from './tagged-arguments.ts'

type Argument =
  | { readonly kind: 'scalar' }
  | { readonly kind: 'context' }
  | { readonly kind: 'dynptr' }
  | { readonly kind: 'arena' }
  | ObjectArgument
  | { readonly kind: 'memory'; readonly size: number; readonly nullable: boolean }

const NAMES: Readonly<Record<string, string>> = {
  void: 'UNKNOWN',
  struct: 'STRUCT',
  union: 'UNION',
  fwd: 'FWD',
  func_proto: 'FUNC_PROTO',
}

const TAGS = ['ctx', 'trusted', 'untrusted', 'nonnull', 'nullable', 'arena'] as const
type Tag = (typeof TAGS)[number]

const taggedArguments = new WeakMap<Btf, ReadonlyMap<string, readonly string[]>>()

/** The `arg:` tags of an argument, as they stand in the BTF. */
function tagsOf(btf: Btf, func: number, argument: number): readonly string[] {
  let known = taggedArguments.get(btf)
  if (known === undefined) {
    const found = new Map<string, string[]>()
    for (let id = 1; id < btf.endId; id++) {
      const tag = btf.has(id) && btf.kind(id) === 'decl_tag' ? btf.type(id) : undefined
      if (tag?.kind !== 'decl_tag' || !tag.name.startsWith('arg:')) continue
      const key = `${tag.type}:${tag.component}`
      found.set(key, [...(found.get(key) ?? []), tag.name.slice('arg:'.length)])
    }
    known = found
    taggedArguments.set(btf, known)
  }
  return known.get(`${func}:${argument}`) ?? []
}

function isTag(word: string): word is Tag {
  return (TAGS as readonly string[]).includes(word)
}

/** @throws Rejection where the function is static or a tag unknown */
function checkedTags(env: Env, btf: Btf, func: number, index: number, global: boolean): readonly Tag[] {
  const words = tagsOf(btf, func, index)
  if (words.length > 0 && !global) env.reject(`arg#${index} type tag is not supported in static functions`)
  if (!words.every(isTag)) env.reject(`arg#${index} has unsupported set of tags`)
  return words.filter(isTag)
}

function isScalarType(btf: Btf, id: number): boolean {
  const kind = btf.type(btf.skipModifiers(id)).kind
  return kind === 'int' || kind === 'enum' || kind === 'enum64'
}

/** A pointer that is neither the context nor a dynptr: memory of the size that its type tells. */
function describeMemory(env: Env, btf: Btf, tags: readonly Tag[], index: number, pointee: number): Argument {
  if (tags.includes('trusted') || tags.includes('untrusted')) return describeObject(env, btf, tags, index, pointee)
  if (tags.includes('arena')) {
    if (tags.some((tag) => tag !== 'arena')) env.reject(`arg#${index} arena cannot be combined with any other tags`)
    return { kind: 'arena' }
  }
  if (tags.includes('nullable')) env.reject(`arg#${index} has invalid combination of tags`)
  const target = btf.skipModifiers(pointee)
  const type = btf.type(target)
  const size = btf.sizeOf(target)
  if (size === undefined || type.kind === 'void' || type.kind === 'func_proto' || type.kind === 'fwd') {
    const text = `${NAMES[type.kind] ?? type.kind.toUpperCase()} ${'name' in type ? type.name : ''}`
    env.reject(`arg#${index} reference type('${text}') size cannot be determined: -22`)
  }
  return { kind: 'memory', size, nullable: !tags.includes('nonnull') }
}

const KPROBE = PROGRAM_TYPES.kprobe
const RAW_TRACEPOINTS: ReadonlySet<number> = new Set([17, 24])
const ANYTHING: ReadonlySet<number> = new Set([5, 28, 31])
const WORDS_ONLY: ReadonlySet<number> = new Set([27, 29])
const TRACING = PROGRAM_TYPES.tracing
const TRACE_RAW_TP = ATTACH_TYPES.trace_raw_tp
const TRACE_ITER = ATTACH_TYPES.trace_iter
const PERF_EVENT = PROGRAM_TYPES.perf_event

/** Types that an argument tagged as context may have besides the context's own (btf_validate_prog_ctx_type). */
function standsForContext(btf: Btf, pointee: number, program: ProgramFacts): boolean {
  const type = btf.type(btf.skipModifiers(pointee))
  if (type.kind === 'void' || ANYTHING.has(program.type)) return true
  const isWord = type.kind === 'int' && type.size === 8
  const name = type.kind === 'struct' ? type.name : ''
  if (program.type === KPROBE || program.type === PERF_EVENT) return name === 'pt_regs'
  if (RAW_TRACEPOINTS.has(program.type) || WORDS_ONLY.has(program.type)) return isWord
  if (program.type !== TRACING) return false
  if (program.expectedAttachType === TRACE_ITER) return name.startsWith('bpf_iter__')
  return isWord || (program.expectedAttachType === TRACE_RAW_TP && name === 'bpf_raw_tracepoint_args')
}

function describeArgument(
  env: Env,
  btf: Btf,
  func: BtfFunc,
  funcId: number,
  index: number,
  id: number,
  global: boolean,
): Argument {
  const tags = checkedTags(env, btf, funcId, index, global)
  const type = btf.type(btf.skipModifiers(id))
  if (type.kind === 'ptr') {
    const isContext = isContextType(btf, type.type, env.facts.type)
    if (tags.includes('ctx') || isContext) {
      if (tags.some((tag) => tag !== 'ctx')) env.reject(`arg#${index} has invalid combination of tags`)
      if (!isContext && !standsForContext(btf, type.type, env.facts))
        env.unmodelled('arguments that are tagged as context and have another type')
      return { kind: 'context' }
    }
    const pointee = btf.type(btf.skipModifiers(type.type))
    if (pointee.kind === 'struct' && pointee.name === 'bpf_dynptr') {
      if (tags.length > 0) env.reject(`arg#${index} has invalid combination of tags`)
      return { kind: 'dynptr' }
    }
    if (global) return describeMemory(env, btf, tags, index, type.type)
  }
  if (tags.length > 0) env.reject(`arg#${index} has pointer tag, but is not a pointer type`)
  if (type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64') return { kind: 'scalar' }
  if (!global) throw new Rejection(EINVAL)
  env.reject(`Arg#${index} type ${type.kind.toUpperCase()} in ${func.name}() is not supported yet.`)
}

/** The arguments of a function, in order. What is wrong with a static one is not said. */
function describeArguments(env: Env, index: number): readonly Argument[] {
  const btf = env.btf
  const subprogram = env.subprograms[index]
  const global = subprogram.linkage === 'global'
  const func = btf?.type(subprogram.btfType)
  if (btf === undefined || func?.kind !== 'func') env.unmodelled('a function without types')
  const proto = btf.type(func.type)
  if (proto.kind !== 'func_proto') env.unmodelled('a function without types')
  if (!global && (proto.params.length > 5 || !isScalarType(btf, proto.returnType))) throw new Rejection(EINVAL)
  if (proto.params.length > 5)
    env.reject(`Global function ${func.name}() with ${proto.params.length} > 5 args. Buggy compiler.`)
  if (!isScalarType(btf, proto.returnType))
    env.reject(`Global function ${func.name}() doesn't return scalar. Only those are supported.`)
  return proto.params.map((p, i) => describeArgument(env, btf, func, subprogram.btfType, i, p.type, global))
}

const cache = new WeakMap<object, readonly Argument[]>()

function argumentsOf(env: Env, index: number): readonly Argument[] {
  const subprogram = env.subprograms[index]
  let found = cache.get(subprogram)
  if (found === undefined) {
    found = describeArguments(env, index)
    cache.set(subprogram, found)
  }
  return found
}

/** The main program's own types are looked at too; what is wrong with them is only said. */
export function describeMain(env: Env): void {
  if (env.subprograms[0].linkage !== 'global') return
  try {
    argumentsOf(env, 0)
  } catch (error) {
    if (!(error instanceof Rejection)) throw error
  }
}

/** The main program's BTF does not say that it takes its context alone. */
export function isMainUnreliable(env: Env): boolean {
  try {
    const wanted = argumentsOf(env, 0)
    return wanted.length !== 1 || wanted[0].kind !== 'context'
  } catch (error) {
    if (!(error instanceof Rejection)) throw error
    return true
  }
}

function checkOne(env: Env, liveness: StackLiveness, argument: Argument, index: number): void {
  const register = index + 1
  const m = env.frame.m
  const b = registerBase(register)
  if (argument.kind === 'scalar') {
    if (m[b + TYPE] !== SCALAR) env.reject(`R${register} is not a scalar`)
    return
  }
  if (argument.kind === 'arena') {
    if (m[b + TYPE] !== ARENA && m[b + TYPE] !== SCALAR) env.reject(`R${register} is not a pointer to arena or scalar.`)
    return
  }
  if (argument.kind === 'untrusted' || argument.kind === 'untrusted-memory') return
  if (argument.kind === 'trusted') {
    checkObjectArgument(env, argument, register)
    checkArgumentOffset(env, register, false)
    return
  }
  checkArgumentOffset(env, register, false)
  if (argument.kind === 'context') {
    if (m[b + TYPE] !== CTX) env.reject(`arg#${index} expects pointer to ctx`)
    return
  }
  if (argument.kind === 'dynptr') {
    checkDynptr(env, liveness, register, RDONLY, 0)
    return
  }
  if (isNull(m, b)) return
  const nullable = (m[b + TYPE] & MAYBE_NULL) !== 0
  const saved = m.slice(b, b + WORDS)
  if (nullable) markNotNull(env, m, b)
  try {
    checkHelperMemory(env, liveness, register, argument.size, false, true, undefined)
    checkHelperMemory(env, liveness, register, argument.size, true, true, undefined)
  } finally {
    if (nullable) env.frame.m.set(saved, b)
  }
  if (!argument.nullable && nullable) env.reject(`arg#${index} is expected to be non-NULL`)
}

/**
 * True when the caller's registers fit the function's declared arguments. A function that was called otherwise is not asked
 * again: compilers change what static functions take.
 */
export function argumentsFit(env: Env, liveness: StackLiveness, index: number): boolean {
  const subprogram = env.subprograms[index]
  if (subprogram.btfType === 0 || subprogram.unreliable) return false
  try {
    for (const [i, argument] of argumentsOf(env, index).entries()) checkOne(env, liveness, argument, i)
    return true
  } catch (error) {
    if (!(error instanceof Rejection)) throw error
    subprogram.unreliable = true
    return false
  }
}

/** Registers of a global function that is verified on its own. */
export function prepareGlobal(env: Env, index: number): void {
  const m = env.frame.m
  const wanted = argumentsOf(env, index)
  if (index > 0 && index === env.exceptionCallback && (wanted.length !== 1 || wanted[0].kind !== 'scalar'))
    env.reject('exception cb only supports single integer argument')
  for (const [i, argument] of wanted.entries()) {
    const b = registerBase(i + 1)
    if (argument.kind === 'scalar' || argument.kind === 'arena') {
      markUnknown(m, b)
      continue
    }
    if (argument.kind === 'trusted' || argument.kind === 'untrusted' || argument.kind === 'untrusted-memory') {
      assumeObject(env, argument, i + 1)
      continue
    }
    markKnown(m, b, 0, 0)
    if (argument.kind === 'context') {
      m[b + TYPE] = CTX
      continue
    }
    if (argument.kind === 'dynptr') {
      m[b + TYPE] = DYNPTR
      m[b + AUX] = DYNPTR_LOCAL
      m[b + AUX2] = 1
      m[b + ID] = env.newId()
      continue
    }
    m[b + TYPE] = argument.nullable ? MEM | MAYBE_NULL : MEM
    m[b + AUX] = argument.size
    if (argument.nullable) m[b + ID] = env.newId()
  }
}
