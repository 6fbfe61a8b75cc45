/**
 * Remembered states: when the current one is no less known than one that was found safe, its path need not be walked.
 * Equivalence, the heuristics of when to remember, and loops as the kernel treats them (is_state_visited of Linux 6.18).
 */

import { depthsDiffer, ITER_STATE, isActiveAt } from '../calls/iterators.ts'
import { writeSourceLine, writeState } from '../log/print.ts'
import { isMayGoto } from '../program/program.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { bitsWithin, markNotInit, rangeWithin, unbound } from '../scalars/bounds.ts'
import {
  CALLS_CALLBACK,
  EINVAL,
  type Env,
  FORCE_CHECKPOINT,
  ITERATOR_NEXT,
  JUMP_POINT,
  type LoopVisit,
  Rejection,
} from './env.ts'
import { forcePrecision, forgetPrecision, KERNEL_FAULT, markWanted, pushHistory, want } from './precision.ts'
import {
  ADD_CONST,
  AUX,
  AUX2,
  BASE_MASK,
  type Bank,
  BUF,
  createBank,
  DYNPTR_SLOT,
  EXACT_WORDS,
  FRAME,
  ID,
  ID_MASK,
  INVALID,
  IRQ_SLOT,
  ITER_SLOT,
  MAP_KEY,
  MAP_VALUE,
  MASK_HIGH,
  MASK_LOW,
  MEM,
  MISC,
  NOT_INIT,
  OFF,
  PACKET,
  PACKET_META,
  PRECISE,
  REF,
  SCALAR,
  SPILL,
  STACK,
  TP_BUFFER,
  TYPE,
  VALUE_LOW,
  ZERO,
} from './registers.ts'
import { FRAME_POINTER, type Frame, isSpilled, REGISTERS, registerBase, type State, slotBase } from './state.ts'

type Exactness = 'not' | 'exact' | 'range'

const unboundScalar: Bank = createBank(1)
unbound(unboundScalar.m, 0)
unboundScalar.m[TYPE] = SCALAR
unboundScalar.m[MASK_LOW] = -1
unboundScalar.m[MASK_HIGH] = -1

/** Pairs of ids, old and current, that stand for each other during one comparison. */
class IdMap {
  #old = new Int32Array(640)
  #current = new Int32Array(640)
  #count = 0
  #temporary = 0

  reset(ids: number): void {
    this.#count = 0
    this.#temporary = ids
  }

