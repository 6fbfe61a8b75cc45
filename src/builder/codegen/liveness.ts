import { FRAME_POINTER, flowOf, type MachineBlock, type MachineFunction, type MachineInstruction } from './machine.ts'

/** A set of small numbers: constant-time changes, iteration over its members only. */
export class RegisterSet {
  readonly members: Int32Array
  readonly #place: Int32Array
  size = 0
  constructor(registers: number) {
    this.members = new Int32Array(registers)
    this.#place = new Int32Array(registers)
  }
  has(register: number): boolean {
    const at = this.#place[register]
    return at < this.size && this.members[at] === register
  }
  add(register: number): void {
    const at = this.#place[register]
    if (at < this.size && this.members[at] === register) return
    this.#place[register] = this.size
    this.members[this.size++] = register
  }
  remove(register: number): void {
    const at = this.#place[register]
    if (at >= this.size || this.members[at] !== register) return
    const last = this.members[--this.size]
    this.members[at] = last
    this.#place[last] = at
  }
}

/** The registers that a block's end reads: the first one, the second one; -1 for none. */
export function endUse(block: MachineBlock, which: 0 | 1): number {
  const { end } = block
  if (end.op === 'branch') return which === 0 ? end.a : end.b
  return end.op === 'exit' && which === 0 ? 0 : -1
}

/** Which registers are live at the end of each block. */
export class Liveness {
  /** Registers that are read in blocks where they are not written before: the others live in one block each. */
  readonly crossing: readonly number[]
  /** Their numbers in `crossing`, -1 for the others. */
  readonly #number: Int32Array
  /** A row of bits a block, over `crossing`. */
  readonly #out: Uint32Array
  readonly #words: number

  constructor(crossing: readonly number[], number: Int32Array, out: Uint32Array, words: number) {
    this.crossing = crossing
    this.#number = number
    this.#out = out
    this.#words = words
  }
  crosses(register: number): boolean {
    return this.#number[register] >= 0
  }
  /** `live` becomes exactly what is live at the end of the block at this place. */
  atEnd(block: number, live: RegisterSet): void {
    live.size = 0
    const row = block * this.#words
    for (let w = 0; w < this.#words; w++)
      for (let bits = this.#out[row + w]; bits !== 0; bits &= bits - 1)
        live.add(this.crossing[32 * w + 31 - Math.clz32(bits & -bits)])
  }
}

/** Only registers that cross a block's border take part in the fixpoint; most temporaries do not. Numbers the blocks. */
export function computeLiveness(fn: MachineFunction): Liveness {
  const { blocks } = fn
  const number = new Int32Array(fn.registers).fill(-1)
  const crossing: number[] = []
  // what each block reads before it writes it, and what it writes: one list behind the other
  const exposed: number[] = []
  const killed: number[] = []
  const exposedEnd = new Int32Array(blocks.length)
  const killedEnd = new Int32Array(blocks.length)
  const defined = new Int32Array(fn.registers).fill(-1)
  const seen = new Int32Array(fn.registers).fill(-1)
  let b = 0
  const use = (register: number): void => {
    if (defined[register] === b || seen[register] === b) return
    seen[register] = b
    exposed.push(register)
    if (number[register] < 0) number[register] = crossing.push(register) - 1
  }
  for (; b < blocks.length; b++) {
    const block = blocks[b]
    const { code } = block
    for (let i = 0; i < code.length; i++) {
      const { uses, defs } = code[i]
      for (let u = 0; u < uses.length; u++) if (uses[u] !== FRAME_POINTER) use(uses[u])
      for (let d = 0; d < defs.length; d++) {
        const def = defs[d]
        if (defined[def] === b) continue
        defined[def] = b
        killed.push(def)
      }
    }
    const first = endUse(block, 0)
    const second = endUse(block, 1)
    if (first >= 0) use(first)
    if (second >= 0) use(second)
    exposedEnd[b] = exposed.length
    killedEnd[b] = killed.length
  }
  const words = (crossing.length + 31) >>> 5
  // one row of words a block
  const liveIn = new Uint32Array(blocks.length * words)
  const liveOut = new Uint32Array(blocks.length * words)
  const keep = new Uint32Array(blocks.length * words).fill(0xffff_ffff)
  for (let b = 0, k = 0, e = 0; b < blocks.length; b++) {
    const row = b * words
    for (; k < killedEnd[b]; k++) {
      const n = number[killed[k]]
      if (n >= 0) keep[row + (n >>> 5)] &= ~(1 << (n & 31))
    }
    for (; e < exposedEnd[b]; e++) {
      const n = number[exposed[e]]
      liveIn[row + (n >>> 5)] |= 1 << (n & 31)
    }
  }
  const { next, isHead } = flowOf(fn)
  // backwards: what a block needs is known to all before it, but for those that jump back to it
  for (let again = true; again; ) {
    again = false
    for (let b = blocks.length - 1; b >= 0; b--) {
      const row = b * words
      for (let e = 2 * b; e < 2 * b + 2; e++) {
        if (next[e] < 0) continue
        const their = next[e] * words
        for (let w = 0; w < words; w++) liveOut[row + w] |= liveIn[their + w]
      }
      for (let w = 0; w < words; w++) {
        const value = (liveIn[row + w] | (liveOut[row + w] & keep[row + w])) >>> 0
        if (value === liveIn[row + w]) continue
        liveIn[row + w] = value
        if (isHead[b] !== 0) again = true
      }
    }
  }
  return new Liveness(crossing, number, liveOut, words)
}

/** Drops instructions without effect whose results nobody reads. */
export function removeDead(fn: MachineFunction): void {
  const live = new RegisterSet(fn.registers)
  for (let again = true; again; ) {
    again = false
    const liveness = computeLiveness(fn)
    for (let b = 0; b < fn.blocks.length; b++) {
      const block = fn.blocks[b]
      const { code } = block
      liveness.atEnd(b, live)
      const first = endUse(block, 0)
      const second = endUse(block, 1)
      if (first >= 0) live.add(first)
      if (second >= 0) live.add(second)
      let kept = code.length
      for (let i = code.length - 1; i >= 0; i--) {
        const instruction = code[i]
        const { defs, uses } = instruction
        if (!instruction.effect && !anyLive(live, defs)) {
          // what it read may be dead in other blocks now
          for (let u = 0; u < uses.length; u++) if (liveness.crosses(uses[u])) again = true
          continue
        }
        for (let d = 0; d < defs.length; d++) live.remove(defs[d])
        for (let u = 0; u < uses.length; u++) if (uses[u] !== FRAME_POINTER) live.add(uses[u])
        code[--kept] = instruction
      }
      if (kept === 0) continue
      code.copyWithin(0, kept)
      code.length -= kept
    }
  }
}

function anyLive(live: RegisterSet, defs: MachineInstruction['defs']): boolean {
  for (let d = 0; d < defs.length; d++) if (live.has(defs[d])) return true
  return false
}
