import { BTF_LINKAGE, type Btf, type BtfDatasec } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import { type ExternSpec, type MapSpec, placeKconfig, type VariableSpec } from '../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../uapi/index.ts'
import {
  type ElfSymbol,
  SECTION_INDEX,
  SECTION_TYPE,
  SYMBOL_BIND,
  SYMBOL_TYPE,
  SYMBOL_VISIBILITY,
} from './container/index.ts'
import type { ObjectSections } from './object-sections.ts'

export interface ReadData {
  readonly maps: MapSpec[]
  /** First bytes of the arena, when variables live in it. */
  readonly arenaData?: Uint8Array
  readonly variables: VariableSpec[]
}

/** Largest global-data section: a map value may not be larger. */
const MAX_SECTION = 0x7ffff000

/** Global data: one array map of one element for each .rodata, .data and .bss section. */
export function readData(object: ObjectSections): ReadData {
  const { file, roles, btf, what } = object
  const maps: MapSpec[] = []
  const variables: VariableSpec[] = []
  const inArena: VariableSpec[] = []
  let arenaData: Uint8Array | undefined
  for (const section of file.sections) {
    const role = roles[section.index]
    if (role !== 'data' && role !== 'arena') continue
    if (section.size > MAX_SECTION)
      throw new InputError('elf.data', `${what}: section ${section.name}: ${section.size} bytes of global data`)
    const datasecId = btf?.idByName(section.name, 'datasec')
    const types = datasecId === undefined || btf === undefined ? NO_TYPES : variableTypes(btf, datasecId)
    const symbols = (object.symbolsOf.get(section.index) ?? []).filter(
      ({ name, type }) => name !== '' && (type === SYMBOL_TYPE.object || type === SYMBOL_TYPE.notype),
    )
    for (const { name, value, size, bind } of symbols) {
      if (value + size > section.size)
        throw new InputError('elf.data', `${what}: variable ${name} ends after section ${section.name}`)
      const typeId = types.get(name)
      if (typeId === undefined && size === 0) continue
      const list = role === 'arena' ? inArena : variables
      list.push({
        name,
        section: section.name,
        offset: value,
        size: size > 0 ? size : (btf?.sizeOf(typeId as number) ?? 0),
        linkage: linkageOf(bind),
        ...(typeId === undefined ? {} : { typeId }),
      })
    }
    if (role === 'arena') {
      arenaData = section.type === SECTION_TYPE.nobits ? new Uint8Array(section.size) : section.data
      continue
    }
    const readOnly = section.name.startsWith('.rodata')
    const shared = symbols.some((symbol) => isShared(symbol) && types.has(symbol.name))
    maps.push({
      name: section.name,
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: section.size,
      maxEntries: 1,
      flags: (readOnly ? MAP_FLAGS.rdonly_prog : 0) | (shared ? MAP_FLAGS.mmapable : 0),
      section: section.name,
      ...(datasecId === undefined ? {} : { btfValueTypeId: datasecId }),
      ...(readOnly ? { frozen: true } : {}),
      ...(section.type === SECTION_TYPE.nobits ? {} : { contents: [[new Uint8Array(4), section.data]] }),
    })
  }
  return { maps, variables: [...variables, ...inArena], ...(arenaData === undefined ? {} : { arenaData }) }
}

/** The kernel's longest configuration text is far shorter. */
const MAX_KCONFIG = 65536

const NO_TYPES: ReadonlyMap<string, number> = new Map()

function variableTypes(btf: Btf, datasecId: number): Map<string, number> {
  const types = new Map<string, number>()
  for (const entry of (btf.type(datasecId) as BtfDatasec).entries) {
    const variable = btf.type(entry.type)
    if (variable.kind === 'var') types.set(variable.name, variable.type)
  }
  return types
}

/** Visible outside of the object: hidden symbols are static to loaders. */
function isShared({ bind, visibility }: ElfSymbol): boolean {
  const hidden = visibility === SYMBOL_VISIBILITY.hidden || visibility === SYMBOL_VISIBILITY.internal
  return bind !== SYMBOL_BIND.local && !hidden
}

function linkageOf(bind: number): 'static' | 'global' | 'weak' {
  return bind === SYMBOL_BIND.local ? 'static' : bind === SYMBOL_BIND.weak ? 'weak' : 'global'
}

/**
 * Undefined symbols: kernel functions and variables (`.ksyms`), configuration (`.kconfig`), maps of other objects, or functions
 * that nothing defines. Configuration values get places in a `.kconfig` map.
 */
export function readExterns(object: ObjectSections): { externs: ExternSpec[]; kconfig?: MapSpec } {
  const { btf } = object
  const symbols = (object.symbolsOf.get(SECTION_INDEX.undef) ?? []).filter(({ name }) => name !== '')
  const ksyms = externTypes(btf, '.ksyms')
  const kconfigs = externTypes(btf, '.kconfig')
  const maps = externTypes(btf, '.maps')
  const externs: ExternSpec[] = []
  const configured: { symbol: ElfSymbol; typeId: number; size: number; align: number }[] = []
  const seen = new Set<string>()
  for (const symbol of symbols) {
    const { name, bind } = symbol
    if (seen.has(name)) continue
    seen.add(name)
    const weak = bind === SYMBOL_BIND.weak
    const kconfig = kconfigs.get(name)
    if (kconfig !== undefined && btf !== undefined) {
      const size = btf.sizeOf(kconfig.typeId) ?? 0
      if (size > MAX_KCONFIG)
        throw new InputError('elf.kconfig', `${object.what}: the configuration value ${name} takes ${size} bytes`)
      const element = btf.resolve(kconfig.typeId)
      const align = element.kind === 'array' ? (btf.sizeOf(element.type) ?? 1) : size
      configured.push({ symbol, typeId: kconfig.typeId, size, align: Math.max(1, Math.min(8, align)) })
      continue
    }
    const map = maps.get(name)
    const found = map ?? ksyms.get(name)
    externs.push({
      name,
      kind: map !== undefined ? 'map' : found === undefined || found.func ? 'kfunc' : 'ksym',
      weak,
      ...(found === undefined || found.typeId === 0 ? {} : { typeId: found.typeId }),
    })
  }
  // libbpf's order: configuration first, the rest by name (the numbers of missing kfuncs count in it)
  externs.sort((a, b) => (a.name < b.name ? -1 : 1))
  if (configured.length === 0) return { externs }
  const placed = placeKconfig(
    configured.map(({ symbol, ...rest }) => ({ name: symbol.name, weak: symbol.bind === SYMBOL_BIND.weak, ...rest })),
    btf?.idByName('.kconfig', 'datasec'),
  )
  return { externs: [...placed.externs, ...externs], kconfig: placed.map }
}

function externTypes(btf: Btf | undefined, section: string): Map<string, { typeId: number; func: boolean }> {
  const out = new Map<string, { typeId: number; func: boolean }>()
  if (btf === undefined) return out
  for (const id of btf.idsByName(section, 'datasec'))
    for (const entry of (btf.type(id) as BtfDatasec).entries) {
      const type = btf.type(entry.type)
      if (type.kind === 'func') out.set(type.name, { typeId: entry.type, func: true })
      else if (type.kind === 'var' && type.linkage === BTF_LINKAGE.extern) {
        // `extern const void name __ksym` has no type
        const bare = btf.kind(btf.skipModifiers(type.type)) === 'void'
        out.set(type.name, { typeId: bare ? 0 : type.type, func: false })
      }
    }
  return out
}
