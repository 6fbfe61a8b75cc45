import type { Reference } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import {
  ARENA_SECTION,
  type ExternSpec,
  JUMP_TABLES,
  type MapSpec,
  type ObjectSpec,
  type ProgramSpec,
} from '../spec/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'
import { type ElfSymbol, SECTION_INDEX, SYMBOL_TYPE } from './container/index.ts'
import { finishBtf } from './finish-btf.ts'
import { openObjectFile } from './object-file.ts'
import { type ObjectSections, placeOf, takeApart } from './object-sections.ts'
import { readBtfMaps, type SlotTarget } from './read-btf-maps.ts'
import { readData, readExterns } from './read-data.ts'
import { readFunctions } from './read-functions.ts'
import { readLegacyMaps } from './read-legacy-maps.ts'
import { readStructOps } from './read-struct-ops.ts'

export interface ReadObjectOptions {
  /** Names the input in errors: the path. */
  readonly what?: string
  /** The object's name, default from `what`: the file's name without its extension. */
  readonly name?: string
}

/**
 * Reads a BPF object file as clang, bpftool or TypeBPF write it: programs, functions, maps (BTF-defined and legacy),
 * global data, externs, struct_ops, BTF, line information, CO-RE relocations, license.
 * @throws InputError `elf.*`, `btf.*`, `btf-ext.*`, `bytes.*` naming section and offset
 */
export function readObject(bytes: Uint8Array, options: ReadObjectOptions = {}): ObjectSpec {
  const what = options.what ?? options.name ?? 'object'
  const object = takeApart(openObjectFile(bytes, what))
  const { file, roles } = object
  const data = readData(object)
  const { externs, kconfig } = readExterns(object)
  const byName = new Map(externs.map((extern) => [extern.name, extern]))
  const arena = data.arenaData === undefined ? undefined : arenaName(object)
  const code = readFunctions(object, (symbol, addend, where) => meaningOf(object, arena, byName, symbol, addend, where))
  // maps last: their initialisers name programs
  const targetOf: SlotTarget = (symbolIndex, addend) => {
    const symbol = object.symbols[symbolIndex]
    const role = roles[symbol.section]
    if (role === 'program' || role === 'text') return code.nameAt(symbol.section, symbol.value + addend)
    if (role === 'maps' || role === 'legacy-maps') return mapAt(object, symbol.section, symbol.value + addend)
    return undefined
  }
  const btfMaps = readBtfMaps(object, targetOf)
  const structOps = readStructOps(object, targetOf)
  const maps: MapSpec[] = [
    ...btfMaps.map(({ map }) => (map.name === arena ? { ...map, arenaData: data.arenaData } : map)),
    ...readLegacyMaps(object).map(({ map }) => map),
    ...structOps,
    ...data.maps,
    ...(kconfig === undefined ? [] : [kconfig]),
  ]
  checkMapNames(what, maps)
  const version = versionOf(object)
  return {
    name: options.name ?? nameOf(what),
    littleEndian: file.littleEndian,
    license: licenseOf(object),
    ...(version === undefined ? {} : { kernelVersion: version }),
    programs: code.programs.map((program) => withStructOps(program, structOps)),
    functions: code.functions,
    maps,
    variables: data.variables,
    externs,
    ...(object.btf === undefined ? {} : { btf: finishBtf(object, object.btf) }),
  }
}

function nameOf(what: string): string {
  const base = what.split('/').pop() ?? what
  return base.replace(/(\.bpf)?\.(o|elf|obj)$/, '') || 'object'
}

/** The name of the map whose definition starts at a byte of a section. */
function mapAt(object: ObjectSections, section: number, offset: number): string | undefined {
  return (object.symbolsOf.get(section) ?? []).find(
    ({ name, value, type }) => name !== '' && type !== SYMBOL_TYPE.section && value === offset,
  )?.name
}

