/** Accesses through pointers to kernel types and to objects of the program's own types (check_ptr_to_btf_access). */

import { KERNEL_OBJECT, type KernelTypes, type Walk } from '../kernel/kernel-types.ts'
import { MAP_STRUCTS } from '../kernel/map-structs.ts'
import { fieldText } from '../kernel/object-fields.ts'
import { structOpsWrite } from '../kernel/struct-ops.ts'
import { isConst, isZero, markKnown, markUnknown } from '../scalars/bounds.ts'
import { EACCES, EFAULT, ENOTSUPP, type Env, Rejection } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { inRcuSection, isRcu, isTrusted } from '../state/trust.ts'
import { variableText } from './stack.ts'

/** Walks down until something that is no struct at offset 0 (btf_struct_access). */
function access(
  env: Env,
  types: KernelTypes,
  id: number,
  off: number,
  size: number,
  alloc: boolean,
  flags: { untrusted: boolean },
): Walk {
  let current = id
  let at = off
  for (;;) {
    const found = types.walk(current, at, size, flags, !alloc)
    if (found.kind === 'error') {
      env.say(found.message)
      throw new Rejection(found.errno)
    }
    if (found.kind !== 'struct') return found
    current = found.id
    at = 0
  }
}

/** Puts what a load gives into a register (mark_btf_ld_reg). */
function give(env: Env, value: number, type: number, id: number, object: number): void {
  const m = env.frame.m
  const b = registerBase(value)
  if (type === R.SCALAR) {
    markUnknown(m, b)
    return
  }
  markKnown(m, b, 0, 0)
  m[b + R.FRAME] = 0
  m[b + R.TYPE] = type
  m[b + R.AUX] = id
  m[b + R.AUX2] = object
  if ((type & R.MAYBE_NULL) !== 0) m[b + R.ID] = env.newId()
}

const TAG_FLAGS = { user: R.USER, percpu: R.PERCPU, rcu: R.RCU } as const

export function checkBtfAccess(
  env: Env,
  register: number,
  off: number,
  size: number,
  write: boolean,
  value: number,
): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  const object = m[b + R.AUX2]
  const types = env.typesOf(object)
  const id = m[b + R.AUX]
  if (types === undefined || id < 0)
    env.unmodelled("accesses through pointers to kernel types without the kernel's BTF")
  const name = types.name(id)
  if (!env.gpl && object === KERNEL_OBJECT)
    env.reject(`Cannot access kernel 'struct ${name}' from non-GPL compatible program`)
  if (off < 0) env.reject(`R${register} is ptr_${name} invalid negative access: off=${off}`, EACCES)
  if (!isConst(m, b) || !isZero(m, b))
    env.reject(
      `R${register} is ptr_${name} invalid variable offset: off=${off}, var_off=${variableText(frame, b)}`,
      EACCES,
    )
  if ((type & R.USER) !== 0) env.reject(`R${register} is ptr_${name} access user memory: off=${off}`, EACCES)
  if ((type & R.PERCPU) !== 0) env.reject(`R${register} is ptr_${name} access percpu memory: off=${off}`, EACCES)
  const alloc = (type & R.ALLOC) !== 0
  const trusted = (type & R.UNTRUSTED) === 0
  if (write && trusted && !alloc && structOpsWrite(env, types, id, off, size)) return
  if (write && !(trusted && alloc)) env.reject('only read is supported', EACCES)
  if (alloc) {
    // 6.18 takes it for a contradiction of its own, but sums of numbers and pointers come here without their reference
    if ((type & (R.NON_OWN | R.RCU)) === 0 && m[b + R.REF] === 0)
      env.reject('verifier bug: ref_obj_id for allocated object must be non-zero', EFAULT)
    for (const field of env.fieldsOf(id))
      if (off < field.offset + field.size && field.offset < off + size)
        env.reject(`direct access to ${fieldText(field)} is disallowed`, EACCES)
  }
  const flags = { untrusted: false }
  const found = access(env, types, id, off, size, alloc, flags)
  if (write || value < 0) return
  if (found.kind === 'scalar' || (found.kind === 'pointer' && alloc)) give(env, value, R.SCALAR, 0, 0)
  else if (found.kind === 'pointer') {
    const result = pointerFlags(env, types, type, id, m[b + R.REF] !== 0, found, flags.untrusted)
    give(env, value, R.BTF_ID | result, found.id, object)
  } else {
    give(env, value, R.MEM | R.RDONLY | R.UNTRUSTED, 0, 0)
  }
}

/** What a pointer that was read from an object is good for. */
function pointerFlags(
  env: Env,
  types: KernelTypes,
  type: number,
  id: number,
  referenced: boolean,
  found: Extract<Walk, { kind: 'pointer' }>,
  untrusted: boolean,
): number {
  let flags = (untrusted ? R.UNTRUSTED : 0) | (found.tag === undefined ? 0 : TAG_FLAGS[found.tag])
  if ((type & R.UNTRUSTED) !== 0) return R.UNTRUSTED
  if (!isTrusted(type, referenced) && !isRcu(type)) return flags & ~(R.ALLOC | R.TRUSTED | R.NON_OWN | R.RCU)
  const listed = (suffix: string) => types.isListed(types.name(id), suffix, found.field, found.id)
  if (listed('__safe_trusted')) return flags | R.TRUSTED
  if (listed('__safe_trusted_or_null')) return flags | R.TRUSTED | R.MAYBE_NULL
  if (!inRcuSection(env) || (type & R.MAYBE_NULL) !== 0) return R.UNTRUSTED
  if (listed('__safe_rcu')) return flags | R.RCU
  if ((flags & R.RCU) !== 0 || listed('__safe_rcu_or_null')) {
    flags |= R.RCU | R.MAYBE_NULL
    return listed('__safe_rcu_or_null') ? flags & ~R.UNTRUSTED : flags
  }
  if ((flags & (R.PERCPU | R.USER)) !== 0) return flags
  return flags & ~(R.ALLOC | R.TRUSTED | R.NON_OWN | R.RCU)
}

/** Reads of the kernel's struct behind a map pointer (check_ptr_to_map_access). */
export function checkMapStructAccess(
  env: Env,
  register: number,
  off: number,
  size: number,
  write: boolean,
  value: number,
): void {
  const types = env.typesOf(KERNEL_OBJECT)
  if (types === undefined) env.unmodelled("reads of a map itself without the kernel's BTF")
  const map = env.map(env.frame.m[registerBase(register) + R.AUX])
  const name = MAP_STRUCTS.get(map.type)
  const id = name === undefined ? undefined : types.struct(name)
  if (name === undefined) env.reject(`map_ptr access not supported for map type ${map.type}`, ENOTSUPP)
  if (id === undefined) env.unmodelled(`reads of a map itself: struct ${name} is not in the BTF`)
  if (off < 0) env.reject(`R${register} is ${name} invalid negative access: off=${off}`, EACCES)
  if (write) env.reject(`only read from ${name} is supported`, EACCES)
  const flags = { untrusted: false }
  const found = access(env, types, id, off, size, false, flags)
  if (value < 0) return
  if (found.kind === 'pointer') {
    const tag = found.tag === undefined ? 0 : TAG_FLAGS[found.tag]
    give(env, value, R.BTF_ID | tag | (flags.untrusted ? R.UNTRUSTED : 0), found.id, KERNEL_OBJECT)
  } else if (found.kind === 'untrusted pointer') give(env, value, R.MEM | R.RDONLY | R.UNTRUSTED, 0, 0)
  else give(env, value, R.SCALAR, 0, 0)
}
