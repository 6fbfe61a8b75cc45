import type { Observe } from './interpreter.ts'
import { type Machine, STACK_BYTES } from './machine.ts'
import type { TraceStep } from './result.ts'

/** The most steps that are kept. */
const MAX_TRACE = 1_000_000
const WORDS = STACK_BYTES / 8

/** Notes registers and what changed on the stack before every instruction. */
export function createTracer(m: Machine, steps: TraceStep[]): Observe {
  let seen = new BigInt64Array(WORDS)
  let frame = -1
  return (program, slot) => {
    if (steps.length >= MAX_TRACE) return
    const bottom = m.framePointer(m.frame) - STACK_BYTES
    const now = new BigInt64Array(m.memory.u8.slice(bottom, bottom + STACK_BYTES).buffer)
    if (m.frame !== frame) {
      // another frame: what it holds already is not news, except in a fresh one, which is empty
      frame = m.frame
      seen = now
    }
    const stack: (readonly [offset: number, value: bigint])[] = []
    for (let i = 0; i < WORDS; i++)
      if (now[i] !== seen[i]) stack.push([8 * i - STACK_BYTES, BigInt.asUintN(64, now[i])])
    seen = now
    steps.push({
      program: program.index,
      insn: slot,
      frame,
      registers: Array.from({ length: 11 }, (_, i) => m.get64(i)),
      stack,
    })
  }
}