/** The one map that variables of {@link ARENA_SECTION} live in. */
function arenaName(object: ObjectSections): string {
  const arenas = readBtfMaps(object, () => '').filter(({ map }) => map.type === MAP_TYPES.arena)
  if (arenas.length !== 1)
    throw new InputError(
      'elf.arena',
      `${object.what}: section ${ARENA_SECTION}: its variables need one arena map, the object has ${arenas.length}`,
    )
  return arenas[0].map.name
}

function checkMapNames(what: string, maps: readonly MapSpec[]): void {
  const seen = new Set<string>()
  for (const { name } of maps) {
    if (seen.has(name)) throw new InputError('elf.map', `${what}: two maps have the name ${name}`)
    seen.add(name)
  }
}

function meaningOf(
  object: ObjectSections,
  arena: string | undefined,
  externs: ReadonlyMap<string, ExternSpec>,
  symbol: ElfSymbol,
  addend: number,
  where: string,
): Reference {
  const role = object.roles[symbol.section]
  if (role === 'maps' || role === 'legacy-maps') {
    const name = mapAt(object, symbol.section, symbol.value + addend)
    if (name === undefined)
      throw new InputError(
        'elf.reference',
        `${where}: no map starts at byte ${symbol.value + addend} of ${placeOf(object, symbol)}`,
      )
    return { kind: 'map', name }
  }
  if (role === 'arena' && arena !== undefined) {
    const { size } = object.file.sections[symbol.section]
    const offset = symbol.value + addend
    if (offset < 0 || offset > size)
      throw new InputError('elf.reference', `${where}: byte ${offset} of ${ARENA_SECTION}, which has ${size}`)
    return { kind: 'mapValue', name: arena, offset }
  }
  // only the program that has it cannot be used
  if (placeOf(object, symbol) === JUMP_TABLES)
    return { kind: 'mapValue', name: JUMP_TABLES, offset: symbol.value + addend }
  if (role === 'data') {
    const { name, size } = object.file.sections[symbol.section]
    const offset = symbol.value + addend
    if (offset < 0 || offset > size)
      throw new InputError('elf.reference', `${where}: byte ${offset} of ${name}, which has ${size}`)
    return { kind: 'mapValue', name, offset }
  }
  if (symbol.section === SECTION_INDEX.undef) {
    const extern = externs.get(symbol.name)
    const weak = extern?.weak === true ? { weak: true as const } : {}
    if (extern?.kind === 'map') return { kind: 'map', name: symbol.name }
    if (extern?.kind === 'kconfig') return { kind: 'kconfig', name: symbol.name, ...weak }
    if (extern?.kind === 'kfunc' && extern.typeId !== undefined)
      return { kind: 'ksym', name: symbol.name, typed: true, ...weak }
    return {
      kind: 'ksym',
      name: symbol.name,
      ...(extern?.typeId === undefined ? {} : { typed: true as const }),
      ...weak,
    }
  }
  throw new InputError(
    'elf.reference',
    `${where}: it refers to ${symbol.name || 'a place'} in ${placeOf(object, symbol)}, which is neither a map nor global data`,
  )
}

function licenseOf(object: ObjectSections): string {
  const section = object.file.sections[object.roles.indexOf('license')]
  if (section === undefined) return ''
  const end = section.data.indexOf(0)
  return new TextDecoder().decode(end < 0 ? section.data : section.data.subarray(0, end))
}

function versionOf(object: ObjectSections): number | undefined {
  const section = object.file.sections[object.roles.indexOf('version')]
  if (section === undefined || section.data.length !== 4) return undefined
  return new DataView(section.data.buffer, section.data.byteOffset, 4).getUint32(0, object.file.littleEndian)
}

/** Programs of struct_ops learn from the struct that points to them what they implement. */
function withStructOps(program: ProgramSpec, maps: readonly MapSpec[]): ProgramSpec {
  for (const { structOps } of maps) {
    const member = structOps?.members.find((row) => row.program === program.name)
    if (structOps !== undefined && member !== undefined)
      return {
        ...program,
        attachTo: { name: structOps.typeName },
        attach: { kind: 'struct_ops', type: structOps.typeName, member: member.member },
      }
  }
  return program
}
