/** Arguments of helpers: each against what the prototype wants of it (check_func_arg of Linux 6.18). */

import { MAP_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { flagBits } from '../kernel/context-types.ts'
import * as H from '../kernel/helper-ids.ts'
import type { ArgumentBase } from '../kernel/prototype.ts'
import { exchangeField } from '../memory/kernel-pointers.ts'
import { checkAlignment, checkMapValue } from '../memory/memory.ts'
import { F_RDONLY_PROG, type ProgramMap } from '../program/program.ts'
import { accessesPacket } from '../program/program-rules.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isConst, isNull } from '../scalars/bounds.ts'
import { want } from '../state/backtrack.ts'
import { EACCES, type Env } from '../state/env.ts'
import { registerForRead } from '../state/operands.ts'
import { markPrecise, markWanted } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { type Frame, isSpilled, registerBase, slotBase } from '../state/state.ts'
import { checkHelperMemory, checkSize } from './argument-memory.ts'
import { checkArgumentOffset, checkType } from './argument-types.ts'
import type { CallFacts } from './call-facts.ts'
import { checkDynptr, checkOwned } from './dynptrs.ts'
import { checkSpinLock } from './locks.ts'

const ARRAY = MAP_TYPES.array
const PERCPU_ARRAY = MAP_TYPES.percpu_array
const SOCKMAP = MAP_TYPES.sockmap
const SOCKHASH = MAP_TYPES.sockhash
const BLOOM_FILTER = MAP_TYPES.bloom_filter

/** A timer in a map value (process_timer_func); its map is remembered for the next argument. */
function checkTimer(env: Env, register: number, call: CallFacts): void {
  const m = env.frame.m
  const b = registerBase(register)
  if (!isConst(m, b))
    env.reject(`R${register} doesn't have constant offset. bpf_timer has to be at the constant offset`)
  const map = env.map(m[b + R.AUX])
  if (env.btf === undefined || (map.spec.btfValueTypeId ?? 0) === 0)
    env.reject(`map '${map.name}' has to have BTF in order to use bpf_timer`)
  const field = map.fields.find(({ kind }) => kind === 'bpf_timer')
  if (field === undefined) env.reject(`map '${map.name}' has no valid bpf_timer`)
  const at = env.frame.u[b / 2 + R.VALUE] + BigInt(m[b + R.OFF])
  if (at !== BigInt(field.offset))
    env.reject(`off ${at} doesn't point to 'struct bpf_timer' that is at ${field.offset}`)
  call.map = map
  call.mapReference = m[b + R.AUX]
  call.mapUid = m[b + R.AUX2]
}

const F_INNER_MAP = 1 << 12

/** A look-up with an index below max_entries cannot fail. */
export function hasEveryElement(map: ProgramMap): boolean {
  return (map.type === ARRAY || map.type === PERCPU_ARRAY) && (map.flags & F_INNER_MAP) === 0
}

/** How many bytes of one type a slot holds from a byte of the stack on. */
function bytesOf(frame: Frame, at: number, type: number): number {
  const first = at & ~7
  let i = at
  while (i >= first && frame.types[i] === type) i--
  return at - i
}

/** The constant that a key on the stack holds; its slot becomes precise (get_constant_map_key). */
export function constantKey(env: Env, register: number, keySize: number): bigint | undefined {
  const m = env.frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] !== R.STACK || !isConst(m, b)) return undefined
  const frameIndex = m[b + R.FRAME]
  const frame = env.state.frames[frameIndex]
  const at = -(m[b + R.OFF] + m[b + R.VALUE_LOW]) - 1
  const slot = at >> 3
  if (bytesOf(frame, at, R.ZERO) >= keySize) return 0n
  const spill = slotBase(slot)
  if (!isSpilled(frame, slot) || frame.m[spill + R.TYPE] !== R.SCALAR) return undefined
  if (bytesOf(frame, at, R.SPILL) !== keySize || !isConst(frame.m, spill)) return undefined
  want(frameIndex, slot, true)
  markWanted(env, env.state)
  return BigInt.asIntN(64, frame.u[spill / 2 + R.VALUE])
}

