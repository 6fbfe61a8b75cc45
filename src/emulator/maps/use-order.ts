/** Slots in the order in which they were last used: a doubly linked list, 0 is its head, slot s stands at s + 1. */
export class UseOrder {
  readonly #before: Int32Array
  readonly #after: Int32Array

  constructor(slots: number) {
    this.#before = new Int32Array(slots + 1)
    this.#after = new Int32Array(slots + 1)
  }

  /** The slot that was used longest ago, undefined when there is none. */
  get oldest(): number | undefined {
    const at = this.#after[0]
    return at === 0 ? undefined : at - 1
  }

  /** Puts a slot at the end, new or known. */
  use(slot: number): void {
    this.remove(slot)
    const last = this.#before[0]
    this.#before[slot + 1] = last
    this.#after[slot + 1] = 0
    this.#after[last] = slot + 1
    this.#before[0] = slot + 1
  }

  remove(slot: number): void {
    const at = slot + 1
    // neither in the list nor its only entry
    if (this.#after[this.#before[at]] !== at) return
    this.#after[this.#before[at]] = this.#after[at]
    this.#before[this.#after[at]] = this.#before[at]
    this.#before[at] = 0
    this.#after[at] = 0
  }
}
