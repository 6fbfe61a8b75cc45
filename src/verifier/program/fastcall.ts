/**
 * Spills and fills around a call that a compiler made because the helper is declared to keep registers
 * (bpf_fastcall): their stack slots do not count as used when nothing else touches them.
 */

import * as H from '../kernel/helper-ids.ts'
import type { HelperPrototype } from '../kernel/prototype.ts'
import type { Env } from '../state/env.ts'
import { CALL, isHelperCall } from './program.ts'

const CALLER_SAVED = 0x3f
const STORE = 0x7b
const LOAD = 0x79

/** Helpers that x86-64's just-in-time compiler or the verifier itself replaces by instructions. */
const INLINED: ReadonlySet<number> = new Set([H.GET_SMP_PROCESSOR_ID])

function clobbered(prototype: HelperPrototype): number {
  let count = 0
  while (prototype.arguments[count] !== undefined && prototype.arguments[count].base !== 'ARG_DONTCARE') count++
  const first = prototype.returns.base === 'RET_VOID' ? 1 : 0
  let mask = 0
  for (let r = first; r <= count; r++) mask |= 1 << r
  return mask
}

function markCall(env: Env, subprogramIndex: number, i: number, lowest: number): void {
  const { code } = env
  if (!isHelperCall(code, i)) return
  const prototype = env.tables.helper(env.facts, code.imm[i])
  if (prototype === undefined) return
  let expected = ~clobbered(prototype) & CALLER_SAVED
  let off = lowest
  let distance = 1
  for (; distance <= 6; distance++, off += 8) {
    const before = i - distance
    const after = i + distance
    if (before < 0 || after >= code.length) break
    if (code.op[before] !== STORE || code.op[after] !== LOAD) break
    if (code.dst[before] !== 10 || code.src[after] !== 10 || code.src[before] !== code.dst[after]) break
    const bit = 1 << code.src[before]
    if ((expected & bit) === 0 || code.off[before] !== off || code.off[after] !== off) break
    expected &= ~bit
    env.fastcall[before] = 1
    env.fastcall[after] = 1
  }
  if (distance === 1) return
  const subprogram = env.subprograms[subprogramIndex]
  if (prototype.fastcall === true && INLINED.has(prototype.id)) env.fastcallSpills[i] = distance - 1
  else subprogram.keepFastcallStack = true
  subprogram.fastcallOffset = Math.min(subprogram.fastcallOffset, off)
}

/** Finds the patterns (mark_fastcall_patterns). */
export function markFastcallPatterns(env: Env): void {
  const { code } = env
  for (const [index, subprogram] of env.subprograms.entries()) {
    let lowest = 0
    for (let i = subprogram.start; i < subprogram.end; i++)
      if (code.op[i] === STORE && code.dst[i] === 10) lowest = Math.min(lowest, code.off[i])
    for (let i = subprogram.start; i < subprogram.end; i++) if (code.op[i] === CALL) markCall(env, index, i, lowest)
  }
}

/** After a program was found good: slots only used by removed spills are given back (remove_fastcall_spills_fills). */
export function removeFastcallSpills(env: Env): void {
  for (const subprogram of env.subprograms) {
    let modified = false
    for (let i = subprogram.start; i < subprogram.end; i++) if (env.fastcallSpills[i] > 0) modified = true
    if (modified && !subprogram.keepFastcallStack && subprogram.fastcallOffset > -0x8000)
      subprogram.stackDepth = Math.ceil(Math.max(-subprogram.fastcallOffset, 0) / 8) * 8
  }
}