/** The map decides what an ARG_PTR_TO_MAP_VALUE is. */
function resolveMapArgument(
  env: Env,
  call: CallFacts,
  plain: boolean,
): { base: ArgumentBase; flags: number } | undefined {
  if (call.map === undefined) env.reject('invalid map_ptr to access map->type', EACCES)
  if (call.map.type === SOCKMAP || call.map.type === SOCKHASH) {
    if (!plain) env.reject('invalid arg_type for sockmap/sockhash')
    return { base: 'ARG_PTR_TO_BTF_ID_SOCK_COMMON', flags: 0 }
  }
  if (call.map.type === BLOOM_FILTER && call.prototype.id === H.MAP_PEEK_ELEM)
    return { base: 'ARG_PTR_TO_MAP_VALUE', flags: 0 }
  return undefined
}

/** A string in a read-only map (check_reg_const_str). */
export function checkConstantString(env: Env, register: number): void {
  const m = env.frame.m
  const b = registerBase(register)
  const map = env.map(m[b + R.AUX])
  if (map.spec.frozen !== true || (map.flags & F_RDONLY_PROG) === 0)
    env.reject(`R${register} does not point to a readonly map'`, EACCES)
  if (!isConst(m, b)) env.reject(`R${register} is not a constant address'`, EACCES)
  if (map.type !== ARRAY) env.reject('no direct value access support for this map type', EACCES)
  checkMapValue(env, register, m[b + R.OFF], map.valueSize - m[b + R.OFF], false)
  const at = m[b + R.OFF] + m[b + R.VALUE_LOW]
  if (map.maxEntries !== 1 || at >= map.valueSize) env.reject('direct value access on string failed')
  const value = map.spec.contents?.[0]?.[1]
  for (let i = at; i < map.valueSize; i++) if ((value?.[i] ?? 0) === 0) return
  env.reject('string is not zero-terminated')
}

