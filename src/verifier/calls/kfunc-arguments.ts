/** Arguments of kernel functions: what the prototype wants against what the registers hold (check_kfunc_args of 6.18). */

import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { KERNEL_OBJECT, type KernelTypes, kindText } from '../kernel/kernel-types.ts'
import { isIterator, type Kfunc } from '../kernel/kfunc-prototype.ts'
import type { ObjectField } from '../kernel/object-fields.ts'
import { isContextType } from '../kernel/program-context.ts'
import { markNotNull } from '../memory/nullness.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isConst, isNull } from '../scalars/bounds.ts'
import { EACCES, type Env, Rejection } from '../state/env.ts'
import { KERNEL_FAULT, markPrecise } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { hasUnsafeModifiers, isRcu, isTrusted, STRUCT_OF_REGISTER } from '../state/trust.ts'
import { RCU, RELEASE, TRUSTED_ARGS } from '../tables/kfuncs.ts'
import { checkHelperMemory, checkSize } from './argument-memory.ts'
import { checkArgumentOffset } from './argument-types.ts'
import { checkConstantString } from './arguments.ts'
import type { CallFacts } from './call-facts.ts'
import { checkDynptr, type Dynptr } from './dynptrs.ts'
import { checkAllocated, checkCounted, checkNode, checkRoot } from './graph-objects.ts'
import { checkIrqFlag } from './irq-flags.ts'
import { checkIterator, type IteratorPlace } from './iterators.ts'
import { checkResilientLock } from './locks.ts'

/** What the arguments left for the call's result. */
export interface KfuncCall {
  readonly kfunc: Kfunc
  readonly types: KernelTypes
  reference: number
  releaseRegister: number
  constant: bigint | undefined
  resultSize: number
  resultReadOnly: boolean
  resultType: number
  dynptr: Dynptr | undefined
  iterator: IteratorPlace | undefined
  /** The root that a node goes to or comes from. */
  root: ObjectField | undefined
  /** Type of the program's object that was passed; whether its counted argument owns it. */
  object: number
  ownsArgument: boolean
  callback: number
  /** The map of a work queue. */
  map: number
  mapUid: number
}

/** Registers that have no map, and those that come from one. */
const MAPLESS: ReadonlySet<number> = new Set([R.SCALAR, R.STACK, R.CTX, R.ARENA])
const WITH_MAP: ReadonlySet<number> = new Set([R.MAP_PTR, R.MAP_VALUE, R.MAP_KEY])

const SPECIAL_STRUCTS: Readonly<Record<string, string>> = {
  bpf_task_work: 'task work',
}

function suffix(name: string, wanted: string): boolean {
  return name.length > wanted.length && name.endsWith(wanted)
}

/** A struct that holds nothing but numbers, at any depth the kernel looks at. */
function isScalarStruct(types: KernelTypes, id: number, depth: number): boolean {
  const type = types.btf.type(types.btf.skipModifiers(id))
  if (type.kind !== 'struct' && type.kind !== 'union') return false
  return type.members.every((member) => {
    let inner = types.btf.skipModifiers(member.type)
    let kind = types.btf.type(inner)
    if (kind.kind === 'struct' || kind.kind === 'union') return depth < 3 && isScalarStruct(types, inner, depth + 1)
    if (kind.kind === 'array') {
      if (kind.count === 0) return false
      inner = types.btf.skipModifiers(kind.type)
      kind = types.btf.type(inner)
    }
    return isScalar(kind.kind)
  })
}

function isScalar(kind: string): boolean {
  return kind === 'int' || kind === 'enum' || kind === 'enum64'
}

export function checkKfuncArguments(env: Env, liveness: StackLiveness, call: KfuncCall): void {
  const { kfunc } = call
  if (kfunc.params.length > 5) env.reject(`Function ${kfunc.name} has ${kfunc.params.length} > 5 args`)
  for (let i = 0; i < kfunc.params.length; i++) {
    const used = checkOne(env, liveness, call, i)
    i += used - 1
  }
  if ((kfunc.flags & RELEASE) !== 0 && call.releaseRegister === 0)
    env.reject(`release kernel function ${kfunc.name} expects refcounted PTR_TO_BTF_ID`)
}

