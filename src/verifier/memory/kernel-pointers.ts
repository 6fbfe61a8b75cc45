/** Kernel pointers in map values and objects: loads, stores, bpf_kptr_xchg (check_map_kptr_access of Linux 6.18). */

import { KERNEL_OBJECT, PROGRAM_OBJECT } from '../kernel/kernel-types.ts'
import { isKernelPointer, type ObjectField, pointerTarget } from '../kernel/object-fields.ts'
import { isConst, isNull, markKnown, valueNumber } from '../scalars/bounds.ts'
import { EACCES, EINVAL, type Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { inRcuSection } from '../state/trust.ts'
import { checkUnmodified } from './unmodified.ts'

/** Kernel structs whose objects RCU keeps alive (rcu_protected_types). */
const RCU_PROTECTED: ReadonlySet<string> = new Set([
  'cgroup',
  'bpf_cpumask',
  'task_struct',
  'bpf_crypto_ctx',
  'prog_test_ref_kfunc',
])

interface Target {
  readonly object: number
  readonly id: number
}

function targetOf(env: Env, field: ObjectField): Target {
  const target = env.btf === undefined ? undefined : pointerTarget(env.btf, env.typesOf(KERNEL_OBJECT), field)
  if (target === undefined) env.unmodelled("kernel pointers without the kernel's BTF")
  return target
}

function targetName(env: Env, target: Target): string {
  return env.typesOf(target.object)?.name(target.id) ?? ''
}

/** A load or store at a pointer field; `value` is the other register, -1 for an immediate. */
export function checkKernelPointer(env: Env, field: ObjectField, value: number): void {
  const op = env.code.op[env.insn]
  const cls = op & 7
  if ((op & 0xe0) !== 0x60) env.reject('kptr in map can only be accessed using BPF_MEM instruction mode', EACCES)
  const isLoad = cls === 1
  if (!isLoad && (field.kind === 'kptr' || field.kind === 'percpu_kptr'))
    env.reject('store to referenced kptr disallowed', EACCES)
  if (!isLoad && field.kind === 'uptr') env.reject('store to uptr disallowed', EACCES)
  if (isLoad) {
    load(env, field, value)
    return
  }
  if (cls === 3) {
    if (!isNull(env.frame.m, registerBase(value))) matchType(env, field, value)
    return
  }
  if (env.code.imm[env.insn] !== 0)
    env.reject(`BPF_ST imm must be 0 when storing to kptr at off=${field.offset}`, EACCES)
}

function load(env: Env, field: ObjectField, value: number): void {
  const m = env.frame.m
  const b = registerBase(value)
  markKnown(m, b, 0, 0)
  m[b + R.FRAME] = 0
  m[b + R.ID] = env.newId()
  if (field.kind === 'uptr') {
    m[b + R.TYPE] = R.MEM | R.MAYBE_NULL
    m[b + R.AUX] = env.btf?.sizeOf(field.target) ?? 0
    return
  }
  const target = targetOf(env, field)
  m[b + R.TYPE] = R.BTF_ID | loadFlags(env, field, target)
  m[b + R.AUX] = target.id
  m[b + R.AUX2] = target.object
}

function loadFlags(env: Env, field: ObjectField, target: Target): number {
  const isLocal = target.object === PROGRAM_OBJECT
  const safe =
    field.kind === 'percpu_kptr' || (field.kind === 'kptr' && (isLocal || RCU_PROTECTED.has(targetName(env, target))))
  if (!safe || !inRcuSection(env)) return R.MAYBE_NULL | R.UNTRUSTED
  let flags = R.MAYBE_NULL | R.RCU
  if (field.kind === 'percpu_kptr') flags |= R.PERCPU
  else if (isLocal) flags |= R.ALLOC
  const isNode =
    isLocal && env.fieldsOf(target.id).some(({ kind }) => kind === 'bpf_rb_node' || kind === 'bpf_list_node')
  return isNode ? flags | R.NON_OWN : flags
}

/** The register may be stored in the field (map_kptr_match_type). */
export function matchType(env: Env, field: ObjectField, register: number): void {
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  const target = targetOf(env, field)
  let name = ''
  const bad = (): never => {
    const wanted = targetName(env, target)
    const plain = R.typeName(R.BTF_ID)
    const or = field.kind === 'kptr_untrusted' ? ` or ${R.typeName(R.BTF_ID | R.UNTRUSTED)}${wanted}` : ''
    env.reject(
      `invalid kptr access, R${register} type=${R.typeName(type)}${name} expected=${plain}${wanted}${or}`,
      EACCES,
    )
  }
  if ((type & R.BASE_MASK) !== R.BTF_ID) bad()
  const own = m[b + R.AUX2]
  let allowed = R.MAYBE_NULL
  if (own === KERNEL_OBJECT) allowed |= R.TRUSTED | R.RCU | (field.kind === 'kptr_untrusted' ? R.UNTRUSTED : 0)
  else allowed |= R.ALLOC | (field.kind === 'percpu_kptr' ? R.PERCPU : 0)
  if ((type & ~R.BASE_MASK & ~allowed) !== 0) bad()
  const types = env.typesOf(own)
  if (types === undefined) env.unmodelled("kernel pointers without the kernel's BTF")
  name = types.name(m[b + R.AUX])
  checkUnmodified(env, register, true)
  const strict = field.kind !== 'kptr_untrusted'
  if (own !== target.object || !types.matches(m[b + R.AUX], m[b + R.OFF], target.id, strict, (line) => env.say(line)))
    bad()
}

/** The destination of bpf_kptr_xchg: a counted pointer in a map value or an object. */
export function exchangeField(env: Env, register: number): ObjectField {
  const m = env.frame.m
  const b = registerBase(register)
  let fields: readonly ObjectField[]
  if ((m[b + R.TYPE] & R.BASE_MASK) === R.MAP_VALUE) {
    const map = env.map(m[b + R.AUX])
    if (env.btf === undefined || (map.spec.btfValueTypeId ?? 0) === 0)
      env.reject(`map '${map.name}' has to have BTF in order to use bpf_kptr_xchg`, EINVAL)
    fields = map.fields
  } else fields = env.fieldsOf(m[b + R.AUX])
  if (!isConst(m, b)) env.reject(`R${register} doesn't have constant offset. kptr has to be at the constant offset`)
  if (!fields.some((field) => isKernelPointer(field) && field.kind !== 'uptr'))
    env.reject(`R${register} has no valid kptr`)
  const at = m[b + R.OFF] + valueNumber(m, b)
  const field = fields.find((f) => f.offset === at && isKernelPointer(f) && f.kind !== 'uptr')
  if (field === undefined) env.reject(`off=${at} doesn't point to kptr`, EACCES)
  if (field.kind === 'kptr_untrusted') env.reject(`off=${at} kptr isn't referenced kptr`, EACCES)
  return field
}

/** What bpf_kptr_xchg gives back: the type of the field's pointer. */
export function exchanged(
  env: Env,
  field: ObjectField,
): { readonly type: number; readonly id: number; readonly object: number } {
  const target = targetOf(env, field)
  const local = target.object === PROGRAM_OBJECT ? R.ALLOC | (field.kind === 'percpu_kptr' ? R.PERCPU : 0) : 0
  return { type: R.BTF_ID | local, ...target }
}
