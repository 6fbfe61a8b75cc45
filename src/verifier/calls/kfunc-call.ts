/** Calls of kernel functions: availability, sections, arguments, results (check_kfunc_call of Linux 6.18). */

import { KERNEL_OBJECT, kindText, PROGRAM_OBJECT } from '../kernel/kernel-types.ts'
import type { Kfunc } from '../kernel/kfunc-prototype.ts'
import { contextObject } from '../kernel/program-context.ts'
import { holdsLock } from '../memory/nullness.ts'
import { accessesPacket } from '../program/program-rules.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markConstant, markKnown, markNotInit, markUnknown } from '../scalars/bounds.ts'
import { EACCES, EFAULT, type Env } from '../state/env.ts'
import { acquireReference, checkLeaks, clearPacketPointers, releaseReference } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { isSpilled, REGISTERS, registerBase, slotBase } from '../state/state.ts'
import { inRcuSection } from '../state/trust.ts'
import { ACQUIRE, CHANGES_PACKET, ITER_NEXT, RCU_PROTECTED, RET_NULL, SLEEPABLE } from '../tables/kfuncs.ts'
import { checkReturnValue } from '../walk/exit.ts'
import { clobber } from './call-facts.ts'
import { runCallback, runLater, setMapCallbackArguments } from './callbacks.ts'
import { releaseDynptr } from './dynptrs.ts'
import { giveAway, inTreeCallback, markNode, newObject } from './graph-objects.ts'
import { branchIterator, isProtected } from './iterators.ts'
import { checkKfuncArguments, type KfuncCall } from './kfunc-arguments.ts'
import { branchFailedLock, takesResilientLock } from './locks.ts'

/** Functions that may be called while a spin lock is held. */
export function allowedUnderLock(kfunc: Kfunc): boolean {
  return /^bpf_(iter_num_|list_|rbtree_|refcount_acquire_impl|res_spin_)/.test(kfunc.name)
}

const GIVES_AWAY = /^bpf_(list_push_(front|back)|rbtree_add)_impl$/

/** Simulates a call; true when it does not return. */
export function checkKfuncCall(env: Env, liveness: StackLiveness, insn: number): boolean {
  const kfunc = env.kfuncs.get(env.code.imm[insn])
  const types = env.typesOf(KERNEL_OBJECT)
  if (kfunc === undefined || types === undefined) env.unmodelled('kernel function calls')
  if (!kfunc.allowed) env.reject(`calling kernel function ${kfunc.name} is not allowed`, EACCES)
  if (takesResilientLock(kfunc.name)) branchFailedLock(env, insn)
  if (kfunc.name === '__bpf_trap') env.reject('unexpected __bpf_trap() due to uninitialized variable?', EFAULT)
  if (env.unknownKfuncs.has(kfunc.id)) env.unmodelled(`the kernel function ${kfunc.name}`)
  const sleepable = (kfunc.flags & SLEEPABLE) !== 0
  if (sleepable && !env.state.sleepable)
    env.reject(`program must be sleepable to call sleepable kfunc ${kfunc.name}`, EACCES)
  const call: KfuncCall = {
    kfunc,
    types,
    reference: 0,
    releaseRegister: 0,
    constant: undefined,
    resultSize: 0,
    resultReadOnly: false,
    resultType: 0,
    dynptr: undefined,
    iterator: undefined,
    root: undefined,
    object: 0,
    ownsArgument: false,
    callback: -1,
    map: 0,
    mapUid: 0,
  }
  checkKfuncArguments(env, liveness, call)
  if (kfunc.name === 'bpf_rbtree_add_impl') pushComparison(env, liveness, call, insn)
  else if (kfunc.name === 'bpf_wq_set_callback_impl')
    runLater(env, liveness, call.callback, insn, true, (_caller, callee) =>
      setMapCallbackArguments(callee, call.map, call.mapUid),
    )
  else if (call.callback >= 0) env.unmodelled(`the callback of ${kfunc.name}`)
  checkSections(env, kfunc, sleepable)
  if ((kfunc.flags & RCU_PROTECTED) !== 0 && !inRcuSection(env))
    env.reject(`kernel func ${kfunc.name} requires RCU critical section protection`, EACCES)
  if (call.releaseRegister !== 0) {
    const reference = env.frame.m[registerBase(call.releaseRegister) + R.REF]
    if (call.dynptr !== undefined && call.dynptr.reference !== 0) releaseDynptr(env, liveness, call.releaseRegister)
    else if (!releaseReference(env, reference))
      env.reject(`kfunc ${kfunc.name}#${kfunc.id} reference has not been acquired before`)
  }
  if (kfunc.name === 'bpf_throw') {
    if (env.exceptionCallback === 0) checkReturnValue(env, 1)
    checkLeaks(env, 'bpf_throw', true, true)
    return true
  }
  if (GIVES_AWAY.test(kfunc.name)) giveAway(env, env.frame.m[registerBase(2) + R.REF])
  clobber(env.frame.m)
  giveResult(env, call, insn)
  if (CHANGES_PACKET.has(kfunc.name)) clearPacketPointers(env)
  if ((kfunc.flags & ITER_NEXT) !== 0 && call.iterator !== undefined) branchIterator(env, call.iterator, insn)
  return false
}