/** Answers how many parameters were looked at. */
function checkOne(env: Env, liveness: StackLiveness, call: KfuncCall, i: number): number {
  const { kfunc, types } = call
  const { btf } = types
  const register = i + 1
  const parameter = kfunc.params[i]
  const { name } = parameter
  if (suffix(name, '__prog') || suffix(name, '__ign')) return 1
  const id = btf.skipModifiers(parameter.type)
  const type = btf.type(id)
  const m = env.frame.m
  const b = registerBase(register)
  if (isScalar(type.kind)) {
    checkScalar(env, call, register, name)
    return 1
  }
  if (type.kind !== 'ptr') env.reject(`Unrecognized arg#${i} type ${kindText(type.kind)}`)
  const strict = (kfunc.flags & (TRUSTED_ARGS | RELEASE | RCU)) !== 0
  const maybeNull = isNull(m, b) || (m[b + R.TYPE] & R.MAYBE_NULL) !== 0
  if (strict && maybeNull && !suffix(name, '__nullable'))
    env.reject(`Possibly NULL pointer passed to trusted arg${i}`, EACCES)
  if (m[b + R.REF] !== 0) {
    call.reference = m[b + R.REF]
    if ((kfunc.flags & RELEASE) !== 0) call.releaseRegister = register
  }
  return checkPointer(env, liveness, call, i, type.type)
}

function checkScalar(env: Env, call: KfuncCall, register: number, name: string): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] !== R.SCALAR) env.reject(`R${register} is not a scalar`)
  const buffer = name === 'rdonly_buf_size' || name === 'rdwr_buf_size'
  if (suffix(name, '__k')) {
    if (!isConst(m, b)) env.reject(`R${register} must be a known constant`)
    markPrecise(env, register)
    call.constant = frame.u[b / 2 + R.VALUE]
  } else if (buffer) {
    if (name === 'rdonly_buf_size') call.resultReadOnly = true
    if (!isConst(m, b)) env.reject(`R${register} is not a const`)
    call.resultSize = Number(frame.u[b / 2 + R.VALUE] & 0xffffffffn)
    markPrecise(env, register)
  }
}

/** The parameter is followed by its size. */
function hasSize(env: Env, call: KfuncCall, i: number): boolean {
  const next = call.kfunc.params[i + 1]
  if (next === undefined || !(suffix(next.name, '__sz') || suffix(next.name, '__szk'))) return false
  const type = call.types.btf.type(call.types.btf.skipModifiers(next.type))
  return isScalar(type.kind) && env.frame.m[registerBase(i + 2) + R.TYPE] === R.SCALAR
}

