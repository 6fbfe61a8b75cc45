/** The context of programs whose arguments are those of their target (btf_ctx_access of Linux 6.18). */

import { ATTACH_TYPES } from '../../uapi/index.ts'
import { KERNEL_OBJECT, type KernelTypes, kindText } from '../kernel/kernel-types.ts'
import { contextObject, isContextType } from '../kernel/program-context.ts'
import type { ReturnRange } from '../kernel/prototype.ts'
import { writeSourceLine } from '../log/print.ts'
import type { AttachTarget } from '../program/attach-target.ts'
import type { ProgramTarget } from '../program/program-target.ts'
import { markKnown, markUnknown } from '../scalars/bounds.ts'
import { checkInvariants, sync } from '../scalars/sync.ts'
import { EACCES, type Env, Rejection } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { UNRECORDED_TRACEPOINTS } from '../tables/targets.ts'

const MAX_BYTES = 96
const MAX_REGISTER_ARGUMENTS = 5
const FEXIT = ATTACH_TYPES.trace_fexit
const MODIFY_RETURN = ATTACH_TYPES.modify_return
/** Attach types whose context ends in the result: fexit, fmod_ret, LSM hooks. */
const RESULT_ATTACHES: ReadonlySet<number> = new Set([FEXIT, MODIFY_RETURN, 27, 43])
const TCP_CONGESTION_OPS = 'tcp_congestion_ops'

/** What a load gives: a register type and, of a pointer to a kernel type, that type; undefined where it is illegal. */
interface Given {
  readonly type: number
  readonly id: number
  /** Of a result that the kernel knows the range of. */
  readonly range?: ReturnRange
}
const SCALAR: Given = { type: R.SCALAR, id: 0 }

/** One access to the context of a program with a target; `value` receives a load. */
export function checkTargetContext(
  env: Env,
  target: AttachTarget,
  off: number,
  size: number,
  write: boolean,
  value: number,
): void {
  const types = target.program === undefined ? env.typesOf(KERNEL_OBJECT) : target.program.types
  if (types === undefined) env.unmodelled("contexts of targets without the kernel's BTF")
  // 6.18 asks nothing of what LSM programs do with their context but that it is an argument.
  const legal = target.lsm !== undefined || (off >= 0 && off < MAX_BYTES && !write && off % size === 0)
  const given = legal ? load(env, types, target, off, size) : undefined
  if (given === undefined) {
    env.say(`invalid bpf_context access off=${off} size=${size}`)
    writeSourceLine(env, env.insn)
    throw new Rejection(EACCES)
  }
  if (value < 0 || write) return
  const m = env.frame.m
  const b = registerBase(value)
  if (given.type === R.SCALAR) {
    if (given.range !== undefined && !isUnbounded(m, b))
      env.unmodelled("a hook's result in a register that was bounded, which point releases of 6.18 keep or forget")
    markUnknown(m, b)
    if (given.range !== undefined) bound(m, b, given.range)
    return
  }
  markKnown(m, b, 0, 0)
  m[b + R.FRAME] = 0
  m[b + R.TYPE] = given.type
  if ((given.type & R.MAYBE_NULL) !== 0) m[b + R.ID] = env.newId()
  if ((given.type & R.BASE_MASK) === R.BTF_ID) {
    m[b + R.AUX] = given.id
    m[b + R.AUX2] = KERNEL_OBJECT
  }
}

const KNOWLEDGE = [R.MASK_LOW, R.MASK_HIGH, R.SMIN_LOW, R.SMIN_HIGH, R.SMAX_LOW, R.SMAX_HIGH].concat(
  [R.UMIN_LOW, R.UMIN_HIGH, R.UMAX_LOW, R.UMAX_HIGH],
  [R.S32_MIN, R.S32_MAX, R.U32_MIN, R.U32_MAX],
)
const UNKNOWN = new Int32Array(64)
markUnknown(UNKNOWN, 0)

/** Nothing is known of the number that a register held. */
function isUnbounded(m: Int32Array, b: number): boolean {
  return KNOWLEDGE.every((field) => m[b + field] === UNKNOWN[field])
}

