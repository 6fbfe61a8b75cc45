const FIRST_SLOTS = 1 << 14

/** How often each name was met, names being offsets in a string section: equal bytes are the same name. */
export class NameCounts {
  readonly #strings: Uint8Array
  #used = 0
  /** One more than the offset of a slot's name; 0: free. */
  #names = new Uint32Array(FIRST_SLOTS)
  #hashes = new Int32Array(FIRST_SLOTS)
  #counts = new Uint32Array(FIRST_SLOTS)

  constructor(strings: Uint8Array) {
    this.#strings = strings
  }

  /** Counts a name once more: 1 the first time. */
  add(offset: number): number {
    const strings = this.#strings
    let hash = 0x811c9dc5 | 0
    for (let at = offset; strings[at] !== 0; at++) hash = Math.imul(hash ^ strings[at], 0x01000193)
    hash ^= hash >>> 15
    if (this.#used * 2 >= this.#names.length) this.#grow()
    const names = this.#names
    const mask = names.length - 1
    let slot = hash & mask
    for (; names[slot] !== 0; slot = (slot + 1) & mask)
      if (this.#hashes[slot] === hash && this.#same(names[slot] - 1, offset)) return ++this.#counts[slot]
    this.#used++
    names[slot] = offset + 1
    this.#hashes[slot] = hash
    this.#counts[slot] = 1
    return 1
  }

  #same(a: number, b: number): boolean {
    if (a === b) return true
    const strings = this.#strings
    let i = 0
    while (strings[a + i] === strings[b + i] && strings[a + i] !== 0) i++
    return strings[a + i] === strings[b + i]
  }

  #grow(): void {
    const [names, hashes, counts] = [this.#names, this.#hashes, this.#counts]
    const mask = names.length * 2 - 1
    this.#names = new Uint32Array(mask + 1)
    this.#hashes = new Int32Array(mask + 1)
    this.#counts = new Uint32Array(mask + 1)
    for (let i = 0; i < names.length; i++) {
      if (names[i] === 0) continue
      let slot = hashes[i] & mask
      while (this.#names[slot] !== 0) slot = (slot + 1) & mask
      this.#names[slot] = names[i]
      this.#hashes[slot] = hashes[i]
      this.#counts[slot] = counts[i]
    }
  }
}
