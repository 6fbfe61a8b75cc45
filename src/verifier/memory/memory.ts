/**
 * Loads and stores by the type of the pointer: alignment, bounds, permissions, and what a load gives
 * (check_mem_access of Linux 6.18).
 */

import { contextRegister } from '../kernel/context-types.ts'
import { fieldText, isKernelPointer } from '../kernel/object-fields.ts'
import { writeSourceLine } from '../log/print.ts'
import { F_RDONLY_PROG } from '../program/program.ts'
import { accessesPacket } from '../program/program-rules.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import {
  isConst,
  markConstant,
  markKnown,
  markUnknown,
  sminNumber,
  umaxNumber,
  valueNumber,
} from '../scalars/bounds.ts'
import { narrow, narrowSigned } from '../scalars/casts.ts'
import { EACCES, type Env, Rejection } from '../state/env.ts'
import {
  ARENA,
  AUX,
  AUX2,
  BASE_MASK,
  BTF_ID,
  BUF,
  CTX,
  FLOW_KEYS,
  FRAME,
  ID,
  isPacket,
  isSocket,
  MAP_KEY,
  MAP_PTR,
  MAP_VALUE,
  MASK_LOW,
  MAYBE_NULL,
  MEM,
  OFF,
  RDONLY,
  SCALAR,
  SMIN,
  SOCK_COMMON,
  SOCKET,
  STACK,
  TCP_SOCK,
  TP_BUFFER,
  TYPE,
  typeName,
  UNTRUSTED,
  VALUE_LOW,
  XDP_SOCK,
} from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { checkBtfAccess, checkMapStructAccess } from './btf-access.ts'
import { checkKernelPointer } from './kernel-pointers.ts'
import { readConstant } from './map-contents.ts'
import { socketAccess } from './sockets.ts'
import { checkStackBounds, checkStackRead, checkStackWrite, variableText } from './stack.ts'
import { checkTargetContext } from './target-context.ts'
import { checkUnmodified } from './unmodified.ts'

const MAX_VARIABLE_OFFSET = 1 << 29
const S64_MIN = -(1n << 63n)
const FLOW_KEYS_SIZE = 56
const F_WRONLY_PROG = 1 << 8
const POINTER_NAMES: ReadonlyMap<number, string> = new Map([
  [FLOW_KEYS, 'flow keys '],
  [MAP_KEY, 'key '],
  [MAP_VALUE, 'value '],
  [CTX, 'context '],
  [STACK, 'stack '],
  [SOCKET, 'sock '],
  [SOCK_COMMON, 'sock_common '],
  [TCP_SOCK, 'tcp_sock '],
  [XDP_SOCK, 'xdp_sock '],
])
const IP_ALIGN = 2

/** Known bits of `variable + constant` are aligned to `size`. */
function isAligned(env: Env, b: number, constant: number, size: number): boolean {
  const m = env.frame.m
  // The low bits of a tnum sum, as tnum_add gives them.
  const sum = (m[b + VALUE_LOW] + constant) | 0
  const unknown = ((m[b + MASK_LOW] + sum) ^ sum) | m[b + MASK_LOW]
  return ((sum | unknown) & (size - 1)) === 0
}

/** An address that must be aligned is (check_ptr_alignment). */
export function checkAlignment(env: Env, register: number, off: number, size: number, strictOnce: boolean): void {
  const frame = env.frame
  const b = registerBase(register)
  const type = frame.m[b + TYPE]
  const strict = env.strictAlignment || strictOnce || type === STACK
  if (!strict || size === 1 || type === ARENA) return
  const fixed = frame.m[b + OFF]
  if (isPacket(type)) {
    if (!isAligned(env, b, IP_ALIGN + fixed + off, size))
      env.reject(
        `misaligned packet access off ${IP_ALIGN}+${variableText(frame, b)}+${fixed}+${off} size ${size}`,
        EACCES,
      )
    return
  }
  if (!isAligned(env, b, fixed + off, size))
    env.reject(
      `misaligned ${POINTER_NAMES.get(type) ?? ''}access off ${variableText(frame, b)}+${fixed}+${off} size ${size}`,
      EACCES,
    )
}

