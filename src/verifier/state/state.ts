/**
 * Verifier states: registers and stack of every active frame, acquired references, and the path that led here.
 * Frames are pooled by capacity, since states come and go at every branch.
 */
import { markKnown, markNotInit } from '../scalars/bounds.ts'
import { type Bank, FRAME, STACK, TYPE, WORDS } from './registers.ts'

export const REGISTERS = 11
export const FRAME_POINTER = 10
export const MAIN_CALLSITE = -1
export const MAX_FRAMES = 8
export const MAX_STACK = 512

/** Frames have room for a multiple of this many slots. */
const SLOT_STEP = 8
/** What the pool keeps at most, in bytes. */
const POOL_LIMIT = 1 << 25

/** Base of a register's words. */
export function registerBase(register: number): number {
  return register * WORDS
}

/** Base of the words of a stack slot's spilled register. Slot 0 is fp-8. */
export function slotBase(slot: number): number {
  return (REGISTERS + slot) * WORDS
}

/** Words of a slot's {@link Frame.types}. */
export const TYPE_WORDS = 2

export class Frame implements Bank {
  readonly m: Int32Array
  readonly s: BigInt64Array
  readonly u: BigUint64Array
  /** Eight bytes a slot: what each stack byte holds. Byte 7 - i of slot n is fp - 8n - 1 - i … as the kernel counts. */
  readonly types: Uint8Array
  /** Where {@link types} begin in {@link m}: {@link TYPE_WORDS} words a slot. */
  readonly typesAt: number
  readonly capacity: number
  /** Allocated slots. */
  slots = 0
  callsite = MAIN_CALLSITE
  index = 0
  subprogram = 0
  callbackDepth = 0
  inCallback = false
  inAsyncCallback = false
  asyncEntries = 0
  returnMinimum = 0
  returnMaximum = 0

  constructor(capacity: number) {
    this.typesAt = (REGISTERS + capacity) * WORDS
    const buffer = new ArrayBuffer((this.typesAt + capacity * TYPE_WORDS) * 4)
    this.m = new Int32Array(buffer)
    this.s = new BigInt64Array(buffer)
    this.u = new BigUint64Array(buffer)
    this.types = new Uint8Array(buffer, this.typesAt * 4)
    this.capacity = capacity
  }

  copyFrom(other: Frame): void {
    if (this.capacity === other.capacity) {
      this.m.set(other.m)
    } else {
      const words = (REGISTERS + other.slots) * WORDS
      this.m.set(other.m.subarray(0, words))
      this.types.set(other.types.subarray(0, other.slots * 8))
    }
    this.slots = other.slots
    this.callsite = other.callsite
    this.index = other.index
    this.subprogram = other.subprogram
    this.callbackDepth = other.callbackDepth
    this.inCallback = other.inCallback
    this.inAsyncCallback = other.inAsyncCallback
    this.asyncEntries = other.asyncEntries
    this.returnMinimum = other.returnMinimum
    this.returnMaximum = other.returnMaximum
  }
}

/** Plain spin locks, those that may fail, and those that turn interrupts off besides. */
export type LockKind = 'lock' | 'res_lock' | 'res_lock_irq'

/** A lock or a reference that must be given back. */
export interface Reference {
  readonly kind: 'pointer' | LockKind | 'irq'
  readonly id: number
  readonly insn: number
  /** Of a lock: the map (index + 1). */
  readonly owner: number
}

/** Where a path jumped, or what an instruction did that precision tracking needs. */
export interface HistoryEntry {
  readonly index: number
  readonly previous: number
  /** {@link STACK_ACCESS} and its frame and slot, or that a compared register is a stack pointer. */
  readonly flags: number
  /** Registers and slots that shared an id when a branch narrowed them. */
  readonly linked: readonly LinkedRegister[] | undefined
}

export interface LinkedRegister {
  readonly frame: number
  readonly isRegister: boolean
  /** Register or slot. */
  readonly index: number
}

export const STACK_ACCESS = 1 << 9
export const DST_IS_STACK = 1 << 10
export const SRC_IS_STACK = 1 << 11

export function stackAccessFlags(frame: number, slot: number): number {
  return STACK_ACCESS | (slot << 3) | frame
}

const NO_REFERENCES: readonly Reference[] = []

