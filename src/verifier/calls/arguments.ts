/** Arguments of helpers: register types, memory with its size, maps, references (check_func_arg of Linux 6.18). */

import { flagBits } from '../kernel/context-types.ts'
import * as H from '../kernel/helper-ids.ts'
import type { ObjectField } from '../kernel/object-fields.ts'
import type { ArgumentBase, HelperPrototype } from '../kernel/prototype.ts'
import { checkBtfAccess } from '../memory/btf-access.ts'
import { exchangeField, matchType } from '../memory/kernel-pointers.ts'
import {
  checkAlignment,
  checkBuffer,
  checkMapPermission,
  checkMapValue,
  checkMemory,
  checkPacket,
  checkRegion,
  checkUnmodified,
} from '../memory/memory.ts'
import { checkStackRange, type RawAccess } from '../memory/stack.ts'
import type { ProgramMap } from '../program/program.ts'
import { F_RDONLY_PROG } from '../program/program.ts'
import { accessesPacket } from '../program/program-rules.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isConst, isNull, markUnknown, sminNumber, umaxNumber, uminNumber } from '../scalars/bounds.ts'
import { EACCES, type Env } from '../state/env.ts'
import { registerForRead } from '../state/operands.ts'
import { markPrecise, markWanted, want } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { isSpilled, registerBase, slotBase } from '../state/state.ts'
import { checkBtfArgument } from './btf-argument.ts'
import { checkDynptr, checkOwned, type Dynptr } from './dynptrs.ts'
import { checkSpinLock } from './locks.ts'

const MAX_VARIABLE_SIZE = 1 << 29
const ARRAY = 2
const PERCPU_ARRAY = 6
const SOCKMAP = 15
const SOCKHASH = 18
const BLOOM_FILTER = 30

/** What the arguments of one call left for its result. */
export interface CallFacts extends RawAccess {
  readonly prototype: HelperPrototype
  map: ProgramMap | undefined
  mapReference: number
  mapUid: number
  releaseRegister: number
  reference: number
  /** Largest size of a memory argument. */
  sizeMaximum: bigint
  memSize: number
  subprogram: number
  /** The pointer field of bpf_kptr_xchg. */
  field: ObjectField | undefined
  /** The dynptr that was passed. */
  dynptr: Dynptr | undefined
  /** BTF type of a per-CPU variable. */
  btfType: number
  btfObject: number
  /** A key that is a known constant on the stack, of an array. */
  constantKey: bigint | undefined
}

export function newCallFacts(prototype: HelperPrototype): CallFacts {
  return {
    prototype,
    rawMode: false,
    accessSize: 0,
    register: 0,
    map: undefined,
    mapReference: 0,
    mapUid: 0,
    releaseRegister: 0,
    reference: 0,
    sizeMaximum: 0n,
    memSize: 0,
    subprogram: 0,
    field: undefined,
    dynptr: undefined,
    btfType: 0,
    btfObject: 0,
    constantKey: undefined,
  }
}

const SOCKS = [R.SOCK_COMMON, R.SOCKET, R.TCP_SOCK, R.XDP_SOCK]
const MEMORY = [
  R.STACK,
  R.PACKET,
  R.PACKET_META,
  R.MAP_KEY,
  R.MAP_VALUE,
  R.MEM,
  R.MEM | R.RINGBUF,
  R.BUF,
  R.BTF_ID | R.TRUSTED,
]
const SCALARS = [R.SCALAR]
const MAP_VALUES = [R.MAP_VALUE]

/** Register types that an argument takes, in the order in which messages name them. */
const COMPATIBLE: Readonly<Partial<Record<ArgumentBase, readonly number[]>>> = {
  ARG_PTR_TO_MAP_KEY: MEMORY,
  ARG_PTR_TO_MAP_VALUE: MEMORY,
  ARG_CONST_SIZE: SCALARS,
  ARG_CONST_SIZE_OR_ZERO: SCALARS,
  ARG_CONST_ALLOC_SIZE_OR_ZERO: SCALARS,
  ARG_CONST_MAP_PTR: [R.MAP_PTR],
  ARG_PTR_TO_CTX: [R.CTX],
  ARG_PTR_TO_SOCK_COMMON: SOCKS,
  ARG_PTR_TO_BTF_ID_SOCK_COMMON: [...SOCKS, R.BTF_ID, R.BTF_ID | R.TRUSTED],
  ARG_PTR_TO_SOCKET: [R.SOCKET],
  ARG_PTR_TO_BTF_ID: [R.BTF_ID, R.BTF_ID | R.TRUSTED, R.BTF_ID | R.RCU],
  ARG_PTR_TO_SPIN_LOCK: [R.MAP_VALUE, R.BTF_ID | R.ALLOC],
  ARG_PTR_TO_MEM: MEMORY,
  ARG_PTR_TO_RINGBUF_MEM: [R.MEM | R.RINGBUF],
  ARG_PTR_TO_PERCPU_BTF_ID: [R.BTF_ID | R.PERCPU, R.BTF_ID | R.PERCPU | R.RCU, R.BTF_ID | R.PERCPU | R.TRUSTED],
  ARG_PTR_TO_FUNC: [R.FUNC],
  ARG_PTR_TO_STACK: [R.STACK],
  ARG_PTR_TO_CONST_STR: MAP_VALUES,
  ARG_PTR_TO_TIMER: MAP_VALUES,
  ARG_KPTR_XCHG_DEST: [R.MAP_VALUE, R.BTF_ID | R.ALLOC],
  ARG_PTR_TO_DYNPTR: [R.STACK, R.DYNPTR],
}

