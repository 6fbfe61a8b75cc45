/** The stack of every chain of calls: 512 bytes, 256 where a tail call lies below (check_max_stack_depth). */

import { kfuncAt } from '../kernel/kfunc-prototype.ts'
import { E2BIG, EACCES, EFAULT, type Env } from '../state/env.ts'
import { MAX_FRAMES, MAX_STACK } from '../state/state.ts'
import { isPseudoCall, isPseudoFunc } from './program.ts'

const TAIL_CALL_LIMIT = 256
const PRIVATE_STACK_LEAST = 64
/** kprobe, tracepoint, perf_event, raw_tracepoint: subprograms may get a stack of their own. */
const PRIVATE_STACK_TYPES: ReadonlySet<number> = new Set([2, 5, 7, 17])

function rounded(depth: number): number {
  return Math.ceil(depth / 16) * 16
}

interface Level {
  readonly subprogram: number
  readonly next: number
}

class Walk {
  readonly #env: Env
  readonly #private: Uint8Array
  readonly #supported: boolean
  #depth = 0
  #tailCalls = false

  constructor(env: Env, supported: boolean, isPrivate: Uint8Array) {
    this.#env = env
    this.#supported = supported
    this.#private = isPrivate
  }

  /** Enters a function; refuses when the chain is too deep. */
  #enter(index: number, frames: number): void {
    const env = this.#env
    const subprogram = env.subprograms[index]
    if (index !== 0 && subprogram.hasTailCall && this.#depth >= TAIL_CALL_LIMIT)
      env.reject(
        `tail_calls are not allowed when call stack of previous frames is ${this.#depth} bytes. Too large`,
        EACCES,
      )
    const depth = rounded(subprogram.stackDepth)
    if (!this.#supported) this.#private[index] = 2
    else if (this.#private[index] === 0 && depth >= PRIVATE_STACK_LEAST) this.#private[index] = 1
    if (this.#private[index] === 1) {
      if (depth > MAX_STACK) env.reject(`stack size of subprog ${index} is ${depth}. Too large`, EACCES)
      return
    }
    this.#depth += depth
    if (this.#depth > MAX_STACK)
      env.reject(`combined stack size of ${frames + 1} calls is ${this.#depth}. Too large`, EACCES)
  }

  from(root: number): void {
    const env = this.#env
    const { code, subprograms } = env
    const stack: Level[] = []
    let index = root
    this.#enter(index, 0)
    let i = subprograms[index].start
    for (;;) {
      const end = subprograms[index].end
      let entered = false
      for (; i < end; i++) {
        if (!isPseudoCall(code, i) && !isPseudoFunc(code, i)) {
          if (kfuncAt(env, i)?.name !== 'bpf_throw') continue
          if (subprograms[index].isCallback || stack.some((level) => subprograms[level.subprogram].isCallback))
            env.reject(`bpf_throw kfunc (insn ${i}) cannot be called from callback subprog ${index}`)
          continue
        }
        const callee = env.subprogramAt[i + code.imm[i] + 1]
        if (subprograms[callee].isAsyncCallback) {
          if (subprograms[callee].hasTailCall) env.reject('verifier bug: subprog has tail_call and async cb', EFAULT)
          if (!isPseudoCall(code, i)) continue
          if (subprograms[callee].isExceptionCallback) env.rejectUnended(`insn ${i} cannot call exception cb directly`)
        }
        stack.push({ subprogram: index, next: i + 1 })
        index = callee
        i = subprograms[index].start
        if (stack.length >= MAX_FRAMES) env.reject(`the call stack of ${stack.length} frames is too deep !`, E2BIG)
        if (subprograms[index].hasTailCall) this.#tailCalls = true
        this.#enter(index, stack.length)
        entered = true
        break
      }
      if (entered) continue
      if (this.#tailCalls && stack.some(({ subprogram }) => subprograms[subprogram].isExceptionCallback))
        env.reject('cannot tail call within exception cb')
      const level = stack.pop()
      if (level === undefined) return
      if (this.#private[index] !== 1) this.#depth -= rounded(subprograms[index].stackDepth)
      index = level.subprogram
      i = level.next
    }
  }
}

const LOOP_STACK = 24
const MAY_GOTO_STACK = 16

/**
 * Functions that were never walked are no longer part of an accepted program. The address of one, for calls that never
 * happen, is then that of the function behind it; without one 6.18 finds a fault of its own where other functions remain
 * (and counts instructions as it rewrote them).
 */
export function removeDeadFunctions(env: Env): void {
  const last = env.subprograms.findLastIndex(({ walked }) => walked)
  const gone = env.subprograms.find(({ loadedAt }, i) => i > last && loadedAt >= 0)
  const behindAnother = env.subprograms.some(
    ({ walked, loadedAt }, i) => i < last && !walked && loadedAt >= 0 && !env.subprograms[i - 1].walked,
  )
  if (behindAnother)
    env.unmodelled('the address of a callback that is never called, behind a function that is not either')
  env.subprograms = env.subprograms.filter(({ walked }) => walked)
  if (gone !== undefined && env.subprograms.length > 1)
    env.reject(`verifier bug: No program to jit at insn ${gone.loadedAt} (subprog < 0)`, EFAULT)
}

/** What inlined calls of bpf_loop and may_goto add to the stack of their functions; no limit holds it. */
export function addInlinedStack(env: Env): void {
  const loops = new Set<number>()
  for (const [insn, { fits }] of env.loopCalls) if (fits) loops.add(env.subprogramOf(insn))
  for (const index of loops) {
    const subprogram = env.subprograms[index]
    subprogram.stackDepth = Math.ceil(subprogram.stackDepth / 8) * 8 + LOOP_STACK
  }
  for (const index of new Set([...env.mayGotos].map((insn) => env.subprogramOf(insn))))
    env.subprograms[index].stackDepth += MAY_GOTO_STACK
}

export function checkStackDepth(env: Env): void {
  const tailCalls = env.subprograms.some((s) => s.hasTailCall)
  const supported = !tailCalls && PRIVATE_STACK_TYPES.has(env.image.type)
  const isPrivate = new Uint8Array(env.subprograms.length)
  for (let i = env.subprograms.length - 1; i >= 0; i--)
    if (i === 0 || env.subprograms[i].isAsyncCallback) new Walk(env, i === 0 && supported, isPrivate).from(i)
}
