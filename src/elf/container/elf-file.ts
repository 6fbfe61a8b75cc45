import { ByteReader } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import { SECTION_INDEX, SECTION_TYPE } from './constants.ts'

export interface ElfSection {
  readonly index: number
  readonly name: string
  readonly type: number
  readonly flags: number
  readonly address: number
  /** Place in the file; of NOBITS sections only conceptual. */
  readonly offset: number
  readonly size: number
  readonly link: number
  readonly info: number
  readonly alignment: number
  readonly entrySize: number
  /** A view of the file, empty for NOBITS. */
  readonly data: Uint8Array
}

export interface ElfSymbol {
  readonly index: number
  readonly name: string
  readonly value: number
  readonly size: number
  readonly bind: number
  readonly type: number
  readonly visibility: number
  /** The section's index, or one of SECTION_INDEX. */
  readonly section: number
}

export interface ElfRelocation {
  readonly offset: number
  readonly type: number
  /** Index into the symbol table that the section links to. */
  readonly symbol: number
  /** Only of SHT_RELA. */
  readonly addend?: number
}

export interface ElfProgramHeader {
  readonly type: number
  readonly flags: number
  readonly offset: number
  readonly virtualAddress: number
  readonly fileSize: number
  readonly memorySize: number
}

export interface ElfNote {
  readonly name: string
  readonly type: number
  readonly description: Uint8Array
}

/** An ELF file of either class and byte order with everything that was checked against its length. */
export interface ElfFile {
  readonly what: string
  readonly bytes: Uint8Array
  readonly is64: boolean
  readonly littleEndian: boolean
  readonly type: number
  readonly machine: number
  readonly sections: readonly ElfSection[]
  readonly programHeaders: readonly ElfProgramHeader[]
}

/** True when bytes start like an ELF file. */
export function isElf(bytes: Uint8Array): boolean {
  return bytes.length >= 4 && bytes[0] === 0x7f && bytes[1] === 0x45 && bytes[2] === 0x4c && bytes[3] === 0x46
}

/**
 * Reads the headers; sections and segments are checked to lie inside the file.
 * @throws InputError `elf.magic`, `elf.class`, `elf.truncated`, `elf.section` naming the section
 */
export function readElf(input: Uint8Array, what = 'ELF file'): ElfFile {
  // a plain view: slice() of Node's Buffer would not copy
  const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
  if (!isElf(bytes)) throw new InputError('elf.magic', `${what}: no ELF file`)
  if (bytes.length < 52)
    throw new InputError('elf.truncated', `${what}: ${bytes.length} bytes, the ELF header is cut off`)
  const [cls, order] = [bytes[4], bytes[5]]
  if (cls !== 1 && cls !== 2) throw new InputError('elf.class', `${what}: ELF class ${cls} is neither 32 nor 64 bits`)
  if (order !== 1 && order !== 2) throw new InputError('elf.class', `${what}: ELF byte order ${order} is unknown`)
  const is64 = cls === 2
  const littleEndian = order === 1
  if (is64 && bytes.length < 64)
    throw new InputError('elf.truncated', `${what}: ${bytes.length} bytes, the ELF header is cut off`)
  const reader = new ByteReader(bytes, { littleEndian, what: `${what}: ELF header` })
  const word = (): number => (is64 ? reader.u64Number() : reader.u32())
  reader.seek(16)
  const type = reader.u16()
  const machine = reader.u16()
  reader.u32()
  word()
  const phoff = word()
  const shoff = word()
  reader.u32()
  reader.u16()
  const phentsize = reader.u16()
  const phnum = reader.u16()
  const shentsize = reader.u16()
  const shnum = reader.u16()
  const shstrndx = reader.u16()
  const file = { what, bytes, is64, littleEndian, type, machine }
  const sections = readSections(file, shoff, shentsize, shnum, shstrndx)
  return { ...file, sections, programHeaders: readProgramHeaders(file, phoff, phentsize, phnum) }
}

type Head = Omit<ElfFile, 'sections' | 'programHeaders'>

