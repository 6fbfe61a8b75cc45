/** Objects that the program allocates, and the lists and trees that hold them (kfuncs of kernel/bpf/helpers.c in 6.18). */

import { type KernelTypes, PROGRAM_OBJECT } from '../kernel/kernel-types.ts'
import { fieldText, type ObjectField } from '../kernel/object-fields.ts'
import { isConst, markKnown, valueNumber } from '../scalars/bounds.ts'
import { EFAULT, type Env } from '../state/env.ts'
import { dropReference, isLock, releaseReference } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { eachRegister, registerBase } from '../state/state.ts'
import type { KfuncCall } from './kfunc-arguments.ts'

const OBJECT = R.BTF_ID | R.ALLOC
const PERCPU_LIMIT = 512

/** Special fields of what a register points to. */
function fieldsOfRegister(env: Env, register: number): readonly ObjectField[] {
  const m = env.frame.m
  const b = registerBase(register)
  if ((m[b + R.TYPE] & R.BASE_MASK) === R.MAP_VALUE) return env.map(m[b + R.AUX]).fields
  return m[b + R.AUX2] === PROGRAM_OBJECT ? env.fieldsOf(m[b + R.AUX]) : []
}

/** The owner by which a lock is known: the map, or the program's types. */
export function lockOwner(env: Env, register: number): number {
  const m = env.frame.m
  const b = registerBase(register)
  return (m[b + R.TYPE] & R.BASE_MASK) === R.MAP_VALUE ? m[b + R.AUX] : LOCAL_OWNER
}

const LOCAL_OWNER = 1 << 30

/** An argument that is dropped (`__alloc`). */
export function checkAllocated(env: Env, call: KfuncCall, i: number): void {
  const m = env.frame.m
  const b = registerBase(i + 1)
  const type = m[b + R.TYPE]
  const { name } = call.kfunc
  if (type === OBJECT) {
    if (name !== 'bpf_obj_drop_impl') env.reject(`arg#${i} expected for bpf_obj_drop_impl()`)
  } else if (type === (OBJECT | R.PERCPU)) {
    if (name !== 'bpf_percpu_obj_drop_impl') env.reject(`arg#${i} expected for bpf_percpu_obj_drop_impl()`)
  } else env.reject(`arg#${i} expected pointer to allocated object`)
  if (m[b + R.REF] === 0) env.reject('allocated object must be referenced')
  call.object = m[b + R.AUX]
}

/** An argument that is counted (`__refcounted_kptr`). */
export function checkCounted(env: Env, call: KfuncCall, i: number): void {
  const m = env.frame.m
  const b = registerBase(i + 1)
  const type = m[b + R.TYPE]
  if ((type & R.BASE_MASK) !== R.BTF_ID || (type & R.ALLOC) === 0)
    env.reject(`arg#${i} is neither owning or non-owning ref`)
  if ((type & R.NON_OWN) === 0) call.ownsArgument = true
  const fields = fieldsOfRegister(env, i + 1)
  // 6.18 takes it for a contradiction of its own that a type without special fields comes here.
  if (fields.length === 0) env.reject("verifier bug: Couldn't find btf_record", EFAULT)
  if (!fields.some(({ kind }) => kind === 'bpf_refcount'))
    env.reject(`arg#${i} doesn't point to a type with bpf_refcount field`)
  call.object = m[b + R.AUX]
}

/** A list head or a tree's root: in a map value or an object, its lock held. */
export function checkRoot(env: Env, call: KfuncCall, i: number, kind: 'bpf_list_head' | 'bpf_rb_root'): void {
  const m = env.frame.m
  const register = i + 1
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  if (type !== R.MAP_VALUE && type !== OBJECT) env.reject(`arg#${i} expected pointer to map value or allocated object`)
  if (type === OBJECT && m[b + R.REF] === 0) env.reject('allocated object must be referenced')
  if (!isConst(m, b)) env.reject(`R${register} doesn't have constant offset. ${kind} has to be at the constant offset`)
  const at = m[b + R.OFF] + valueNumber(m, b)
  const fields = fieldsOfRegister(env, register)
  const field = fields.find((f) => f.offset === at && f.kind === kind)
  if (field === undefined) env.reject(`${kind} not found at offset=${at >>> 0}`)
  checkLocked(env, register, fields, kind)
  call.root = field
}

function checkLocked(env: Env, register: number, fields: readonly ObjectField[], kind: string): void {
  const { state } = env
  const id = env.frame.m[registerBase(register) + R.ID]
  const owner = lockOwner(env, register)
  const held = state.references.some((r) => isLock(r) && r.id === id && r.owner === owner)
  if (state.activeLocks > 0 && held) return
  if (state.activeLocks > 0) env.say('held lock and object are not in the same allocation')
  const lock = fields.find((f) => f.kind === 'bpf_spin_lock')
  env.reject(`bpf_spin_lock at off=${lock?.offset} must be held for ${kind}`)
}

/** The callback of a tree is running, under the tree's lock. */
export function inTreeCallback(env: Env): boolean {
  const { frame } = env
  if (env.state.current === 0 || !frame.inCallback) return false
  return (
    env.kfuncs.get(env.code.imm[frame.callsite])?.name.startsWith('bpf_rbtree_') === true &&
    env.code.src[frame.callsite] === 2
  )
}

