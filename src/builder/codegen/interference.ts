import { FIRST_VIRTUAL } from './machine.ts'

/** Which registers are live at the same time: a bit a pair, and the neighbours of each register in the order they were found. */
export class Interference {
  /** The lower triangle of the matrix, and where each register's row begins. */
  readonly #matrix: Uint32Array
  readonly #row: Uint32Array
  /** Lists of neighbours: the first and last entry of each register, what an entry names, the entry behind it. */
  readonly first: Int32Array
  readonly #last: Int32Array
  to: Int32Array<ArrayBuffer>
  next: Int32Array<ArrayBuffer>
  #entries = 0
  readonly degree: Int32Array

  constructor(registers: number) {
    this.#row = new Uint32Array(registers)
    for (let a = 1; a < registers; a++) this.#row[a] = this.#row[a - 1] + a - 1
    this.#matrix = new Uint32Array(((registers * (registers - 1)) / 64 + 1) | 0)
    this.first = new Int32Array(registers).fill(-1)
    this.#last = new Int32Array(registers).fill(-1)
    this.to = new Int32Array(32 * registers)
    this.next = new Int32Array(32 * registers)
    this.degree = new Int32Array(registers)
  }

  joined(a: number, b: number): boolean {
    const i = a > b ? this.#row[a] + b : this.#row[b] + a
    return (this.#matrix[i >>> 5] & (1 << (i & 31))) !== 0
  }
  join(a: number, b: number): void {
    if (a === b || (a < FIRST_VIRTUAL && b < FIRST_VIRTUAL)) return
    const i = a > b ? this.#row[a] + b : this.#row[b] + a
    const word = this.#matrix[i >>> 5]
    const bit = 1 << (i & 31)
    if ((word & bit) !== 0) return
    this.#matrix[i >>> 5] = word | bit
    if (a >= FIRST_VIRTUAL) this.#append(a, b)
    if (b >= FIRST_VIRTUAL) this.#append(b, a)
  }
  #append(register: number, neighbour: number): void {
    const entry = this.#entries++
    if (entry === this.to.length) {
      this.to = doubled(this.to)
      this.next = doubled(this.next)
    }
    this.to[entry] = neighbour
    this.next[entry] = -1
    const last = this.#last[register]
    if (last < 0) this.first[register] = entry
    else this.next[last] = entry
    this.#last[register] = entry
    this.degree[register]++
  }
  /** Takes an entry out of a register's list; `before` is the entry in front of it, -1 for none. */
  drop(register: number, entry: number, before: number): void {
    const next = this.next[entry]
    if (before < 0) this.first[register] = next
    else this.next[before] = next
    if (next < 0) this.#last[register] = before
  }
}

function doubled(list: Int32Array): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(2 * list.length)
  larger.set(list)
  return larger
}
