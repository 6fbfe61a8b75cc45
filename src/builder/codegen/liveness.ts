import { eachUse, type MachineBlock, type MachineFunction, successors } from './machine.ts'

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
    if (this.has(register)) return
    this.#place[register] = this.size
    this.members[this.size++] = register
  }
  remove(register: number): void {
    if (!this.has(register)) return
    const at = this.#place[register]
    const last = this.members[--this.size]
    this.members[at] = last
    this.#place[last] = at
  }
  /** Becomes exactly these. */
  reset(registers: Iterable<number>): void {
    this.size = 0
    for (const register of registers) this.add(register)
  }
}

/** Registers that a block's end reads. */
export function endUses(block: MachineBlock): number[] {
  const { end } = block
  if (end.op === 'exit') return [0]
  if (end.op === 'branch') return end.b >= 0 ? [end.a, end.b] : [end.a]
  return []
}

/**
 * Which registers are live at the end of each block. Only registers that cross a block's border take part in the
 * fixpoint; most temporaries do not.
 */
export function computeLiveness(fn: MachineFunction): Map<MachineBlock, readonly number[]> {
  const number = new Int32Array(fn.registers).fill(-1)
  const crossing: number[] = []
  const { blocks } = fn
  const exposed: number[][] = []
  const killed: number[][] = []
  const defined = new Int32Array(fn.registers).fill(-1)
  const seen = new Int32Array(fn.registers).fill(-1)
  blocks.forEach((block, b) => {
    const up: number[] = []
    const kill: number[] = []
    const use = (register: number): void => {
      if (defined[register] === b || seen[register] === b) return
      seen[register] = b
      up.push(register)
      if (number[register] < 0) number[register] = crossing.push(register) - 1
    }
    for (const instruction of block.code) {
      eachUse(instruction, use)
      for (const def of instruction.defs)
        if (defined[def] !== b) {
          defined[def] = b
          kill.push(def)
        }
    }
    for (const register of endUses(block)) use(register)
    exposed.push(up)
    killed.push(kill)
  })
  const words = (crossing.length + 31) >>> 5
  // one row of words a block
  const rows = (): Uint32Array => new Uint32Array(blocks.length * words)
  const [liveIn, liveOut, keep] = [rows(), rows(), rows()]
  keep.fill(0xffff_ffff)
  const index = new Map(blocks.map((block, i) => [block, i]))
  const next = blocks.map((block) => successors(block).map((it) => index.get(it)!))
  blocks.forEach((_, b) => {
    const row = b * words
    for (const register of killed[b]) {
      const n = number[register]
      if (n >= 0) keep[row + (n >>> 5)] &= ~(1 << (n & 31))
    }
    for (const register of exposed[b]) {
      const n = number[register]
      liveIn[row + (n >>> 5)] |= 1 << (n & 31)
    }
  })
  for (let changed = true; changed; ) {
    changed = false
    for (let b = blocks.length - 1; b >= 0; b--) {
      const row = b * words
      for (const to of next[b]) {
        const their = to * words
        for (let w = 0; w < words; w++) liveOut[row + w] |= liveIn[their + w]
      }
      for (let w = 0; w < words; w++) {
        const value = (liveIn[row + w] | (liveOut[row + w] & keep[row + w])) >>> 0
        if (value !== liveIn[row + w]) {
          liveIn[row + w] = value
          changed = true
        }
      }
    }
  }
  return new Map(
    blocks.map((block, b) => {
      const list: number[] = []
      for (let w = 0; w < words; w++)
        for (let bits = liveOut[b * words + w]; bits !== 0; bits &= bits - 1)
          list.push(crossing[32 * w + 31 - Math.clz32(bits & -bits)])
      return [block, list]
    }),
  )
}

/** Drops instructions without effect whose results nobody reads. */
export function removeDead(fn: MachineFunction): void {
  const live = new RegisterSet(fn.registers)
  const use = (register: number): void => live.add(register)
  for (let removed = true; removed; ) {
    removed = false
    const liveOut = computeLiveness(fn)
    for (const block of fn.blocks) {
      live.reset(liveOut.get(block)!)
      for (const register of endUses(block)) live.add(register)
      const kept = []
      for (let i = block.code.length - 1; i >= 0; i--) {
        const instruction = block.code[i]
        if (!instruction.effect && !instruction.defs.some((def) => live.has(def))) {
          removed = true
          continue
        }
        for (const def of instruction.defs) live.remove(def)
        eachUse(instruction, use)
        kept.push(instruction)
      }
      if (kept.length !== block.code.length) block.code = kept.reverse()
    }
  }
}
