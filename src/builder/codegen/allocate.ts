import { Interference } from './interference.ts'
import { computeLiveness, endUse, RegisterSet } from './liveness.ts'
import { FIRST_VIRTUAL, FRAME_POINTER, type MachineFunction } from './machine.ts'
import { MOVE, Moves } from './moves.ts'
import { rewriteSpills, type Spilled } from './spill.ts'
import { Worklist } from './worklist.ts'

/** Machine registers that hold values: r0 to r9. */
const COLORS = 10

/**
 * Chooses machine registers by iterated register coalescing (George and Appel, 1996): moves into and out of argument
 * registers vanish where the values' lives allow, values that live across calls end in r6 to r9, the rest spills to the
 * frame. Deterministic. Afterwards `uses` and `defs` of instructions say nothing any more.
 */
export function allocateRegisters(fn: MachineFunction): void {
  const unspillable = new Set<number>()
  for (let round = 0; round < 24; round++) {
    const spilled = new Coloring(fn, unspillable).run()
    if (spilled.length === 0) return
    rewriteSpills(fn, spilled, unspillable)
  }
  throw new Error(`${fn.name}: register allocation does not converge`)
}

/** Where a register is: not in the function, still in the graph, taken out of it to get a color, part of another one. */
const ABSENT = 0
const IN_GRAPH = 1
const SELECTED = 2
const COALESCED = 3

class Coloring {
  readonly fn: MachineFunction
  readonly unspillable: ReadonlySet<number>
  readonly count: number
  readonly graph: Interference
  readonly degree: Int32Array
  readonly weight: Float64Array
  readonly alias: Int32Array
  readonly color: Int32Array
  readonly moves = new Moves()
  readonly state: Uint8Array
  readonly marked: Int32Array
  marks = 0
  readonly waiting: number[] = []
  readonly simplify: Worklist
  readonly freeze: Worklist
  readonly spill: Worklist
  readonly selected: number[] = []

  constructor(fn: MachineFunction, unspillable: ReadonlySet<number>) {
    this.fn = fn
    this.unspillable = unspillable
    const count = fn.registers
    this.count = count
    this.graph = new Interference(count)
    this.degree = this.graph.degree
    this.weight = new Float64Array(count)
    this.alias = new Int32Array(count)
    this.color = new Int32Array(count).fill(-1)
    this.state = new Uint8Array(count)
    this.marked = new Int32Array(count)
    this.simplify = new Worklist(count)
    this.freeze = new Worklist(count)
    this.spill = new Worklist(count)
    for (let i = 0; i < COLORS; i++) {
      this.color[i] = i
      this.degree[i] = 1 << 29
    }
    this.state.fill(IN_GRAPH, 0, FIRST_VIRTUAL)
  }