function readSections(file: Head, shoff: number, entsize: number, shnum: number, shstrndx: number): ElfSection[] {
  const { bytes, is64, littleEndian, what } = file
  if (shoff === 0) return []
  const minimum = is64 ? 64 : 40
  if (entsize < minimum) throw new InputError('elf.section', `${what}: section headers of ${entsize} bytes`)
  const header = (index: number) => {
    const at = shoff + index * entsize
    if (at + minimum > bytes.length)
      throw new InputError('elf.truncated', `${what}: section header ${index} at offset ${at} is outside the file`)
    const reader = new ByteReader(bytes, { littleEndian, what: `${what}: section header ${index}`, offset: at })
    const word = (): number => (is64 ? reader.u64Number() : reader.u32())
    return {
      nameOffset: reader.u32(),
      type: reader.u32(),
      flags: Number(BigInt.asUintN(32, is64 ? reader.u64() : BigInt(reader.u32()))),
      address: is64 ? Number(reader.u64()) : reader.u32(),
      offset: word(),
      size: word(),
      link: reader.u32(),
      info: reader.u32(),
      alignment: is64 ? Number(reader.u64()) : reader.u32(),
      entrySize: word(),
    }
  }
  // more than 65,279 sections: the numbers stand in section 0
  const zero = header(0)
  const count = shnum === 0 ? zero.size : shnum
  const namesIndex = shstrndx === SECTION_INDEX.xindex ? zero.link : shstrndx
  if (shoff + count * entsize > bytes.length)
    throw new InputError('elf.truncated', `${what}: ${count} section headers at offset ${shoff} do not fit in the file`)
  const headers = Array.from({ length: count }, (_, index) => header(index))
  const dataOf = (index: number): Uint8Array => {
    const { type, offset, size } = headers[index]
    if (type === SECTION_TYPE.nobits || type === SECTION_TYPE.null) return new Uint8Array(0)
    if (offset + size > bytes.length)
      throw new InputError(
        'elf.section',
        `${what}: section ${index} (offset ${offset}, ${size} bytes) does not lie inside the file of ${bytes.length} bytes`,
      )
    return bytes.subarray(offset, offset + size)
  }
  if (namesIndex >= count && namesIndex !== 0)
    throw new InputError('elf.section', `${what}: the section of names is ${namesIndex} of ${count}`)
  const names = new ByteReader(namesIndex === 0 ? new Uint8Array(0) : dataOf(namesIndex), {
    what: `${what}: names of sections`,
  })
  return headers.map(({ nameOffset, ...rest }, index) => ({
    index,
    name: names.length === 0 ? '' : names.cstringAt(nameOffset),
    ...rest,
    data: dataOf(index),
  }))
}

function readProgramHeaders(file: Head, phoff: number, entsize: number, count: number): ElfProgramHeader[] {
  const { bytes, is64, littleEndian, what } = file
  if (phoff === 0 || count === 0) return []
  if (entsize < (is64 ? 56 : 32) || phoff + count * entsize > bytes.length)
    throw new InputError('elf.truncated', `${what}: ${count} program headers at offset ${phoff} do not fit in the file`)
  return Array.from({ length: count }, (_, i) => {
    const reader = new ByteReader(bytes, {
      littleEndian,
      what: `${what}: program header ${i}`,
      offset: phoff + i * entsize,
    })
    const word = (): number => (is64 ? Number(reader.u64()) : reader.u32())
    const type = reader.u32()
    let flags = is64 ? reader.u32() : 0
    const offset = word()
    const virtualAddress = word()
    word()
    const fileSize = word()
    const memorySize = word()
    if (!is64) flags = reader.u32()
    return { type, flags, offset, virtualAddress, fileSize, memorySize }
  })
}

/** The first section of this name. */
export function sectionNamed(file: ElfFile, name: string): ElfSection | undefined {
  return file.sections.find((section) => section.name === name)
}

