import { Btf, type BtfExt, readBtfExt } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import { ARENA_SECTION } from '../spec/index.ts'
import {
  type ElfFile,
  type ElfRelocation,
  type ElfSection,
  type ElfSymbol,
  readRelocations,
  readSymbols,
  SECTION_FLAG,
  SECTION_TYPE,
} from './container/index.ts'

/** What a section of an object is for. */
export type SectionRole =
  | 'program'
  | 'text'
  | 'maps'
  | 'legacy-maps'
  | 'data'
  | 'arena'
  | 'struct_ops'
  | 'license'
  | 'version'
  | 'other'

/** An object file taken apart: sections by role, symbols and relocations by section. */
export interface ObjectSections {
  readonly what: string
  readonly file: ElfFile
  readonly symbols: readonly ElfSymbol[]
  /** By section index, in order of value. */
  readonly symbolsOf: ReadonlyMap<number, readonly ElfSymbol[]>
  /** By the index of the section they change, in order of offset. */
  readonly relocationsOf: ReadonlyMap<number, readonly ElfRelocation[]>
  readonly roles: readonly SectionRole[]
  readonly btf: Btf | undefined
  readonly ext: BtfExt | undefined
}

const DATA = /^\.(rodata|data|bss)(\..+)?$/

export function roleOf(section: ElfSection): SectionRole {
  const { name, type, flags, size } = section
  if (type !== SECTION_TYPE.progbits && type !== SECTION_TYPE.nobits) return 'other'
  if (type === SECTION_TYPE.progbits && (flags & SECTION_FLAG.execinstr) !== 0 && size > 0)
    return name === '.text' ? 'text' : 'program'
  if (name === '.maps') return 'maps'
  if (name === 'maps' || name.startsWith('maps/')) return 'legacy-maps'
  if (name === 'license') return 'license'
  if (name === 'version') return 'version'
  if (/^\??\.struct_ops(\..+)?$/.test(name)) return 'struct_ops'
  if (name === ARENA_SECTION && size > 0) return 'arena'
  if (DATA.test(name) && size > 0) return 'data'
  return 'other'
}

/** @throws InputError `elf.*`, `btf.*`, `btf-ext.*` */
export function takeApart(file: ElfFile): ObjectSections {
  const { what, sections } = file
  const table = sections.find(({ type }) => type === SECTION_TYPE.symtab)
  const symbols = table === undefined ? [] : readSymbols(file, table)
  const symbolsOf = new Map<number, ElfSymbol[]>()
  for (const symbol of symbols) {
    const list = symbolsOf.get(symbol.section)
    if (list === undefined) symbolsOf.set(symbol.section, [symbol])
    else list.push(symbol)
  }
  for (const list of symbolsOf.values()) list.sort((a, b) => a.value - b.value || a.index - b.index)
  const relocationsOf = new Map<number, ElfRelocation[]>()
  for (const section of sections) {
    if (section.type !== SECTION_TYPE.rel && section.type !== SECTION_TYPE.rela) continue
    const target = sections[section.info]
    if (target === undefined)
      throw new InputError(
        'elf.relocations',
        `${what}: section ${section.name} relocates section ${section.info}, which does not exist`,
      )
    const role = roleOf(target)
    if (role === 'other') continue
    const list = readRelocations(file, section)
    for (const { symbol, offset } of list)
      if (symbol >= symbols.length || offset >= target.size)
        throw new InputError(
          'elf.relocations',
          `${what}: section ${section.name}: the relocation at ${offset} of symbol ${symbol} is outside section ${target.name} or the symbol table`,
        )
    const all = [...(relocationsOf.get(target.index) ?? []), ...list].sort((a, b) => a.offset - b.offset)
    relocationsOf.set(target.index, all)
  }
  const btfSection = sections.find(({ name }) => name === '.BTF')
  const extSection = sections.find(({ name }) => name === '.BTF.ext')
  const btf = btfSection === undefined ? undefined : new Btf(btfSection.data, { what: `${what}: section .BTF` })
  const ext =
    btf === undefined || extSection === undefined
      ? undefined
      : readBtfExt(extSection.data, btf, `${what}: section .BTF.ext`)
  return { what, file, symbols, symbolsOf, relocationsOf, roles: sections.map(roleOf), btf, ext }
}

/** A section's name, or what else a symbol's section index means. */
export function placeOf(object: ObjectSections, symbol: ElfSymbol): string {
  return object.file.sections[symbol.section]?.name ?? `section ${symbol.section}`
}