/** A pointer parameter; `pointee` is what the prototype has behind it. Answers how many parameters were looked at. */
function checkPointer(env: Env, liveness: StackLiveness, call: KfuncCall, i: number, pointee: number): number {
  const { kfunc, types } = call
  const register = i + 1
  const { name } = kfunc.params[i]
  const m = env.frame.m
  const b = registerBase(register)
  const target = types.btf.skipModifiers(pointee)
  const targetType = types.btf.type(target)
  const targetName = types.name(target)
  const isStruct = targetType.kind === 'struct' || targetType.kind === 'union'
  const release = (kfunc.flags & RELEASE) !== 0 && m[b + R.REF] !== 0
  if (kfunc.name === 'bpf_cast_to_kern_ctx' || isContextType(types.btf, pointee, env.facts.type)) {
    checkArgumentOffset(env, register, release)
    if (m[b + R.TYPE] !== R.CTX) env.reject(`arg#${i} expected pointer to ctx, but got ${R.typeName(m[b + R.TYPE])}`)
    return 1
  }
  if (suffix(name, '__nullable') && isNull(m, b)) return 1
  if (suffix(name, '__alloc') || suffix(name, '__refcounted_kptr')) {
    if (suffix(name, '__alloc')) {
      checkTrust(env, call, register)
      checkArgumentOffset(env, register, release)
      checkAllocated(env, call, i)
    } else {
      checkArgumentOffset(env, register, release)
      checkCounted(env, call, i)
    }
    return 1
  }
  if (targetName === 'bpf_dynptr') {
    checkArgumentOffset(env, register, release)
    dynptr(env, liveness, call, register, name)
    return 1
  }
  if (isIterator(kfunc) ? i === 0 : suffix(name, '__iter')) {
    checkArgumentOffset(env, register, release)
    if (kfunc.name === 'bpf_iter_css_task_new' && !mayWalkTasks(env))
      env.reject('css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs')
    const found = checkIterator(env, liveness, kfunc, register)
    if (found !== undefined) {
      call.iterator = found
      call.reference = found.reference
    }
    return 1
  }
  if (targetName === 'bpf_list_head' || targetName === 'bpf_rb_root') {
    checkArgumentOffset(env, register, release)
    checkRoot(env, call, i, targetName)
    return 1
  }
  if (targetName === 'bpf_list_node' || targetName === 'bpf_rb_node') {
    checkArgumentOffset(env, register, release)
    checkNode(env, call, i, targetName)
    return 1
  }
  if (targetName === 'bpf_wq') {
    checkArgumentOffset(env, register, release)
    if (m[b + R.TYPE] !== R.MAP_VALUE) env.reject(`arg#${i} doesn't point to a map value`)
    checkWorkQueue(env, call, register)
    return 1
  }
  if (targetName === 'bpf_res_spin_lock' && isStruct) {
    checkArgumentOffset(env, register, release)
    checkResilientLock(env, call, i)
    return 1
  }
  const special = isStruct ? SPECIAL_STRUCTS[targetName] : undefined
  if (special !== undefined) env.unmodelled(special)
  if (suffix(name, '__str')) {
    checkArgumentOffset(env, register, release)
    if (m[b + R.TYPE] !== R.MAP_VALUE) env.reject(`arg#${i} doesn't point to a const string`)
    checkConstantString(env, register)
    return 1
  }
  const isMap = suffix(name, '__map')
  if (isMap || suffix(name, '__irq_flag')) {
    if (!isMap) {
      checkArgumentOffset(env, register, release)
      if (m[b + R.TYPE] !== R.STACK) env.reject(`arg#${i} doesn't point to an irq flag on stack`)
      checkIrqFlag(env, liveness, register, kfunc.name)
      return 1
    }
    const type = m[b + R.TYPE]
    const isOfMap = WITH_MAP.has(type & R.BASE_MASK)
    // What other types keep in the place of the map is taken for one.
    if (MAPLESS.has(type) || (!isOfMap && m[b + R.AUX] === 0)) env.reject(`pointer in R${register} isn't map pointer`)
    const map = isOfMap ? env.map(m[b + R.AUX]) : undefined
    // 6.18 asks the second map for its fields without looking whether it has any.
    if (call.map !== 0 && (map === undefined || map.fields.length === 0)) env.unmodelled(KERNEL_FAULT)
    const differs = call.map !== m[b + R.AUX] || call.mapUid !== m[b + R.AUX2]
    if (call.map !== 0 && differs && map?.fields.some(({ kind }) => kind === 'bpf_wq'))
      env.reject(
        `workqueue pointer in R1 map_uid=${call.mapUid} doesn't match map pointer in R2 map_uid=${m[b + R.AUX2]}`,
      )
  }
  const base = m[b + R.TYPE] & R.BASE_MASK
  if (isMap || base === R.BTF_ID || STRUCT_OF_REGISTER.has(base)) {
    if (!isMap && !isStruct)
      env.reject(
        `kernel function ${kfunc.name} args#${i} pointer type ${kindText(targetType.kind)} ${targetName} is not supported`,
      )
    checkObject(env, call, i, isMap ? (types.struct('bpf_map') ?? target) : target, release)
    return 1
  }
  if (targetType.kind === 'func_proto') {
    checkArgumentOffset(env, register, release)
    if (m[b + R.TYPE] !== R.FUNC) env.reject(`arg${i} expected pointer to func`)
    call.callback = m[b + R.AUX]
    return 1
  }
  return checkMemoryArgument(env, liveness, call, i, target, release)
}