/** The comparison that bpf_rbtree_add calls: two nodes that it does not own. */
function pushComparison(env: Env, liveness: StackLiveness, call: KfuncCall, insn: number): void {
  const { root } = call
  if (root === undefined) env.reject('verifier bug: a tree without its root', EFAULT)
  runCallback(env, liveness, call.callback, insn, (_caller, callee) => {
    markNode(env, callee.m, registerBase(1), root, false)
    markNode(env, callee.m, registerBase(2), root, false)
    for (const r of [3, 4, 5]) markNotInit(callee.m, registerBase(r))
  })
}

/** Sections of RCU, without preemption and without interrupts: opened, closed, and what may not sleep inside. */
function checkSections(env: Env, kfunc: Kfunc, sleepable: boolean): void {
  const { state } = env
  const { name } = kfunc
  const locks = name === 'bpf_rcu_read_lock'
  const unlocks = name === 'bpf_rcu_read_unlock'
  if (state.rcuLocks > 0) {
    if ((locks || unlocks) && inTreeCallback(env))
      env.reject('Calling bpf_rcu_read_{lock,unlock} in unnecessary rbtree callback', EACCES)
    if (locks) env.reject(`nested rcu read lock (kernel function ${name})`)
    if (unlocks) {
      forgetProtected(env)
      state.rcuLocks = 0
    } else if (sleepable) env.reject(`kernel func ${name} is sleepable within rcu_read_lock region`, EACCES)
  } else if (locks) state.rcuLocks = 1
  else if (unlocks) env.reject(`unmatched rcu read unlock (kernel function ${name})`)
  const disables = name === 'bpf_preempt_disable'
  const enables = name === 'bpf_preempt_enable'
  if (state.preemptLocks > 0) {
    if (disables) state.preemptLocks++
    else if (enables) state.preemptLocks--
    else if (sleepable) env.reject(`kernel func ${name} is sleepable within non-preemptible region`, EACCES)
  } else if (disables) state.preemptLocks = 1
  else if (enables) env.reject(`unmatched attempt to enable preemption (kernel function ${name})`)
  if (state.irqId !== 0 && sleepable) env.reject(`kernel func ${name} is sleepable within IRQ-disabled region`, EACCES)
}

/** The RCU section ends: what it protected is not trusted any more, in registers, spilled, or as an iterator. */
function forgetProtected(env: Env): void {
  const { state } = env
  const one = (m: Int32Array, b: number) => {
    const type = m[b + R.TYPE]
    if ((type & R.RCU) !== 0) m[b + R.TYPE] = (type & ~(R.RCU | R.MAYBE_NULL)) | R.UNTRUSTED
  }
  for (let i = 0; i <= state.current; i++) {
    const frame = state.frames[i]
    for (let r = 0; r < REGISTERS; r++) one(frame.m, registerBase(r))
    for (let slot = 0; slot < frame.slots; slot++)
      if (isSpilled(frame, slot) || frame.types[slot * 8 + 7] === R.ITER_SLOT) one(frame.m, slotBase(slot))
  }
}

function giveResult(env: Env, call: KfuncCall, insn: number): void {
  const { kfunc, types } = call
  const { btf } = types
  const m = env.frame.m
  const returns = btf.skipModifiers(kfunc.returnType)
  const type = btf.type(returns)
  if (type.kind === 'void') return
  if (type.kind === 'int' || type.kind === 'enum' || type.kind === 'enum64') {
    markUnknown(m, 0)
    if (takesResilientLock(kfunc.name)) markConstant(m, 0, 0, 0)
    return
  }
  if (type.kind !== 'ptr') env.unmodelled(`the result of ${kfunc.name}`)
  const target = btf.skipModifiers(type.type)
  const kind = btf.type(target)
  if (!giveSpecial(env, call)) {
    if (kind.kind === 'void') markUnknown(m, 0)
    else if (kind.kind !== 'struct' && kind.kind !== 'union') giveMemory(env, call, target)
    else giveObject(env, call, target)
  }
  const certain = kfunc.name === 'bpf_refcount_acquire_impl' && call.ownsArgument
  const mayBeNull = (kfunc.flags & RET_NULL) !== 0 && !certain
  if (mayBeNull) {
    m[R.TYPE] |= R.MAYBE_NULL
    m[R.ID] = env.newId()
  }
  if ((kfunc.flags & ACQUIRE) !== 0) {
    const id = acquireReference(env, insn)
    if (mayBeNull) m[R.ID] = id
    m[R.REF] = id
  }
  if (m[R.ID] === 0 && holdsLock(env, m, 0)) m[R.ID] = env.newId()
}

