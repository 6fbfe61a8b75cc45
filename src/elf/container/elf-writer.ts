import { ByteWriter } from '../../bytes/index.ts'
import { UsageError } from '../../errors/index.ts'
import { ELF_MACHINE, ELF_TYPE, SECTION_TYPE, SYMBOL_BIND } from './constants.ts'

export interface NewSection {
  readonly name: string
  readonly type: number
  readonly flags: number
  readonly alignment: number
  readonly data: Uint8Array
  /** Of NOBITS sections. */
  readonly size?: number
}

export interface NewSymbol {
  readonly name: string
  readonly value: number
  readonly size: number
  readonly bind: number
  readonly type: number
  /** Absent: default. */
  readonly visibility?: number
  /** The section's number from {@link ElfWriter.section}, 0 when undefined. */
  readonly section: number
}

const HEADER_BYTES = 64
const SECTION_BYTES = 64
const SYMBOL_BYTES = 24

/** Names of sections and symbols, once each, in order of first use. */
class Names {
  readonly #offsets = new Map<string, number>([['', 0]])
  readonly #writer = new ByteWriter().u8(0)

  add(name: string): number {
    let offset = this.#offsets.get(name)
    if (offset === undefined) {
      offset = this.#writer.length
      this.#writer.raw(new TextEncoder().encode(name)).u8(0)
      this.#offsets.set(name, offset)
    }
    return offset
  }

  toBytes(): Uint8Array {
    return this.#writer.toBytes()
  }
}

/** Writes a relocatable 64-bit ELF object. The same calls give the same bytes. */
export class ElfWriter {
  readonly #littleEndian: boolean
  readonly #sections: NewSection[] = []
  readonly #symbols: NewSymbol[] = []
  readonly #relocations = new Map<number, { offset: number; symbol: number; type: number }[]>()

  constructor(littleEndian: boolean) {
    this.#littleEndian = littleEndian
  }

  /** Adds a section; the answer is its number. */
  section(section: NewSection): number {
    this.#sections.push(section)
    return this.#sections.length
  }

  /** Adds a symbol; the answer stands for it in relocations. */
  symbol(symbol: NewSymbol): number {
    this.#symbols.push(symbol)
    return this.#symbols.length - 1
  }

  relocation(section: number, offset: number, symbol: number, type: number): void {
    const list = this.#relocations.get(section) ?? []
    list.push({ offset, symbol, type })
    this.#relocations.set(section, list)
  }

  /** @throws UsageError `elf.sections` for more sections than the format's plain form has */
  toBytes(): Uint8Array {
    const littleEndian = this.#littleEndian
    // local symbols come first
    const order = this.#symbols.map((_, i) => i)
    order.sort((a, b) => Number(this.#isGlobal(a)) - Number(this.#isGlobal(b)) || a - b)
    const place = new Map(order.map((symbol, i) => [symbol, i + 1]))
    const names = new Names()
    const all: { section: NewSection; link: number; info: number; entrySize: number }[] = []
    for (const section of this.#sections) all.push({ section, link: 0, info: 0, entrySize: 0 })
    const symtabIndex = this.#sections.length + this.#relocations.size + 1
    for (const [target, list] of [...this.#relocations].sort(([a], [b]) => a - b)) {
      const out = new ByteWriter({ littleEndian })
      list.sort((a, b) => a.offset - b.offset)
      for (const { offset, symbol, type } of list)
        out.u64(BigInt(offset)).u64((BigInt(place.get(symbol) ?? 0) << 32n) | BigInt(type))
      const section: NewSection = {
        name: `.rel${this.#sections[target - 1].name}`,
        type: SECTION_TYPE.rel,
        flags: 0x40,
        alignment: 8,
        data: out.toBytes(),
      }
      all.push({ section, link: symtabIndex, info: target, entrySize: 16 })
    }
    const symbols = new ByteWriter({ littleEndian }).zeros(SYMBOL_BYTES)
    for (const index of order) {
      const { name, value, size, bind, type, visibility, section } = this.#symbols[index]
      symbols
        .u32(names.add(name))
        .u8((bind << 4) | type)
        .u8(visibility ?? 0)
        .u16(section)
        .u64(BigInt(value))
        .u64(BigInt(size))
    }
    const locals = order.filter((index) => !this.#isGlobal(index)).length
    all.push({
      section: { name: '.symtab', type: SECTION_TYPE.symtab, flags: 0, alignment: 8, data: symbols.toBytes() },
      link: symtabIndex + 1,
      info: locals + 1,
      entrySize: SYMBOL_BYTES,
    })
    for (const { section } of all) names.add(section.name)
    names.add('.strtab')
    all.push({
      section: { name: '.strtab', type: SECTION_TYPE.strtab, flags: 0, alignment: 1, data: names.toBytes() },
      link: 0,
      info: 0,
      entrySize: 0,
    })
    if (all.length + 1 >= 0xff00) throw new UsageError('elf.sections', `${all.length} sections are too many`)
    return this.#assemble(all, names)
  }

  #isGlobal(index: number): boolean {
    return this.#symbols[index].bind !== SYMBOL_BIND.local
  }

  #assemble(
    all: readonly { section: NewSection; link: number; info: number; entrySize: number }[],
    names: Names,
  ): Uint8Array {
    const littleEndian = this.#littleEndian
    const body = new ByteWriter({ littleEndian }).zeros(HEADER_BYTES)
    const headers = new ByteWriter({ littleEndian }).zeros(SECTION_BYTES)
    for (const { section, link, info, entrySize } of all) {
      body.align(section.alignment)
      headers
        .u32(names.add(section.name))
        .u32(section.type)
        .u64(BigInt(section.flags))
        .u64(0n)
        .u64(BigInt(body.length))
        .u64(BigInt(section.size ?? section.data.length))
        .u32(link)
        .u32(info)
        .u64(BigInt(section.alignment))
        .u64(BigInt(entrySize))
      body.raw(section.data)
    }
    body.align(8)
    const sectionsAt = body.length
    const bytes = body.raw(headers.toBytes()).toBytes()
    const header = new ByteWriter({ littleEndian })
      .raw(Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 2, littleEndian ? 1 : 2, 1, 0))
      .zeros(8)
      .u16(ELF_TYPE.rel)
      .u16(ELF_MACHINE.bpf)
      .u32(1)
      .u64(0n)
      .u64(0n)
      .u64(BigInt(sectionsAt))
      .u32(0)
      .u16(HEADER_BYTES)
      .u16(0)
      .u16(0)
      .u16(SECTION_BYTES)
      .u16(all.length + 1)
      .u16(all.length)
    bytes.set(header.toBytes())
    return bytes
  }
}
