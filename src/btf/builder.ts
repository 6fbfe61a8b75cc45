import { ByteWriter } from '../bytes/index.ts'
import { UsageError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { BTF_HEADER_BYTES, BTF_MAGIC } from './header.ts'
import { BTF_KIND, type BtfType, typeName } from './types.ts'

/** Collects strings once each; offsets are final at once. */
export class StringTable {
  readonly #offsets = new Map<string, number>([['', 0]])
  readonly #writer = new ByteWriter()
  readonly #start: number

  /** @param start the offset of the first byte: 0, or where the base's strings end */
  constructor(start = 0) {
    this.#start = start
    if (start === 0) this.#writer.u8(0)
  }

  add(text: string): number {
    let offset = this.#offsets.get(text)
    if (offset === undefined) {
      offset = this.#start + this.#writer.length
      this.#writer.raw(encoder.encode(text.replaceAll('\0', ''))).u8(0)
      this.#offsets.set(text, offset)
    }
    return offset
  }

  toBytes(): Uint8Array {
    return this.#writer.toBytes()
  }
}

const encoder = new TextEncoder()

/** Builds BTF: strings once each, equal types once each, same input same bytes. */
export class BtfBuilder {
  readonly #types: (BtfType | undefined)[] = []
  readonly #known = new Map<string, number>()
  readonly #strings: StringTable
  readonly #firstId: number

  /** @param base to continue an existing BTF (split BTF) */
  constructor(base?: Btf) {
    this.#firstId = base === undefined ? 1 : base.endId
    this.#strings = new StringTable(base === undefined ? 0 : base.stringsSize)
  }

  /** The id of a type equal to this one, added when there is none yet. void is 0. */
  add(type: BtfType): number {
    if (type.kind === 'void') return 0
    const key = JSON.stringify(type, (_, value) => (typeof value === 'bigint' ? `${value}n` : value))
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const id = this.addDistinct(type)
    this.#known.set(key, id)
    return id
  }

  /** Adds a type even when an equal one is there. */
  addDistinct(type: BtfType): number {
    if (type.kind === 'void') return 0
    this.#types.push(type)
    return this.#firstId + this.#types.length - 1
  }

  /** An id for a type that is defined later: for structs that point to themselves. */
  declare(): number {
    this.#types.push(undefined)
    return this.#firstId + this.#types.length - 1
  }

  /** Defines a declared id, or replaces a type. */
  define(id: number, type: BtfType): void {
    const index = id - this.#firstId
    if (index < 0 || index >= this.#types.length) throw new UsageError('btf.id', `no type [${id}] was declared here`)
    this.#types[index] = type
  }

  get(id: number): BtfType | undefined {
    return this.#types[id - this.#firstId]
  }

  get typeCount(): number {
    return this.#firstId + this.#types.length - 1
  }

  get isEmpty(): boolean {
    return this.#types.length === 0
  }

  /** The offset of a string in the string section: line information needs file names and source lines there. */
  addString(text: string): number {
    return this.#strings.add(text)
  }

  int(name: string, size: number, options: { signed?: boolean; char?: boolean; bool?: boolean } = {}): number {
    const { signed = false, char = false, bool = false } = options
    return this.add({ kind: 'int', name, size, bits: size * 8, bitOffset: 0, signed, char, bool })
  }
  pointer(type: number): number {
    return this.add({ kind: 'ptr', type })
  }
  /** The index type is clang's own `__ARRAY_SIZE_TYPE__`. */
  array(type: number, count: number): number {
    return this.add({ kind: 'array', type, indexType: this.int('__ARRAY_SIZE_TYPE__', 4), count })
  }

  /** @throws UsageError `btf.undefined` when a declared type was never defined */
  toBytes(options: { littleEndian?: boolean } = {}): Uint8Array {
    const littleEndian = options.littleEndian ?? true
    const types = new ByteWriter({ littleEndian })
    this.#types.forEach((type, index) => {
      if (type === undefined)
        throw new UsageError('btf.undefined', `BTF type [${this.#firstId + index}] was declared and never defined`)
      encodeType(types, type, (text) => this.#strings.add(text))
    })
    const strings = this.#strings.toBytes()
    return new ByteWriter({ littleEndian })
      .u16(BTF_MAGIC)
      .u8(1)
      .u8(0)
      .u32(BTF_HEADER_BYTES)
      .u32(0)
      .u32(types.length)
      .u32(types.length)
      .u32(strings.length)
      .raw(types.toBytes())
      .raw(strings)
      .toBytes()
  }
}

function encodeType(out: ByteWriter, type: BtfType, string: (text: string) => number): void {
  const head = (vlen: number, flag: boolean, sizeOrType: number): void => {
    if (vlen > 0xffff)
      throw new UsageError('btf.members', `${type.kind} ${typeName(type)}: ${vlen} entries, 65535 at most`)
    out
      .u32(string(typeName(type)))
      .u32(((flag ? 0x80000000 : 0) | (BTF_KIND[type.kind] << 24) | vlen) >>> 0)
      .u32(sizeOrType)
  }
  switch (type.kind) {
    case 'void':
      return
    case 'int':
      head(0, false, type.size)
      out.u32(
        ((type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0)) * 0x1000000 +
          (type.bitOffset << 16) +
          type.bits,
      )
      return
    case 'array':
      head(0, false, 0)
      out.u32(type.type).u32(type.indexType).u32(type.count)
      return
    case 'struct':
    case 'union': {
      const flag = type.bitFields ?? type.members.some(({ bitSize }) => bitSize > 0)
      head(type.members.length, flag, type.size)
      for (const member of type.members)
        out
          .u32(string(member.name))
          .u32(member.type)
          .u32(flag ? member.bitSize * 0x1000000 + member.bitOffset : member.bitOffset)
      return
    }
    case 'enum':
      head(type.values.length, type.signed, type.size)
      for (const { name, value } of type.values) out.u32(string(name)).u32(value)
      return
    case 'enum64':
      head(type.values.length, type.signed, type.size)
      for (const { name, value } of type.values) {
        const word = BigInt.asUintN(64, value)
        out
          .u32(string(name))
          .u32(Number(word & 0xffffffffn))
          .u32(Number(word >> 32n))
      }
      return
    case 'fwd':
      head(0, type.union, 0)
      return
    case 'func':
      head(type.linkage, false, type.type)
      return
    case 'func_proto':
      head(type.params.length, false, type.returnType)
      for (const param of type.params) out.u32(string(param.name)).u32(param.type)
      return
    case 'var':
      head(0, false, type.type)
      out.u32(type.linkage)
      return
    case 'datasec':
      head(type.entries.length, false, type.size)
      for (const entry of type.entries) out.u32(entry.type).u32(entry.offset).u32(entry.size)
      return
    case 'float':
      head(0, false, type.size)
      return
    case 'decl_tag':
      head(0, type.attribute === true, type.type)
      out.u32(type.component)
      return
    case 'type_tag':
      head(0, type.attribute === true, type.type)
      return
    default:
      head(0, false, type.type)
  }
}
