/** Calls between functions of the program: static ones are walked into, global ones are taken at their word. */

import { writeState } from '../log/print.ts'
import { copyRegister } from '../memory/stack.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markUnknown } from '../scalars/bounds.ts'
import { findPrevious } from '../state/checkpoints.ts'
import { CALLS_CALLBACK, E2BIG, EACCES, EINVAL, type Env } from '../state/env.ts'
import { widen } from '../state/equivalence.ts'
import { markPrecise } from '../state/precision.ts'
import { clearPacketPointers } from '../state/references.ts'
import { SCALAR, SMAX, SMIN, STACK, TYPE } from '../state/registers.ts'
import { type Frame, MAX_FRAMES, registerBase, type State } from '../state/state.ts'
import { clobber } from './call-facts.ts'
import { argumentsFit } from './global-functions.ts'

/** A new frame on a state; registers are uninitialised but for the frame pointer. */
export function enterFunction(env: Env, state: State, index: number, callsite: number): Frame {
  if (state.current + 1 >= MAX_FRAMES) env.reject(`the call stack of ${state.current + 2} frames is too deep`, E2BIG)
  env.subprograms[index].walked = true
  const frame = env.pool.newFrame(callsite, state.current + 1, index)
  state.frames.push(frame)
  state.current++
  env.scratchAll()
  return frame
}

/** Neither the program nor a section it is in forbids to sleep. */
function maySleep(env: Env): boolean {
  const { state } = env
  return state.sleepable && state.rcuLocks === 0 && state.preemptLocks === 0 && state.irqId === 0
}

/** Simulates a call to another function of the program. */
export function checkFunctionCall(env: Env, liveness: StackLiveness, insn: number): void {
  const target = insn + env.code.imm[insn] + 1
  const index = env.subprogramAt[target]
  const subprogram = env.subprograms[index]
  const fits = argumentsFit(env, liveness, index)
  if (subprogram.linkage === 'global') {
    if (env.state.activeLocks > 0)
      env.reject('global function calls are not allowed while holding a lock,\nuse static function instead')
    if (subprogram.mightSleep && !maySleep(env))
      env.reject(
        'global functions that may sleep are not allowed in non-sleepable context,\n' +
          'i.e., in a RCU/IRQ/preempt-disabled section, or in\na non-sleepable BPF program context',
      )
    if (!fits) env.reject(`Caller passes invalid args into func#${index} ('${subprogram.name}')`)
    if (env.log.verbose) env.say(`Func#${index} ('${subprogram.name}') is global and assumed valid.`)
    if (subprogram.changesPacket) clearPacketPointers(env)
    subprogram.called = true
    clobber(env.frame.m)
    markUnknown(env.frame.m, 0)
    return
  }
  const caller = env.frame
  const callee = enterFunction(env, env.state, index, insn)
  for (let r = 1; r <= 5; r++) copyRegister(callee.m, registerBase(r), caller.m, registerBase(r))
  clobber(caller.m)
  env.insn = subprogram.start - 1
  liveness.resetChain()
  if (env.log.verbose) {
    env.log.write('caller:\n')
    writeState(env, env.state, caller.index, true)
    env.log.write('callee:\n')
    writeState(env, env.state, callee.index, true)
  }
}

/** What R0 must be where a callback or a program returns. */
export function invalidScalar(
  env: Env,
  frame: Frame,
  b: number,
  minimum: number,
  maximum: number,
  where: string,
  register = 'R0',
  note?: string,
): never {
  const i = b / 2
  const smin = frame.s[i + SMIN]
  const smax = frame.s[i + SMAX]
  let text = `${where} the register ${register} has`
  if (smin > -(1n << 63n)) text += ` smin=${smin}`
  if (smax < (1n << 63n) - 1n) text += ` smax=${smax}`
  if (smin === -(1n << 63n) && smax === (1n << 63n) - 1n) text += ' unknown scalar value'
  const line = `${text} should have been in [${minimum}, ${maximum}]`
  if (note === undefined) env.reject(line, EINVAL)
  env.say(line)
  env.reject(note, EINVAL)
}

/** Leaves the innermost function (prepare_func_exit); `env.insn` is the next instruction. */
export function leaveFunction(env: Env, liveness: StackLiveness): void {
  liveness.update()
  const state = env.state
  const callee = state.frame
  const caller = state.frames[state.current - 1]
  if (callee.m[TYPE] === STACK) env.reject('cannot return stack pointer to the caller')
  if (callee.inCallback) {
    if (callee.m[TYPE] !== SCALAR) env.reject('R0 not a scalar value', EACCES)
    markPrecise(env, 0)
    const smin = callee.s[SMIN]
    const smax = callee.s[SMAX]
    if (smin < BigInt(callee.returnMinimum) || smax > BigInt(callee.returnMaximum))
      invalidScalar(env, callee, 0, callee.returnMinimum, callee.returnMaximum, 'At callback return')
    if ((env.marks[callee.callsite] & CALLS_CALLBACK) === 0) env.reject('verifier bug: in callback, !calls_callback')
  } else copyRegister(caller.m, 0, callee.m, 0)
  const inCallback = callee.inCallback
  env.insn = inCallback ? callee.callsite : callee.callsite + 1
  if (env.log.verbose) {
    env.log.write('returning from callee:\n')
    writeState(env, state, callee.index, true)
    env.log.write(`to caller at ${env.insn}:\n`)
    writeState(env, state, caller.index, true)
  }
  state.frames.pop()
  state.current--
  env.pool.giveFrame(callee)
  if (!inCallback) return
  const previous = findPrevious(env, state, env.insn)
  if (previous !== undefined) widen(env, previous, state)
}