export class State {
  frames: Frame[] = []
  current = 0
  references: readonly Reference[] = NO_REFERENCES
  activeLocks = 0
  /** RCU read sections and sections without preemption that are open. */
  rcuLocks = 0
  preemptLocks = 0
  /** Id of the innermost section without interrupts, 0 outside. */
  irqId = 0
  lockId = 0
  lockOwner = 0
  branches = 0
  parent: State | undefined
  firstInsn = 0
  lastInsn = -1
  insn = 0
  depth = 0
  callbackUnroll = 0
  mayGotoDepth = 0
  sleepable = false
  cleaned = false
  equal: State | undefined
  history: HistoryEntry[] = []
  /** Of a checkpoint: how often it matched and did not. */
  hits = 0
  misses = 0
  /** Where the last comparison failed, see equivalence.ts; -1 before. */
  missAt = -1
  inFreeList = false

  get frame(): Frame {
    return this.frames[this.current]
  }
}

export class StatePool {
  /** By capacity in steps. */
  readonly #free: Frame[][] = Array.from({ length: MAX_STACK / 8 / SLOT_STEP + 1 }, () => [])
  #bytes = 0

  takeFrame(slots: number): Frame {
    const step = Math.max(1, Math.ceil(slots / SLOT_STEP))
    const frame = this.#free[step].pop()
    if (frame === undefined) return new Frame(step * SLOT_STEP)
    this.#bytes -= frame.m.byteLength
    return frame
  }

  giveFrame(frame: Frame): void {
    if (this.#bytes > POOL_LIMIT) return
    this.#bytes += frame.m.byteLength
    this.#free[frame.capacity / SLOT_STEP].push(frame)
  }

  cloneFrame(frame: Frame): Frame {
    const copy = this.takeFrame(frame.slots)
    copy.copyFrom(frame)
    return copy
  }

  newFrame(callsite: number, index: number, subprogram: number): Frame {
    const frame = this.takeFrame(0)
    const m = frame.m
    for (let i = 0; i < REGISTERS; i++) markNotInit(m, i * WORDS)
    frame.slots = 0
    frame.callsite = callsite
    frame.index = index
    frame.subprogram = subprogram
    frame.callbackDepth = 0
    frame.inCallback = false
    frame.inAsyncCallback = false
    frame.asyncEntries = 0
    frame.returnMinimum = 0
    frame.returnMaximum = 0
    const fp = registerBase(FRAME_POINTER)
    markKnown(m, fp, 0, 0)
    m[fp + TYPE] = STACK
    m[fp + FRAME] = index
    return frame
  }

  clone(state: State): State {
    const copy = new State()
    for (let i = 0; i <= state.current; i++) copy.frames.push(this.cloneFrame(state.frames[i]))
    copy.current = state.current
    copy.references = state.references
    copy.activeLocks = state.activeLocks
    copy.rcuLocks = state.rcuLocks
    copy.preemptLocks = state.preemptLocks
    copy.irqId = state.irqId
    copy.lockId = state.lockId
    copy.lockOwner = state.lockOwner
    copy.branches = state.branches
    copy.parent = state.parent
    copy.firstInsn = state.firstInsn
    copy.lastInsn = state.lastInsn
    copy.depth = state.depth
    copy.callbackUnroll = state.callbackUnroll
    copy.mayGotoDepth = state.mayGotoDepth
    copy.sleepable = state.sleepable
    copy.cleaned = state.cleaned
    copy.equal = state.equal
    copy.history = state.history.length === 0 ? [] : state.history.slice()
    return copy
  }

  free(state: State): void {
    for (const frame of state.frames) this.giveFrame(frame)
    state.frames = []
  }

  /** Makes room for `slots` stack slots; new ones are invalid. Answers the frame, which may be another object now. */
  growStack(state: State, frameIndex: number, slots: number): Frame {
    let frame = state.frames[frameIndex]
    if (frame.slots >= slots) return frame
    if (slots > frame.capacity) {
      const larger = this.takeFrame(slots)
      larger.copyFrom(frame)
      this.giveFrame(frame)
      state.frames[frameIndex] = larger
      frame = larger
    }
    for (let i = frame.slots; i < slots; i++) {
      frame.m.fill(0, slotBase(i), slotBase(i) + WORDS)
      frame.types.fill(0, i * 8, i * 8 + 8)
    }
    frame.slots = slots
    return frame
  }
}

/** Shared by all verifications: each is done before the next begins. */
export const framePool: StatePool = new StatePool()

/** True when the slot holds a spilled register (of any width). */
export function isSpilled(frame: Frame, slot: number): boolean {
  return frame.types[slot * 8 + 7] === 1
}

/** Every register and spilled register of every frame. */
export function eachRegister(state: State, visit: (m: Int32Array, b: number) => void): void {
  for (let i = 0; i <= state.current; i++) {
    const frame = state.frames[i]
    for (let r = 0; r < REGISTERS; r++) visit(frame.m, registerBase(r))
    for (let slot = 0; slot < frame.slots; slot++) if (isSpilled(frame, slot)) visit(frame.m, slotBase(slot))
  }
}
