/**
 * A set of small numbers in the order of their arrival: the first is found, and any is taken out, in constant time. One that
 * is there already keeps its place.
 */
export class Worklist {
  readonly #next: Int32Array
  readonly #previous: Int32Array
  readonly #end: number
  size = 0

  /** For numbers below `count`. */
  constructor(count: number) {
    this.#next = new Int32Array(count + 1).fill(-1)
    this.#previous = new Int32Array(count + 1).fill(-1)
    this.#end = count
    this.#next[count] = count
    this.#previous[count] = count
  }

  has(n: number): boolean {
    return this.#next[n] >= 0
  }
  add(n: number): void {
    if (this.has(n)) return
    const last = this.#previous[this.#end]
    this.#next[last] = n
    this.#previous[n] = last
    this.#next[n] = this.#end
    this.#previous[this.#end] = n
    this.size++
  }
  delete(n: number): void {
    const next = this.#next[n]
    if (next < 0) return
    const previous = this.#previous[n]
    this.#next[previous] = next
    this.#previous[next] = previous
    this.#next[n] = -1
    this.size--
  }
  /** The first, -1 when there is none. */
  get first(): number {
    return this.after(this.#end)
  }
  /** The one behind this member, -1 when it is the last. */
  after(n: number): number {
    const next = this.#next[n]
    return next === this.#end ? -1 : next
  }
}