function checkRange(env: Env, register: number, off: number, size: number, memSize: number, zeroAllowed: boolean) {
  if (off >= 0 && (size > 0 || (size === 0 && zeroAllowed)) && off + size <= memSize) return true
  const m = env.frame.m
  const b = registerBase(register)
  switch (m[b + TYPE]) {
    case MAP_KEY:
      env.say(`invalid access to map key, key_size=${memSize} off=${off} size=${size}`)
      break
    case MAP_VALUE:
      env.say(`invalid access to map value, value_size=${memSize} off=${off} size=${size}`)
      break
    default:
      if (isPacket(m[b + TYPE]))
        env.say(
          `invalid access to packet, off=${off} size=${size}, R${register}(id=${m[b + ID]},off=${off},r=${memSize})`,
        )
      else env.say(`invalid access to memory, mem_size=${memSize >>> 0} off=${off} size=${size}`)
  }
  return false
}

const NEGATIVE = 'min value is negative, either use unsigned index or do a if (index >=0) check.'

/** A region with a size, at a fixed plus variable offset (check_mem_region_access). */
export function checkRegion(
  env: Env,
  register: number,
  off: number,
  size: number,
  memSize: number,
  zeroAllowed: boolean,
): void {
  const frame = env.frame
  const b = registerBase(register)
  const smin = sminNumber(frame.m, b)
  if (smin < 0) {
    const sum = smin + off
    if (frame.s[b / 2 + SMIN] === S64_MIN || sum !== (sum | 0) || sum < 0)
      env.reject(`R${register} ${NEGATIVE}`, EACCES)
  }
  if (!checkRange(env, register, (smin + off) | 0, size, memSize, zeroAllowed))
    env.reject(`R${register} min value is outside of the allowed memory range`, EACCES)
  const umax = umaxNumber(frame.m, b)
  if (umax >= MAX_VARIABLE_OFFSET)
    env.reject(`R${register} unbounded memory access, make sure to bounds check any such access`, EACCES)
  if (!checkRange(env, register, (umax + off) | 0, size, memSize, zeroAllowed))
    env.reject(`R${register} max value is outside of the allowed memory range`, EACCES)
}

/** A map forbids reads or writes by programs. */
export function checkMapPermission(env: Env, register: number, off: number, size: number, write: boolean): void {
  const frame = env.frame
  const b = registerBase(register)
  const map = env.map(frame.m[b + AUX])
  const at = sminNumber(frame.m, b) + off
  const rdonly = (map.flags & F_RDONLY_PROG) !== 0
  const wronly = (map.flags & F_WRONLY_PROG) !== 0
  if (write && rdonly)
    env.reject(`write into map forbidden, value_size=${map.valueSize} off=${at} size=${size}`, EACCES)
  if (!write && wronly)
    env.reject(`read from map forbidden, value_size=${map.valueSize} off=${at} size=${size}`, EACCES)
}

/** A map value with its special fields, which no load or store may touch (check_map_access). */
export function checkMapValue(
  env: Env,
  register: number,
  off: number,
  size: number,
  zeroAllowed: boolean,
  direct = false,
): void {
  const frame = env.frame
  const b = registerBase(register)
  const map = env.map(frame.m[b + AUX])
  checkRegion(env, register, off, size, map.valueSize, zeroAllowed)
  if (map.fields.length === 0) return
  const low = sminNumber(frame.m, b) + off
  const high = umaxNumber(frame.m, b) + off + size
  for (const field of map.fields) {
    if (low >= field.offset + field.size || field.offset >= high) continue
    const name = fieldText(field)
    if (!isKernelPointer(field)) env.reject(`${name} cannot be accessed directly by load/store`, EACCES)
    if (!direct) env.reject(`${name} cannot be accessed indirectly by helper`, EACCES)
    if (!isConst(frame.m, b)) env.reject(`${name} access cannot have variable offset`, EACCES)
    const at = off + valueNumber(frame.m, b)
    if (at !== field.offset)
      env.reject(`${name} access misaligned expected=${field.offset} off=${BigInt.asUintN(64, BigInt(at))}`, EACCES)
    if (size !== 8) env.reject(`${name} access size must be BPF_DW`, EACCES)
  }
}

