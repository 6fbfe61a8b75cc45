/** What has become of a move. The first two may still vanish. */
export const MOVE = { waiting: 0, blocked: 1, coalesced: 2, constrained: 3, frozen: 4 } as const
const isOpen = (state: number): boolean => state <= MOVE.blocked

/**
 * The moves of a function, and for each register those that it takes part in. Registers that become one append their lists;
 * a move between two of them stands there twice.
 */
export class Moves {
  readonly dst: number[] = []
  readonly src: number[] = []
  #state = new Uint8Array(0)
  /** An entry is twice a move's number, plus one for its source. */
  #all = new Lists(0, 0)
  /** The same without moves that are decided (they vanish as they are found). */
  #undecided = new Lists(0, 0)
  /** How many entries of each register are not decided. */
  open = new Int32Array(0)

  add(dst: number, src: number): void {
    this.dst.push(dst)
    this.src.push(src)
  }
  /** Makes the lists, when all moves are known. */
  gather(registers: number): void {
    const { dst, src } = this
    this.#state = new Uint8Array(dst.length)
    this.#all = new Lists(registers, 2 * dst.length)
    this.#undecided = new Lists(registers, 2 * dst.length)
    this.open = new Int32Array(registers)
    for (let move = 0; move < dst.length; move++) {
      this.#enter(dst[move], 2 * move)
      this.#enter(src[move], 2 * move + 1)
    }
  }
  #enter(register: number, entry: number): void {
    this.#all.append(register, entry)
    this.#undecided.append(register, entry)
    this.open[register]++
  }

  stateOf(move: number): number {
    return this.#state[move]
  }
  block(move: number): void {
    this.#state[move] = MOVE.blocked
  }
  /** Decides an open move of these two registers (what they are coalesced into). */
  decide(move: number, state: number, dst: number, src: number): void {
    if (!isOpen(this.#state[move])) return
    this.#state[move] = state
    this.open[dst]--
    this.open[src]--
  }
  /** Whether a move of this register may still vanish. */
  related(register: number): boolean {
    return this.open[register] > 0
  }
  /** `into` takes part in all that `from` does. */
  merge(into: number, from: number): void {
    this.#all.concatenate(into, from)
    this.#undecided.concatenate(into, from)
    this.open[into] += this.open[from]
  }
  /** Blocked moves of a register wait again: their numbers go behind `list`. */
  wake(register: number, list: number[]): void {
    if (this.open[register] === 0) return
    const { first, next } = this.#undecided
    for (let entry = first[register], before = -1; entry >= 0; entry = next[entry]) {
      const move = entry >> 1
      const state = this.#state[move]
      if (!isOpen(state)) {
        this.#undecided.drop(register, entry, before)
        continue
      }
      before = entry
      if (state !== MOVE.blocked) continue
      this.#state[move] = MOVE.waiting
      list.push(move)
    }
  }
  /** The open moves of a register. */
  openOf(register: number): number[] {
    const list: number[] = []
    if (this.open[register] === 0) return list
    const { first, next } = this.#undecided
    for (let entry = first[register]; entry >= 0; entry = next[entry])
      if (isOpen(this.#state[entry >> 1])) list.push(entry >> 1)
    return list
  }
  /** The first entry of a register, decided or not; -1 for none. */
  firstOf(register: number): number {
    return this.#all.first[register]
  }
  after(entry: number): number {
    return this.#all.next[entry]
  }
}

/** A linked list of entries for each register. */
class Lists {
  readonly first: Int32Array
  readonly last: Int32Array
  readonly next: Int32Array

  constructor(registers: number, entries: number) {
    this.first = new Int32Array(registers).fill(-1)
    this.last = new Int32Array(registers).fill(-1)
    this.next = new Int32Array(entries).fill(-1)
  }
  append(register: number, entry: number): void {
    const last = this.last[register]
    if (last < 0) this.first[register] = entry
    else this.next[last] = entry
    this.last[register] = entry
  }
  concatenate(into: number, from: number): void {
    if (this.first[from] < 0) return
    const last = this.last[into]
    if (last < 0) this.first[into] = this.first[from]
    else this.next[last] = this.first[from]
    this.last[into] = this.last[from]
  }
  drop(register: number, entry: number, before: number): void {
    const next = this.next[entry]
    if (before < 0) this.first[register] = next
    else this.next[before] = next
    if (next < 0) this.last[register] = before
  }
}
