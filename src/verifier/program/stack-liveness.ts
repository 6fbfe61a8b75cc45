/**
 * Which stack slots may still be read: collected while paths are simulated, per chain of calls and instruction, then
 * propagated backwards over the graph (the dynamic analysis of Linux 6.18). Slots are bits of two 32-bit words.
 */

import { slotsText } from '../state/backtrack.ts'
import { CALLS_CALLBACK, type Env, PRUNE_POINT } from '../state/env.ts'
import { MAX_FRAMES, type State } from '../state/state.ts'
import { next, successors } from './cfg.ts'

/** Words an instruction has per frame: read, written, written on every way out, live; low and high word each. */
const STRIDE = 8
const READ = 0
const WRITTEN = 2
const WRITTEN_ALWAYS = 4
const LIVE = 6

/** One function as called through one chain of calls. */
interface Instance {
  /** Call instructions of the outer frames. */
  readonly callsites: readonly number[]
  /** First instructions of the functions of all frames. */
  readonly starts: readonly number[]
  readonly depth: number
  readonly start: number
  readonly length: number
  readonly subprogram: number
  updated: boolean
  writesDropped: boolean
  readonly frames: (Int32Array | undefined)[]
  /** By frame: instructions whose masks, or those of the next, changed since they were last computed. */
  readonly dirty: (Uint8Array | undefined)[]
  readonly seen: Uint8Array
}

/** Instructions from which one can be reached: those of `insn` are `of[from[insn]]` up to `of[from[insn + 1]]`. */
interface Edges {
  readonly from: Int32Array
  readonly of: Int32Array
}

function predecessorsOf(env: Env): Edges {
  const n = env.code.length
  const from = new Int32Array(n + 2)
  for (let i = 0; i < n; i++) for (let s = successors(env, i) - 1; s >= 0; s--) if (next[s] < n) from[next[s] + 2]++
  for (let i = 2; i < n + 2; i++) from[i] += from[i - 1]
  const of = new Int32Array(from[n + 1])
  for (let i = 0; i < n; i++)
    for (let s = successors(env, i) - 1; s >= 0; s--) if (next[s] < n) of[from[next[s] + 1]++] = i
  return { from, of }
}

function touch(instance: Instance, frame: number, insn: number): void {
  const dirty = instance.dirty[frame]
  if (dirty !== undefined) dirty[insn - instance.start] = 1
}

export class StackLiveness {
  readonly #env: Env
  readonly #instances = new Map<string, Instance>()
  /** Those of no callsite, by function. */
  readonly #outermost: Instance[] = []
  #current: Instance | undefined
  readonly #writtenLow = new Int32Array(MAX_FRAMES)
  readonly #writtenHigh = new Int32Array(MAX_FRAMES)
  #writeInsn = 0
  readonly #query: Instance[] = []
  #queryInsn = 0
  /** Slots 0 to 31 that live on, see {@link queryFrame}. */
  aliveLow = 0
  /** Slots 32 to 63. */
  aliveHigh = 0

  constructor(env: Env) {
    this.#env = env
  }

