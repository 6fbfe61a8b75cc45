import { ARENA_SECTION, type FunctionSpec, type ObjectSpec } from '../spec/index.ts'
import { MAP_FLAGS } from '../uapi/index.ts'
import { type ElfWriter, SYMBOL_BIND, SYMBOL_TYPE, SYMBOL_VISIBILITY } from './container/index.ts'
import { HEAD_SECTIONS, type ObjectBtf } from './write-btf.ts'

/** Where a function is put. */
export interface Placed {
  readonly spec: FunctionSpec
  readonly section: string
  readonly start: number
  readonly size: number
}

export interface SymbolPlaces {
  readonly btf: ObjectBtf
  readonly placed: ReadonlyMap<string, Placed>
  /** Sections of global data. */
  readonly dataSections: readonly string[]
  numberOf(section: string): number
}

/** Adds the object's symbols; the answer names them by what they stand for: "section x", "function x", "map x", "extern x". */
export function addSymbols(elf: ElfWriter, object: ObjectSpec, places: SymbolPlaces): ReadonlyMap<string, number> {
  const symbols = new Map<string, number>()
  const { numberOf } = places
  const section = (name: string): void => {
    const symbol = { name: '', value: 0, size: 0, bind: SYMBOL_BIND.local, type: SYMBOL_TYPE.section }
    symbols.set(`section ${name}`, elf.symbol({ ...symbol, section: numberOf(name) }))
  }
  if (object.functions.length > 0) section('.text')
  for (const name of places.dataSections) section(name)
  const programNames = new Set(object.programs.map(({ name }) => name))
  for (const placed of places.placed.values()) {
    const { name, linkage } = placed.spec
    const symbol = {
      name,
      value: placed.start,
      size: placed.size,
      bind: bindOf(programNames.has(name) && linkage === 'static' ? 'global' : linkage),
      type: SYMBOL_TYPE.func,
      section: numberOf(placed.section),
    }
    symbols.set(`function ${name}`, elf.symbol(symbol))
  }
  const type = SYMBOL_TYPE.object
  for (const { map, offset, size } of places.btf.mapPlaces) {
    const bind = map.weak === true ? SYMBOL_BIND.weak : SYMBOL_BIND.global
    const symbol = { name: map.name, value: offset, size, bind, type, section: numberOf('.maps') }
    symbols.set(`map ${map.name}`, elf.symbol(symbol))
  }
  const hidden = new Set(object.maps.flatMap((map) => (isShared(map) ? [] : [map.section])))
  for (const { name, section: home, offset, size, linkage } of object.variables)
    elf.symbol({
      name,
      value: offset,
      size,
      bind: bindOf(linkage),
      type,
      section: numberOf(home),
      ...(linkage !== 'static' && hidden.has(home) ? { visibility: SYMBOL_VISIBILITY.hidden } : {}),
    })
  // libbpf looks for a symbol of every variable that BTF has
  for (const home of HEAD_SECTIONS) {
    if (numberOf(home) === 0) continue
    for (const { name, offset, size } of places.btf.variablesOf(home))
      elf.symbol({ name, value: offset, size, bind: SYMBOL_BIND.global, type, section: numberOf(home) })
  }
  for (const { name, kind, weak } of object.externs) {
    const bind = weak ? SYMBOL_BIND.weak : SYMBOL_BIND.global
    const symbol = { name, value: 0, size: 0, bind, type: SYMBOL_TYPE.notype, section: 0 }
    symbols.set(`${kind === 'map' ? 'map' : 'extern'} ${name}`, elf.symbol(symbol))
  }
  return symbols
}

/** User space can map the section: one of its variables is visible. */
function isShared({ section, flags }: ObjectSpec['maps'][number]): boolean {
  return section === undefined || section === ARENA_SECTION || (flags & MAP_FLAGS.mmapable) !== 0
}

function bindOf(linkage: 'static' | 'global' | 'weak'): number {
  return linkage === 'static' ? SYMBOL_BIND.local : linkage === 'weak' ? SYMBOL_BIND.weak : SYMBOL_BIND.global
}
