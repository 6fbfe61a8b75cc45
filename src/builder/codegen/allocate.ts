import { computeLiveness, endUses, RegisterSet } from './liveness.ts'
import { eachUse, FIRST_VIRTUAL, FRAME_POINTER, type MachineFunction, type MachineInstruction } from './machine.ts'
import { rewriteSpills } from './spill.ts'

/** Machine registers that hold values: r0 to r9. */
const COLORS = 10

/**
 * Chooses machine registers by iterated register coalescing (George and Appel, 1996): moves into and out of argument
 * registers vanish where the values' lives allow, values that live across calls end in r6 to r9, the rest spills to the
 * frame. Deterministic.
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

interface Move {
  readonly instruction: MachineInstruction
  readonly dst: number
  readonly src: number
  state: 'worklist' | 'active' | 'coalesced' | 'constrained' | 'frozen'
}

function emptyLists<T>(count: number): T[][] {
  const lists = new Array<T[]>(count)
  for (let i = 0; i < count; i++) lists[i] = []
  return lists
}

class Coloring {
  readonly fn: MachineFunction
  readonly unspillable: ReadonlySet<number>
  readonly count: number
  readonly matrix: Uint32Array
  readonly adjacency: number[][]
  readonly degree: Int32Array
  readonly weight: Float64Array
  readonly alias: Int32Array
  readonly color: Int32Array
  readonly moveList: Move[][]
  /** 0 absent, 1 initial or on a worklist, 2 selected, 3 coalesced. */
  readonly state: Uint8Array
  readonly marked: Int32Array
  marks = 0
  worklistMoves: Move[] = []
  simplify = new Set<number>()
  freeze = new Set<number>()
  spill = new Set<number>()
  selected: number[] = []

  constructor(fn: MachineFunction, unspillable: ReadonlySet<number>) {
    this.fn = fn
    this.unspillable = unspillable
    this.count = fn.registers
    const rows = this.count
    this.matrix = new Uint32Array(((rows * rows) >>> 5) + 1)
    this.adjacency = emptyLists(rows)
    this.degree = new Int32Array(rows)
    this.weight = new Float64Array(rows)
    this.alias = new Int32Array(rows).map((_, i) => i)
    this.color = new Int32Array(rows).fill(-1)
    this.moveList = emptyLists(rows)
    this.state = new Uint8Array(rows)
    this.marked = new Int32Array(rows)
    for (let i = 0; i < COLORS; i++) {
      this.color[i] = i
      this.degree[i] = 1 << 29
    }
  }

  #edge(a: number, b: number): boolean {
    const i = a * this.count + b
    return (this.matrix[i >>> 5] & (1 << (i & 31))) !== 0
  }
  #connect(a: number, b: number): void {
    if (a === b || (a < FIRST_VIRTUAL && b < FIRST_VIRTUAL) || this.#edge(a, b)) return
    const i = a * this.count + b
    const j = b * this.count + a
    this.matrix[i >>> 5] |= 1 << (i & 31)
    this.matrix[j >>> 5] |= 1 << (j & 31)
    if (a >= FIRST_VIRTUAL) {
      this.adjacency[a].push(b)
      this.degree[a]++
    }
    if (b >= FIRST_VIRTUAL) {
      this.adjacency[b].push(a)
      this.degree[b]++
    }
  }

  #build(): void {
    const liveOut = computeLiveness(this.fn)
    const live = new RegisterSet(this.count)
    let weight = 0
    const see = (register: number): void => {
      if (register < FIRST_VIRTUAL) return
      this.state[register] = 1
      this.weight[register] += weight
    }
    const use = (register: number): void => {
      live.add(register)
      see(register)
    }
    for (const block of this.fn.blocks) {
      live.reset(liveOut.get(block)!)
      weight = 8 ** Math.min(block.loopDepth, 6) / (block.cold ? 8 : 1)
      for (const register of endUses(block)) use(register)
      for (let i = block.code.length - 1; i >= 0; i--) {
        const instruction = block.code[i]
        if (instruction.isMove && instruction.src !== FRAME_POINTER) {
          live.remove(instruction.src)
          const move: Move = { instruction, dst: instruction.dst, src: instruction.src, state: 'worklist' }
          this.moveList[instruction.dst].push(move)
          this.moveList[instruction.src].push(move)
          this.worklistMoves.push(move)
        }
        for (const def of instruction.defs) live.add(def)
        for (const def of instruction.defs) {
          see(def)
          for (let m = 0; m < live.size; m++) this.#connect(def, live.members[m])
        }
        for (const def of instruction.defs) live.remove(def)
        eachUse(instruction, use)
      }
    }
  }

  run(): number[] {
    this.#build()
    for (let n = FIRST_VIRTUAL; n < this.count; n++) {
      if (this.state[n] === 0) continue
      if (this.degree[n] >= COLORS) this.spill.add(n)
      else if (this.#moveRelated(n)) this.freeze.add(n)
      else this.simplify.add(n)
    }
    this.worklistMoves.reverse()
    for (;;) {
      if (this.simplify.size > 0) this.#simplifyOne()
      else if (this.worklistMoves.length > 0) this.#coalesceOne()
      else if (this.freeze.size > 0) this.#freezeOne()
      else if (this.spill.size > 0) this.#selectSpill()
      else break
    }
    return this.#assign()
  }

  #live(n: number): boolean {
    return this.state[n] === 1 || n < FIRST_VIRTUAL
  }
  #nodeMoves(n: number): Move[] {
    return this.moveList[n].filter((move) => move.state === 'worklist' || move.state === 'active')
  }
  #moveRelated(n: number): boolean {
    for (const { state } of this.moveList[n]) if (state === 'worklist' || state === 'active') return true
    return false
  }
  #first(set: Set<number>): number {
    const [first] = set
    return first
  }

  #simplifyOne(): void {
    const n = this.#first(this.simplify)
    this.simplify.delete(n)
    this.selected.push(n)
    this.state[n] = 2
    for (const m of this.adjacency[n]) if (m >= FIRST_VIRTUAL && this.state[m] === 1) this.#decrement(m)
  }
  #decrement(m: number): void {
    const d = this.degree[m]--
    if (d !== COLORS) return
    this.#enableMoves(m)
    for (const other of this.adjacency[m]) if (this.#live(other)) this.#enableMoves(other)
    this.spill.delete(m)
    if (this.#moveRelated(m)) this.freeze.add(m)
    else this.simplify.add(m)
  }
  #enableMoves(n: number): void {
    for (const move of this.moveList[n])
      if (move.state === 'active') {
        move.state = 'worklist'
        this.worklistMoves.push(move)
      }
  }
  #find(n: number): number {
    while (this.state[n] === 3) n = this.alias[n]
    return n
  }
  #addWork(n: number): void {
    if (n >= FIRST_VIRTUAL && this.degree[n] < COLORS && !this.#moveRelated(n)) {
      this.freeze.delete(n)
      this.simplify.add(n)
    }
  }
  #coalesceOne(): void {
    const move = this.worklistMoves.pop()!
    if (move.state !== 'worklist') return
    const x = this.#find(move.dst)
    const y = this.#find(move.src)
    const [u, v] = y < FIRST_VIRTUAL ? [y, x] : [x, y]
    if (u === v) {
      move.state = 'coalesced'
      this.#addWork(u)
      return
    }
    if (v < FIRST_VIRTUAL || this.#edge(u, v)) {
      move.state = 'constrained'
      this.#addWork(u)
      this.#addWork(v)
      return
    }
    const safe = u < FIRST_VIRTUAL ? this.#georgeSafe(u, v) : this.#briggsSafe(u, v)
    if (safe) {
      move.state = 'coalesced'
      this.#combine(u, v)
      this.#addWork(u)
    } else move.state = 'active'
  }
  #georgeSafe(u: number, v: number): boolean {
    for (const t of this.adjacency[v]) {
      if (!this.#live(t)) continue
      if (t < FIRST_VIRTUAL || this.degree[t] < COLORS || this.#edge(t, u)) continue
      return false
    }
    return true
  }
  #briggsSafe(u: number, v: number): boolean {
    let significant = 0
    const mark = ++this.marks
    for (const list of [this.adjacency[u], this.adjacency[v]])
      for (const t of list) {
        if (this.marked[t] === mark || !this.#live(t)) continue
        this.marked[t] = mark
        if (this.degree[t] >= COLORS && ++significant >= COLORS) return false
      }
    return true
  }
  #combine(u: number, v: number): void {
    this.freeze.delete(v)
    this.spill.delete(v)
    this.state[v] = 3
    this.alias[v] = u
    this.weight[u] += this.weight[v]
    for (const move of this.moveList[v]) this.moveList[u].push(move)
    this.#enableMoves(v)
    for (const t of this.adjacency[v]) {
      if (!this.#live(t)) continue
      this.#connect(t, u)
      if (t >= FIRST_VIRTUAL) this.#decrement(t)
    }
    if (u >= FIRST_VIRTUAL && this.degree[u] >= COLORS && this.freeze.has(u)) {
      this.freeze.delete(u)
      this.spill.add(u)
    }
  }
  #freezeOne(): void {
    const n = this.#first(this.freeze)
    this.freeze.delete(n)
    this.simplify.add(n)
    this.#freezeMoves(n)
  }
  #freezeMoves(n: number): void {
    for (const move of this.#nodeMoves(n)) {
      const other = this.#find(move.dst) === this.#find(n) ? this.#find(move.src) : this.#find(move.dst)
      move.state = 'frozen'
      if (other >= FIRST_VIRTUAL && !this.#moveRelated(other) && this.degree[other] < COLORS) {
        this.freeze.delete(other)
        this.simplify.add(other)
      }
    }
  }
  #selectSpill(): void {
    let best = -1
    let cost = Number.POSITIVE_INFINITY
    for (const n of this.spill) {
      const own = this.unspillable.has(n) ? 1e30 : this.weight[n] / this.degree[n]
      if (own < cost || best < 0) {
        best = n
        cost = own
      }
    }
    this.spill.delete(best)
    this.simplify.add(best)
    this.#freezeMoves(best)
  }

  #assign(): number[] {
    const spilled: number[] = []
    for (let i = this.selected.length - 1; i >= 0; i--) {
      const n = this.selected[i]
      let taken = 0
      for (const m of this.adjacency[n]) {
        const root = this.#find(m)
        if (this.color[root] >= 0) taken |= 1 << this.color[root]
      }
      let choice = -1
      for (const move of this.moveList[n]) {
        const other = this.#find(this.#find(move.dst) === n ? move.src : move.dst)
        const c = this.color[other]
        if (c >= 0 && (taken & (1 << c)) === 0) {
          choice = c
          break
        }
      }
      for (let c = 0; choice < 0 && c < COLORS; c++) if ((taken & (1 << c)) === 0) choice = c
      if (choice < 0) spilled.push(n)
      this.color[n] = choice
    }
    if (spilled.length > 0) {
      const lost = new Set(spilled)
      const all: number[] = []
      for (let n = FIRST_VIRTUAL; n < this.count; n++) if (this.state[n] !== 0 && lost.has(this.#find(n))) all.push(n)
      return all.map((n) => n * 1e7 + this.#find(n))
    }
    const map = (register: number): number => (register >= FIRST_VIRTUAL ? this.color[this.#find(register)] : register)
    for (const block of this.fn.blocks) {
      for (const instruction of block.code) {
        instruction.dst = map(instruction.dst)
        instruction.src = map(instruction.src)
        // whoever makes instructions gives each its own lists
        const { uses, defs } = instruction
        for (let i = 0; i < uses.length; i++) uses[i] = map(uses[i])
        for (let i = 0; i < defs.length; i++) defs[i] = map(defs[i])
      }
      block.code = block.code.filter((it) => !(it.isMove && it.dst === it.src))
      const { end } = block
      if (end.op === 'branch') {
        end.a = map(end.a)
        if (end.b >= 0) end.b = map(end.b)
      }
    }
    return []
  }
}