  #build(): void {
    const { fn, graph, moves } = this
    const liveness = computeLiveness(fn)
    const live = new RegisterSet(this.count)
    const { members } = live
    for (let b = 0; b < fn.blocks.length; b++) {
      const block = fn.blocks[b]
      const { code } = block
      liveness.atEnd(b, live)
      const weight = 8 ** Math.min(block.loopDepth, 6) / (block.cold ? 8 : 1)
      const first = endUse(block, 0)
      const second = endUse(block, 1)
      if (first >= 0) live.add(first)
      if (second >= 0) live.add(second)
      this.#see(first, weight)
      this.#see(second, weight)
      for (let i = code.length - 1; i >= 0; i--) {
        const { isMove, dst, src, uses, defs } = code[i]
        if (isMove && src !== FRAME_POINTER) {
          live.remove(src)
          moves.add(dst, src)
        }
        for (let d = 0; d < defs.length; d++) live.add(defs[d])
        for (let d = 0; d < defs.length; d++) {
          const def = defs[d]
          this.#see(def, weight)
          for (let m = 0; m < live.size; m++) graph.join(def, members[m])
        }
        for (let d = 0; d < defs.length; d++) live.remove(defs[d])
        for (let u = 0; u < uses.length; u++) {
          if (uses[u] === FRAME_POINTER) continue
          live.add(uses[u])
          this.#see(uses[u], weight)
        }
      }
    }
    moves.gather(this.count)
    for (let move = moves.dst.length - 1; move >= 0; move--) this.waiting.push(move)
  }
  #see(register: number, weight: number): void {
    if (register < FIRST_VIRTUAL) return
    this.state[register] = IN_GRAPH
    this.weight[register] += weight
  }

  /** The registers that found no place; none: the function has machine registers now. */
  run(): Spilled[] {
    this.#build()
    const { simplify, freeze, spill } = this
    for (let n = FIRST_VIRTUAL; n < this.count; n++) {
      if (this.state[n] === ABSENT) continue
      if (this.degree[n] >= COLORS) spill.add(n)
      else if (this.moves.related(n)) freeze.add(n)
      else simplify.add(n)
    }
    for (;;) {
      if (simplify.size > 0) this.#simplifyOne()
      else if (this.waiting.length > 0) this.#coalesceOne()
      else if (freeze.size > 0) this.#freezeOne()
      else if (spill.size > 0) this.#selectSpill()
      else break
    }
    return this.#assign()
  }

  #simplifyOne(): void {
    const { graph, state } = this
    const { to, next } = graph
    const n = this.simplify.first
    this.simplify.delete(n)
    this.selected.push(n)
    state[n] = SELECTED
    for (let e = graph.first[n]; e >= 0; e = next[e]) {
      const m = to[e]
      if (m >= FIRST_VIRTUAL && state[m] === IN_GRAPH) this.#decrement(m)
    }
  }
  /**
   * A neighbour of this register has gone. Lists of registers that are in the graph lose what has left it: who left first gets
   * its color later, and who was coalesced has another entry.
   */
  #decrement(m: number): void {
    if (this.degree[m]-- !== COLORS) return
    const { graph, moves, state, waiting } = this
    const { to, next } = graph
    const { open } = moves
    if (open[m] > 0) moves.wake(m, waiting)
    for (let e = graph.first[m], before = -1; e >= 0; e = next[e]) {
      const t = to[e]
      if (state[t] !== IN_GRAPH) {
        graph.drop(m, e, before)
        continue
      }
      before = e
      if (open[t] > 0) moves.wake(t, waiting)
    }
    this.spill.delete(m)
    if (this.moves.related(m)) this.freeze.add(m)
    else this.simplify.add(m)
  }
  #find(n: number): number {
    if (this.state[n] !== COALESCED) return n
    let root = this.alias[n]
    while (this.state[root] === COALESCED) root = this.alias[root]
    while (n !== root) {
      const next = this.alias[n]
      this.alias[n] = root
      n = next
    }
    return root
  }
  #addWork(n: number): void {
    if (n >= FIRST_VIRTUAL && this.degree[n] < COLORS && !this.moves.related(n)) {
      this.freeze.delete(n)
      this.simplify.add(n)
    }
  }
  #coalesceOne(): void {
    const { moves } = this
    const move = this.waiting.pop()!
    if (moves.stateOf(move) !== MOVE.waiting) return
    const x = this.#find(moves.dst[move])
    const y = this.#find(moves.src[move])
    const u = y < FIRST_VIRTUAL ? y : x
    const v = y < FIRST_VIRTUAL ? x : y
    if (u === v) {
      moves.decide(move, MOVE.coalesced, u, v)
      this.#addWork(u)
      return
    }
    if (v < FIRST_VIRTUAL || this.graph.joined(u, v)) {
      moves.decide(move, MOVE.constrained, u, v)
      this.#addWork(u)
      this.#addWork(v)
      return
    }
    const safe = u < FIRST_VIRTUAL ? this.#georgeSafe(u, v) : this.#briggsSafe(u, v)
    if (safe) {
      moves.decide(move, MOVE.coalesced, u, v)
      this.#combine(u, v)
      this.#addWork(u)
    } else moves.block(move)
  }
  #georgeSafe(u: number, v: number): boolean {
    const { graph, state } = this
    const { to, next } = graph
    for (let e = graph.first[v], before = -1; e >= 0; e = next[e]) {
      const t = to[e]
      if (state[t] !== IN_GRAPH) {
        graph.drop(v, e, before)
        continue
      }
      before = e
      if (t >= FIRST_VIRTUAL && this.degree[t] >= COLORS && !graph.joined(t, u)) return false
    }
    return true
  }
  #briggsSafe(u: number, v: number): boolean {
    const mark = ++this.marks
    const significant = this.#significant(u, mark, 0)
    return significant < COLORS && this.#significant(v, mark, significant) < COLORS
  }
  /** Counts the neighbours with too many neighbours of their own, up to COLORS; each once for a mark. */
  #significant(n: number, mark: number, significant: number): number {
    const { graph, state, marked } = this
    const { to, next } = graph
    for (let e = graph.first[n], before = -1; e >= 0; e = next[e]) {
      const t = to[e]
      if (state[t] !== IN_GRAPH) {
        graph.drop(n, e, before)
        continue
      }
      before = e
      if (marked[t] === mark) continue
      marked[t] = mark
      if (this.degree[t] >= COLORS && ++significant >= COLORS) return significant
    }
    return significant
  }
  #combine(u: number, v: number): void {
    const { graph } = this
    this.freeze.delete(v)
    this.spill.delete(v)
    this.state[v] = COALESCED
    this.alias[v] = u
    this.weight[u] += this.weight[v]
    this.moves.wake(v, this.waiting)
    this.moves.merge(u, v)
    for (let e = graph.first[v]; e >= 0; e = graph.next[e]) {
      const t = graph.to[e]
      if (this.state[t] !== IN_GRAPH) continue
      graph.join(t, u)
      if (t >= FIRST_VIRTUAL) this.#decrement(t)
    }
    if (u >= FIRST_VIRTUAL && this.degree[u] >= COLORS && this.freeze.has(u)) {
      this.freeze.delete(u)
      this.spill.add(u)
    }
  }
  #freezeOne(): void {
    const n = this.freeze.first
    this.freeze.delete(n)
    this.simplify.add(n)
    this.#freezeMoves(n)
  }
  #freezeMoves(n: number): void {
    const { moves } = this
    for (const move of moves.openOf(n)) {
      const dst = this.#find(moves.dst[move])
      const src = this.#find(moves.src[move])
      const other = dst === this.#find(n) ? src : dst
      moves.decide(move, MOVE.frozen, dst, src)
      if (other >= FIRST_VIRTUAL && !moves.related(other) && this.degree[other] < COLORS) {
        this.freeze.delete(other)
        this.simplify.add(other)
      }
    }
  }
  #selectSpill(): void {
    const { spill } = this
    let best = -1
    let cost = Number.POSITIVE_INFINITY
    for (let n = spill.first; n >= 0; n = spill.after(n)) {
      const own = this.unspillable.has(n) ? 1e30 : this.weight[n] / this.degree[n]
      if (own < cost || best < 0) {
        best = n
        cost = own
      }
    }
    spill.delete(best)
    this.simplify.add(best)
    this.#freezeMoves(best)
  }

  #assign(): Spilled[] {
    const { graph, moves, color, state } = this
    const { to, next } = graph
    const lost = new Set<number>()
    for (let i = this.selected.length - 1; i >= 0; i--) {
      const n = this.selected[i]
      let taken = 0
      for (let e = graph.first[n]; e >= 0; e = next[e]) {
        const m = to[e]
        const c = color[state[m] === COALESCED ? this.#find(m) : m]
        if (c >= 0) taken |= 1 << c
      }
      let choice = -1
      for (let e = moves.firstOf(n); e >= 0; e = moves.after(e)) {
        const dst = this.#find(moves.dst[e >> 1])
        const c = color[dst === n ? this.#find(moves.src[e >> 1]) : dst]
        if (c >= 0 && (taken & (1 << c)) === 0) {
          choice = c
          break
        }
      }
      for (let c = 0; choice < 0 && c < COLORS; c++) if ((taken & (1 << c)) === 0) choice = c
      if (choice < 0) lost.add(n)
      color[n] = choice
    }
    if (lost.size > 0) {
      const all: Spilled[] = []
      for (let n = FIRST_VIRTUAL; n < this.count; n++) {
        const root = this.#find(n)
        if (this.state[n] !== ABSENT && lost.has(root)) all.push({ register: n, root })
      }
      return all
    }
    for (const block of this.fn.blocks) {
      const { code } = block
      let kept = 0
      for (let i = 0; i < code.length; i++) {
        const instruction = code[i]
        instruction.dst = this.#machine(instruction.dst)
        instruction.src = this.#machine(instruction.src)
        if (!instruction.isMove || instruction.dst !== instruction.src) code[kept++] = instruction
      }
      code.length = kept
      const { end } = block
      if (end.op === 'branch') {
        end.a = this.#machine(end.a)
        if (end.b >= 0) end.b = this.#machine(end.b)
      }
    }
    return []
  }
  #machine(register: number): number {
    return register >= FIRST_VIRTUAL ? this.color[this.#find(register)] : register
  }
}
