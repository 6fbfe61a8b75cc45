import { Btf, readBtfExt } from '../btf/index.ts'
import {
  type ElfFile,
  type ElfSection,
  type ElfSymbol,
  readElf,
  readRelocations,
  readSymbols,
  SECTION_FLAG,
  SECTION_TYPE,
  SYMBOL_TYPE,
  sectionNamed,
} from '../elf/container/index.ts'

/** A section with instructions, as the disassembler shows it. */
export interface CodeSection {
  readonly index: number
  readonly name: string
  readonly bytes: Uint8Array
  readonly littleEndian: boolean
  readonly symbols: readonly CodeSectionSymbol[]
  /** What instructions refer to, by byte address: the symbol's name (or its section's), the relocation's type. */
  readonly relocations: ReadonlyMap<number, { readonly name: string; readonly type: number; readonly value: number }>
}

export interface CodeSectionSymbol {
  readonly name: string
  /** Bytes from the section's start. */
  readonly address: number
  /** Bytes. */
  readonly size: number
  readonly isFunction: boolean
}

/** A line of the user's source, where an instruction starts one. */
export interface SourceLine {
  readonly file: string
  /** Counts from 1. */
  readonly line: number
  readonly column: number
  readonly text: string
}

/**
 * The executable sections of an ELF object, for showing: only what a listing needs, and no judgement of the object as a
 * program (src/elf reads programs).
 * @throws InputError `elf.*` when the file is no ELF file or its tables do not lie inside it
 */
export function codeSections(bytes: Uint8Array, what: string): CodeSection[] {
  const file = readElf(bytes, what)
  const symbols = symbolsOf(file)
  return file.sections
    .filter(({ flags, type, size }) => flags & SECTION_FLAG.execinstr && type === SECTION_TYPE.progbits && size > 0)
    .map((section) => ({
      index: section.index,
      name: section.name,
      bytes: section.data,
      littleEndian: file.littleEndian,
      symbols: symbols
        .filter(({ section: at, name, type }) => at === section.index && name !== '' && type !== SYMBOL_TYPE.section)
        .filter(({ value }) => value <= section.size)
        .map(({ name, value, size, type }) => ({ name, address: value, size, isFunction: type === SYMBOL_TYPE.func })),
      relocations: relocationsOf(file, section, symbols),
    }))
}

/** A damaged symbol table costs the names, not the listing. */
function symbolsOf(file: ElfFile): ElfSymbol[] {
  const table = file.sections.find(({ type }) => type === SECTION_TYPE.symtab)
  if (table === undefined || file.sections[table.link] === undefined || (file.is64 && table.entrySize !== 24)) return []
  return readSymbols(file, table)
}

function relocationsOf(file: ElfFile, section: ElfSection, symbols: readonly ElfSymbol[]): CodeSection['relocations'] {
  const out = new Map<number, { name: string; type: number; value: number }>()
  for (const table of file.sections) {
    if ((table.type !== SECTION_TYPE.rel && table.type !== SECTION_TYPE.rela) || table.info !== section.index) continue
    for (const { offset, type, symbol } of readRelocations(file, table)) {
      const target = symbols[symbol]
      if (target === undefined) continue
      const name = target.name !== '' ? target.name : (file.sections[target.section]?.name ?? '')
      out.set(offset, { name, type, value: target.value })
    }
  }
  return out
}

/**
 * The source lines of an object's sections by byte address, from .BTF.ext; empty without one.
 * @throws InputError `btf.*`, `btf-ext.*`
 */
export function sourceLines(bytes: Uint8Array, what: string): Map<string, Map<number, SourceLine>> {
  const file = readElf(bytes, what)
  const btfSection = sectionNamed(file, '.BTF')
  const extSection = sectionNamed(file, '.BTF.ext')
  const out = new Map<string, Map<number, SourceLine>>()
  if (btfSection === undefined || extSection === undefined) return out
  const btf = new Btf(btfSection.data)
  for (const [section, lines] of readBtfExt(extSection.data, btf).lines) {
    const places = new Map<number, SourceLine>()
    for (const { offset, fileName, line, lineNumber, column } of lines)
      places.set(offset, { file: btf.string(fileName), line: lineNumber, column, text: btf.string(line).trim() })
    out.set(section, places)
  }
  return out
}