export function checkPacket(env: Env, register: number, off: number, size: number, zeroAllowed: boolean): void {
  const m = env.frame.m
  const b = registerBase(register)
  if (sminNumber(m, b) < 0) env.reject(`R${register} ${NEGATIVE}`, EACCES)
  const range = m[b + AUX]
  if (range < 0 || !checkRange(env, register, off, size, range, zeroAllowed))
    env.reject(`R${register} offset is outside of the packet`, EACCES)
}

/** Buffers whose size is only known when the program is attached or run. */
export function checkBuffer(env: Env, kind: string, register: number, off: number, size: number): void {
  const frame = env.frame
  const b = registerBase(register)
  if (off < 0) env.reject(`R${register} invalid ${kind} buffer access: off=${off}, size=${size}`, EACCES)
  if (!isConst(frame.m, b) || valueNumber(frame.m, b) !== 0)
    env.reject(`R${register} invalid variable buffer offset: off=${off}, var_off=${variableText(frame, b)}`, EACCES)
}

function checkContext(
  env: Env,
  register: number,
  off: number,
  size: number,
  write: boolean,
  value: number,
  signExtending: boolean,
): void {
  checkUnmodified(env, register, false)
  if (env.target !== undefined && env.target.program?.replaces !== true) {
    checkTargetContext(env, env.target, off, size, write, value)
    return
  }
  const access = env.tables.context(env.facts, off, size, write, signExtending)
  if (access === undefined) {
    env.say(`invalid bpf_context access off=${off} size=${size}`)
    writeSourceLine(env, env.insn)
    throw new Rejection(EACCES)
  }
  if (access.unsupported !== undefined) env.unmodelled(access.unsupported)
  if (write || value < 0) return
  if (access.isReturnValue === true) env.unmodelled('the bounds of a traced return value')
  const m = env.frame.m
  const b = registerBase(value)
  if (access.register === 'SCALAR_VALUE') {
    markUnknown(m, b)
    return
  }
  const type = contextRegister(access)
  markKnown(m, b, 0, 0)
  m[b + FRAME] = 0
  if ((type & MAYBE_NULL) !== 0) m[b + ID] = env.newId()
  if ((type & BASE_MASK) === BTF_ID) {
    m[b + AUX] = env.btfType(access.btfType)
    m[b + AUX2] = 0
  }
  if ((type & BASE_MASK) === MEM) m[b + AUX] = access.memSize ?? 0
  m[b + TYPE] = type
}

function checkSocket(env: Env, register: number, off: number, size: number): void {
  const m = env.frame.m
  const b = registerBase(register)
  if (sminNumber(m, b) < 0) env.reject(`R${register} ${NEGATIVE}`, EACCES)
  if (!socketAccess(m[b + TYPE], off, size))
    env.reject(`R${register} invalid ${typeName(m[b + TYPE])} access off=${off} size=${size}`, EACCES)
}

function unknownInto(env: Env, value: number, write: boolean): void {
  if (!write && value >= 0) markUnknown(env.frame.m, registerBase(value))
}

function accessMapValue(
  env: Env,
  register: number,
  off: number,
  size: number,
  write: boolean,
  value: number,
  signExtending: boolean,
): void {
  checkMapPermission(env, register, off, size, write)
  checkMapValue(env, register, off, size, false, true)
  const own = env.map(env.frame.m[registerBase(register) + AUX])
  if (own.fields.length > 0 && isConst(env.frame.m, registerBase(register))) {
    const at = off + valueNumber(env.frame.m, registerBase(register))
    const field = own.fields.find((f) => f.offset === at && isKernelPointer(f))
    if (field !== undefined) {
      checkKernelPointer(env, field, value)
      return
    }
  }
  if (write || value < 0) return
  const m = env.frame.m
  const b = registerBase(register)
  const map = env.map(m[b + AUX])
  const frozen = map.spec.frozen === true && (map.flags & F_RDONLY_PROG) !== 0
  if (isConst(m, b) && frozen && map.type === 2) {
    const constant = readConstant(env, map, off + valueNumber(m, b), size, signExtending)
    if (constant !== undefined) {
      const low = Number(BigInt.asIntN(32, constant))
      markConstant(m, registerBase(value), low, Number(BigInt.asIntN(32, constant >> 32n)))
      return
    }
  }
  markUnknown(m, registerBase(value))
}

