/** Growing byte output. Values are truncated to the width written, as in C. */
export class ByteWriter {
  readonly littleEndian: boolean
  #bytes = new Uint8Array(256)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  constructor(options: { littleEndian?: boolean } = {}) {
    this.littleEndian = options.littleEndian ?? true
  }

  get length(): number {
    return this.#length
  }

  #grow(count: number): number {
    const at = this.#length
    const need = at + count
    if (need > this.#bytes.length) {
      const bytes = new Uint8Array(Math.max(need, this.#bytes.length * 2))
      bytes.set(this.#bytes.subarray(0, at))
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer)
    }
    this.#length = need
    return at
  }

  u8(value: number): this {
    const at = this.#grow(1)
    this.#view.setUint8(at, value)
    return this
  }
  u16(value: number): this {
    const at = this.#grow(2)
    this.#view.setUint16(at, value, this.littleEndian)
    return this
  }
  u32(value: number): this {
    const at = this.#grow(4)
    this.#view.setUint32(at, value, this.littleEndian)
    return this
  }
  u64(value: bigint): this {
    const at = this.#grow(8)
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), this.littleEndian)
    return this
  }
  raw(bytes: Uint8Array): this {
    const at = this.#grow(bytes.length)
    this.#bytes.set(bytes, at)
    return this
  }
  zeros(count: number): this {
    this.#grow(count)
    return this
  }
  /** Zero bytes up to the next multiple of `alignment`. */
  align(alignment: number): this {
    return this.zeros((alignment - (this.#length % alignment)) % alignment)
  }
  /** Overwrites four bytes written before. */
  patchU32(at: number, value: number): this {
    this.#view.setUint32(at, value, this.littleEndian)
    return this
  }
  patchU64(at: number, value: bigint): this {
    this.#view.setBigUint64(at, BigInt.asUintN(64, value), this.littleEndian)
    return this
  }
  /** A copy of what was written. */
  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}
