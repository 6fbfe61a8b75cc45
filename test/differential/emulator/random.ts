/** Small, fast, seeded random numbers (mulberry32). */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed | 0
  }
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return (t ^ (t >>> 14)) >>> 0
  }
  below(limit: number): number {
    return this.u32() % limit
  }
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]
  }
  chance(percent: number): boolean {
    return this.below(100) < percent
  }
  /** Numbers near the edges more often than not. */
  imm(): number {
    const edges = [
      0, 1, -1, 2, 7, 8, 31, 32, 63, 64, 127, 128, 255, 256, -128, 0x7fff, 0x8000, 0xffff, 0x7fffffff, -0x80000000,
    ]
    return this.chance(60) ? this.pick(edges) : this.u32() | 0
  }
}

/** A random frame: mostly IPv4 or IPv6 that the kernel takes for a test run. */
export function randomFrame(random: Random): Uint8Array {
  const kind = random.below(5)
  const minimum = kind === 0 ? 14 : kind === 3 ? 54 : 34
  const frame = new Uint8Array(minimum + random.below(120))
  for (let i = 0; i < frame.length; i++) frame[i] = random.u32()
  const types: readonly (readonly [number, number])[] = [
    [0x12, 0x34],
    [0x08, 0x00],
    [0x08, 0x00],
    [0x86, 0xdd],
    [0x81, 0x00],
  ]
  frame.set(types[kind], 12)
  if (kind === 1 || kind === 2) frame[14] = 0x45
  if (kind === 3) frame[14] = 0x60
  if (random.chance(20)) frame.fill(random.pick([0, 0xff]), 0, 6)
  return frame
}
