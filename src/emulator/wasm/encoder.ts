/** Bytes of a WebAssembly module (core specification 1.0 chapter 5 and the sign-extension and bulk-memory operations). */

export const I32 = 0x7f
export const I64 = 0x7e

/** Opcodes of the instructions that the compiler uses. */
export const OP = {
  unreachable: 0x00,
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  else: 0x05,
  end: 0x0b,
  br: 0x0c,
  brIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  drop: 0x1a,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  i32Load: 0x28,
  i64Load: 0x29,
  i32Load8s: 0x2c,
  i32Load8u: 0x2d,
  i32Load16u: 0x2f,
  i64Load8s: 0x30,
  i64Load8u: 0x31,
  i64Load16s: 0x32,
  i64Load16u: 0x33,
  i64Load32s: 0x34,
  i64Load32u: 0x35,
  i32Store: 0x36,
  i64Store: 0x37,
  i32Store8: 0x3a,
  i32Store16: 0x3b,
  i64Store8: 0x3c,
  i64Store16: 0x3d,
  i64Store32: 0x3e,
  i32Const: 0x41,
  i64Const: 0x42,
  i32Eqz: 0x45,
  i32Eq: 0x46,
  i32Ne: 0x47,
  i32LtS: 0x48,
  i32LtU: 0x49,
  i32GtS: 0x4a,
  i32GtU: 0x4b,
  i32LeS: 0x4c,
  i32LeU: 0x4d,
  i32GeS: 0x4e,
  i32GeU: 0x4f,
  i64Eqz: 0x50,
  i64Eq: 0x51,
  i64Ne: 0x52,
  i64LtS: 0x53,
  i64LtU: 0x54,
  i64GtS: 0x55,
  i64GtU: 0x56,
  i64LeS: 0x57,
  i64LeU: 0x58,
  i64GeS: 0x59,
  i64GeU: 0x5a,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Mul: 0x6c,
  i32DivS: 0x6d,
  i32DivU: 0x6e,
  i32RemS: 0x6f,
  i32RemU: 0x70,
  i32And: 0x71,
  i32Or: 0x72,
  i32Xor: 0x73,
  i32Shl: 0x74,
  i32ShrS: 0x75,
  i32ShrU: 0x76,
  i32Rotl: 0x77,
  i32Rotr: 0x78,
  i64Add: 0x7c,
  i64Sub: 0x7d,
  i64Mul: 0x7e,
  i64DivS: 0x7f,
  i64DivU: 0x80,
  i64RemS: 0x81,
  i64RemU: 0x82,
  i64And: 0x83,
  i64Or: 0x84,
  i64Xor: 0x85,
  i64Shl: 0x86,
  i64ShrS: 0x87,
  i64ShrU: 0x88,
  i32WrapI64: 0xa7,
  i64ExtendI32S: 0xac,
  i64ExtendI32U: 0xad,
  i32Extend8S: 0xc0,
  i32Extend16S: 0xc1,
  i64Extend8S: 0xc2,
  i64Extend16S: 0xc3,
  i64Extend32S: 0xc4,
} as const

/** The block type without a result. */
export const VOID = 0x40

/** Growing bytes with the format's integers. */
export class WasmBytes {
  #bytes = new Uint8Array(1024)
  #length = 0

  get length(): number {
    return this.#length
  }

  byte(value: number): this {
    if (this.#length === this.#bytes.length) {
      const more = new Uint8Array(this.#bytes.length * 2)
      more.set(this.#bytes)
      this.#bytes = more
    }
    this.#bytes[this.#length++] = value
    return this
  }

  bytes(...values: readonly number[]): this {
    for (const value of values) this.byte(value)
    return this
  }

  append(piece: Uint8Array): this {
    for (const value of piece) this.byte(value)
    return this
  }

  /** Unsigned LEB128 of a u32. */
  u32(value: number): this {
    let rest = value >>> 0
    while (rest >= 0x80) {
      this.byte((rest & 0x7f) | 0x80)
      rest >>>= 7
    }
    return this.byte(rest)
  }

  /** Signed LEB128. */
  s32(value: number): this {
    let rest = value | 0
    for (;;) {
      const low = rest & 0x7f
      rest >>= 7
      if ((rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)) return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  s64(value: bigint): this {
    let rest = BigInt.asIntN(64, value)
    for (;;) {
      const low = Number(rest & 0x7fn)
      rest >>= 7n
      if ((rest === 0n && (low & 0x40) === 0) || (rest === -1n && (low & 0x40) !== 0)) return this.byte(low)
      this.byte(low | 0x80)
    }
  }

  text(value: string): this {
    const bytes = new TextEncoder().encode(value)
    return this.u32(bytes.length).append(bytes)
  }

  toBytes(): Uint8Array {
    return this.#bytes.slice(0, this.#length)
  }
}

export interface FunctionType {
  readonly params: readonly number[]
  readonly results: readonly number[]
}

/** What a module consists of here: imported functions and memory, own functions, exports. */
export interface ModuleParts {
  readonly types: readonly FunctionType[]
  /** Imported functions from module `env`, by type index. */
  readonly imports: readonly { readonly name: string; readonly type: number }[]
  readonly memoryPages: number
  readonly functions: readonly { readonly type: number; readonly body: Uint8Array; readonly export?: string }[]
}

export function encodeModule(parts: ModuleParts): Uint8Array {
  const out = new WasmBytes().bytes(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00)
  const section = (id: number, fill: (bytes: WasmBytes) => void): void => {
    const body = new WasmBytes()
    fill(body)
    out.byte(id).u32(body.length).append(body.toBytes())
  }
  section(1, (bytes) => {
    bytes.u32(parts.types.length)
    for (const { params, results } of parts.types)
      bytes
        .byte(0x60)
        .u32(params.length)
        .bytes(...params)
        .u32(results.length)
        .bytes(...results)
  })
  section(2, (bytes) => {
    bytes.u32(parts.imports.length + 1)
    bytes.text('env').text('memory').bytes(0x02, 0x01).u32(parts.memoryPages).u32(parts.memoryPages)
    for (const { name, type } of parts.imports) bytes.text('env').text(name).byte(0x00).u32(type)
  })
  section(3, (bytes) => {
    bytes.u32(parts.functions.length)
    for (const { type } of parts.functions) bytes.u32(type)
  })
  section(7, (bytes) => {
    const exported = parts.functions.flatMap((one, i) => (one.export === undefined ? [] : [[one.export, i] as const]))
    bytes.u32(exported.length)
    for (const [name, i] of exported)
      bytes
        .text(name)
        .byte(0x00)
        .u32(parts.imports.length + i)
  })
  section(10, (bytes) => {
    bytes.u32(parts.functions.length)
    for (const { body } of parts.functions) bytes.u32(body.length).append(body)
  })
  return out.toBytes()
}