/** A number whose low half is known to lie in a range, and the whole with it. */
function bound(m: Int32Array, b: number, { minimum, maximum }: ReturnRange): void {
  m[b + R.S32_MIN] = m[b + R.SMIN_LOW] = minimum
  m[b + R.S32_MAX] = m[b + R.SMAX_LOW] = maximum
  m[b + R.SMIN_HIGH] = minimum < 0 ? -1 : 0
  m[b + R.SMAX_HIGH] = 0
  sync(m, b)
  checkInvariants(m, b)
}

/**
 * Argument at an offset; structs passed by value take their own number of words. A tracepoint's hidden argument counts
 * as the first here, though what the answer names is without it, as in the kernel.
 */
function argumentAt(types: KernelTypes, target: AttachTarget, off: number): number {
  let end = 0
  const bytes = (type: number) => {
    const id = types.btf.skipModifiers(type)
    return types.btf.kind(id) === 'ptr' ? 8 : Math.ceil((types.btf.sizeOf(id) ?? 0) / 8) * 8
  }
  const sizes = target.params.map(({ type }) => bytes(type))
  if (target.hidden > 0) sizes.unshift(8)
  for (const [i, size] of sizes.entries()) {
    end += size
    if (off >>> 0 < end) return i
  }
  if (target.returnType !== 0) end += bytes(target.returnType)
  return off >>> 0 < end ? sizes.length : sizes.length + 1
}

function isSmallInt(types: KernelTypes, id: number): boolean {
  const type = types.btf.type(id)
  return type.kind === 'int' && type.size <= 8 && type.bits === type.size * 8
}

function load(env: Env, types: KernelTypes, target: AttachTarget, off: number, size: number): Given | undefined {
  const { btf } = types
  if (off % 8 !== 0) {
    env.say(`func '${target.name}' offset ${off} is not multiple of 8`)
    return undefined
  }
  const conservative = isConservative(target)
  const argument = conservative ? off / 8 : argumentAt(types, target, off)
  const count = conservative ? MAX_REGISTER_ARGUMENTS : target.params.length
  const missing = () => {
    env.say(`func '${target.name}' doesn't have ${argument + 1}-th argument`)
    return undefined
  }
  if (argument > count) return missing()
  let type: number
  const attach = env.facts.expectedAttachType
  if (conservative) return argument < count || attach === FEXIT ? SCALAR : missing()
  const isStructOps = target.struct !== undefined
  if (argument === count) {
    if (isStructOps || !RESULT_ATTACHES.has(attach)) return missing()
    type = target.returnType
    if (attach === MODIFY_RETURN) {
      const result = btf.skipModifiers(type)
      if (!isSmallInt(types, result)) {
        env.say(`ret type ${kindText(btf.kind(result))} not allowed for fmod_ret`)
        return undefined
      }
    }
  } else type = target.params[argument].type
  const id = btf.skipModifiers(type)
  const resolved = btf.type(id)
  if (isSmallInt(types, id) || resolved.kind === 'enum' || resolved.kind === 'enum64' || types.isStruct(id))
    return argument === count && target.lsm?.result !== undefined ? { ...SCALAR, range: target.lsm.result } : SCALAR
  const name = target.params[argument]?.name ?? ''
  if (resolved.kind !== 'ptr') {
    const own = types.name(id) || '(anon)'
    env.say(
      `func '${target.name}' arg${argument} '${own}' has type ${kindText(resolved.kind)}. Only pointer access is allowed`,
    )
    return undefined
  }
  if (size !== 8) {
    env.say(`func '${target.name}' size ${size} must be 8`)
    return undefined
  }
  const row = argument === 0 ? undefined : target.iterator?.[argument - 1]
  if (row?.includes('buf') === true) return { type: R.BUF | flagsOf(row), id: 0 }
  const pointed = types.pointedStruct(id)
  if (pointed === undefined) {
    const behind = btf.type(btf.skipModifiers(resolved.type)).kind
    if (behind === 'void' || behind === 'int') return SCALAR
    if (target.program !== undefined) return undefined
    if (isListed(row)) env.unmodelled(`the arguments of ${target.name}`)
    env.say(`func '${target.name}' arg${argument} type ${kindText(behind)} is not a struct`)
    return undefined
  }
  if (isListed(row)) return { type: R.BTF_ID | flagsOf(row), id: pointed }
  if (isStructOps && name.endsWith('__nullable')) return { type: R.BTF_ID | R.TRUSTED | R.MAYBE_NULL, id: pointed }
  if (target.program !== undefined) return contextOf(env, target.program, resolved.type, name)
  return pointer(env, types, target, argument, id, pointed, name)
}