/** All symbols of a symbol table section (SHT_SYMTAB or SHT_DYNSYM). @throws InputError `elf.symbols` */
export function readSymbols(file: ElfFile, table: ElfSection): ElfSymbol[] {
  const { is64, littleEndian } = file
  const size = is64 ? 24 : 16
  const what = `${file.what}: section ${table.name}`
  const strings = file.sections[table.link]
  if (table.data.length % size !== 0)
    throw new InputError('elf.symbols', `${what}: ${table.data.length} bytes are no multiple of ${size}`)
  const names = new ByteReader(strings?.data ?? new Uint8Array(0), { what: `${what}: names` })
  const extended = file.sections.find(({ type, link }) => type === SECTION_TYPE.symtabShndx && link === table.index)
  const reader = new ByteReader(table.data, { littleEndian, what })
  const count = table.data.length / size
  const cache = new Map<number, string>()
  const nameAt = (offset: number): string => {
    if (offset === 0) return ''
    let name = cache.get(offset)
    if (name === undefined) cache.set(offset, (name = names.cstringAt(offset)))
    return name
  }
  return Array.from({ length: count }, (_, index) => {
    const nameOffset = reader.u32()
    let value = 0
    let length = 0
    if (!is64) {
      value = reader.u32()
      length = reader.u32()
    }
    const info = reader.u8()
    const other = reader.u8()
    let section = reader.u16()
    if (is64) {
      value = Number(reader.u64())
      length = Number(reader.u64())
    }
    if (section === SECTION_INDEX.xindex && extended !== undefined)
      section = new ByteReader(extended.data, { littleEndian, what: `${what}: indices`, offset: index * 4 }).u32()
    return {
      index,
      name: nameAt(nameOffset),
      value,
      size: length,
      bind: info >> 4,
      type: info & 15,
      visibility: other & 3,
      section,
    }
  })
}

/** All relocations of a SHT_REL or SHT_RELA section. @throws InputError `elf.relocations` */
export function readRelocations(file: ElfFile, section: ElfSection): ElfRelocation[] {
  const { is64, littleEndian } = file
  const rela = section.type === SECTION_TYPE.rela
  const size = (is64 ? 16 : 8) + (rela ? (is64 ? 8 : 4) : 0)
  const what = `${file.what}: section ${section.name}`
  if (section.data.length % size !== 0)
    throw new InputError('elf.relocations', `${what}: ${section.data.length} bytes are no multiple of ${size}`)
  const reader = new ByteReader(section.data, { littleEndian, what })
  return Array.from({ length: section.data.length / size }, () => {
    const offset = is64 ? reader.u64Number() : reader.u32()
    let type: number
    let symbol: number
    if (is64) {
      const info = reader.u64()
      type = Number(info & 0xffffffffn)
      symbol = Number(info >> 32n)
    } else {
      const info = reader.u32()
      type = info & 0xff
      symbol = info >>> 8
    }
    if (!rela) return { offset, type, symbol }
    return { offset, type, symbol, addend: is64 ? Number(reader.i64()) : reader.i32() }
  })
}

/** The notes of a SHT_NOTE section: build ids, USDT probes (".note.stapsdt"). */
export function readNotes(file: ElfFile, section: ElfSection): ElfNote[] {
  const reader = new ByteReader(section.data, {
    littleEndian: file.littleEndian,
    what: `${file.what}: section ${section.name}`,
  })
  const notes: ElfNote[] = []
  const align4 = (): void => {
    const pad = Math.min((4 - (reader.offset % 4)) % 4, reader.remaining)
    reader.skip(pad)
  }
  while (reader.remaining >= 12) {
    const nameSize = reader.u32()
    const descriptionSize = reader.u32()
    const type = reader.u32()
    const name = new TextDecoder().decode(reader.take(nameSize)).replace(/\0+$/, '')
    align4()
    const description = reader.take(descriptionSize)
    align4()
    notes.push({ name, type, description })
  }
  return notes
}

/** The place in the file of a virtual address, undefined when no loaded segment has it. */
export function fileOffsetOf(file: ElfFile, address: number): number | undefined {
  const segment = file.programHeaders.find(
    ({ type, virtualAddress, fileSize }) =>
      type === 1 && address >= virtualAddress && address < virtualAddress + fileSize,
  )
  return segment === undefined ? undefined : address - segment.virtualAddress + segment.offset
}
