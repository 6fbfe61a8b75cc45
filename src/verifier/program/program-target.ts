/**
 * Programs that are attached to a function of another program: extensions that replace it, fentry and fexit that trace it
 * (bpf_check_attach_target and btf_check_type_match of Linux 6.18).
 */

import type { Btf, BtfFuncProto, BtfType } from '../../btf/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { KernelTypes, kindText } from '../kernel/kernel-types.ts'
import { EINVAL, type Env, Rejection } from '../state/env.ts'
import type { AttachTarget, TargetAnswer } from './attach-target.ts'

/** One function of a program that was found correct, as far as those that attach to it must know it. */
export interface TargetFunction {
  /** Its BTF_KIND_FUNC in the program's BTF. */
  readonly btfType: number
  /** Its arguments are not what its BTF says, or nobody checked that they are. */
  readonly unreliable: boolean
  readonly changesPacket: boolean
  readonly mightSleep: boolean
  readonly isExceptionCallback: boolean
}

/** A program as a target. */
export interface TargetProgram {
  /** enum bpf_prog_type. */
  readonly type: number
  /** The type whose context it has: of an extension, that of the program it extends. */
  readonly contextType: number
  readonly expectedAttachType: number
  readonly btf: Btf | undefined
  /** Those that have function information and were not removed as dead. */
  readonly functions: readonly TargetFunction[]
  /** It is a tracing program that traces a tracing program. */
  readonly tracesTracing: boolean
}

/** What a program is attached to in another one. */
export interface ProgramTarget {
  readonly program: TargetProgram
  /** Of the function, in the program's BTF; 0: none was given. */
  readonly id: number
  readonly function: TargetFunction | undefined
  /** Types of the program's BTF. */
  readonly types: KernelTypes | undefined
  /** The program takes the function's place (freplace), else it traces it. */
  readonly replaces: boolean
}

const EXT = PROGRAM_TYPES.ext
const TRACING = PROGRAM_TYPES.tracing
const STRUCT_OPS = PROGRAM_TYPES.struct_ops
const LSM = PROGRAM_TYPES.lsm
const RAW_TP = ATTACH_TYPES.trace_raw_tp
const FENTRY = ATTACH_TYPES.trace_fentry
const FEXIT = ATTACH_TYPES.trace_fexit
const MODIFY_RETURN = ATTACH_TYPES.modify_return
const ITER = ATTACH_TYPES.trace_iter
const ATTACH_TO_FUNCTIONS: ReadonlySet<number> = new Set([FENTRY, FEXIT, MODIFY_RETURN, 27, 43])
const KEYS: Readonly<Record<number, string>> = { [FEXIT]: 'tracing-fexit', [MODIFY_RETURN]: 'tracing-modify_return' }
const GLOBAL = 1
const MAX_ARGUMENTS = 12
const MAX_STRUCT = 16

function prototypeOf(btf: Btf | undefined, id: number): BtfFuncProto | undefined {
  const func = btf?.has(id) === true ? btf.type(id) : undefined
  const proto = func?.kind === 'func' ? btf?.type(func.type) : undefined
  return proto?.kind === 'func_proto' ? proto : undefined
}

/** The target of a program that names another one; what is wrong with it is said later, by {@link checkProgramTarget}. */
export function programTarget(image: ProgramImage, program: TargetProgram): TargetAnswer {
  const { btf } = program
  const wanted = image.attachTo?.name
  const id = image.attachBtfId ?? (wanted === undefined ? undefined : btf?.idByName(wanted, 'func'))
  if (id === undefined && wanted !== undefined) return { unsupported: `the target program has no function ${wanted}` }
  const proto = prototypeOf(btf, id ?? 0)
  const found = program.functions.find(({ btfType }) => btfType === id)
  const reliable = found?.unreliable === false
  return {
    key: KEYS[image.expectedAttachType] ?? 'tracing-fentry',
    name: id === undefined || btf?.has(id) !== true ? '' : btf.name(id),
    params: reliable && proto !== undefined ? proto.params : [],
    returnType: reliable && proto !== undefined ? proto.returnType : 0,
    hidden: 0,
    program: {
      program,
      id: id ?? 0,
      function: found,
      types: btf === undefined ? undefined : new KernelTypes(btf),
      replaces: image.type === EXT,
    },
  }
}