function mayWalkTasks(env: Env): boolean {
  const { type, expectedAttachType } = env.facts
  if (type === LSM) return true
  if (type === TRACING && expectedAttachType === TRACE_ITER) return true
  return env.state.sleepable
}

const LSM = PROGRAM_TYPES.lsm
const TRACING = PROGRAM_TYPES.tracing
const TRACE_ITER = ATTACH_TYPES.trace_iter

function dynptr(env: Env, liveness: StackLiveness, call: KfuncCall, register: number, name: string): void {
  let flags = 0
  const type = env.frame.m[registerBase(register) + R.TYPE]
  if (type === R.DYNPTR) flags |= R.RDONLY
  if (suffix(name, '__uninit')) flags |= R.UNINIT
  flags |= MADE_BY[call.kfunc.name] ?? 0
  let clone = 0
  if (call.kfunc.name === 'bpf_dynptr_clone' && (flags & R.UNINIT) !== 0) {
    if (call.dynptr === undefined) env.reject('verifier bug: no dynptr type for parent of clone', 14)
    flags |= call.dynptr.kind
    clone = call.dynptr.reference
  }
  const used = checkDynptr(env, liveness, register, flags, clone)
  if (used !== undefined) call.dynptr = used
}

const MADE_BY: Readonly<Record<string, number>> = {
  bpf_dynptr_from_skb: R.DYNPTR_SKB,
  bpf_dynptr_from_xdp: R.DYNPTR_XDP,
  bpf_dynptr_from_skb_meta: R.DYNPTR_SKB_META,
}

/** A work queue in a map value; its map is remembered for the next argument. */
function checkWorkQueue(env: Env, call: KfuncCall, register: number): void {
  const m = env.frame.m
  const b = registerBase(register)
  if (!isConst(m, b)) env.reject(`R${register} doesn't have constant offset. bpf_wq has to be at the constant offset`)
  const map = env.map(m[b + R.AUX])
  if (env.btf === undefined || (map.spec.btfValueTypeId ?? 0) === 0)
    env.reject(`map '${map.name}' has to have BTF in order to use bpf_wq`)
  const field = map.fields.find(({ kind }) => kind === 'bpf_wq')
  if (field === undefined) env.reject(`map '${map.name}' has no valid bpf_wq`)
  const at = env.frame.u[b / 2 + R.VALUE] + BigInt(m[b + R.OFF])
  if (at !== BigInt(field.offset)) env.reject(`off ${at} doesn't point to 'struct bpf_wq' that is at ${field.offset}`)
  call.map = m[b + R.AUX]
  call.mapUid = m[b + R.AUX2]
}

/** The argument is alive as far as the function asks for it. */
function checkTrust(env: Env, call: KfuncCall, register: number): void {
  const { flags } = call.kfunc
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  if ((flags & (TRUSTED_ARGS | RELEASE | RCU)) === 0 || isTrusted(type, m[b + R.REF] !== 0)) return
  if ((flags & RCU) === 0) env.reject(`R${register} must be referenced or trusted`)
  if (!isRcu(type)) env.reject(`R${register} must be a rcu pointer`)
}

/** A pointer to a kernel struct (process_kf_arg_ptr_to_btf_id). */
function checkObject(env: Env, call: KfuncCall, i: number, wanted: number, release: boolean): void {
  const { kfunc, types } = call
  const register = i + 1
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  const base = type & R.BASE_MASK
  checkTrust(env, call, register)
  checkArgumentOffset(env, register, release)
  if ((base !== R.BTF_ID || (hasUnsafeModifiers(type) && !isRcu(type))) && !STRUCT_OF_REGISTER.has(base)) {
    const expected = base | (type & (R.ALLOC | R.TRUSTED | R.NON_OWN))
    env.reject(`arg#${i} is ${R.typeName(type)} expected ${R.typeName(expected)} or socket`)
  }
  const struct = STRUCT_OF_REGISTER.get(base)
  const owner = base === R.BTF_ID ? m[b + R.AUX2] : KERNEL_OBJECT
  const ownerTypes = env.typesOf(owner)
  const given = base === R.BTF_ID ? m[b + R.AUX] : (types.struct(struct ?? '') ?? 0)
  if (ownerTypes === undefined || given <= 0) env.unmodelled("kernel function arguments without the kernel's BTF")
  const id = ownerTypes.btf.skipModifiers(given)
  const givenName = ownerTypes.name(id)
  const wantedName = types.name(wanted)
  const strict = release || isAlias(givenName, wantedName)
  const same = owner === KERNEL_OBJECT && types.matches(id, m[b + R.OFF], wanted, strict, (line) => env.say(line))
  const projection =
    (wantedName === '__sk_buff' && givenName === 'sk_buff') || (wantedName === 'xdp_md' && givenName === 'xdp_buff')
  if (same || projection) return
  env.reject(
    `kernel function ${kfunc.name} args#${i} expected pointer to ${kindText(types.btf.kind(wanted))} ${wantedName} ` +
      `but R${register} has a pointer to ${kindText(ownerTypes.btf.kind(id))} ${givenName}`,
  )
}

