/**
 * The verifier's log as the kernel writes it. Levels are bits: 1 the instructions of the last path, 2 every state,
 * 4 statistics. Text is kept in chunks so that a path that was given up can be cut off again.
 */
const KEEP_CHARACTERS = 64 * 1024 * 1024

export interface LogPosition {
  readonly chunks: number
  readonly characters: number
}

export class Log {
  readonly level: number
  #chunks: string[] = []
  #characters = 0
  #dropped = false

  constructor(level: number) {
    this.level = level
  }

  /** Instructions and states are wanted (BPF_LOG_LEVEL1 | BPF_LOG_LEVEL2). */
  get verbose(): boolean {
    return (this.level & 3) !== 0
  }

  get states(): boolean {
    return (this.level & 2) !== 0
  }

  get end(): number {
    return this.#characters
  }

  write(text: string): void {
    this.#chunks.push(text)
    this.#characters += text.length
    if (this.#characters > KEEP_CHARACTERS && this.#chunks.length > 4096) this.#drop()
  }

  /** Forgets the older half of a log that has grown past what anybody will read. */
  #drop(): void {
    const half = this.#chunks.length >> 1
    let gone = 0
    for (let i = 0; i < half; i++) gone += this.#chunks[i].length
    this.#chunks.splice(0, half)
    this.#characters -= gone
    this.#dropped = true
  }

  get truncated(): boolean {
    return this.#dropped
  }

  position(): LogPosition {
    return { chunks: this.#chunks.length, characters: this.#characters }
  }

  /**
   * Cuts back to a position. A line whose newline was taken back since then keeps what was written in its place,
   * as the kernel's log does.
   */
  reset(position: LogPosition): void {
    if (position.chunks > this.#chunks.length) return
    const rest = this.#chunks.splice(position.chunks)
    let characters = this.#characters
    for (const chunk of rest) characters -= chunk.length
    const missing = position.characters - characters
    if (missing > 0) this.#chunks.push(rest.join('').slice(0, missing))
    this.#characters = position.characters
  }

  clear(): void {
    this.#chunks = []
    this.#characters = 0
  }

  /** Takes the newline at the end back. */
  unwriteNewline(): void {
    const last = this.#chunks.length - 1
    if (last < 0) return
    this.#chunks[last] = this.#chunks[last].slice(0, -1)
    this.#characters--
  }

  text(): string {
    return this.#chunks.join('')
  }
}

const MIN_ALIGNMENT = 8
const ALIGNMENT = 40

/** Spaces after an instruction of `position` characters, so that the states stand in a column. */
export function alignment(position: number): number {
  const least = Math.max(position + MIN_ALIGNMENT / 2, ALIGNMENT)
  return Math.ceil(least / MIN_ALIGNMENT) * MIN_ALIGNMENT - position - 1
}
