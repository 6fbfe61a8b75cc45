import { LD_IMM64, PSEUDO_LD } from '../../uapi/index.ts'
import { OPERATION } from '../decode.ts'
import type { LinkedProgram } from '../program.ts'

/** How a block ends. */
export type Ending = 'jump' | 'branch' | 'exit' | 'fall' | 'stop'

export interface Block {
  readonly start: number
  /** Slot of the last instruction. */
  readonly last: number
  /** Number of instructions (a 64-bit load counts once). */
  readonly count: number
  readonly ending: Ending
  /** Slots; a branch's first successor is the one taken. -1: outside the program. */
  readonly successors: readonly number[]
}

/** One function of a program as a graph of blocks, in reverse postorder. */
export interface FunctionGraph {
  readonly entry: number
  /** Blocks in reverse postorder: the entry first. */
  readonly blocks: readonly Block[]
  /** Slot of a block's start → index in `blocks`. */
  readonly index: ReadonlyMap<number, number>
  /** Index of the immediate dominator; the entry's is itself. */
  readonly dominator: Int32Array
  /** Blocks whose back edges make them loop headers. */
  readonly loops: ReadonlySet<number>
  /** Blocks with several forward edges into them. */
  readonly merges: ReadonlySet<number>
  /** False: a loop with two entrances, which has no structured form. */
  readonly reducible: boolean
}

/** Slots where functions of a program start: its entry, targets of local calls, and functions whose address is taken. */
export function functionEntries(program: LinkedProgram): number[] {
  const { code } = program
  const entries = new Set([0])
  for (let slot = 0; slot < code.length; slot++) {
    if (code.operation[slot] === OPERATION.callLocal && code.target[slot] >= 0) entries.add(code.target[slot])
    if (code.operation[slot] === LD_IMM64 && code.src[slot] === PSEUDO_LD.func) {
      const target = slot + 1 + code.imm[slot]
      if (target >= 0 && target < code.length) entries.add(target)
    }
  }
  return [...entries].sort((a, b) => a - b)
}

function isConditional(operation: number): boolean {
  const kind = operation & 7
  return operation < 0x100 && (kind === 5 || kind === 6) && operation !== 0x95
}

function endingOf(program: LinkedProgram, slot: number): Ending {
  const operation = program.code.operation[slot]
  if (operation === OPERATION.jumpAlways) return 'jump'
  if (operation === 0x95) return 'exit'
  if (operation === OPERATION.invalid) return 'stop'
  if (isConditional(operation) || operation === OPERATION.mayGoto) return 'branch'
  return 'fall'
}

function successorsOf(program: LinkedProgram, slot: number, ending: Ending): number[] {
  const { code } = program
  const next = code.next[slot] < code.length ? code.next[slot] : -1
  if (ending === 'jump') return [code.target[slot]]
  if (ending === 'branch') return [code.target[slot], next]
  return ending === 'fall' ? [next] : []
}

/** Blocks reachable from a function's entry. */
function findBlocks(program: LinkedProgram, entry: number): Map<number, Block> {
  const { code } = program
  const leaders = new Set([entry])
  const seen = new Set<number>()
  const work = [entry]
  while (work.length > 0) {
    let slot = work.pop() as number
    while (slot >= 0 && slot < code.length && !seen.has(slot)) {
      seen.add(slot)
      const ending = endingOf(program, slot)
      const successors = successorsOf(program, slot, ending)
      if (ending === 'fall') {
        slot = successors[0]
        continue
      }
      for (const next of successors)
        if (next >= 0) {
          leaders.add(next)
          work.push(next)
        }
      break
    }
  }
  const blocks = new Map<number, Block>()
  for (const start of leaders) {
    let last = start
    let count = 1
    while (endingOf(program, last) === 'fall') {
      const next = code.next[last]
      if (next >= code.length || leaders.has(next)) break
      last = next
      count++
    }
    const ending = endingOf(program, last)
    blocks.set(start, { start, last, count, ending, successors: successorsOf(program, last, ending) })
  }
  return blocks
}

function reversePostorder(blocks: ReadonlyMap<number, Block>, entry: number): number[] {
  const order: number[] = []
  const seen = new Set([entry])
  const stack: { slot: number; next: number }[] = [{ slot: entry, next: 0 }]
  while (stack.length > 0) {
    const top = stack[stack.length - 1]
    const successors = blocks.get(top.slot)?.successors ?? []
    // the branch's fall-through is visited last so that it comes first
    if (top.next < successors.length) {
      const slot = successors[top.next++]
      if (slot >= 0 && !seen.has(slot)) {
        seen.add(slot)
        stack.push({ slot, next: 0 })
      }
    } else {
      order.push(top.slot)
      stack.pop()
    }
  }
  return order.reverse()
}

/** Builds a function's graph with dominators (Cooper, Harvey and Kennedy's iteration). */
export function buildGraph(program: LinkedProgram, entry: number): FunctionGraph {
  const found = findBlocks(program, entry)
  const order = reversePostorder(found, entry)
  const index = new Map(order.map((slot, i) => [slot, i]))
  const blocks = order.map((slot) => found.get(slot) as Block)
  const predecessors: number[][] = blocks.map(() => [])
  blocks.forEach((block, from) => {
    for (const slot of block.successors) {
      const to = index.get(slot)
      if (to !== undefined) predecessors[to].push(from)
    }
  })
  const dominator = new Int32Array(blocks.length).fill(-1)
  dominator[0] = 0
  const meet = (a: number, b: number): number => {
    let [x, y] = [a, b]
    while (x !== y) {
      while (x > y) x = dominator[x]
      while (y > x) y = dominator[y]
    }
    return x
  }
  for (let changed = true; changed; ) {
    changed = false
    for (let node = 1; node < blocks.length; node++) {
      let best = -1
      for (const from of predecessors[node]) if (dominator[from] >= 0) best = best < 0 ? from : meet(from, best)
      if (best !== dominator[node]) {
        dominator[node] = best
        changed = true
      }
    }
  }
  const dominates = (a: number, b: number): boolean => {
    let node = b
    while (node > a) node = dominator[node]
    return node === a
  }
  const loops = new Set<number>()
  const merges = new Set<number>()
  let reducible = true
  for (let node = 0; node < blocks.length; node++) {
    let forward = node === 0 ? 1 : 0
    for (const from of predecessors[node]) {
      if (from < node) forward++
      else {
        loops.add(node)
        if (!dominates(node, from)) reducible = false
      }
    }
    if (forward > 1) merges.add(node)
  }
  return { entry, blocks, index, dominator, loops, merges, reducible }
}
