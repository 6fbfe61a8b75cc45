import { InputError } from '../errors/index.ts'

/** No header is longer: broken types can name each other so that their text doubles with each. */
const MAX_BYTES = 1 << 28

const DEEPEST_INDENT = 13
/** Deeper lines are not indented further, as in libbpf. */
export const tabs = (level: number): string => '\t'.repeat(Math.min(level, DEEPEST_INDENT))

/** Text that is put together from small pieces, as the bytes that will be written: no string is made of it. */
export class TextBuffer {
  #bytes: Uint8Array
  #length = 0

  /** @param capacity bytes to begin with; the system hands out memory when it is written to */
  constructor(capacity: number) {
    this.#bytes = new Uint8Array(Math.max(capacity, 64))
  }

  get length(): number {
    return this.#length
  }

  /** The text so far. It stays valid until more is added. */
  get bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  clear(): void {
    this.#length = 0
  }

  /** Room for `more` bytes behind `length`. @throws InputError `btf.size` */
  #grow(length: number, more: number): Uint8Array {
    const needed = length + more
    if (needed > MAX_BYTES) throw new InputError('btf.size', `the text of the types is longer than ${MAX_BYTES} bytes`)
    const larger = new Uint8Array(Math.max(needed, this.#bytes.length * 2))
    larger.set(this.#bytes.subarray(0, length))
    this.#bytes = larger
    return larger
  }

  /** ASCII text. */
  text(text: string): void {
    let at = this.#length
    const bytes = at + text.length > this.#bytes.length ? this.#grow(at, text.length) : this.#bytes
    for (let i = 0; i < text.length; i++) bytes[at++] = text.charCodeAt(i)
    this.#length = at
  }

  /** The string at a place in a string section, without its NUL. */
  string(strings: Uint8Array, offset: number): void {
    let bytes = this.#bytes
    let at = this.#length
    for (let from = offset; strings[from] !== 0; from++) {
      if (at === bytes.length) bytes = this.#grow(at, 1)
      bytes[at++] = strings[from]
    }
    this.#length = at
  }

  /** A whole number in decimal. */
  number(value: number): void {
    this.text(String(value))
  }

  /** A new line and its indentation. */
  line(level: number): void {
    const depth = Math.min(level, DEEPEST_INDENT)
    let at = this.#length
    const bytes = at + depth >= this.#bytes.length ? this.#grow(at, depth + 1) : this.#bytes
    bytes[at++] = 0x0a
    for (let i = 0; i < depth; i++) bytes[at++] = 0x09
    this.#length = at
  }
}
