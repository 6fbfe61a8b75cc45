import type { Edge, FunctionGraph } from './graph.ts'

/** A natural loop: the blocks that can reach the back edges' tails without passing the header. */
export interface Loop {
  /** The block that every way into the loop passes. */
  readonly header: number
  /** All blocks, the header included, in ascending order. */
  readonly blocks: readonly number[]
  /** The edges that close the loop. */
  readonly backEdges: readonly Edge[]
  /** 1 for an outermost loop. */
  readonly depth: number
}

export interface Dominance {
  /** Immediate dominator of each block; the entry is its own; -1 for unreachable blocks. */
  readonly immediate: Int32Array
  /** Blocks in reverse postorder, unreachable ones left out. */
  readonly order: readonly number[]
  readonly loops: readonly Loop[]
  /** Edges that close a cycle whose target does not dominate their source: loops with several entries. */
  readonly irreducible: readonly Edge[]
}

/** Dominators (the iterative algorithm of Cooper, Harvey and Kennedy) and the natural loops that follow from them. */
export function dominance({ blocks }: FunctionGraph): Dominance {
  const { order, position, retreating } = depthFirst(blocks.map(({ successors }) => successors))
  const immediate = new Int32Array(blocks.length).fill(-1)
  if (order.length > 0) immediate[order[0]] = order[0]
  const meet = (a: number, b: number): number => {
    let [left, right] = [a, b]
    while (left !== right) {
      while (position[left] > position[right]) left = immediate[left]
      while (position[right] > position[left]) right = immediate[right]
    }
    return left
  }
  for (let changed = true; changed; ) {
    changed = false
    for (let i = 1; i < order.length; i++) {
      const block = order[i]
      let best = -1
      for (const { from } of blocks[block].predecessors)
        if (immediate[from] >= 0) best = best < 0 ? from : meet(from, best)
      if (best !== immediate[block]) {
        immediate[block] = best
        changed = true
      }
    }
  }
  const backEdges = new Map<number, Edge[]>()
  const irreducible: Edge[] = []
  for (const edge of retreating) {
    if (!dominates(immediate, position, edge.to, edge.from)) irreducible.push(edge)
    else if (backEdges.has(edge.to)) backEdges.get(edge.to)?.push(edge)
    else backEdges.set(edge.to, [edge])
  }
  return { immediate, order, loops: naturalLoops(blocks, backEdges), irreducible }
}

/** Whether every way from the entry to `block` passes `by` (a block dominates itself). */
function dominates(immediate: Int32Array, position: Int32Array, by: number, block: number): boolean {
  let at = block
  while (position[at] > position[by]) at = immediate[at]
  return at === by
}

function depthFirst(successors: readonly (readonly Edge[])[]): {
  order: number[]
  position: Int32Array
  retreating: Edge[]
} {
  const count = successors.length
  const position = new Int32Array(count).fill(-1)
  const state = new Uint8Array(count)
  const retreating: Edge[] = []
  const post: number[] = []
  const path: { readonly block: number; next: number }[] = []
  if (count > 0) {
    path.push({ block: 0, next: 0 })
    state[0] = 1
  }
  while (path.length > 0) {
    const top = path[path.length - 1]
    const edge = successors[top.block][top.next++]
    if (edge === undefined) {
      state[top.block] = 2
      post.push(top.block)
      path.pop()
    } else if (state[edge.to] === 0) {
      state[edge.to] = 1
      path.push({ block: edge.to, next: 0 })
    } else if (state[edge.to] === 1) retreating.push(edge)
  }
  const order = post.reverse()
  for (let i = 0; i < order.length; i++) position[order[i]] = i
  return { order, position, retreating }
}

function naturalLoops(blocks: FunctionGraph['blocks'], backEdges: ReadonlyMap<number, readonly Edge[]>): Loop[] {
  const found = [...backEdges].map(([header, edges]) => {
    const body = new Set([header])
    const stack = edges.map(({ from }) => from)
    for (let block = stack.pop(); block !== undefined; block = stack.pop()) {
      if (body.has(block)) continue
      body.add(block)
      for (const { from } of blocks[block].predecessors) if (blocks[from].reachable) stack.push(from)
    }
    return { header, body, backEdges: edges }
  })
  return found
    .map(({ header, body, backEdges: edges }) => ({
      header,
      blocks: [...body].sort((a, b) => a - b),
      backEdges: edges,
      depth: found.filter((other) => other.body.has(header)).length,
    }))
    .sort((a, b) => a.header - b.header)
}
