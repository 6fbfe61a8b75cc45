/** Functions of the program that a helper calls: bpf_loop, bpf_for_each_map_elem. */

import * as H from '../kernel/helper-ids.ts'
import { copyRegister } from '../memory/stack.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { isNull, markKnown, markNotInit, markUnknown, umaxNumber } from '../scalars/bounds.ts'
import { ENOTSUPP, type Env } from '../state/env.ts'
import { markPrecise } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { type Frame, MAIN_CALLSITE, registerBase, State } from '../state/state.ts'
import type { CallFacts } from './call-facts.ts'
import { enterFunction } from './function-call.ts'
import { argumentsFit } from './global-functions.ts'

/** Map types that bpf_for_each_map_elem walks: hashes and arrays, per CPU or not. */
const WALKABLE: ReadonlySet<number> = new Set([1, 2, 5, 6, 9, 10])

/** A call of bpf_loop becomes a loop of its caller when its flags are always 0 and its callback the same. */
function noteLoop(env: Env, callback: number, insn: number): void {
  const known = env.loopCalls.get(insn)
  if (known !== undefined && !known.fits) return
  const zero = isNull(env.frame.m, registerBase(4))
  if (zero) markPrecise(env, 4)
  env.loopCalls.set(insn, { callback, fits: zero && (known === undefined || known.callback === callback) })
}

/** Queues one more run of the callback, before the call itself goes on as if there were none. */
export function pushCallback(env: Env, liveness: StackLiveness, call: CallFacts, insn: number): void {
  if (call.prototype.id === H.LOOP) {
    noteLoop(env, call.subprogram, insn)
    markPrecise(env, 1)
    const frame = env.frame
    if (frame.callbackDepth >= umaxNumber(frame.m, registerBase(1))) {
      frame.callbackDepth = 0
      if (env.log.states) env.say(`frame${env.state.current} bpf_loop iteration limit reached`)
      return
    }
  }
  runCallback(env, liveness, call.subprogram, insn, (caller, callee) => setArguments(env, call, caller, callee))
}

/** Queues a run of a function of the program that a call runs before it returns. */
export function runCallback(
  env: Env,
  liveness: StackLiveness,
  index: number,
  insn: number,
  setup: (caller: Frame, callee: Frame) => void,
): void {
  argumentsFit(env, liveness, index)
  const subprogram = env.subprograms[index]
  subprogram.isCallback = true
  const state = env.pushBranch(subprogram.start, insn)
  const caller = env.frame
  const callee = enterFunction(env, state, index, insn)
  setup(caller, callee)
  callee.inCallback = true
  callee.returnMinimum = 0
  callee.returnMaximum = 1
  state.callbackUnroll++
  state.frames[state.current - 1].callbackDepth++
  caller.callbackDepth = 0
}

/** Queues a run of a function that is called some time later: it begins with a stack and a state of its own. */
export function runLater(
  env: Env,
  liveness: StackLiveness,
  index: number,
  insn: number,
  sleepable: boolean,
  setup: (caller: Frame, callee: Frame) => void,
): void {
  argumentsFit(env, liveness, index)
  const subprogram = env.subprograms[index]
  subprogram.isCallback = true
  subprogram.isAsyncCallback = true
  const caller = env.frame
  env.subprograms[index].walked = true
  const callee = env.pool.newFrame(MAIN_CALLSITE, 0, index)
  const state = new State()
  state.branches = 1
  state.sleepable = sleepable
  state.frames.push(callee)
  env.queue(state, subprogram.start, insn)
  // A frame was made: everything is printed again.
  env.scratchAll()
  callee.asyncEntries = caller.asyncEntries + 1
  setup(caller, callee)
  callee.inAsyncCallback = true
  callee.returnMinimum = 0
  callee.returnMaximum = 0
}

/** Arguments of a timer's or work queue's callback: the map, the key, the value. */
export function setMapCallbackArguments(callee: Frame, mapReference: number, mapUid: number): void {
  const m = callee.m
  for (const [r, type] of [
    [1, R.MAP_PTR],
    [2, R.MAP_KEY],
    [3, R.MAP_VALUE],
  ]) {
    const b = registerBase(r)
    markKnown(m, b, 0, 0)
    m[b + R.TYPE] = type
    m[b + R.FRAME] = 0
    m[b + R.AUX] = mapReference
    m[b + R.AUX2] = mapUid
  }
  for (const r of [4, 5]) markNotInit(m, registerBase(r))
}

function setArguments(env: Env, call: CallFacts, caller: Frame, callee: Frame): void {
  const m = callee.m
  const at = registerBase
  if (call.prototype.id === H.LOOP) {
    markUnknown(m, at(1))
    copyRegister(m, at(2), caller.m, at(3))
    for (const r of [3, 4, 5]) markNotInit(m, at(r))
    return
  }
  if (call.prototype.id === H.FIND_VMA) {
    copyRegister(m, at(1), caller.m, at(1))
    markKnown(m, at(2), 0, 0)
    m[at(2) + R.TYPE] = R.BTF_ID
    m[at(2) + R.FRAME] = 0
    m[at(2) + R.AUX] = env.btfType('vm_area_struct')
    copyRegister(m, at(3), caller.m, at(4))
    for (const r of [4, 5]) markNotInit(m, at(r))
    return
  }
  if (call.prototype.id === H.USER_RINGBUF_DRAIN) {
    markKnown(m, at(1), 0, 0)
    m[at(1) + R.TYPE] = R.DYNPTR
    m[at(1) + R.FRAME] = 0
    m[at(1) + R.AUX] = R.DYNPTR_LOCAL
    m[at(1) + R.AUX2] = 1
    m[at(1) + R.ID] = env.newId()
    copyRegister(m, at(2), caller.m, at(3))
    for (const r of [0, 3, 4, 5]) markNotInit(m, at(r))
    return
  }
  const map = call.map
  if (map === undefined || !WALKABLE.has(map.type)) env.reject('callback function not allowed for map', ENOTSUPP)
  const pointer = (r: number, type: number) => {
    markKnown(m, at(r), 0, 0)
    m[at(r) + R.TYPE] = type
    m[at(r) + R.AUX] = call.mapReference
    m[at(r) + R.FRAME] = 0
  }
  copyRegister(m, at(1), caller.m, at(1))
  pointer(2, R.MAP_KEY)
  pointer(3, R.MAP_VALUE)
  copyRegister(m, at(4), caller.m, at(3))
  markNotInit(m, at(5))
}