/** Refuses what 6.18 does not attach to a program. */
export function checkProgramTarget(
  env: Env,
  target: AttachTarget,
  { program, id, function: found, replaces }: ProgramTarget,
): void {
  const attach = replaces ? 0 : env.facts.expectedAttachType
  const { btf } = program
  const { name } = target
  if (id === 0) env.reject('Tracing programs must provide btf_id')
  if (btf === undefined) env.reject('FENTRY/FEXIT program can only be attached to another program annotated with BTF')
  if (!btf.has(id)) env.reject(`attach_btf_id ${id} is invalid`)
  if (found === undefined) env.reject(`Subprog ${name} doesn't exist`)
  if (found.isExceptionCallback)
    env.reject(`${replaces ? 'Extension' : 'FENTRY/FEXIT'} programs cannot attach to exception callback`)
  if (replaces) checkEffects(env, found)
  if (!replaces && program.tracesTracing) env.reject('Cannot nest tracing program attach more than once')
  if (replaces && program.type === EXT) env.reject('Cannot recursively attach')
  if (
    replaces &&
    program.type === TRACING &&
    (program.expectedAttachType === FENTRY || program.expectedAttachType === FEXIT)
  )
    env.reject('Cannot extend fentry/fexit')
  if (attach === RAW_TP && !replaces) env.reject('Only FENTRY/FEXIT progs are attachable to another BPF prog')
  if (!replaces && attach !== ITER && !ATTACH_TO_FUNCTIONS.has(attach)) throw new Rejection(EINVAL)
  const func = btf.type(id)
  if (func.kind !== 'func') env.reject(`attach_btf_id ${id} is not a function`)
  if (replaces) checkTypes(env, btf, id)
  const proto = prototypeOf(btf, id)
  if (proto === undefined) throw new Rejection(EINVAL)
  const unsuited = !found.unreliable || attach === ITER ? prototypeRefusal(btf, name, proto) : undefined
  if (unsuited !== undefined) env.reject(unsuited)
  if (attach === ITER) throw new Rejection(EINVAL)
  if (env.facts.sleepable) env.reject(`${name} is not sleepable`)
  if (attach === MODIFY_RETURN) env.reject("can't modify return codes of BPF programs")
  if (replaces && (program.type === TRACING || program.type === LSM || program.type === STRUCT_OPS))
    env.unmodelled('extensions of programs whose context is that of their target')
}

/** An extension must not do what callers of the replaced function do not expect. */
function checkEffects(env: Env, found: TargetFunction): void {
  const [own] = env.subprograms
  if (found.unreliable) env.reject('Cannot replace static functions')
  if (own.changesPacket && !found.changesPacket)
    env.reject('Extension program changes packet data, while original does not')
  if (own.mightSleep && !found.mightSleep) env.reject('Extension program may sleep, while original does not')
}

/** What btf_type's info holds: kind, number of parts, kind flag. */
function shapeOf(type: BtfType): string {
  const parts =
    type.kind === 'struct' || type.kind === 'union'
      ? `${type.members.length}${type.bitFields === true}`
      : type.kind === 'enum' || type.kind === 'enum64'
        ? `${type.values.length}${type.signed}`
        : type.kind === 'fwd'
          ? `${type.union}`
          : ''
  return `${type.kind} ${parts}`
}

const sizeOf = (type: BtfType): number => ('size' in type ? type.size : 0)
const nameOf = (type: BtfType): string => ('name' in type ? type.name : '')
const isComposite = (type: BtfType): boolean => type.kind === 'struct' || type.kind === 'union'

