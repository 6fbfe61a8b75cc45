/** Where remembered states are found again: by instruction and by the calls that led there. */

import type { Env } from './env.ts'
import type { State } from './state.ts'

/** The instruction at which a frame stands. */
export function frameInsn(state: State, index: number): number {
  return index === state.current ? state.insn : state.frames[index + 1].callsite
}

/** Both states got here by the same calls. */
export function sameCallsites(a: State, b: State): boolean {
  if (a.current !== b.current) return false
  for (let i = a.current; i >= 0; i--) if (a.frames[i].callsite !== b.frames[i].callsite) return false
  return true
}

/** The remembered states of an instruction (and of others that share its hash), newest last. */
export function bucket(env: Env, insn: number): State[] {
  const index = ((insn ^ env.frame.callsite) >>> 0) % env.code.length
  return (env.explored[index] ??= [])
}

/** A checkpoint of the same place on the path to here (find_prev_entry). */
export function findPrevious(env: Env, state: State, insn: number): State | undefined {
  const list = bucket(env, insn)
  for (let i = list.length - 1; i >= 0; i--) {
    const other = list[i]
    if (other.insn === insn && other.branches > 0 && sameCallsites(other, state) && other.depth < state.depth)
      return other
  }
  return undefined
}