/** Arguments of a function whose BTF is not to be trusted: words. */
function isConservative(target: AttachTarget): boolean {
  return target.program !== undefined && target.program.function?.unreliable !== false
}

/** The one pointer that a function of a program may take: its context, which is the kernel's own here. */
function contextOf(env: Env, { program }: ProgramTarget, pointee: number, name: string): Given | undefined {
  const kernel = env.typesOf(KERNEL_OBJECT)
  if (kernel === undefined || program.btf === undefined) env.unmodelled("contexts of programs without the kernel's BTF")
  if (!isContextType(program.btf, pointee, program.contextType)) return undefined
  const id = contextObject(kernel, program.contextType)
  if (id === undefined) env.unmodelled('what the context of the traced program stands for')
  if (id === 0) return undefined
  return { type: R.BTF_ID | (name.endsWith('__nullable') ? R.MAYBE_NULL : 0), id }
}

/** The kernel's list says what an iterator's argument is. */
function isListed(row: string | undefined): row is string {
  return row !== undefined && row !== '-'
}

function flagsOf(row: string): number {
  return (
    (row.includes('trusted_') ? R.TRUSTED : 0) |
    (row.includes('rdonly_') ? R.RDONLY : 0) |
    (row.endsWith('_or_null') ? R.MAYBE_NULL : 0)
  )
}

/** A pointer to a kernel struct: trusted by the kind of target, null or an error by its name. */
function pointer(
  env: Env,
  types: KernelTypes,
  target: AttachTarget,
  argument: number,
  id: number,
  pointed: number,
  name: string,
): Given {
  const { btf } = types
  const isFunction = target.key.startsWith('tracing-f') || target.key.startsWith('tracing-modify')
  const trusted = target.lsm === undefined ? !isFunction : target.lsm.trusted
  let type = R.BTF_ID | (trusted ? R.TRUSTED : 0)
  if (name.endsWith('__nullable')) type |= R.MAYBE_NULL
  let isError = false
  if (target.hidden !== 0) {
    const nulls = env.tables.tracepointNulls(target.name)
    if (nulls === undefined && UNRECORDED_TRACEPOINTS.test(target.name))
      env.unmodelled(`arguments of the tracepoint ${target.name}, which may be null`)
    const template = btf.idByName(`__bpf_trace_${target.name}`, 'func')
    const link = template === undefined ? undefined : btf.type(template)
    const proto = link?.kind === 'func' ? btf.type(link.type) : undefined
    if (proto?.kind === 'func_proto' && proto.params[argument + 1]?.name.endsWith('__nullable') === true)
      type |= R.MAYBE_NULL
    const bits = ((nulls ?? 0) / 2 ** (4 * argument)) & 15
    if ((bits & 1) !== 0) type |= R.MAYBE_NULL
    isError = (bits & 2) !== 0
  }
  const tag = types.tagOf(id)
  if (tag === 'user') type |= R.USER
  if (tag === 'percpu') type |= R.PERCPU
  env.say(
    `func '${target.name}' arg${argument} has btf_id ${pointed} type ${kindText(btf.kind(pointed))} '${types.name(pointed) || '(anon)'}'`,
  )
  if (isError) env.unmodelled(`the arguments of the tracepoint ${target.name}, which may be errors`)
  const isSock = target.struct === TCP_CONGESTION_OPS && types.name(pointed) === 'sock'
  if (isSock && (type & (R.MAYBE_NULL | R.USER | R.PERCPU)) === 0)
    return { type, id: types.struct('tcp_sock') ?? pointed }
  return { type, id: pointed }
}
