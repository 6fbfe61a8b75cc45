/**
 * Prune points: when the current state is no less known than a remembered one that was found safe, its path need not be
 * walked. The heuristics of when to remember and when to forget (is_state_visited of Linux 6.18).
 */

import { writeSourceLine, writeState } from '../log/print.ts'
import { isMayGoto } from '../program/program.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markNotInit } from '../scalars/bounds.ts'
import { bucket, frameInsn, sameCallsites } from './checkpoints.ts'
import { CALLS_CALLBACK, EINVAL, type Env, FORCE_CHECKPOINT, ITERATOR_NEXT, JUMP_POINT, Rejection } from './env.ts'
import { maybeLooping, statesEqual } from './equivalence.ts'
import { depthsDiffer, isActiveAt } from './iterator-slots.ts'
import { addBackedge, enterLoop, leaveLoop, loopIncomplete, loopKey, notePeak, propagatePrecision } from './loops.ts'
import { forgetPrecision, pushHistory } from './precision.ts'
import { FRAME_POINTER, registerBase, type State, slotBase, TYPE_WORDS } from './state.ts'

function maybeFree(env: Env, state: State): void {
  if (!state.inFreeList || state.branches !== 0 || loopIncomplete(env, state)) return
  state.inFreeList = false
  env.freeSize--
  env.pool.free(state)
}

/** A path ended: its checkpoints have one branch less to wait for (update_branch_counts). */
export function endPath(env: Env, from: State): void {
  let state: State | undefined = from
  let listed: State | undefined
  while (state !== undefined) {
    if (--state.branches !== 0) break
    leaveLoop(env, state)
    const parent: State | undefined = state.parent
    if (listed !== undefined) maybeFree(env, listed)
    state = parent
    listed = parent
  }
}

function cleanState(env: Env, liveness: StackLiveness, state: State): void {
  liveness.beginQuery(state)
  state.cleaned = true
  for (let i = 0; i <= state.current; i++) {
    const frame = state.frames[i]
    const live = env.liveBefore[frameInsn(state, i)]
    for (let r = 0; r < FRAME_POINTER; r++) if ((live & (1 << r)) === 0) markNotInit(frame.m, registerBase(r))
    liveness.queryFrame(i)
    for (let slot = 0; slot < frame.slots; slot++) {
      if (((slot < 32 ? liveness.aliveLow >>> slot : liveness.aliveHigh >>> (slot - 32)) & 1) !== 0) continue
      const types = frame.typesAt + slot * TYPE_WORDS
      if ((frame.m[types] | frame.m[types + 1]) === 0) continue
      markNotInit(frame.m, slotBase(slot))
      frame.m[types] = 0
      frame.m[types + 1] = 0
    }
  }
}

function cleanStates(env: Env, liveness: StackLiveness, list: readonly State[], insn: number, current: State): void {
  for (let i = list.length - 1; i >= 0; i--) {
    const state = list[i]
    if (state.cleaned || state.branches !== 0 || state.insn !== insn || !sameCallsites(state, current)) continue
    if (loopIncomplete(env, state)) continue
    cleanState(env, liveness, state)
  }
}

function infiniteLoop(env: Env, insn: number, old: State): never {
  writeSourceLine(env, insn)
  env.say(`infinite loop detected at insn ${insn}`)
  env.log.write('cur state:')
  writeState(env, env.state, env.state.current, true)
  env.log.write('old state:')
  writeState(env, old, env.state.current, true)
  throw new Rejection(EINVAL)
}

/** How a remembered state that is still being explored compares: a match, a miss, or a miss that must not be remembered. */
function compareUnfinished(env: Env, insn: number, old: State, current: State): boolean {
  const asynchronous = old.frame.inAsyncCallback && old.frame.asyncEntries !== current.frame.asyncEntries
  if (asynchronous) return false
  if ((env.marks[insn] & ITERATOR_NEXT) !== 0) return statesEqual(env, old, current, 'range') && isActiveAt(current)
  if (isMayGoto(env.code, insn) && old.mayGotoDepth !== current.mayGotoDepth && statesEqual(env, old, current, 'range'))
    return true
  if ((env.marks[insn] & CALLS_CALLBACK) !== 0) return statesEqual(env, old, current, 'range')
  if (
    maybeLooping(old, current) &&
    statesEqual(env, old, current, 'exact') &&
    !depthsDiffer(old, current) &&
    old.mayGotoDepth === current.mayGotoDepth &&
    old.callbackUnroll === current.callbackUnroll
  )
    infiniteLoop(env, insn, old)
  return false
}

function hit(env: Env, insn: number, old: State, current: State, loop: boolean): true {
  old.hits++
  if ((env.marks[insn] & JUMP_POINT) !== 0) pushHistory(env, current, 0, undefined)
  propagatePrecision(env, old, current)
  if (loop) {
    const backedge = env.pool.clone(current)
    backedge.equal = old
    backedge.insn = insn
    addBackedge(env, old, backedge)
  }
  return true
}

/** True when the current path can stop at a prune point. Otherwise the state may have been remembered. */
export function isVisited(env: Env, liveness: StackLiveness, insn: number): boolean {
  const current = env.state
  const forced = (env.marks[insn] & FORCE_CHECKPOINT) !== 0
  const force = env.testStateFrequency || forced || current.history.length > 40
  let add = force || (env.jumps - env.lastJumps >= 2 && env.processed - env.lastProcessed >= 8)
  const list = bucket(env, insn)
  cleanStates(env, liveness, list, insn, current)
  let seen = 0
  for (let i = list.length - 1; i >= 0; i--) {
    const old = list[i]
    seen++
    if (old.insn !== insn) continue
    if (old.branches > 0) {
      if (compareUnfinished(env, insn, old, current))
        return hit(env, insn, old, current, loopKey(env, old) !== undefined)
      if (!force && env.jumps - env.lastJumps < 20 && env.processed - env.lastProcessed < 100) add = false
    } else {
      const loop = loopIncomplete(env, old)
      if (statesEqual(env, old, current, loop ? 'range' : 'not')) return hit(env, insn, old, current, loop)
    }
    if (add) old.misses++
    const n = forced && old.branches > 0 ? 64 : 3
    if (old.misses > old.hits * n + n) {
      list.splice(i, 1)
      old.inFreeList = true
      env.freeSize++
      env.exploredSize--
      maybeFree(env, old)
    }
  }
  if (env.maxStatesPerInsn < seen) env.maxStatesPerInsn = seen
  if (add) remember(env, list, insn, current)
  return false
}

function remember(env: Env, list: State[], insn: number, current: State): void {
  env.totalStates++
  env.exploredSize++
  notePeak(env)
  env.lastJumps = env.jumps
  env.lastProcessed = env.processed
  forgetPrecision(current)
  const checkpoint = env.pool.clone(current)
  checkpoint.insn = insn
  enterLoop(env, checkpoint)
  current.parent = checkpoint
  current.firstInsn = insn
  current.depth = checkpoint.depth + 1
  current.history = []
  env.hasHistory = false
  list.push(checkpoint)
}
