/**
 * When one state is as safe as another: registers, stack and references compared, with ids standing for each other
 * (states_equal of Linux 6.18); and what a loop's next round forgets on the strength of it.
 */

import { bitsWithin, markNotInit, rangeWithin, unbound } from '../scalars/bounds.ts'
import { frameInsn } from './checkpoints.ts'
import type { Env } from './env.ts'
import { ITER_STATE } from './iterator-slots.ts'
import {
  ADD_CONST,
  ARENA,
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
import { type Frame, isSpilled, REGISTERS, registerBase, type State, slotBase, TYPE_WORDS } from './state.ts'

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
    case ARENA:
      return true
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

/** Type words of a slot whose eight bytes are a spilled register. */
const SPILL_WORD = SPILL * 0x01010101
/** The bits of bytes that are invalid or hold anything: both ask for nothing. */
const MISC_WORD = MISC * 0x01010101

/** What is safe with the old slot is safe with the current one (stacksafe, of one slot). */
function slotSafe(old: Frame, current: Frame, slot: number, exact: Exactness): boolean {
  const low = old.m[old.typesAt + slot * TYPE_WORDS]
  const high = old.m[old.typesAt + slot * TYPE_WORDS + 1]
  if (
    exact !== 'not' &&
    (slot >= current.slots ||
      low !== current.m[current.typesAt + slot * TYPE_WORDS] ||
      high !== current.m[current.typesAt + slot * TYPE_WORDS + 1])
  )
    return false
  if (((low | high) & ~MISC_WORD) === 0) return true
  if (
    low === SPILL_WORD &&
    high === SPILL_WORD &&
    slot < current.slots &&
    current.m[current.typesAt + slot * TYPE_WORDS] === SPILL_WORD &&
    current.m[current.typesAt + slot * TYPE_WORDS + 1] === SPILL_WORD
  )
    return registerSafe(old.m, slotBase(slot), current.m, slotBase(slot), exact)
  return bytesSafe(old, current, slot, exact)
}

function bytesSafe(old: Frame, current: Frame, slot: number, exact: Exactness): boolean {
  const oldTypes = old.types
  const types = current.types
  for (let j = 0; j < 8; j++) {
    const i = slot * 8 + j
    const oldType = oldTypes[i]
    if (oldType === INVALID || oldType === MISC) continue
    if (slot >= current.slots) return false
    const oldScalar = slotScalar(old, slot)
    const scalar = slotScalar(current, slot)
    if (oldScalar !== undefined && scalar !== undefined) {
      const b = oldScalar === unboundScalar.m ? 0 : slotBase(slot)
      const c = scalar === unboundScalar.m ? 0 : slotBase(slot)
      return registerSafe(oldScalar, b, scalar, c, exact)
    }
    if (oldType !== types[i]) return false
    if (j !== 7) continue
    if (oldType === SPILL) {
      if (!registerSafe(old.m, slotBase(slot), current.m, slotBase(slot), exact)) return false
    } else if (oldType === DYNPTR_SLOT || oldType === ITER_SLOT || oldType === IRQ_SLOT) {
      if (!objectSafe(old.m, current.m, slotBase(slot), oldType)) return false
    } else if (oldType !== ZERO) return false
  }
  return true
}

function referencesSafe(old: State, current: State): boolean {
  if (old.references.length !== current.references.length || old.activeLocks !== current.activeLocks) return false
  if (old.rcuLocks !== current.rcuLocks || old.preemptLocks !== current.preemptLocks) return false
  if (!ids.same(old.irqId, current.irqId)) return false
  if (!ids.same(old.lockId, current.lockId) || old.lockOwner !== current.lockOwner) return false
  for (let i = 0; i < old.references.length; i++) {
    const reference = old.references[i]
    const other = current.references[i]
    if (!ids.same(reference.id, other.id) || reference.kind !== other.kind) return false
    if (reference.owner !== other.owner) return false
  }
  return true
}

/** Where the last comparison with a remembered state failed: frame, and register or slot + {@link REGISTERS}. */
function missAt(frame: number, index: number): number {
  return (frame << 7) | index
}

/** The comparison fails where it failed last time: asked first, since most fail in the same place again. */
function missesAgain(env: Env, old: State, current: State, exact: Exactness): boolean {
  const at = old.missAt & 127
  const oldFrame = old.frames[old.missAt >> 7]
  const frame = current.frames[old.missAt >> 7]
  ids.reset(env.ids)
  if (at >= REGISTERS) return !slotSafe(oldFrame, frame, at - REGISTERS, exact)
  return !registerSafe(oldFrame.m, registerBase(at), frame.m, registerBase(at), exact)
}

export function statesEqual(env: Env, old: State, current: State, exact: Exactness): boolean {
  if (old.current !== current.current) return false
  if (old.missAt >= 0 && missesAgain(env, old, current, exact)) return false
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
      if (registerSafe(oldFrame.m, b, frame.m, b, exact)) continue
      old.missAt = missAt(i, r)
      return false
    }
    for (let slot = 0; slot < oldFrame.slots; slot++) {
      if (slotSafe(oldFrame, frame, slot, exact)) continue
      old.missAt = missAt(i, REGISTERS + slot)
      return false
    }
  }
  return true
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

export function maybeLooping(old: State, current: State): boolean {
  if (old.current !== current.current) return false
  const m = old.frame.m
  const n = current.frame.m
  for (let r = 0; r < REGISTERS; r++) if (!sameWords(m, r * 24, n, r * 24, FRAME)) return false
  return true
}
