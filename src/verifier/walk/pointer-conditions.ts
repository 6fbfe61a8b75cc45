/**
 * Conditions on pointers: against null, against each other, and packet pointers against the packet's end
 * (find_good_pkt_pointers of Linux 6.18).
 */

import { markNotNull, markPointerOrNull } from '../memory/nullness.ts'
import { isZero, umaxNumber } from '../scalars/bounds.ts'
import { FLIPPED, JEQ, JGE, JGT, JLE, JLT, JNE } from '../scalars/conditions.ts'
import type { Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { eachRegister, registerBase, type State } from '../state/state.ts'
import { isTrusted } from '../state/trust.ts'

const MAX_PACKET_OFFSET = 0xffff

const NEVER_NULL: ReadonlySet<number> = new Set([
  R.SOCKET,
  R.TCP_SOCK,
  R.MAP_VALUE,
  R.MAP_KEY,
  R.SOCK_COMMON,
  R.MEM,
  R.MAP_PTR,
])

/** The pointer cannot be null (reg_not_null). */
export function notNull(m: Int32Array, b: number): boolean {
  const type = m[b + R.TYPE]
  if ((type & R.MAYBE_NULL) !== 0) return false
  const base = type & R.BASE_MASK
  if (base === R.BTF_ID) return isTrusted(type, m[b + R.REF] !== 0)
  if (base === R.MEM) return (type & R.UNTRUSTED) === 0
  return NEVER_NULL.has(base)
}

/** 1: taken, 0: not taken, -1: either; of packet pointers against the end, where it was compared before. */
export function packetTaken(m: Int32Array, b: number, c: number, op: number): number {
  let packet: number
  if (m[c + R.TYPE] === R.PACKET_END) packet = b
  else if (m[b + R.TYPE] === R.PACKET_END) {
    packet = c
    op = FLIPPED[op]
  } else return -1
  const range = m[packet + R.AUX]
  if (range >= 0) return -1
  if (op === JLE || op === JGT) return range === R.BEYOND_PKT_END ? (op === JGT ? 1 : 0) : -1
  if (op === JLT || op === JGE) return op === JGE ? 1 : 0
  return -1
}

/** A comparison with the packet's end proves a range for all pointers of the same base. */
function goodPackets(state: State, m: Int32Array, b: number, open: boolean): void {
  const off = m[b + R.OFF]
  const type = m[b + R.TYPE]
  const id = m[b + R.ID]
  if (off < 0 || (off === 0 && open)) return
  const umax = umaxNumber(m, b)
  if (umax > MAX_PACKET_OFFSET || umax + off > MAX_PACKET_OFFSET) return
  const range = open ? off + 1 : off
  eachRegister(state, (n, c) => {
    if (n[c + R.TYPE] === type && n[c + R.ID] === id) n[c + R.AUX] = Math.max(n[c + R.AUX], range)
  })
}

function markPacketEnd(state: State, register: number, open: boolean): void {
  const m = state.frame.m
  const b = registerBase(register)
  if (m[b + R.TYPE] === R.PACKET) m[b + R.AUX] = open ? R.BEYOND_PKT_END : R.AT_PKT_END
}

function isInitialPacket(m: Int32Array, b: number): boolean {
  return m[b + R.TYPE] === R.PACKET && m[b + R.ID] === 0 && m[b + R.OFF] === 0 && isZero(m, b)
}

/** True when the comparison was one of packet pointers. */
function matchPackets(op: number, dst: number, src: number, m: Int32Array, here: State, other: State): boolean {
  if (op !== JGT && op !== JLT && op !== JGE && op !== JLE) return false
  const b = registerBase(dst)
  const c = registerBase(src)
  const left = m[b + R.TYPE]
  const right = m[c + R.TYPE]
  const greater = op === JGT || op === JGE
  if ((left === R.PACKET && right === R.PACKET_END) || (left === R.PACKET_META && isInitialPacket(m, c))) {
    // dst > end and dst >= end fall through to the good side; the open end belongs to the strict side.
    const good = greater ? here : other
    const bad = greater ? other : here
    goodPackets(good, m, b, op === JGE || op === JLT)
    markPacketEnd(bad, dst, op === JGT || op === JLE)
    return true
  }
  if ((left === R.PACKET_END && right === R.PACKET) || (isInitialPacket(m, b) && right === R.PACKET_META)) {
    const good = greater ? other : here
    const bad = greater ? here : other
    goodPackets(good, m, c, op === JGT || op === JLE)
    markPacketEnd(bad, src, op === JLT || op === JGE)
    return true
  }
  return false
}

/** What pointers learn: two pointers compared, a pointer against zero, packet pointers. */
export function nullSides(
  env: Env,
  op: number,
  isX: boolean,
  narrow: boolean,
  dst: number,
  src: number,
  other: State,
): void {
  const m = env.frame.m
  const b = registerBase(dst)
  const c = registerBase(src)
  const left = m[b + R.TYPE]
  const right = m[c + R.TYPE]
  if (
    isX &&
    !narrow &&
    left !== R.SCALAR &&
    right !== R.SCALAR &&
    (left & R.MAYBE_NULL) !== (right & R.MAYBE_NULL) &&
    (left & R.BASE_MASK) !== R.BTF_ID &&
    (right & R.BASE_MASK) !== R.BTF_ID &&
    (op === JEQ || op === JNE)
  ) {
    const equal = op === JEQ ? other.frame.m : m
    markNotNull(env, equal, (right & R.MAYBE_NULL) !== 0 ? c : b)
  }
  const againstNull =
    !narrow && !isX && env.code.imm[env.insn] === 0 && (op === JEQ || op === JNE) && (left & R.MAYBE_NULL) !== 0
  if (againstNull) {
    markPointerOrNull(env, env.state, dst, op === JNE)
    markPointerOrNull(env, other, dst, op === JEQ)
  } else if (isX && !narrow) matchPackets(op, dst, src, m, env.state, other)
}