  same(old: number, current: number): boolean {
    if ((old !== 0) !== (current !== 0)) return false
    if (old === 0) return true
    for (let i = 0; i < this.#count; i++) {
      if (this.#old[i] === old) return this.#current[i] === current
      if (this.#current[i] === current) return false
    }
    if (this.#count >= this.#old.length) return false
    this.#old[this.#count] = old
    this.#current[this.#count++] = current
    return true
  }

  /**
   * As {@link same}; an old scalar without an id asks for nothing, a current one without is one of its own. Of a scalar that
   * is another plus a constant, the other one must stand for the other one, too.
   */
  sameScalar(old: number, current: number): boolean {
    if (old === 0) return true
    const id = current === 0 ? ++this.#temporary : current
    return this.same(old, id) && ((old & ADD_CONST) === 0 || this.same(old & ID_MASK, id & ID_MASK))
  }
}

const ids = new IdMap()

function sameWords(m: Int32Array, b: number, n: Int32Array, c: number, words: number): boolean {
  for (let i = 0; i < words; i++) if (m[b + i] !== n[c + i]) return false
  return true
}

function exactly(m: Int32Array, b: number, n: Int32Array, c: number): boolean {
  return sameWords(m, b, n, c, EXACT_WORDS) && ids.same(m[b + ID], n[c + ID]) && ids.same(m[b + REF], n[c + REF])
}

/** What was checked of a packet before; a mark of its end stands for itself only. */
function rangeCovers(old: number, current: number): boolean {
  return old < 0 || current < 0 ? old === current : old <= current
}

/** What is safe with the old register is safe with the current one (regsafe). */
function registerSafe(m: Int32Array, b: number, n: Int32Array, c: number, exact: Exactness): boolean {
  if (exact === 'exact') return exactly(m, b, n, c)
  const type = m[b + TYPE]
  if (type === NOT_INIT && (exact === 'not' || n[c + TYPE] === NOT_INIT)) return true
  if (type !== n[c + TYPE]) return false
  switch (type & BASE_MASK) {
    case SCALAR: {
      if (m[b + PRECISE] === 0 && exact === 'not') return true
      const old = m[b + ID]
      const current = n[c + ID]
      if (old !== 0 && (old & ADD_CONST) !== (current & ADD_CONST)) return false
      if ((old & ADD_CONST) !== 0 && m[b + OFF] !== n[c + OFF]) return false
      return rangeWithin(m, b, n, c) && bitsWithin(m, b, n, c) && ids.sameScalar(old, current)
    }
    case MAP_KEY:
    case MAP_VALUE:
    case MEM:
    case BUF:
    case TP_BUFFER:
      return (
        sameWords(m, b, n, c, VALUE_LOW) &&
        rangeWithin(m, b, n, c) &&
        bitsWithin(m, b, n, c) &&
        ids.same(m[b + ID], n[c + ID]) &&
        ids.same(m[b + REF], n[c + REF])
      )
    case PACKET_META:
    case PACKET:
      return (
        rangeCovers(m[b + AUX], n[c + AUX]) &&
        m[b + OFF] === n[c + OFF] &&
        ids.same(m[b + ID], n[c + ID]) &&
        rangeWithin(m, b, n, c) &&
        bitsWithin(m, b, n, c)
      )
    case STACK:
      return exactly(m, b, n, c) && m[b + FRAME] === n[c + FRAME]
    default:
      return exactly(m, b, n, c)
  }
}

/** A slot as one 64-bit scalar, when a load would give one. */
function slotScalar(frame: Frame, slot: number): Int32Array | undefined {
  const types = frame.types
  const at = slot * 8
  if (types[at] === SPILL && frame.m[slotBase(slot) + TYPE] === SCALAR) return frame.m
  for (let j = 0; j < 8; j++) if (types[at + j] !== MISC && types[at + j] !== INVALID) return undefined
  return unboundScalar.m
}

/** Objects on the stack: what they are and the reference behind them; how far an iterator went does not matter. */
function objectSafe(m: Int32Array, n: Int32Array, b: number, type: number): boolean {
  if (m[b + AUX] !== n[b + AUX] || m[b + AUX2] !== n[b + AUX2]) return false
  if (type === ITER_SLOT && m[b + ITER_STATE] !== n[b + ITER_STATE]) return false
  return ids.same(m[b + REF], n[b + REF])
}

function stackSafe(old: Frame, current: Frame, exact: Exactness): boolean {
  const oldTypes = old.types
  const types = current.types
  for (let slot = 0; slot < old.slots; slot++) {
    for (let j = 0; j < 8; j++) {
      const i = slot * 8 + j
      const oldType = oldTypes[i]
      if (exact !== 'not' && (slot >= current.slots || oldType !== types[i])) return false
      if (oldType === INVALID || oldType === MISC) continue
      if (slot >= current.slots) return false
      const oldScalar = slotScalar(old, slot)
      const scalar = slotScalar(current, slot)
      if (oldScalar !== undefined && scalar !== undefined) {
        const b = oldScalar === unboundScalar.m ? 0 : slotBase(slot)
        const c = scalar === unboundScalar.m ? 0 : slotBase(slot)
        if (!registerSafe(oldScalar, b, scalar, c, exact)) return false
        break
      }
      if (oldType !== types[i]) return false
      if (j !== 7) continue
      if (oldType === SPILL) {
        if (!registerSafe(old.m, slotBase(slot), current.m, slotBase(slot), exact)) return false
      } else if (oldType === DYNPTR_SLOT || oldType === ITER_SLOT || oldType === IRQ_SLOT) {
        if (!objectSafe(old.m, current.m, slotBase(slot), oldType)) return false
      } else if (oldType !== ZERO) return false
    }
  }
  return true
}

function referencesSafe(old: State, current: State): boolean {
  if (old.references.length !== current.references.length || old.activeLocks !== current.activeLocks) return false
  if (old.rcuLocks !== current.rcuLocks || old.preemptLocks !== current.preemptLocks) return false
  if (!ids.same(old.irqId, current.irqId)) return false
  if (!ids.same(old.lockId, current.lockId) || old.lockOwner !== current.lockOwner) return false
  for (const [i, reference] of old.references.entries()) {
    const other = current.references[i]
    if (!ids.same(reference.id, other.id) || reference.kind !== other.kind) return false
    if (reference.owner !== other.owner) return false
  }
  return true
}

/** The instruction at which a frame stands. */
function frameInsn(state: State, index: number): number {
  return index === state.current ? state.insn : state.frames[index + 1].callsite
}

function statesEqual(env: Env, old: State, current: State, exact: Exactness): boolean {
  if (old.current !== current.current) return false
  ids.reset(env.ids)
  if (old.sleepable !== current.sleepable || !referencesSafe(old, current)) return false
  for (let i = 0; i <= old.current; i++) {
    const oldFrame = old.frames[i]
    const frame = current.frames[i]
    if (oldFrame.callsite !== frame.callsite || oldFrame.callbackDepth > frame.callbackDepth) return false
    const live = env.liveBefore[frameInsn(old, i)]
    for (let r = 0; r < REGISTERS; r++) {
      if ((live & (1 << r)) === 0) continue
      const b = registerBase(r)
      if (!registerSafe(oldFrame.m, b, frame.m, b, exact)) return false
    }
    if (!stackSafe(oldFrame, frame, exact)) return false
  }
  return true
}

export function sameCallsites(a: State, b: State): boolean {
  if (a.current !== b.current) return false
  for (let i = a.current; i >= 0; i--) if (a.frames[i].callsite !== b.frames[i].callsite) return false
  return true
}

function bucket(env: Env, insn: number): State[] {
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

/** Scalars that changed since an earlier round of a loop are forgotten, unless they are precise. */
export function widen(env: Env, old: State, current: State): void {
  ids.reset(env.ids)
  const one = (m: Int32Array, n: Int32Array, b: number) => {
    if (m[b + TYPE] !== SCALAR || n[b + TYPE] !== SCALAR) return
    if (m[b + PRECISE] !== 0 || n[b + PRECISE] !== 0 || exactly(m, b, n, b)) return
    markNotInit(n, b)
    n[b + TYPE] = SCALAR
  }
  for (let i = old.current; i >= 0; i--) {
    const oldFrame = old.frames[i]
    const frame = current.frames[i]
    for (let r = 0; r < REGISTERS; r++) one(oldFrame.m, frame.m, registerBase(r))
    const slots = Math.min(oldFrame.slots, frame.slots)
    for (let slot = 0; slot < slots; slot++)
      if (isSpilled(oldFrame, slot) && isSpilled(frame, slot)) one(oldFrame.m, frame.m, slotBase(slot))
  }
}

function notePeak(env: Env): void {
  env.peakStates = Math.max(env.peakStates, env.exploredSize + env.freeSize + env.backedgeCount)
}

let chainText = ''
/** The loop that a state is in, with the calls that lead there; undefined outside loops. Sets {@link chainText}. */
function loopKey(env: Env, state: State): string | undefined {
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

function enterLoop(env: Env, state: State): void {
  const key = loopKey(env, state)
  if (key === undefined) return
  let visit = env.visits.get(key)
  if (visit === undefined) {
    visit = { entry: undefined, backedges: [] }
    env.visits.set(key, visit)
  }
  if (visit.entry === undefined) {
    visit.entry = state
    if (env.log.states) env.say(`SCC enter ${key}`)
  }
}

function leaveLoop(env: Env, state: State): void {
  const key = loopKey(env, state)
  if (key === undefined) return
  const visit = env.visits.get(key)
  if (visit === undefined || visit.entry !== state) return
  if (env.log.states) env.say(`SCC exit ${key}`)
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

function loopIncomplete(env: Env, state: State): boolean {
  const key = loopKey(env, state)
  return key !== undefined && (env.visits.get(key)?.backedges.length ?? 0) > 0
}

function addBackedge(env: Env, old: State, backedge: State): void {
  const key = loopKey(env, old)
  const visit = key === undefined ? undefined : env.visits.get(key)
  if (visit === undefined) env.reject('verifier bug: add backedge: no SCC in verification path', 14)
  if (env.log.states) env.say(`SCC backedge ${key}`)
  visit.backedges.push(backedge)
  env.backedgeCount++
  notePeak(env)
}

/** What was precise in the old state must be in the current one's past. */
function propagatePrecision(env: Env, old: State, current: State): boolean {
  if (old.frames.length === 0) env.unmodelled(KERNEL_FAULT)
  for (let index = old.current; index >= 0; index--) {
    const frame = old.frames[index]
    let first = true
    const name = (text: string) => {
      if (env.log.states) env.log.write(first ? `frame ${index}: propagating ${text}` : `,${text}`)
      first = false
    }
    for (let r = 0; r < FRAME_POINTER; r++) {
      const b = registerBase(r)
      if (frame.m[b + TYPE] !== SCALAR || frame.m[b + PRECISE] === 0) continue
      name(`r${r}`)
      want(index, r, false)
    }
    for (let slot = 0; slot < frame.slots; slot++) {
      const b = slotBase(slot)
      if (!isSpilled(frame, slot) || frame.m[b + TYPE] !== SCALAR || frame.m[b + PRECISE] === 0) continue
      name(`fp${-(slot + 1) * 8}`)
      want(index, slot, true)
    }
    if (!first && env.log.states) env.log.write('\n')
  }
  return markWanted(env, current)
}

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
    for (let slot = 0; slot < frame.slots; slot++) {
      if (liveness.isAlive(i, slot)) continue
      markNotInit(frame.m, slotBase(slot))
      frame.types.fill(INVALID, slot * 8, slot * 8 + 8)
    }
  }
}

function cleanStates(env: Env, liveness: StackLiveness, list: readonly State[], insn: number, current: State): void {
  for (let i = list.length - 1; i >= 0; i--) {
    const state = list[i]
    if (state.branches !== 0 || state.insn !== insn || !sameCallsites(state, current) || state.cleaned) continue
    if (loopIncomplete(env, state)) continue
    cleanState(env, liveness, state)
  }
}

function maybeLooping(old: State, current: State): boolean {
  if (old.current !== current.current) return false
  const m = old.frame.m
  const n = current.frame.m
  for (let r = 0; r < REGISTERS; r++) if (!sameWords(m, r * 24, n, r * 24, FRAME)) return false
  return true
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
