/** Memory that is passed to a call, with its size (check_helper_mem_access of Linux 6.18). */

import { checkBtfAccess } from '../memory/btf-access.ts'
import {
  checkBuffer,
  checkMapPermission,
  checkMapValue,
  checkMemory,
  checkPacket,
  checkRegion,
} from '../memory/memory.ts'
import { checkStackRange, type RawAccess } from '../memory/stack.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isConst, isNull, sminNumber, umaxNumber, uminNumber } from '../scalars/bounds.ts'
import { EACCES, type Env } from '../state/env.ts'
import { markPrecise } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import type { CallFacts } from './call-facts.ts'

const MAX_VARIABLE_SIZE = 1 << 29

function refuseReadOnly(env: Env, register: number, type: number): void {
  if ((type & R.RDONLY) !== 0) env.reject(`R${register} cannot write into ${R.typeName(type)}`, EACCES)
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
      if (write) refuseReadOnly(env, register, type)
      checkRegion(env, register, off, size, m[b + R.AUX] >>> 0, zeroAllowed)
      return
    case R.BUF:
      if (write) refuseReadOnly(env, register, type)
      checkBuffer(env, (type & R.RDONLY) !== 0 ? 'rdonly' : 'rdwr', register, off, size)
      return
    case R.STACK:
      checkStackRange(env, liveness, register, off, size, zeroAllowed, write, raw)
      return
    case R.BTF_ID:
      checkBtfAccess(env, register, off, size, false, -1)
      return
    default:
      if ((type & R.BASE_MASK) === R.CTX && DIRECT_CONTEXTS.has(env.facts.type)) {
        if (size === 0 && zeroAllowed) return
        checkMemory(env, liveness, register, size - 1, 1, write, -1, false, false)
        return
      }
      if (zeroAllowed && size === 0 && isNull(m, b)) return
      env.reject(`R${register} type=${R.typeName(type)} expected=fp`, EACCES)
  }
}

/** Program types whose context is what the kernel has, not rewritten (verifier ops without convert_ctx_access). */
const DIRECT_CONTEXTS: ReadonlySet<number> = new Set([2, 5, 15, 17, 24, 26, 27, 29, 31, 32])

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
    const umin = BigInt.asIntN(64, frame.u[i + R.UMIN])
    const umax = BigInt.asIntN(64, frame.u[i + R.UMAX])
    env.reject(`R${register} invalid zero-sized read: u64=[${umin},${umax}]`, EACCES)
  }
  const umax = umaxNumber(m, b)
  if (umax >= MAX_VARIABLE_SIZE)
    env.reject(`R${register} unbounded memory access, use 'var &= const' or 'if (var < const)'`, EACCES)
  checkHelperMemory(env, liveness, register - 1, umax, write, zeroAllowed, raw)
  markPrecise(env, register)
}
