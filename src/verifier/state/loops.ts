/**
 * Loops as the kernel treats them: states that end inside one wait for its entry to be done, and precision goes round
 * their back edges until nothing changes (the backedges of a strongly connected component in Linux 6.18).
 */

import { want } from './backtrack.ts'
import { frameInsn } from './checkpoints.ts'
import type { Env, LoopVisit } from './env.ts'
import { forcePrecision, KERNEL_FAULT, markWanted } from './precision.ts'
import { PRECISE, SCALAR, TYPE } from './registers.ts'
import { FRAME_POINTER, isSpilled, registerBase, type State, slotBase } from './state.ts'

export function notePeak(env: Env): void {
  env.peakStates = Math.max(env.peakStates, env.exploredSize + env.freeSize + env.backedgeCount)
}

let chainText = ''
/** The loop that a state is in, with the calls that lead there; undefined outside loops. Sets {@link chainText}. */
export function loopKey(env: Env, state: State): string | undefined {
  chainText = ''
  for (let i = 0; i <= state.current; i++) {
    const insn = frameInsn(state, i)
    const loop = env.loops[insn]
    if (loop !== 0) {
      chainText = `(${chainText}${loop})`
      return chainText
    }
    if (i < state.current) chainText += `${insn},`
  }
  return undefined
}

/** As the log has it: the kernel's ends where a call at instruction 0 stands. */
function shown(key: string): string {
  return key.startsWith('(0,') ? `(${key.slice(key.lastIndexOf(',') + 1)}` : key
}

export function enterLoop(env: Env, state: State): void {
  const key = loopKey(env, state)
  if (key === undefined) return
  let visit = env.visits.get(key)
  if (visit === undefined) {
    visit = { entry: undefined, backedges: [] }
    env.visits.set(key, visit)
  }
  if (visit.entry === undefined) {
    visit.entry = state
    if (env.log.states) env.say(`SCC enter ${shown(key)}`)
  }
}

export function leaveLoop(env: Env, state: State): void {
  const key = loopKey(env, state)
  if (key === undefined) return
  const visit = env.visits.get(key)
  if (visit === undefined || visit.entry !== state) return
  if (env.log.states) env.say(`SCC exit ${shown(key)}`)
  visit.entry = undefined
  env.backedgeCount -= visit.backedges.length
  notePeak(env)
  propagateBackedges(env, visit)
}

function propagateBackedges(env: Env, visit: LoopVisit): void {
  let changed = true
  for (let round = 0; changed; round++) {
    if (round > 64) {
      if (env.log.states) env.say('propagate_backedges: too many iterations')
      for (let i = visit.backedges.length - 1; i >= 0; i--) forcePrecision(env, visit.backedges[i])
      break
    }
    changed = false
    for (let i = visit.backedges.length - 1; i >= 0; i--) {
      const state = visit.backedges[i]
      if (state.equal !== undefined && propagatePrecision(env, state.equal, state)) changed = true
    }
  }
  for (const state of visit.backedges) env.pool.free(state)
  visit.backedges = []
}

export function loopIncomplete(env: Env, state: State): boolean {
  if (env.backedgeCount === 0) return false
  const key = loopKey(env, state)
  return key !== undefined && (env.visits.get(key)?.backedges.length ?? 0) > 0
}

export function addBackedge(env: Env, old: State, backedge: State): void {
  const key = loopKey(env, old)
  const visit = key === undefined ? undefined : env.visits.get(key)
  if (visit === undefined) env.reject('verifier bug: add backedge: no SCC in verification path', 14)
  if (env.log.states) env.say(`SCC backedge ${shown(key ?? '')}`)
  visit.backedges.push(backedge)
  env.backedgeCount++
  notePeak(env)
}

/** Answers what stands before the next name. */
function name(env: Env, separator: string, index: number, isSlot: boolean): string {
  if (env.log.states) env.log.write(`${separator}${isSlot ? `fp${-(index + 1) * 8}` : `r${index}`}`)
  return ','
}

/** What was precise in the old state must be in the current one's past. */
export function propagatePrecision(env: Env, old: State, current: State): boolean {
  if (old.frames.length === 0) env.unmodelled(KERNEL_FAULT)
  for (let index = old.current; index >= 0; index--) {
    const frame = old.frames[index]
    let separator = `frame ${index}: propagating `
    for (let r = 0; r < FRAME_POINTER; r++) {
      const b = registerBase(r)
      if (frame.m[b + TYPE] !== SCALAR || frame.m[b + PRECISE] === 0) continue
      separator = name(env, separator, r, false)
      want(index, r, false)
    }
    for (let slot = 0; slot < frame.slots; slot++) {
      const b = slotBase(slot)
      if (!isSpilled(frame, slot) || frame.m[b + TYPE] !== SCALAR || frame.m[b + PRECISE] === 0) continue
      separator = name(env, separator, slot, true)
      want(index, slot, true)
    }
    if (separator === ',' && env.log.states) env.log.write('\n')
  }
  return markWanted(env, current)
}