/** Types of which one is the other before it was set up (`nf_conn___init`): neither is taken for the other. */
function isAlias(a: string, b: string): boolean {
  const initA = a.endsWith('___init')
  if (initA === b.endsWith('___init')) return false
  return initA ? a.slice(0, -'___init'.length) === b : b.slice(0, -'___init'.length) === a
}

function checkMemoryArgument(
  env: Env,
  liveness: StackLiveness,
  call: KfuncCall,
  i: number,
  target: number,
  release: boolean,
): number {
  const { types } = call
  const register = i + 1
  const kind = types.btf.kind(target)
  const sized = hasSize(env, call, i)
  if (!isScalar(kind) && !isScalarStruct(types, target, 0) && !(sized && kind === 'void'))
    env.reject(
      `arg#${i} pointer type ${kindText(kind)} ${types.name(target)} must point to ${sized ? 'void, ' : ''}scalar, or struct with scalar`,
    )
  checkArgumentOffset(env, register, release)
  if (sized) {
    checkSized(env, liveness, call, i)
    return 2
  }
  const size = types.btf.sizeOf(target)
  if (size === undefined)
    env.reject(`arg#${i} reference type('${kindText(kind)} ${types.name(target)}') size cannot be determined: -22`)
  const m = env.frame.m
  const b = registerBase(register)
  if (isNull(m, b)) return 1
  withoutNull(env, register, () => {
    checkHelperMemory(env, liveness, register, size, false, true, undefined)
    checkHelperMemory(env, liveness, register, size, true, true, undefined)
  })
  return 1
}

/** Looks at a pointer that may be null as if it were not. */
function withoutNull(env: Env, register: number, look: () => void): void {
  const m = env.frame.m
  const b = registerBase(register)
  if ((m[b + R.TYPE] & R.MAYBE_NULL) === 0) {
    look()
    return
  }
  const saved = m.slice(b, b + R.WORDS)
  markNotNull(env, m, b)
  try {
    look()
  } finally {
    env.frame.m.set(saved, b)
  }
}

/** Memory and its size in the next register. */
function checkSized(env: Env, liveness: StackLiveness, call: KfuncCall, i: number): void {
  const { params } = call.kfunc
  const register = i + 1
  const size = register + 1
  const m = env.frame.m
  const optional = suffix(params[i].name, '__opt') || suffix(params[i].name, '__nullable')
  if (!isNull(m, registerBase(register)) || !optional) {
    const facts = { sizeMaximum: 0n } as CallFacts
    try {
      withoutNull(env, register, () => {
        checkSize(env, liveness, size, false, true, facts, true)
        checkSize(env, liveness, size, true, true, facts, true)
      })
    } catch (error) {
      if (error instanceof Rejection) env.say(`arg#${i} arg#${i + 1} memory, len pair leads to invalid memory access`)
      throw error
    }
  }
  if (!suffix(params[i + 1].name, '__szk')) return
  const frame = env.frame
  const b = registerBase(size)
  if (!isConst(frame.m, b)) env.reject(`R${size} must be a known constant`)
  call.constant = frame.u[b / 2 + R.VALUE]
}
