/** Calls of helper functions: availability, arguments, what they return and change (check_helper_call of Linux 6.18). */

import { MAP_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { flagBits } from '../kernel/context-types.ts'
import * as H from '../kernel/helper-ids.ts'
import { mapFitsHelper } from '../kernel/map-rules.ts'
import type { HelperPrototype } from '../kernel/prototype.ts'
import { exchanged } from '../memory/kernel-pointers.ts'
import { checkMemory } from '../memory/memory.ts'
import { F_RDONLY_PROG } from '../program/program.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isNull, markKnown, markUnknown } from '../scalars/bounds.ts'
import { checkInvariants, sync } from '../scalars/sync.ts'
import { EACCES, ENOTSUPP, type Env } from '../state/env.ts'
import { markPrecise } from '../state/precision.ts'
import {
  acquireReference,
  checkLeaks,
  clearPacketPointers,
  dropReference,
  releaseReference,
} from '../state/references.ts'
import * as R from '../state/registers.ts'
import { eachRegister, registerBase } from '../state/state.ts'
import { inRcuSection } from '../state/trust.ts'
import { helperText } from './argument-types.ts'
import { checkArgument, hasEveryElement } from './arguments.ts'
import { type CallFacts, clobber, newCallFacts } from './call-facts.ts'
import { pushCallback, runLater, setMapCallbackArguments } from './callbacks.ts'
import { mayCallHere } from './conditional-helpers.ts'
import { releaseDynptr } from './dynptrs.ts'
import { checkFormat } from './format-string.ts'
import { leaveFunction } from './function-call.ts'

const PROG_ARRAY = MAP_TYPES.prog_array
const SOCKMAP = MAP_TYPES.sockmap
const SOCKHASH = MAP_TYPES.sockhash
const MAX_ERRNO = 4095
const MAP_WRITERS: ReadonlySet<number> = new Set([
  H.MAP_DELETE_ELEM,
  H.MAP_UPDATE_ELEM,
  H.MAP_PUSH_ELEM,
  H.MAP_POP_ELEM,
])
const BOUNDED_RESULTS: ReadonlySet<number> = new Set([
  H.GET_STACK,
  H.GET_TASK_STACK,
  H.PROBE_READ_STR,
  H.PROBE_READ_KERNEL_STR,
  H.PROBE_READ_USER_STR,
])

/** Simulates a helper call. */
export function checkHelperCall(env: Env, liveness: StackLiveness, insn: number): void {
  const id = env.code.imm[insn]
  const prototype = findHelper(env, id)
  const call = newCallFacts(prototype)
  for (let index = 0; index < 5; index++) checkArgument(env, liveness, index, call)
  if (call.map !== undefined && (call.map.flags & F_RDONLY_PROG) !== 0 && MAP_WRITERS.has(id))
    env.reject('write into map forbidden', EACCES)
  if (id === H.TAIL_CALL) checkTailCallKey(env, call)
  for (let i = 0; i < call.accessSize; i++) checkMemory(env, liveness, call.register, i, 1, true, -1, false, false)
  release(env, liveness, call)
  special(env, liveness, call, insn)
  const frame = env.frame
  clobber(frame.m)
  giveResult(env, call, insn)
  if (call.map !== undefined && !mapFitsHelper(call.map, id, env.facts)) {
    if (call.map.type === SOCKMAP || call.map.type === SOCKHASH) env.say('cannot update sockmap in this context')
    env.reject(`cannot pass map_type ${call.map.type} into func ${helperText(prototype)}#${id}`)
  }
  if (id === H.TAIL_CALL) {
    if (env.state.current > 0) leaveByTailCall(env, liveness)
  } else if (prototype.changesPacket === true || writesPacket(call)) clearPacketPointers(env)
}

/** A write through a dynptr of a packet may move it. */
function writesPacket(call: CallFacts): boolean {
  const kind = call.dynptr?.kind
  return call.prototype.id === H.DYNPTR_WRITE && (kind === R.DYNPTR_SKB || kind === R.DYNPTR_SKB_META)
}

/** A tail call that is taken ends the function it is in: its caller goes on with whatever the other program returned. */
function leaveByTailCall(env: Env, liveness: StackLiveness): void {
  env.scratchRegister(0)
  env.pushBranch(env.insn + 1, env.insn)
  clearPacketPointers(env)
  markUnknown(env.frame.m, 0)
  leaveFunction(env, liveness)
  env.insn--
}

function findHelper(env: Env, id: number): HelperPrototype {
  const name = env.tables.helperName(id)
  if (name === undefined || id < 0) env.reject(`invalid func ${id === 0 ? 'bpf_unspec' : 'unknown'}#${id}`)
  const prototype = env.tables.helper(env.facts, id)
  if (prototype === undefined) env.reject(`program of this type cannot use helper bpf_${name}#${id}`)
  if (prototype.gplOnly === true && !env.gpl)
    env.reject('cannot call GPL-restricted function from non-GPL compatible program')
  if (prototype.allowed === false && !mayCallHere(env, name)) env.reject('helper call is not allowed in probe')
  if (prototype.mightSleep === true && !env.state.sleepable)
    env.reject('helper call might sleep in a non-sleepable prog')
  if (prototype.mightSleep === true) checkSleep(env, prototype)
  return prototype
}

/** A helper that may sleep is not called inside a section that must not. */
function checkSleep(env: Env, prototype: HelperPrototype): void {
  const { state } = env
  const where =
    state.rcuLocks > 0
      ? 'in rcu_read_lock region'
      : state.preemptLocks > 0
        ? 'in non-preemptible region'
        : state.irqId !== 0
          ? 'in IRQ-disabled region'
          : undefined
  if (where !== undefined) env.reject(`sleepable helper ${helperText(prototype)}#${prototype.id} ${where}`)
}

/** A constant index of a tail call must be exact where the array is known. */
function checkTailCallKey(env: Env, call: CallFacts): void {
  if (call.map?.type !== PROG_ARRAY) env.rejectUnended('expected prog array map for tail call')
  const m = env.frame.m
  const b = registerBase(3)
  if (m[b + R.TYPE] === R.SCALAR && (m[b + R.MASK_LOW] | m[b + R.MASK_HIGH]) === 0) {
    const map = call.map
    const value = m[b + R.VALUE_LOW] >>> 0
    if (map !== undefined && m[b + R.VALUE_HIGH] === 0 && value < map.maxEntries) markPrecise(env, 3)
  }
}

function release(env: Env, liveness: StackLiveness, call: CallFacts): void {
  if (call.releaseRegister === 0) return
  if (call.prototype.arguments[call.releaseRegister - 1]?.base === 'ARG_PTR_TO_DYNPTR') {
    releaseDynptr(env, liveness, call.releaseRegister)
    return
  }
  if (call.prototype.id === H.KPTR_XCHG && call.reference !== 0) {
    releaseExchanged(env, call.reference)
    return
  }
  const done =
    call.reference !== 0
      ? releaseReference(env, call.reference)
      : isNull(env.frame.m, registerBase(call.releaseRegister))
  if (!done)
    env.reject(`func ${helperText(call.prototype)}#${call.prototype.id} reference has not been acquired before`)
}

/** What was given to bpf_kptr_xchg is gone; per-CPU objects stay readable under RCU. */
function releaseExchanged(env: Env, reference: number): void {
  dropReference(env.state, reference)
  const protectedHere = inRcuSection(env)
  eachRegister(env.state, (m, b) => {
    if (m[b + R.REF] !== reference) return
    const type = m[b + R.TYPE]
    if (protectedHere && (type & R.ALLOC) !== 0 && (type & R.PERCPU) !== 0) {
      m[b + R.REF] = 0
      m[b + R.TYPE] = (type & ~R.ALLOC) | R.RCU
    } else markUnknown(m, b)
  })
}

function special(env: Env, liveness: StackLiveness, call: CallFacts, insn: number): void {
  switch (call.prototype.id) {
    case H.TAIL_CALL:
      checkLeaks(env, 'tail_call', true)
      break
    case H.GET_LOCAL_STORAGE:
      if (!isNull(env.frame.m, registerBase(2))) env.reject("get_local_storage() doesn't support non-zero flags")
      break
    case H.FOR_EACH_MAP_ELEM:
    case H.LOOP:
    case H.FIND_VMA:
    case H.USER_RINGBUF_DRAIN:
      pushCallback(env, liveness, call, insn)
      break
    case H.DYNPTR_FROM_MEM: {
      const type = env.frame.m[registerBase(1) + R.TYPE]
      if (type !== R.MAP_VALUE)
        env.reject(`Unsupported reg type ${R.typeName(type)} for bpf_dynptr_from_mem data`, EACCES)
      break
    }
    case H.GET_FUNC_IP:
      checkFunctionAddress(env, call)
      break
    case H.SET_RETVAL:
      if (env.target?.lsm?.cgroup === true && env.target.lsm.isVoid)
        env.reject("BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!")
      break
    case H.TIMER_SET_CALLBACK:
      runLater(env, liveness, call.subprogram, insn, false, (_caller, callee) =>
        setMapCallbackArguments(callee, call.mapReference, call.mapUid),
      )
      break
    case H.SNPRINTF:
      checkFormat(env)
      break
  }
}

/** bpf_get_func_ip: only where a function is traced (check_get_func_ip). */
function checkFunctionAddress(env: Env, call: CallFacts): void {
  const { type, expectedAttachType } = env.facts
  if (type === TRACING) {
    if (!FUNCTION_TARGETS.has(expectedAttachType))
      env.reject(
        `func ${helperText(call.prototype)}#${call.prototype.id} supported only for fentry/fexit/fmod_ret programs`,
        ENOTSUPP,
      )
  } else if (type !== KPROBE)
    env.reject(
      `func ${helperText(call.prototype)}#${call.prototype.id} not supported for program type ${type}`,
      ENOTSUPP,
    )
}

const TRACING = PROGRAM_TYPES.tracing
const KPROBE = PROGRAM_TYPES.kprobe
const FUNCTION_TARGETS: ReadonlySet<number> = new Set([24, 25, 26])

function givePointer(m: Int32Array, type: number): void {
  markKnown(m, 0, 0, 0)
  m[R.FRAME] = 0
  m[R.TYPE] = type
}

function giveResult(env: Env, call: CallFacts, insn: number): void {
  const { prototype } = call
  const m = env.frame.m
  let flags = flagBits(prototype.returns.flags)
  switch (prototype.returns.base) {
    case 'RET_INTEGER':
      markUnknown(m, 0)
      break
    case 'RET_VOID':
      break
    case 'RET_PTR_TO_MAP_VALUE':
      if (neverNull(call)) flags &= ~R.MAYBE_NULL
      givePointer(m, R.MAP_VALUE | flags)
      if (call.map === undefined) env.reject('verifier internal error: unexpected null map_ptr')
      m[R.AUX] = call.mapReference
      m[R.AUX2] = call.mapUid
      if ((flags & R.MAYBE_NULL) === 0 && call.map.locks) m[R.ID] = env.newId()
      break
    case 'RET_PTR_TO_SOCKET':
      givePointer(m, R.SOCKET | flags)
      break
    case 'RET_PTR_TO_SOCK_COMMON':
      givePointer(m, R.SOCK_COMMON | flags)
      break
    case 'RET_PTR_TO_TCP_SOCK':
      givePointer(m, R.TCP_SOCK | flags)
      break
    case 'RET_PTR_TO_MEM':
      givePointer(m, R.MEM | flags)
      m[R.AUX] = call.memSize
      break
    case 'RET_PTR_TO_BTF_ID':
      if (call.field !== undefined) {
        const given = exchanged(env, call.field)
        givePointer(m, given.type | flags)
        m[R.AUX] = given.id
        m[R.AUX2] = given.object
        break
      }
      givePointer(m, R.BTF_ID | flags)
      m[R.AUX] = env.btfType(prototype.returns.btfType)
      break
    case 'RET_PTR_TO_MEM_OR_BTF_ID':
      givePerCpu(env, call, flags)
      break
    default:
      env.unmodelled(`results of type ${prototype.returns.base}`)
  }
  if ((m[R.TYPE] & R.MAYBE_NULL) !== 0) m[R.ID] = env.newId()
  if (prototype.id === H.DYNPTR_DATA) {
    m[R.AUX2] = call.dynptr?.id ?? 0
    m[R.REF] = call.dynptr?.reference ?? 0
  } else if (H.CAST_HELPERS.has(prototype.id)) m[R.REF] = call.reference
  else if (acquires(call)) {
    const id = acquireReference(env, insn)
    m[R.ID] = id
    m[R.REF] = id
  }
  refineResult(m, call)
}

/** A per-CPU variable of the kernel: a struct by its type, anything else as memory. */
function givePerCpu(env: Env, call: CallFacts, flags: number): void {
  const m = env.frame.m
  const types = env.typesOf(call.btfObject)
  if (types === undefined) env.unmodelled("variables of the kernel without the kernel's BTF")
  markKnown(m, 0, 0, 0)
  m[R.FRAME] = 0
  const id = types.btf.skipModifiers(call.btfType)
  if (types.isStruct(id)) {
    m[R.TYPE] = call.ownPerCpu ? R.BTF_ID | R.ALLOC | R.RCU : R.BTF_ID | (flags & ~R.RDONLY)
    m[R.AUX] = call.btfType
    m[R.AUX2] = call.btfObject
    return
  }
  const size = types.btf.sizeOf(id)
  if (size === undefined) env.reject(`unable to resolve the size of type '${types.name(id)}': -22`)
  m[R.TYPE] = R.MEM | flags
  m[R.AUX] = size
}

/** A look-up in an array with a constant index that is there. */
function neverNull(call: CallFacts): boolean {
  const { map, constantKey } = call
  if (call.prototype.id !== H.MAP_LOOKUP_ELEM || map === undefined || constantKey === undefined) return false
  return hasEveryElement(map) && constantKey >= 0n && constantKey < BigInt(map.maxEntries)
}

function acquires(call: CallFacts): boolean {
  if (call.prototype.acquires === true) return true
  const type = call.map?.type
  return call.prototype.id === H.MAP_LOOKUP_ELEM && (type === SOCKMAP || type === SOCKHASH)
}

/** Results that the kernel knows more of (do_refine_retval_range). */
function refineResult(m: Int32Array, call: CallFacts): void {
  if (call.prototype.returns.base !== 'RET_INTEGER' || call.prototype.returns.flags !== undefined) return
  if (BOUNDED_RESULTS.has(call.prototype.id)) {
    const max = call.sizeMaximum
    m[R.SMAX_LOW] = Number(BigInt.asIntN(32, max))
    m[R.SMAX_HIGH] = Number(BigInt.asIntN(32, max >> 32n))
    m[R.S32_MAX] = Number(BigInt.asIntN(32, max))
    m[R.SMIN_LOW] = -MAX_ERRNO
    m[R.SMIN_HIGH] = -1
    m[R.S32_MIN] = -MAX_ERRNO
    sync(m, 0)
    checkInvariants(m, 0)
  } else if (call.prototype.id === H.GET_SMP_PROCESSOR_ID) {
    const max = PROCESSORS - 1
    m[R.UMAX_LOW] = m[R.U32_MAX] = m[R.SMAX_LOW] = m[R.S32_MAX] = max
    m[R.UMAX_HIGH] = m[R.SMAX_HIGH] = 0
    m[R.UMIN_LOW] = m[R.UMIN_HIGH] = m[R.U32_MIN] = m[R.SMIN_LOW] = m[R.SMIN_HIGH] = m[R.S32_MIN] = 0
    sync(m, 0)
  }
}

/** nr_cpu_ids of the recorded kernel. */
const PROCESSORS = 2
