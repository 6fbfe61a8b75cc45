import { ByteReader } from '../bytes/index.ts'
import { InputError } from '../errors/index.ts'

/** A section with instructions, as the disassembler shows it. */
export interface CodeSection {
  readonly index: number
  readonly name: string
  readonly bytes: Uint8Array
  readonly littleEndian: boolean
  readonly symbols: readonly {
    readonly name: string
    readonly address: number
    readonly size: number
    readonly isFunction: boolean
  }[]
  /** What instructions refer to, by byte address: the symbol's name (or the section's), the relocation's type. */
  readonly relocations: ReadonlyMap<number, { readonly name: string; readonly type: number; readonly value: number }>
}

const SHT_SYMTAB = 2
const SHT_RELA = 4
const SHT_NOBITS = 8
const SHT_REL = 9
const SHF_EXECINSTR = 4
const STT_FUNC = 2
const STT_SECTION = 3
const MAX_SYMBOLS = 4_000_000

interface Header {
  name: string
  readonly nameOffset: number
  readonly type: number
  readonly flags: number
  readonly offset: number
  readonly size: number
  readonly link: number
  readonly info: number
  readonly entrySize: number
}

/**
 * The executable sections of an ELF object, for showing: only what a listing needs, and no judgement of the object as a
 * program (the loader's reader does that).
 * @throws InputError when the file is no 64-bit ELF file or its tables do not lie inside it
 */
export function codeSections(file: Uint8Array, what: string): CodeSection[] {
  if (file.length < 64 || file[0] !== 0x7f || file[1] !== 0x45 || file[2] !== 0x4c || file[3] !== 0x46)
    throw new InputError('elf.not-elf', `${what}: not an ELF file`)
  if (file[4] !== 2 || (file[5] !== 1 && file[5] !== 2))
    throw new InputError('elf.unsupported-class', `${what}: not a 64-bit ELF file`)
  const littleEndian = file[5] === 1
  const reader = new ByteReader(file, { littleEndian, what })
  const headers = readHeaders(reader)
  const data = ({ type, offset, size }: Header): Uint8Array =>
    type === SHT_NOBITS ? new Uint8Array(0) : reader.seek(offset).take(size)
  const table = headers.findIndex(({ type }) => type === SHT_SYMTAB)
  const symbols = table < 0 ? [] : readSymbols(headers, table, data, littleEndian, what)
  const sections: CodeSection[] = []
  for (const [index, header] of headers.entries()) {
    if ((header.flags & SHF_EXECINSTR) === 0 || header.type === SHT_NOBITS || header.size === 0) continue
    const relocations = new Map<number, { name: string; type: number; value: number }>()
    for (const other of headers) {
      if ((other.type !== SHT_REL && other.type !== SHT_RELA) || other.info !== index) continue
      const entry = other.type === SHT_REL ? 16 : 24
      const entries = new ByteReader(data(other), { littleEndian, what: `${what}: section ${other.name}` })
      while (entries.remaining >= entry) {
        const at = entries.u64Number()
        const info = entries.u64()
        if (entry === 24) entries.skip(8)
        const symbol = symbols[Number(info >> 32n)]
        if (symbol === undefined) continue
        const name = symbol.name !== '' ? symbol.name : (headers[symbol.section]?.name ?? '')
        relocations.set(at, { name, type: Number(info & 0xffffffffn), value: symbol.address })
      }
    }
    const own = symbols.filter(
      (symbol) =>
        symbol.section === index && symbol.name !== '' && symbol.kind !== STT_SECTION && symbol.address <= header.size,
    )
    sections.push({
      index,
      name: header.name,
      bytes: data(header),
      littleEndian,
      symbols: own.map(({ name, address, size, kind }) => ({ name, address, size, isFunction: kind === STT_FUNC })),
      relocations,
    })
  }
  return sections
}

function readHeaders(reader: ByteReader): Header[] {
  const tableOffset = reader.seek(40).u64Number()
  const entrySize = reader.seek(58).u16()
  const count = reader.u16()
  const namesIndex = reader.u16()
  if (count === 0) return []
  if (entrySize < 64) throw new InputError('elf.bad-header', `${reader.what}: section headers of ${entrySize} bytes`)
  const headers: Header[] = []
  for (let i = 0; i < count; i++) {
    reader.seek(tableOffset + i * entrySize)
    const nameOffset = reader.u32()
    const type = reader.u32()
    const flags = Number(reader.u64() & 0xffffffffn)
    reader.skip(8)
    const offset = reader.u64Number()
    const size = reader.u64Number()
    const link = reader.u32()
    const info = reader.u32()
    reader.skip(8)
    headers.push({ name: '', nameOffset, type, flags, offset, size, link, info, entrySize: reader.u64Number() })
  }
  const names = headers[namesIndex]
  if (names !== undefined) {
    const strings = new ByteReader(reader.seek(names.offset).take(names.size), {
      what: `${reader.what}: section names`,
    })
    for (const header of headers) header.name = strings.cstringAt(header.nameOffset)
  }
  return headers
}

interface RawSymbol {
  readonly name: string
  readonly kind: number
  readonly section: number
  readonly address: number
  readonly size: number
}

function readSymbols(
  headers: readonly Header[],
  table: number,
  data: (header: Header) => Uint8Array,
  littleEndian: boolean,
  what: string,
): RawSymbol[] {
  const bytes = data(headers[table])
  const stringsHeader = headers[headers[table].link]
  // a damaged symbol table costs the names, not the listing
  if (stringsHeader === undefined || headers[table].entrySize !== 24) return []
  const strings = new ByteReader(data(stringsHeader), { what: `${what}: symbol names` })
  const reader = new ByteReader(bytes, { littleEndian, what: `${what}: symbols` })
  const out: RawSymbol[] = []
  for (let i = 0; i < Math.min(Math.floor(bytes.length / 24), MAX_SYMBOLS); i++) {
    const nameOffset = reader.u32()
    const kind = reader.u8() & 15
    reader.skip(1)
    const section = reader.u16()
    const address = Number(BigInt.asUintN(53, reader.u64()))
    const size = Number(BigInt.asUintN(53, reader.u64()))
    out.push({ name: nameOffset === 0 ? '' : strings.cstringAt(nameOffset), kind, section, address, size })
  }
  return out
}
