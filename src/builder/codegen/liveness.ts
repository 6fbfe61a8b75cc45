import { eachUse, type MachineBlock, type MachineFunction, successors } from './machine.ts'

/** Sets of registers as bit words, one row a block. */
export interface Liveness {
  readonly words: number
  readonly liveOut: Map<MachineBlock, Uint32Array>
}

export const has = (set: Uint32Array, i: number): boolean => (set[i >>> 5] & (1 << (i & 31))) !== 0
export const add = (set: Uint32Array, i: number): void => {
  set[i >>> 5] |= 1 << (i & 31)
}
export const remove = (set: Uint32Array, i: number): void => {
  set[i >>> 5] &= ~(1 << (i & 31))
}

/** Registers that a block's end reads. */
export function endUses(block: MachineBlock): number[] {
  const { end } = block
  if (end.op === 'exit') return [0]
  if (end.op === 'branch') return end.b >= 0 ? [end.a, end.b] : [end.a]
  return []
}

/** Which registers are live at the end of each block. */
export function computeLiveness(fn: MachineFunction): Liveness {
  const words = (fn.registers + 31) >>> 5
  const gen = new Map<MachineBlock, Uint32Array>()
  const kill = new Map<MachineBlock, Uint32Array>()
  const liveIn = new Map<MachineBlock, Uint32Array>()
  const liveOut = new Map<MachineBlock, Uint32Array>()
  for (const block of fn.blocks) {
    const g = new Uint32Array(words)
    const k = new Uint32Array(words)
    for (const use of endUses(block)) add(g, use)
    for (let i = block.code.length - 1; i >= 0; i--) {
      const instruction = block.code[i]
      for (const def of instruction.defs) {
        add(k, def)
        remove(g, def)
      }
      eachUse(instruction, (use) => add(g, use))
    }
    gen.set(block, g)
    kill.set(block, k)
    liveIn.set(block, g.slice())
    liveOut.set(block, new Uint32Array(words))
  }
  for (let changed = true; changed; ) {
    changed = false
    for (let b = fn.blocks.length - 1; b >= 0; b--) {
      const block = fn.blocks[b]
      const out = liveOut.get(block)!
      const into = liveIn.get(block)!
      const g = gen.get(block)!
      const k = kill.get(block)!
      for (const next of successors(block)) {
        const nextIn = liveIn.get(next)!
        for (let w = 0; w < words; w++) out[w] |= nextIn[w]
      }
      for (let w = 0; w < words; w++) {
        const value = (g[w] | (out[w] & ~k[w])) >>> 0
        if (value !== into[w]) {
          into[w] = value
          changed = true
        }
      }
    }
  }
  return { words, liveOut }
}

/** Drops instructions without effect whose results nobody reads. */
export function removeDead(fn: MachineFunction): void {
  for (let removed = true; removed; ) {
    removed = false
    const { liveOut } = computeLiveness(fn)
    for (const block of fn.blocks) {
      const live = liveOut.get(block)!.slice()
      for (const use of endUses(block)) add(live, use)
      const kept = []
      for (let i = block.code.length - 1; i >= 0; i--) {
        const instruction = block.code[i]
        if (!instruction.effect && !instruction.defs.some((def) => has(live, def))) {
          removed = true
          continue
        }
        for (const def of instruction.defs) remove(live, def)
        eachUse(instruction, (use) => add(live, use))
        kept.push(instruction)
      }
      if (kept.length !== block.code.length) block.code = kept.reverse()
    }
  }
}