/** One argument; `index` counts from 0. */
export function checkArgument(env: Env, liveness: StackLiveness, index: number, call: CallFacts): void {
  const argument = call.prototype.arguments[index]
  if (argument === undefined || argument.base === 'ARG_DONTCARE') return
  const register = index + 1
  let base: ArgumentBase = argument.base
  let flags = flagBits(argument.flags)
  registerForRead(env, register)
  if (base === 'ARG_ANYTHING') return
  const b = registerBase(register)
  let m = env.frame.m
  if (R.isPacket(m[b + R.TYPE])) {
    const direct = accessesPacket(env.facts.type, false)
    const allowed = direct && (env.facts.type === CGROUP_SOCKOPT || call.prototype.packetAccess === true)
    if (!allowed) env.reject('helper access to the packet is not allowed', EACCES)
  }
  if (base === 'ARG_PTR_TO_MAP_VALUE') {
    const resolved = resolveMapArgument(env, call, flags === 0)
    if (resolved !== undefined) {
      base = resolved.base
      flags = resolved.flags
    }
  }
  const release = (flags & R.RELEASE) !== 0
  if (!(isNull(m, b) && (flags & R.MAYBE_NULL) !== 0)) {
    checkType(env, register, base, flags, call, argument.btfType)
    if (!(release && base === 'ARG_PTR_TO_DYNPTR' && m[b + R.TYPE] === R.STACK))
      checkArgumentOffset(env, register, release)
  }
  if (release) {
    if (base === 'ARG_PTR_TO_DYNPTR') checkOwned(env, register)
    else if (m[b + R.REF] === 0 && !isNull(m, b))
      env.reject(`R${register} must be referenced when passed to release function`)
    call.releaseRegister = register
  }
  if (m[b + R.REF] !== 0 && base !== 'ARG_KPTR_XCHG_DEST') {
    if (call.reference !== 0)
      env.reject(`more than one arg with ref_obj_id R${register} ${m[b + R.REF]} ${call.reference}`, EACCES)
    call.reference = m[b + R.REF]
  }
  const write = (flags & R.WRITE) !== 0
  switch (base) {
    case 'ARG_CONST_MAP_PTR':
      if (call.map !== undefined && (call.mapReference !== m[b + R.AUX] || call.mapUid !== m[b + R.AUX2]))
        env.reject(
          `timer pointer in R1 map_uid=${call.mapUid} doesn't match map pointer in R2 map_uid=${m[b + R.AUX2]}`,
        )
      call.map = env.map(m[b + R.AUX])
      call.mapReference = m[b + R.AUX]
      call.mapUid = m[b + R.AUX2]
      break
    case 'ARG_PTR_TO_MAP_KEY':
      if (call.map === undefined) env.reject('invalid map_ptr to access map->key', EACCES)
      checkHelperMemory(env, liveness, register, call.map.keySize, false, false, undefined)
      if (hasEveryElement(call.map)) call.constantKey = constantKey(env, register, call.map.keySize)
      break
    case 'ARG_PTR_TO_MAP_VALUE':
      if ((flags & R.MAYBE_NULL) !== 0 && isNull(m, b)) return
      if (call.map === undefined) env.reject('invalid map_ptr to access map->value', EACCES)
      call.rawMode = (flags & R.UNINIT) !== 0
      checkHelperMemory(env, liveness, register, call.map.valueSize, write, false, call)
      break
    case 'ARG_PTR_TO_SPIN_LOCK':
      checkSpinLock(env, register, call.prototype.id === H.SPIN_LOCK)
      break
    case 'ARG_PTR_TO_FUNC':
      call.subprogram = m[b + R.AUX]
      break
    case 'ARG_PTR_TO_MEM':
      call.rawMode = (flags & R.UNINIT) !== 0
      if ((flags & R.FIXED_SIZE) !== 0) {
        checkHelperMemory(env, liveness, register, argument.size ?? 0, write, false, call)
        if ((flags & R.ALIGNED) !== 0) checkAlignment(env, register, 0, argument.size ?? 0, true)
      }
      break
    case 'ARG_CONST_SIZE':
    case 'ARG_CONST_SIZE_OR_ZERO': {
      const memory = flagBits(call.prototype.arguments[index - 1]?.flags)
      checkSize(env, liveness, register, (memory & R.WRITE) !== 0, base === 'ARG_CONST_SIZE_OR_ZERO', call)
      break
    }
    case 'ARG_CONST_ALLOC_SIZE_OR_ZERO':
      m = env.frame.m
      if (!isConst(m, b)) env.reject(`R${register} is not a known constant'`, EACCES)
      call.memSize = m[b + R.VALUE_LOW] >>> 0
      markPrecise(env, register)
      break
    case 'ARG_PTR_TO_DYNPTR': {
      const used = checkDynptr(env, liveness, register, (flags & R.UNINIT) === 0 ? flags | R.RDONLY : flags, 0)
      if (used !== undefined) call.dynptr = used
      break
    }
    case 'ARG_PTR_TO_TIMER':
      checkTimer(env, register, call)
      break
    case 'ARG_KPTR_XCHG_DEST':
      call.field = exchangeField(env, register)
      break
    case 'ARG_PTR_TO_CONST_STR':
      checkConstantString(env, register)
      break
    case 'ARG_PTR_TO_PERCPU_BTF_ID':
      call.btfType = m[b + R.AUX]
      call.btfObject = m[b + R.AUX2]
      call.ownPerCpu = (m[b + R.TYPE] & R.RCU) !== 0
      break
    case 'ARG_PTR_TO_CTX':
    case 'ARG_PTR_TO_SOCK_COMMON':
    case 'ARG_PTR_TO_SOCKET':
    case 'ARG_PTR_TO_BTF_ID_SOCK_COMMON':
    case 'ARG_PTR_TO_BTF_ID':
    case 'ARG_PTR_TO_RINGBUF_MEM':
    case 'ARG_PTR_TO_STACK':
      break
    default:
      env.unmodelled(`arguments of type ${base}`)
  }
}

const CGROUP_SOCKOPT = PROGRAM_TYPES.cgroup_sockopt