function checkType(
  env: Env,
  register: number,
  base: ArgumentBase,
  flags: number,
  call: CallFacts,
  wanted: string | undefined,
): void {
  const compatible = COMPATIBLE[base]
  if (compatible === undefined) env.unmodelled(`arguments of type ${base}`)
  const actual = env.frame.m[registerBase(register) + R.TYPE]
  let type = actual
  if ((flags & R.RDONLY) !== 0) type &= ~R.RDONLY
  if ((flags & R.MAYBE_NULL) !== 0) type &= ~R.MAYBE_NULL
  if (base === 'ARG_PTR_TO_MEM') type &= ~R.DYNPTR_ANY
  const exchange = call.prototype.id === H.KPTR_XCHG
  if (exchange && register === 2 && (type & R.ALLOC) !== 0) type &= ~(R.ALLOC | R.PERCPU)
  if (!compatible.includes(type)) {
    const names = compatible.map(R.typeName).join(', ')
    env.reject(`R${register} type=${R.typeName(actual)} expected=${names}`, EACCES)
  }
  if ((actual & R.BASE_MASK) !== R.BTF_ID) return
  if (compatible === MEMORY) {
    if ((flags & R.RDONLY) === 0)
      env.reject(
        `${helperText(call.prototype)}() may write into memory pointed by R${register} type=${R.typeName(actual)}`,
        EACCES,
      )
    return
  }
  if (exchange && register === 2) {
    checkExchanged(env, register, flags, call)
    return
  }
  if ((actual & R.ALLOC) !== 0) return
  const strict = (flags & R.RELEASE) !== 0 && call.prototype.id !== H.SK_RELEASE
  checkBtfArgument(env, register, flags, base === 'ARG_PTR_TO_BTF_ID_SOCK_COMMON' ? 'sock_common' : wanted, strict)
}

/** The new pointer of bpf_kptr_xchg is one for the field. */
function checkExchanged(env: Env, register: number, flags: number, call: CallFacts): void {
  const type = env.frame.m[registerBase(register) + R.TYPE]
  const release = (flags & R.RELEASE) !== 0
  if ((type & R.ALLOC) === 0 && (type & R.MAYBE_NULL) !== 0 && ((flags & R.MAYBE_NULL) === 0 || release))
    env.reject(`Possibly NULL pointer passed to helper arg${register}`, EACCES)
  if (call.field !== undefined) matchType(env, call.field, register)
}

/** `bpf_map_lookup_elem`. */
export function helperText(prototype: HelperPrototype): string {
  return `bpf_${prototype.name}`
}

const OFFSET_FREE: ReadonlySet<number> = new Set([
  R.STACK,
  R.PACKET,
  R.PACKET_META,
  R.MAP_KEY,
  R.MAP_VALUE,
  R.MEM,
  R.MEM | R.RDONLY,
  R.MEM | R.RINGBUF,
  R.BUF,
  R.BUF | R.RDONLY,
  R.ARENA,
  R.SCALAR,
])

/** Pointers to objects that may point into them. */
const FIXED_OFFSET: ReadonlySet<number> = new Set([
  R.BTF_ID,
  R.BTF_ID | R.ALLOC,
  R.BTF_ID | R.TRUSTED,
  R.BTF_ID | R.RCU,
  R.BTF_ID | R.ALLOC | R.NON_OWN,
  R.BTF_ID | R.ALLOC | R.NON_OWN | R.RCU,
])

/** A pointer argument has an offset only where that is harmless (check_func_arg_reg_off). */
export function checkArgumentOffset(env: Env, register: number, release: boolean): void {
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  if (release) {
    if (m[b + R.OFF] !== 0)
      env.reject(`R${register} must have zero offset when passed to release func or trusted arg to kfunc`)
    checkUnmodified(env, register, false)
    return
  }
  if (OFFSET_FREE.has(type)) return
  checkUnmodified(env, register, FIXED_OFFSET.has(type))
}