function pointer(env: Env, type: number): Int32Array {
  const m = env.frame.m
  markKnown(m, 0, 0, 0)
  m[R.FRAME] = 0
  m[R.TYPE] = type
  return m
}

function giveMemory(env: Env, call: KfuncCall, target: number): void {
  const { types, kfunc } = call
  let size = call.resultSize
  let readOnly = call.resultReadOnly
  if (size === 0) {
    const own = types.btf.sizeOf(target)
    if (own === undefined)
      env.reject(
        `kernel function ${kfunc.name} returns pointer type ${kindText(types.btf.kind(target))} ${types.name(target)} is not supported`,
      )
    size = own
    readOnly = true
  }
  const m = pointer(env, R.MEM | (readOnly ? R.RDONLY : 0))
  m[R.AUX] = size
  m[R.REF] = call.reference
}

function giveObject(env: Env, call: KfuncCall, target: number): void {
  const { kfunc } = call
  let flags = 0
  if (kfunc.name === 'bpf_get_kmem_cache') flags = R.UNTRUSTED
  else if ((kfunc.flags & RCU_PROTECTED) !== 0) flags = R.RCU
  else if ((kfunc.flags & ITER_NEXT) !== 0 && call.iterator !== undefined)
    flags = isProtected(env, call.iterator) ? R.RCU : R.TRUSTED
  const m = pointer(env, R.BTF_ID | flags)
  m[R.AUX] = target
  m[R.AUX2] = KERNEL_OBJECT
}

/** Results that the kernel computes by the function's name (check_special_kfunc). */
function giveSpecial(env: Env, call: KfuncCall): boolean {
  const { kfunc, types } = call
  switch (kfunc.name) {
    case 'bpf_cast_to_kern_ctx': {
      const id = contextObject(types, env.facts.type)
      if (id === undefined) env.unmodelled('bpf_cast_to_kern_ctx in programs of this type')
      if (!types.isStruct(id)) env.reject(`kern ctx type id ${id} is not a struct`)
      const m = pointer(env, R.BTF_ID | R.TRUSTED)
      m[R.AUX] = id
      return true
    }
    case 'bpf_rdonly_cast': {
      const id = Number(call.constant ?? 0n)
      const type = types.btf.has(id) ? types.btf.type(id) : undefined
      if (type === undefined && id !== 0)
        env.reject(`Unknown type ID ${BigInt.asIntN(64, call.constant ?? 0n)} passed to kfunc bpf_rdonly_cast`)
      if (id === 0 || type?.kind === 'void') {
        pointer(env, R.MEM | R.RDONLY | R.UNTRUSTED)
        return true
      }
      if (type?.kind !== 'struct' && type?.kind !== 'union')
        env.reject('kfunc bpf_rdonly_cast type ID argument must be of a struct or void')
      const m = pointer(env, R.BTF_ID | R.UNTRUSTED)
      m[R.AUX] = id
      return true
    }
    case 'bpf_dynptr_slice':
    case 'bpf_dynptr_slice_rdwr': {
      const { dynptr, constant } = call
      if (dynptr === undefined || constant === undefined) env.reject('verifier bug: no dynptr id', EFAULT)
      let flags = dynptr.kind
      if (kfunc.name === 'bpf_dynptr_slice') flags |= R.RDONLY
      else if (!accessesPacket(env.facts.type, true)) env.reject('the prog does not allow writes to packet data')
      const m = pointer(env, R.MEM | flags)
      m[R.AUX] = Number(constant & 0xffffffffn)
      m[R.AUX2] = dynptr.id
      return true
    }
    case 'bpf_obj_new_impl':
    case 'bpf_percpu_obj_new_impl': {
      const made = newObject(env, call)
      const m = pointer(env, made.type)
      m[R.AUX] = made.id
      m[R.AUX2] = PROGRAM_OBJECT
      return true
    }
    case 'bpf_refcount_acquire_impl': {
      const m = pointer(env, R.BTF_ID | R.ALLOC)
      m[R.AUX] = call.object
      m[R.AUX2] = PROGRAM_OBJECT
      return true
    }
    default:
      break
  }
  const { root } = call
  if (root === undefined) return false
  markNode(env, env.frame.m, 0, root, (kfunc.flags & ACQUIRE) !== 0)
  return true
}
