import { InputError } from '../errors/index.ts'

/** A cursor over bytes from outside. Every read is checked; a read past the end throws an {@link InputError}. */
export class ByteReader {
  readonly bytes: Uint8Array
  readonly littleEndian: boolean
  readonly what: string
  #view: DataView
  #offset: number

  /** @param what names the input in errors ("section .maps") */
  constructor(bytes: Uint8Array, options: { littleEndian?: boolean; what?: string; offset?: number } = {}) {
    this.bytes = bytes
    this.littleEndian = options.littleEndian ?? true
    this.what = options.what ?? 'input'
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#offset = 0
    if (options.offset !== undefined) this.seek(options.offset)
  }

  get offset(): number {
    return this.#offset
  }

  get length(): number {
    return this.bytes.length
  }

  get remaining(): number {
    return this.bytes.length - this.#offset
  }

  seek(offset: number): this {
    if (!Number.isInteger(offset) || offset < 0 || offset > this.bytes.length)
      throw new InputError('bytes.out-of-range', `${this.what}: offset ${offset} is outside its ${this.length} bytes`)
    this.#offset = offset
    return this
  }

  skip(count: number): this {
    this.#take(count)
    return this
  }

  #take(count: number): number {
    const at = this.#offset
    if (!Number.isInteger(count) || count < 0 || count > this.bytes.length - at)
      throw new InputError(
        'bytes.truncated',
        `${this.what}: ${count} bytes wanted at offset ${at}, ${this.remaining} are left`,
      )
    this.#offset = at + count
    return at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }
  i8(): number {
    return this.#view.getInt8(this.#take(1))
  }
  u16(): number {
    return this.#view.getUint16(this.#take(2), this.littleEndian)
  }
  i16(): number {
    return this.#view.getInt16(this.#take(2), this.littleEndian)
  }
  u32(): number {
    return this.#view.getUint32(this.#take(4), this.littleEndian)
  }
  i32(): number {
    return this.#view.getInt32(this.#take(4), this.littleEndian)
  }
  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), this.littleEndian)
  }
  i64(): bigint {
    return this.#view.getBigInt64(this.#take(8), this.littleEndian)
  }

  /** A u64 that must be an exact number (an offset, a size). */
  u64Number(): number {
    const at = this.#offset
    const value = this.u64()
    if (value > BigInt(Number.MAX_SAFE_INTEGER))
      throw new InputError('bytes.too-large', `${this.what}: ${value} at offset ${at} is no sensible size or offset`)
    return Number(value)
  }

  /** A view (not a copy) of the next `count` bytes. */
  take(count: number): Uint8Array {
    const at = this.#take(count)
    return this.bytes.subarray(at, at + count)
  }

  /** The NUL-terminated string at `offset` (UTF-8); the cursor does not move. */
  cstringAt(offset: number): string {
    if (!Number.isInteger(offset) || offset < 0 || offset >= this.bytes.length)
      throw new InputError(
        'bytes.out-of-range',
        `${this.what}: string offset ${offset} is outside its ${this.length} bytes`,
      )
    const end = this.bytes.indexOf(0, offset)
    if (end < 0)
      throw new InputError('bytes.unterminated', `${this.what}: the string at offset ${offset} has no terminating NUL`)
    return utf8.decode(this.bytes.subarray(offset, end))
  }
}

const utf8 = new TextDecoder()