/** Memory that a helper reads or writes (check_helper_mem_access). */
export function checkHelperMemory(
  env: Env,
  liveness: StackLiveness,
  register: number,
  size: number,
  write: boolean,
  zeroAllowed: boolean,
  raw: RawAccess | undefined,
): void {
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  const off = m[b + R.OFF]
  const readOnly = () => {
    if (write && (type & R.RDONLY) !== 0) env.reject(`R${register} cannot write into ${R.typeName(type)}`, EACCES)
  }
  switch (type & R.BASE_MASK) {
    case R.PACKET:
    case R.PACKET_META:
      checkPacket(env, register, off, size, zeroAllowed)
      return
    case R.MAP_KEY:
      if (write) env.reject(`R${register} cannot write into ${R.typeName(type)}`, EACCES)
      checkRegion(env, register, off, size, env.map(m[b + R.AUX]).keySize, false)
      return
    case R.MAP_VALUE:
      checkMapPermission(env, register, off, size, write)
      checkMapValue(env, register, off, size, zeroAllowed)
      return
    case R.MEM:
      readOnly()
      checkRegion(env, register, off, size, m[b + R.AUX] >>> 0, zeroAllowed)
      return
    case R.BUF:
      readOnly()
      checkBuffer(env, (type & R.RDONLY) !== 0 ? 'rdonly' : 'rdwr', register, off, size)
      return
    case R.STACK:
      checkStackRange(env, liveness, register, off, size, zeroAllowed, write, raw)
      return
    case R.BTF_ID:
      checkBtfAccess(env, register, off, size, false, -1)
      return
    default:
      if ((type & R.BASE_MASK) === R.CTX && env.facts.type === SYSCALL) {
        if (size === 0 && zeroAllowed) return
        checkMemory(env, liveness, register, size - 1, 1, write, -1, false, false)
        return
      }
      if (zeroAllowed && size === 0 && isNull(m, b)) return
      env.reject(`R${register} type=${R.typeName(type)} expected=fp`, EACCES)
  }
}

const SYSCALL = 31

/** A size and the memory in the register before it (check_mem_size_reg). */
export function checkSize(
  env: Env,
  liveness: StackLiveness,
  register: number,
  write: boolean,
  zeroAllowed: boolean,
  call: CallFacts,
  whole = false,
): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(register)
  call.sizeMaximum = frame.u[b / 2 + R.UMAX]
  const raw = !whole && isConst(m, b) ? call : undefined
  if (sminNumber(m, b) < 0)
    env.reject(`R${register} min value is negative, either use unsigned or 'var &= const'`, EACCES)
  if (uminNumber(m, b) === 0 && !zeroAllowed) {
    const i = b / 2
    const signed = (value: bigint) => BigInt.asIntN(64, value)
    env.reject(
      `R${register} invalid zero-sized read: u64=[${signed(frame.u[i + R.UMIN])},${signed(frame.u[i + R.UMAX])}]`,
      EACCES,
    )
  }
  const umax = umaxNumber(m, b)
  if (umax >= MAX_VARIABLE_SIZE)
    env.reject(`R${register} unbounded memory access, use 'var &= const' or 'if (var < const)'`, EACCES)
  checkHelperMemory(env, liveness, register - 1, umax, write, zeroAllowed, raw)
  markPrecise(env, register)
}

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

/** The constant that a key on the stack holds; its slot becomes precise (get_constant_map_key). */
function constantKey(env: Env, register: number, keySize: number): bigint | undefined {
  const m = env.frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] !== R.STACK || !isConst(m, b)) return undefined
  const frameIndex = m[b + R.FRAME]
  const frame = env.state.frames[frameIndex]
  const at = -(m[b + R.OFF] + m[b + R.VALUE_LOW]) - 1
  const slot = at >> 3
  const run = (type: number) => {
    let size = 0
    for (let i = at & 7; i >= 0 && frame.types[slot * 8 + i] === type; i--) size++
    return size
  }
  if (run(R.ZERO) >= keySize) return 0n
  const spill = slotBase(slot)
  if (!isSpilled(frame, slot) || frame.m[spill + R.TYPE] !== R.SCALAR) return undefined
  if (run(R.SPILL) !== keySize || !isConst(frame.m, spill)) return undefined
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

const CGROUP_SOCKOPT = 25

/** Registers 0 to 5 after a call. */
export function clobber(m: Int32Array): void {
  for (let r = 0; r <= 5; r++) {
    markUnknown(m, registerBase(r))
    m[registerBase(r) + R.TYPE] = R.NOT_INIT
  }
}