/** The extension's first function against the one it replaces (btf_check_func_type_match). */
function checkTypes(env: Env, btf: Btf, id: number): void {
  const own = env.btf
  const ownId = env.subprograms[0].btfType
  const func = btf.type(id)
  if (own === undefined || ownId === 0 || (env.image.funcInfo?.length ?? 0) === 0)
    env.reject('Program extension requires BTF')
  const mine = own.type(ownId)
  if (mine.kind !== 'func' || func.kind !== 'func') throw new Rejection(EINVAL)
  const [a, b] = [mine.name, func.name]
  if (mine.linkage !== GLOBAL) env.reject(`${a}() is not a global function`)
  if (func.linkage !== GLOBAL) env.reject(`${b}() is not a global function`)
  const [p, q] = [prototypeOf(own, ownId), prototypeOf(btf, id)]
  if (p === undefined || q === undefined) throw new Rejection(EINVAL)
  const [n, m] = [p.params.length, q.params.length]
  if (n !== m) env.reject(`${a}() has ${n} args while ${b}() has ${m} args`)
  const one = (type: number) => own.type(own.skipModifiers(type))
  const other = (type: number) => btf.type(btf.skipModifiers(type))
  const [r, s] = [one(p.returnType), other(q.returnType)]
  if (shapeOf(r) !== shapeOf(s))
    env.reject(`Return type ${kindText(r.kind)} of ${a}() doesn't match type ${kindText(s.kind)} of ${b}()`)
  for (let i = 0; i < n; i++) {
    const [t, u] = [one(p.params[i].type), other(q.params[i].type)]
    if (shapeOf(t) !== shapeOf(u))
      env.reject(`arg${i} in ${a}() is ${kindText(t.kind)} while ${b}() has ${kindText(u.kind)}`)
    if (sizeOf(t) !== sizeOf(u)) env.reject(`arg${i} in ${a}() has size ${sizeOf(t)} while ${b}() has ${sizeOf(u)}`)
    if (t.kind === 'int' || t.kind === 'enum' || t.kind === 'enum64') continue
    if (t.kind !== 'ptr' || u.kind !== 'ptr') env.reject(`arg${i} in ${a}() has unrecognized type`)
    const [x, y] = [one(t.type), other(u.type)]
    if (!isComposite(x)) env.reject(`arg${i} in ${a}() is not a pointer to context`)
    if (!isComposite(y)) env.reject(`arg${i} in ${b}() is not a pointer to context`)
    if (nameOf(x) !== nameOf(y))
      env.reject(`arg${i} ${a}(struct ${nameOf(x)} *) doesn't match ${b}(struct ${nameOf(y)} *)`)
  }
}

/** Why a trampoline cannot pass on arguments and result of a function (btf_distill_func_proto); undefined where it can. */
export function prototypeRefusal(btf: Btf, name: string, proto: BtfFuncProto): string | undefined {
  const size = (id: number) => {
    const type = btf.type(btf.skipModifiers(id))
    if (type.kind === 'void') return id === 0 ? 0 : -EINVAL
    if (type.kind === 'ptr') return 8
    return type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64' || isComposite(type)
      ? sizeOf(type)
      : -EINVAL
  }
  const kind = (id: number) => kindText(btf.type(btf.skipModifiers(id)).kind)
  const count = proto.params.length
  if (count > MAX_ARGUMENTS) return `The function ${name} has ${count} arguments. Too many.`
  if (size(proto.returnType) < 0 || isComposite(btf.type(btf.skipModifiers(proto.returnType))))
    return `The function ${name} return type ${kind(proto.returnType)} is unsupported.`
  for (const [i, { type }] of proto.params.entries()) {
    if (i === count - 1 && type === 0) return `The function ${name} with variable args is unsupported.`
    const bytes = size(type)
    if (bytes < 0 || bytes > MAX_STRUCT) return `The function ${name} arg${i} type ${kind(type)} is unsupported.`
    if (bytes === 0) return `The function ${name} has malformed void argument.`
  }
  return undefined
}