  #instance(starts: readonly number[], callsites: readonly number[], depth: number): Instance {
    const key = `${callsites.slice(0, depth).join(',')}:${starts[depth]}`
    let instance = this.#instances.get(key)
    if (instance === undefined) {
      const index = this.#env.subprogramOf(starts[depth])
      const subprogram = this.#env.subprograms[index]
      const length = subprogram.end - subprogram.start
      instance = {
        callsites: callsites.slice(0, depth),
        starts: starts.slice(0, depth + 1),
        depth,
        start: subprogram.start,
        length,
        subprogram: index,
        updated: false,
        writesDropped: false,
        frames: [],
        dirty: [],
        seen: new Uint8Array(length),
      }
      this.#instances.set(key, instance)
    }
    return instance
  }

  #lookup(state: State, depth: number): Instance {
    if (depth === 0) return (this.#outermost[state.frames[0].subprogram] ??= this.#find(state, 0))
    return this.#find(state, depth)
  }

  #find(state: State, depth: number): Instance {
    const starts: number[] = []
    const callsites: number[] = []
    for (let i = 0; i <= depth; i++) {
      starts.push(this.#env.subprograms[state.frames[i].subprogram].start)
      if (i < state.current) callsites.push(state.frames[i + 1].callsite)
    }
    return this.#instance(starts, callsites, depth)
  }

  #ensure(): Instance {
    return (this.#current ??= this.#lookup(this.#env.state, this.#env.state.current))
  }

  #masks(instance: Instance, frame: number): Int32Array {
    let masks = instance.frames[frame]
    if (masks === undefined) {
      masks = new Int32Array(instance.length * STRIDE)
      instance.frames[frame] = masks
      instance.dirty[frame] = new Uint8Array(instance.length)
    }
    return masks
  }

  #edges: Edges | undefined
  #predecessors(): Edges {
    return (this.#edges ??= predecessorsOf(this.#env))
  }

  /** The frames have changed: the next mark belongs to another chain. */
  resetChain(): void {
    this.#current = undefined
  }

  #read(instance: Instance, frame: number, insn: number, low: number, high: number): void {
    const masks = this.#masks(instance, frame)
    const at = (insn - instance.start) * STRIDE
    const newLow = masks[at + READ] | low
    const newHigh = masks[at + READ + 1] | high
    if (newLow === masks[at + READ] && newHigh === masks[at + READ + 1]) return
    if ((newLow & ~masks[at + LIVE]) !== 0 || (newHigh & ~masks[at + LIVE + 1]) !== 0) instance.updated = true
    masks[at + READ] = newLow
    masks[at + READ + 1] = newHigh
    touch(instance, frame, insn)
  }

  /** The current instruction may read a slot. */
  markRead(frame: number, insn: number, slot: number): void {
    this.#read(this.#ensure(), frame, insn, slot < 32 ? 1 << slot : 0, slot < 32 ? 0 : 1 << (slot - 32))
  }

  /** An instruction begins. */
  beginWrites(insn: number): void {
    const instance = this.#ensure()
    this.#resetWrites(instance, insn)
  }

  #resetWrites(instance: Instance, insn: number): void {
    this.#writeInsn = insn
    for (let i = 0; i <= instance.depth; i++) {
      this.#writtenLow[i] = 0
      this.#writtenHigh[i] = 0
    }
  }

  /** The current instruction writes all of a slot. */
  markWrite(frame: number, slot: number): void {
    if (slot < 32) this.#writtenLow[frame] |= 1 << slot
    else this.#writtenHigh[frame] |= 1 << (slot - 32)
  }

  /** An instruction ends: what it always writes is what it wrote every time. */
  commitWrites(): void {
    if (this.#current !== undefined) this.#commit(this.#current)
  }

  #commit(instance: Instance): void {
    const index = this.#writeInsn - instance.start
    const at = index * STRIDE
    const seen = instance.seen[index] !== 0
    for (let frame = 0; frame <= instance.depth; frame++) {
      let low = this.#writtenLow[frame]
      let high = this.#writtenHigh[frame]
      if ((low | high) === 0 && !seen) continue
      if ((low | high) === 0 && instance.frames[frame] === undefined) continue
      const masks = this.#masks(instance, frame)
      const oldLow = masks[at + WRITTEN]
      const oldHigh = masks[at + WRITTEN + 1]
      if (seen) {
        low &= oldLow
        high &= oldHigh
      }
      if (low !== oldLow || high !== oldHigh) {
        masks[at + WRITTEN] = low
        masks[at + WRITTEN + 1] = high
        instance.updated = true
        touch(instance, frame, this.#writeInsn)
      }
      // The kernel keeps the old mask in 32 bits here, so that losing a write of a high slot goes unnoticed.
      if ((oldLow & ~low) !== 0) instance.writesDropped = true
    }
    instance.seen[index] = 1
    this.#writeInsn = 0
  }

  #chainText(instance: Instance): string {
    return `(${[...instance.callsites, instance.start].join(',')})`
  }

  #logChange(
    instance: Instance,
    name: string,
    frame: number,
    insn: number,
    oldLow: number,
    oldHigh: number,
    low: number,
    high: number,
  ): void {
    if (oldLow === low && oldHigh === high) return
    let text = `${this.#chainText(instance)} frame ${frame} insn ${insn} `
    const onesLow = low & ~oldLow
    const onesHigh = high & ~oldHigh
    const zerosLow = oldLow & ~low
    const zerosHigh = oldHigh & ~high
    if ((onesLow | onesHigh) !== 0) text += `+${name} ${slotsText(onesLow, onesHigh)} `
    if ((zerosLow | zerosHigh) !== 0) text += `-${name} ${slotsText(zerosLow, zerosHigh)}`
    this.#env.say(text)
  }

  #updateInsn(instance: Instance, masks: Int32Array, frame: number, insn: number): boolean {
    const env = this.#env
    const count = successors(env, insn)
    if (count === 0) return false
    const at = (insn - instance.start) * STRIDE
    let afterLow = 0
    let afterHigh = 0
    let alwaysLow = -1
    let alwaysHigh = -1
    for (let s = 0; s < count; s++) {
      const to = (next[s] - instance.start) * STRIDE
      afterLow |= masks[to + LIVE]
      afterHigh |= masks[to + LIVE + 1]
      alwaysLow &= masks[to + WRITTEN_ALWAYS]
      alwaysHigh &= masks[to + WRITTEN_ALWAYS + 1]
    }
    alwaysLow |= masks[at + WRITTEN]
    alwaysHigh |= masks[at + WRITTEN + 1]
    const low = (afterLow & ~masks[at + WRITTEN]) | masks[at + READ]
    const high = (afterHigh & ~masks[at + WRITTEN + 1]) | masks[at + READ + 1]
    const changed =
      low !== masks[at + LIVE] ||
      high !== masks[at + LIVE + 1] ||
      alwaysLow !== masks[at + WRITTEN_ALWAYS] ||
      alwaysHigh !== masks[at + WRITTEN_ALWAYS + 1]
    if (!changed) return false
    if (
      env.log.states &&
      ((masks[at + READ] | masks[at + READ + 1] | masks[at + WRITTEN] | masks[at + WRITTEN + 1]) !== 0 ||
        insn === instance.start ||
        (env.marks[insn] & PRUNE_POINT) !== 0)
    ) {
      this.#logChange(instance, 'live', frame, insn, masks[at + LIVE], masks[at + LIVE + 1], low, high)
      const oldLow = masks[at + WRITTEN_ALWAYS]
      const oldHigh = masks[at + WRITTEN_ALWAYS + 1]
      this.#logChange(instance, 'written', frame, insn, oldLow, oldHigh, alwaysLow, alwaysHigh)
    }
    masks[at + LIVE] = low
    masks[at + LIVE + 1] = high
    masks[at + WRITTEN_ALWAYS] = alwaysLow
    masks[at + WRITTEN_ALWAYS + 1] = alwaysHigh
    const predecessors = this.#predecessors()
    for (let i = predecessors.from[insn]; i < predecessors.from[insn + 1]; i++)
      touch(instance, frame, predecessors.of[i])
    return true
  }

  #updateInstance(instance: Instance): void {
    const env = this.#env
    if (instance.writesDropped)
      for (const [frame, masks] of instance.frames.entries()) {
        if (masks === undefined) continue
        for (let at = 0; at < masks.length; at += STRIDE)
          masks[at + WRITTEN_ALWAYS] = masks[at + WRITTEN_ALWAYS + 1] = 0
        instance.dirty[frame]?.fill(1)
      }
    const subprogram = env.subprograms[instance.subprogram]
    let rounds = 0
    let changed: boolean
    do {
      rounds++
      changed = false
      for (let frame = 0; frame <= instance.depth; frame++) {
        const masks = instance.frames[frame]
        const dirty = instance.dirty[frame]
        if (masks === undefined || dirty === undefined) continue
        for (let i = subprogram.postorderStart; i < subprogram.postorderEnd; i++) {
          const insn = env.postorder[i]
          if (dirty[insn - instance.start] === 0) continue
          dirty[insn - instance.start] = 0
          if (this.#updateInsn(instance, masks, frame, insn)) changed = true
        }
      }
    } while (changed)
    if (env.log.states) env.say(`${this.#chainText(instance)} live stack update done in ${rounds} iterations`)
    if (instance.depth > 0) this.#propagate(instance)
  }

  /** What the function reads and always writes of outer frames happens at its call. */
  #propagate(instance: Instance): void {
    const outer = this.#instance(instance.starts, instance.callsites, instance.depth - 1)
    const callsite = instance.callsites[instance.depth - 1]
    this.#resetWrites(outer, callsite)
    for (let frame = 0; frame < instance.depth; frame++) {
      const masks = instance.frames[frame]
      if (masks === undefined) continue
      this.#writtenLow[frame] |= masks[WRITTEN_ALWAYS]
      this.#writtenHigh[frame] |= masks[WRITTEN_ALWAYS + 1]
      this.#read(outer, frame, callsite, masks[LIVE], masks[LIVE + 1])
    }
    this.#commit(outer)
  }

  /** Propagates what is new in the chain of the current state (bpf_update_live_stack). */
  update(): void {
    this.resetChain()
    const state = this.#env.state
    for (let depth = state.current; depth >= 0; depth--) {
      const instance = this.#lookup(state, depth)
      if (!instance.updated) continue
      this.#updateInstance(instance)
      instance.updated = false
      instance.writesDropped = false
    }
  }

  /** The state that {@link queryFrame} asks about. */
  beginQuery(state: State): void {
    this.#query.length = 0
    for (let i = 0; i <= state.current; i++) this.#query.push(this.#lookup(state, i))
    this.#queryInsn = state.insn
  }

  /** Sets {@link aliveLow} and {@link aliveHigh}: the slots of a frame that may still be read, by that frame or those it called. */
  queryFrame(frame: number): void {
    this.aliveLow = 0
    this.aliveHigh = 0
    const current = this.#query[this.#query.length - 1]
    this.#addLive(current, this.#queryInsn, frame)
    for (let i = frame; i < current.depth; i++) {
      const callsite = current.callsites[i]
      const at = (this.#env.marks[callsite] & CALLS_CALLBACK) !== 0 ? callsite : callsite + 1
      this.#addLive(this.#query[i], at, frame)
    }
  }

  #addLive(instance: Instance, insn: number, frame: number): void {
    const masks = instance.frames[frame]
    if (masks === undefined) return
    const at = (insn - instance.start) * STRIDE + LIVE
    this.aliveLow |= masks[at]
    this.aliveHigh |= masks[at + 1]
  }
}