/** A node that goes into, or is taken from, a list or tree. */
export function checkNode(env: Env, call: KfuncCall, i: number, kind: 'bpf_list_node' | 'bpf_rb_node'): void {
  const m = env.frame.m
  const register = i + 1
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  const { name } = call.kfunc
  if (kind === 'bpf_list_node' || name === 'bpf_rbtree_add_impl') {
    if (type !== OBJECT) env.reject(`arg#${i} expected pointer to allocated object`)
    if (m[b + R.REF] === 0) env.reject('allocated object must be referenced')
  } else {
    if ((type & R.NON_OWN) === 0 && m[b + R.REF] === 0)
      env.reject(`${name} can only take non-owning or refcounted bpf_rb_node pointer`)
    if (inTreeCallback(env)) env.reject(`${name} not allowed in rbtree cb`)
  }
  if (!isConst(m, b)) env.reject(`R${register} doesn't have constant offset. ${kind} has to be at the constant offset`)
  const at = m[b + R.OFF] + valueNumber(m, b)
  if (!fieldsOfRegister(env, register).some((f) => f.offset === at && f.kind === kind))
    env.reject(`${kind} not found at offset=${at >>> 0}`)
  const { root } = call
  if (root === undefined) env.reject('verifier bug: a node without its root', EFAULT)
  const types = env.typesOf(PROGRAM_OBJECT)
  if (m[b + R.AUX] !== root.target)
    env.reject(
      `operation on ${fieldText(root)} expects arg#1 ${kind} at offset=${root.nodeOffset} in struct ${types?.name(root.target)}, ` +
        `but arg is at offset=${at} in struct ${types?.name(m[b + R.AUX])}`,
    )
  if (at !== root.nodeOffset)
    env.reject(
      `arg#1 offset=${at}, but expected ${kind} at offset=${root.nodeOffset} in struct ${types?.name(root.target)}`,
    )
  call.object = m[b + R.AUX]
}

/** A pointer that does not own what it points to: good only as long as the lock is held. */
function setNonOwning(env: Env, m: Int32Array, b: number): void {
  m[b + R.TYPE] |= R.NON_OWN
  if (env.fieldsOf(m[b + R.AUX]).some(({ kind }) => kind === 'bpf_refcount')) m[b + R.TYPE] |= R.RCU
}

/** The list or tree owns the node now; the program's pointers to it stay, without owning. */
export function giveAway(env: Env, reference: number): void {
  eachRegister(env.state, (m, b) => {
    if (m[b + R.REF] !== reference) return
    m[b + R.REF] = 0
    setNonOwning(env, m, b)
  })
  dropReference(env.state, reference)
  releaseReference(env, reference)
}

/** The lock is open again: pointers into what it protected are gone. */
export function dropNonOwning(env: Env, unknown: (m: Int32Array, b: number) => void): void {
  eachRegister(env.state, (m, b) => {
    if ((m[b + R.TYPE] & R.NON_OWN) !== 0) unknown(m, b)
  })
}

/** A register as a node of what a root holds. */
export function markNode(env: Env, m: Int32Array, b: number, root: ObjectField, owning: boolean): void {
  markKnown(m, b, 0, 0)
  m[b + R.FRAME] = 0
  m[b + R.OFF] = root.nodeOffset
  m[b + R.TYPE] = OBJECT
  m[b + R.AUX] = root.target
  m[b + R.AUX2] = PROGRAM_OBJECT
  if (!owning) setNonOwning(env, m, b)
}

function isScalars(types: KernelTypes, id: number, depth: number): boolean {
  const type = types.btf.type(types.btf.skipModifiers(id))
  if (type.kind === 'struct') return depth < 4 && type.members.every((m) => isScalars(types, m.type, depth + 1))
  if (type.kind === 'array') return type.count > 0 && isScalars(types, type.type, depth)
  return type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64'
}

/** The object that bpf_obj_new or bpf_percpu_obj_new makes. */
export function newObject(env: Env, call: KfuncCall): { readonly type: number; readonly id: number } {
  const { constant } = call
  const percpu = call.kfunc.name === 'bpf_percpu_obj_new_impl'
  if (constant === undefined || constant > 0xffffffffn)
    env.reject('local type ID argument must be in range [0, U32_MAX]')
  const id = Number(constant)
  const types = env.typesOf(PROGRAM_OBJECT)
  if (types === undefined) env.reject('bpf_obj_new/bpf_percpu_obj_new requires prog BTF')
  const type = id > 0 && types.btf.has(id) ? types.btf.type(id) : undefined
  if (type?.kind !== 'struct') env.reject('bpf_obj_new/bpf_percpu_obj_new type ID argument must be of a struct')
  if (!percpu) return { type: OBJECT, id }
  if (type.size > PERCPU_LIMIT)
    env.reject(`bpf_percpu_obj_new type size (${type.size}) is greater than ${PERCPU_LIMIT}`)
  if (!isScalars(types, id, 0)) env.reject('bpf_percpu_obj_new type ID argument must be of a struct of scalars')
  if (env.fieldsOf(id).length > 0) env.reject('bpf_percpu_obj_new type ID argument must not contain special fields')
  return { type: OBJECT | R.PERCPU, id }
}
