/** A small seeded generator of random numbers (xorshift128): the same seed gives the same programs everywhere. */
export class Random {
  #a: number
  #b: number
  #c: number
  #d: number

  constructor(seed: number, stream = 0) {
    this.#a = (seed ^ 0x9e3779b9) | 0
    this.#b = (Math.imul(stream + 1, 0x85ebca6b) ^ 0x243f6a88) | 0
    this.#c = (Math.imul(seed + 0x7f4a7c15, 0xc2b2ae35) ^ stream) | 0
    this.#d = 0x5bd1e995
    for (let i = 0; i < 16; i++) this.next()
  }

  /** 32 random bits, unsigned. */
  next(): number {
    let t = this.#d
    const s = this.#a
    this.#d = this.#c
    this.#c = this.#b
    this.#b = s
    t ^= t << 11
    t ^= t >>> 8
    this.#a = t ^ s ^ (s >>> 19)
    return this.#a >>> 0
  }

  /** From 0 to below `limit`. */
  below(limit: number): number {
    return this.next() % limit
  }

  between(low: number, high: number): number {
    return low + this.below(high - low + 1)
  }

  chance(probability: number): boolean {
    return this.next() < probability * 0x1_0000_0000
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]
  }

  /** Picks by weight. */
  weighted<T>(choices: readonly (readonly [weight: number, value: T])[]): T {
    let total = 0
    for (const [weight] of choices) total += weight
    let at = this.below(total)
    for (const [weight, value] of choices) {
      if (at < weight) return value
      at -= weight
    }
    return choices[0][1]
  }

  /** Numbers where verifiers go wrong: powers of two and their neighbours, both signs. */
  edge(): number {
    switch (this.below(8)) {
      case 0:
        return this.between(-4, 4)
      case 1:
        return (1 << this.below(31)) | 0
      case 2:
        return ((1 << this.below(31)) - 1) | 0
      case 3:
        return -(1 << this.below(31)) | 0
      case 4:
        return this.pick([0x7fffffff, -0x80000000, -1, 0x7ffffffe, 0xffff, 0x10000, 0xff, 0x100, -0x7fffffff])
      case 5:
        return this.next() | 0
      default:
        return this.between(0, 80)
    }
  }
}