function refuseWrite(env: Env, register: number, type: number): never {
  env.reject(`R${register} cannot write into ${typeName(type)}`, EACCES)
}

/**
 * One access of `size` bytes at register + off; `value` receives a load or is stored, -1 neither.
 * Throws a rejection or, for what is not modelled, says so.
 */
export function checkMemory(
  env: Env,
  liveness: StackLiveness,
  register: number,
  offset: number,
  size: number,
  write: boolean,
  value: number,
  strictOnce: boolean,
  signExtending: boolean,
): void {
  checkAlignment(env, register, offset, size, strictOnce)
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + TYPE]
  const off = offset + m[b + OFF]
  switch (type & BASE_MASK) {
    case MAP_KEY:
      if (write) env.reject(`write to change key R${register} not allowed`, EACCES)
      checkRegion(env, register, off, size, env.map(m[b + AUX]).keySize, false)
      unknownInto(env, value, write)
      break
    case MAP_VALUE:
      if (type !== MAP_VALUE) refuse(env, register, type)
      accessMapValue(env, register, off, size, write, value, signExtending)
      break
    case MEM:
      if ((type & MAYBE_NULL) !== 0) refuse(env, register, type)
      if (write && (type & RDONLY) !== 0) refuseWrite(env, register, type)
      if ((type & UNTRUSTED) === 0) checkRegion(env, register, off, size, m[b + AUX] >>> 0, false)
      if (value >= 0 && (!write || (type & RDONLY) !== 0)) markUnknown(m, registerBase(value))
      break
    case ARENA:
      unknownInto(env, value, write)
      break
    case CTX:
      if (type !== CTX) refuse(env, register, type)
      checkContext(env, register, off, size, write, value, signExtending)
      break
    case STACK:
      checkStackBounds(env, register, off, size, write)
      if (write) checkStackWrite(env, liveness, register, off, size, value)
      else checkStackRead(env, liveness, register, off, size, value)
      break
    case FLOW_KEYS:
      if (off < 0 || off + size > FLOW_KEYS_SIZE)
        env.reject(`invalid access to flow keys off=${off} size=${size}`, EACCES)
      unknownInto(env, value, write)
      break
    case TP_BUFFER:
      checkBuffer(env, 'tracepoint', register, off, size)
      unknownInto(env, value, write)
      break
    case BTF_ID:
      if ((type & MAYBE_NULL) !== 0) refuse(env, register, type)
      checkBtfAccess(env, register, off, size, write, value)
      break
    case MAP_PTR:
      if (type !== MAP_PTR) refuse(env, register, type)
      checkMapStructAccess(env, register, off, size, write, value)
      break
    case BUF:
      if ((type & MAYBE_NULL) !== 0) refuse(env, register, type)
      if (write && (type & RDONLY) !== 0) refuseWrite(env, register, type)
      checkBuffer(env, (type & RDONLY) !== 0 ? 'rdonly' : 'rdwr', register, off, size)
      if (value >= 0 && (!write || (type & RDONLY) !== 0)) markUnknown(m, registerBase(value))
      break
    default:
      if (isPacket(type)) {
        if (write && !accessesPacket(env.facts.type, true)) env.reject('cannot write into packet', EACCES)
        checkPacket(env, register, off, size, false)
        unknownInto(env, value, write)
      } else if (isSocket(type)) {
        if (write) refuseWrite(env, register, type)
        checkSocket(env, register, off, size)
        unknownInto(env, value, write)
      } else refuse(env, register, type)
  }
  if (write || value < 0 || size === 8) return
  const target = registerBase(value)
  const n = env.frame.m
  if (n[target + TYPE] !== SCALAR) return
  if (signExtending) narrowSigned(env.frame, target, size)
  else narrow(n, target, size)
}

function refuse(env: Env, register: number, type: number): never {
  env.reject(`R${register} invalid mem access '${typeName(type)}'`, EACCES)
}
