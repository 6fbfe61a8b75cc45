import { BTF_LINKAGE, Btf, BtfBuilder, type BtfDatasec, type BtfMember, type BtfType } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import { ARENA_SECTION, type FunctionSpec, type MapSpec, type ObjectSpec, type VariableSpec } from '../spec/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'

/** A map's place in the `.maps` section. */
export interface MapPlace {
  readonly map: MapSpec
  readonly offset: number
  /** Bytes of its definition with its slots. */
  readonly size: number
  /** Where its slots start, inside the definition. */
  readonly slotsAt: number
}

export interface ObjectBtf {
  readonly builder: BtfBuilder
  readonly mapPlaces: readonly MapPlace[]
  readonly mapsSize: number
  /** The FUNC of each function by name. */
  readonly functionIds: ReadonlyMap<string, number>
  /** The variables that BTF has in one of the {@link HEAD_SECTIONS}; one of a usual name when it has none. */
  variablesOf(section: string): readonly { readonly name: string; readonly offset: number; readonly size: number }[]
  /** Takes away the variables of sections that are not written: libbpf refuses an object that lacks one. */
  dropSections(written: ReadonlySet<string>): void
}

/** Sections that loaders read and programs do not. */
export const HEAD_SECTIONS = ['license', 'version'] as const
/** Sections that are in BTF alone. */
const BTF_SECTIONS: ReadonlySet<string> = new Set(['.ksyms', '.kconfig', '.maps'])

const POINTER = 8
/** Definitions of maps take some ten bytes an attribute. */
const MAX_MAPS_BYTES = 1 << 22

/**
 * The object's BTF with what libbpf reads from it: definitions of maps, sections of global data and externs, a FUNC for
 * each function. What is there already is kept, so that writing what was read adds nothing.
 */
export function completeBtf(object: ObjectSpec): ObjectBtf {
  const builder = new BtfBuilder()
  if (object.btf !== undefined)
    for (const [, type] of new Btf(object.btf, { what: `${object.name}: BTF` }).types()) builder.addDistinct(type)
  const functionIds = new Map<string, number>()
  for (const spec of [...object.functions, ...object.programs]) functionIds.set(spec.name, functionType(builder, spec))
  const places = placeMaps(builder, object)
  for (const map of object.maps)
    if (map.section !== undefined && map.section !== '.kconfig')
      dataSection(builder, object, map.section as string, map.valueSize)
  for (const { arenaData } of object.maps)
    if (arenaData !== undefined) dataSection(builder, object, ARENA_SECTION, arenaData.length)
  structOpsSections(builder, object)
  externSections(builder, object)
  return {
    builder,
    ...places,
    functionIds,
    variablesOf(section) {
      const there = findDatasec(builder, section)
      if (there === undefined) return [{ name: `_${section}`, offset: 0, size: 0 }]
      const names = entryNames(builder, there.type)
      return there.type.entries.map(({ offset, size }, i) => ({ name: names[i], offset, size }))
    },
    dropSections(written) {
      for (let id = 1; id <= builder.typeCount; id++) {
        const type = builder.get(id)
        if (type?.kind === 'datasec' && !written.has(type.name) && !BTF_SECTIONS.has(type.name))
          builder.define(id, { kind: 'const', type: 0 })
      }
    },
  }
}

function findDatasec(builder: BtfBuilder, name: string): { id: number; type: BtfDatasec } | undefined {
  for (let id = 1; id <= builder.typeCount; id++) {
    const type = builder.get(id)
    if (type?.kind === 'datasec' && type.name === name) return { id, type }
  }
  return undefined
}

function setDatasec(builder: BtfBuilder, type: BtfDatasec): void {
  const there = findDatasec(builder, type.name)
  if (there === undefined) builder.addDistinct(type)
  else builder.define(there.id, type)
}

/** The names of a section's entries. */
function entryNames(builder: BtfBuilder, section: BtfDatasec): string[] {
  return section.entries.map(({ type }) => {
    const entry = builder.get(type)
    return entry !== undefined && 'name' in entry ? entry.name : ''
  })
}

function functionType(builder: BtfBuilder, spec: FunctionSpec): number {
  if (spec.typeId !== undefined && spec.typeId !== 0) return spec.typeId
  const proto: BtfType = {
    kind: 'func_proto',
    returnType: builder.int('int', 4, { signed: true }),
    params: [{ name: 'ctx', type: builder.pointer(0) }],
  }
  const linkage = spec.linkage === 'static' ? BTF_LINKAGE.static : BTF_LINKAGE.global
  return builder.addDistinct({ kind: 'func', name: spec.name, type: builder.add(proto), linkage })
}

function definedMaps(object: ObjectSpec): MapSpec[] {
  return object.maps.filter(({ section, type }) => section === undefined && type !== MAP_TYPES.struct_ops)
}

function placeMaps(builder: BtfBuilder, object: ObjectSpec): { mapPlaces: MapPlace[]; mapsSize: number } {
  const maps = definedMaps(object)
  const elsewhere = object.externs.filter(({ kind }) => kind === 'map')
  if (maps.length + elsewhere.length === 0) return { mapPlaces: [], mapsSize: 0 }
  const there = findDatasec(builder, '.maps')
  if (there !== undefined && sameNames(entryNames(builder, there.type), [...maps, ...elsewhere])) {
    const byName = new Map(maps.map((map) => [map.name, map]))
    const names = entryNames(builder, there.type)
    const mapPlaces = there.type.entries.flatMap((entry, i) => {
      const map = byName.get(names[i])
      if (map === undefined) return []
      return [{ map, offset: entry.offset, size: entry.size, slotsAt: slotsAtOf(builder, entry.type) }]
    })
    const mapsSize = Math.max(0, ...mapPlaces.map(({ offset, size }) => offset + size))
    checkMapsSize(object, mapsSize)
    return { mapPlaces, mapsSize }
  }
  const mapPlaces: MapPlace[] = []
  const entries: { type: number; offset: number; size: number }[] = []
  let end = 0
  for (const map of maps) {
    const struct = defineMap(builder, map)
    const slotsAt = struct.size
    const slots =
      map.slots === undefined ? 0 : Math.max(0, ...map.slots.map(([key]) => slotNumber(key, object.littleEndian) + 1))
    const size = struct.size + slots * POINTER
    const type = builder.addDistinct({ kind: 'var', name: map.name, type: struct.id, linkage: BTF_LINKAGE.global })
    entries.push({ type, offset: end, size })
    mapPlaces.push({ map, offset: end, size, slotsAt })
    end += size
  }
  for (const { name, typeId } of elsewhere) {
    const type = builder.addDistinct({ kind: 'var', name, type: typeId ?? 0, linkage: BTF_LINKAGE.extern })
    entries.push({ type, offset: 0, size: 0 })
  }
  checkMapsSize(object, end)
  setDatasec(builder, { kind: 'datasec', name: '.maps', size: end, entries })
  return { mapPlaces, mapsSize: end }
}

function checkMapsSize(object: ObjectSpec, size: number): void {
  if (size > MAX_MAPS_BYTES)
    throw new UsageError(
      'object.maps',
      `${object.name}: definitions and first slots of maps take ${size} bytes, ${MAX_MAPS_BYTES} at most`,
    )
}

const sameNames = (names: readonly string[], maps: readonly { readonly name: string }[]): boolean =>
  names.length === maps.length && maps.every(({ name }) => names.includes(name))

export function slotNumber(key: Uint8Array, littleEndian: boolean): number {
  return new DataView(key.buffer, key.byteOffset, key.byteLength).getUint32(0, littleEndian)
}

function slotsAtOf(builder: BtfBuilder, variableId: number): number {
  let type = builder.get(variableId)
  for (let depth = 0; depth < 32 && type !== undefined; depth++) {
    if (type.kind === 'struct')
      return (type.members.find(({ name }) => name === 'values')?.bitOffset ?? type.size * 8) / 8
    if (!('type' in type)) break
    type = builder.get(type.type)
  }
  return 0
}

/** A struct whose members carry the map's attributes, as libbpf's macros spell them. */
function defineMap(builder: BtfBuilder, map: MapSpec): { id: number; size: number } {
  const members: BtfMember[] = []
  const member = (name: string, type: number): void => {
    members.push({ name, type, bitOffset: members.length * POINTER * 8, bitSize: 0 })
  }
  const int = builder.int('int', 4, { signed: true })
  const number = (name: string, value: number): void => member(name, builder.pointer(builder.array(int, value)))
  number('type', map.type)
  if (map.maxEntries !== 0) number('max_entries', map.maxEntries)
  if (map.flags !== 0) number('map_flags', map.flags)
  if (map.btfKeyTypeId) member('key', builder.pointer(map.btfKeyTypeId))
  else if (map.keySize !== 0) number('key_size', map.keySize)
  const hasSlots = map.inner !== undefined || map.type === MAP_TYPES.prog_array
  if (map.btfValueTypeId) member('value', builder.pointer(map.btfValueTypeId))
  else if (map.valueSize !== 0 && !(hasSlots && map.valueSize === 4)) number('value_size', map.valueSize)
  if (map.numaNode !== undefined) number('numa_node', map.numaNode)
  if (map.pinning !== undefined && map.pinning !== 'none')
    number('pinning', map.pinning === 'by_name' ? 1 : map.pinning)
  if (map.mapExtra !== undefined && map.mapExtra !== 0n) {
    if (map.mapExtra <= 0x7fffffffn) number('map_extra', Number(map.mapExtra))
    else {
      const values = [{ name: `__map_extra_${map.name}`, value: map.mapExtra }]
      const type = builder.add({ kind: 'enum64', name: '', size: 8, signed: false, values })
      member('map_extra', type)
    }
  }
  const size = members.length * POINTER
  if (hasSlots) {
    const target =
      map.inner !== undefined
        ? defineMap(builder, map.inner).id
        : builder.add({ kind: 'func_proto', returnType: 0, params: [] })
    member('values', builder.array(builder.pointer(target), 0))
  }
  return { id: builder.addDistinct({ kind: 'struct', name: '', size, members }), size }
}

function bytesType(builder: BtfBuilder, size: number): number {
  return builder.array(builder.int('unsigned char', 1), size)
}

function dataSection(builder: BtfBuilder, object: ObjectSpec, name: string, size: number): void {
  const variables = object.variables.filter((variable) => variable.section === name)
  if (variables.length === 0) return
  const there = findDatasec(builder, name)
  if (there !== undefined && entriesCurrent(builder, there.type, variables, size)) return
  const entries = [...variables]
    .sort((a, b) => a.offset - b.offset)
    .map((variable) => ({
      type: builder.addDistinct({
        kind: 'var',
        name: variable.name,
        type: variable.typeId ?? bytesType(builder, variable.size),
        linkage: variable.linkage === 'static' ? BTF_LINKAGE.static : BTF_LINKAGE.global,
      }),
      offset: variable.offset,
      size: variable.size,
    }))
  setDatasec(builder, { kind: 'datasec', name, size, entries })
}

function entriesCurrent(
  builder: BtfBuilder,
  type: BtfDatasec,
  variables: readonly VariableSpec[],
  size: number,
): boolean {
  const names = entryNames(builder, type)
  return (
    type.size === size &&
    variables.filter(({ typeId }) => typeId !== undefined).every(({ name }) => names.includes(name))
  )
}

function structOpsSections(builder: BtfBuilder, object: ObjectSpec): void {
  for (const [name, maps] of structOpsBySection(object)) {
    const there = findDatasec(builder, name)
    if (there !== undefined && sameNames(entryNames(builder, there.type), maps)) continue
    let end = 0
    const entries = maps.map((map) => {
      const type = builder.addDistinct({
        kind: 'var',
        name: map.name,
        type: map.btfValueTypeId ?? 0,
        linkage: BTF_LINKAGE.global,
      })
      const entry = { type, offset: end, size: map.valueSize }
      end = (end + map.valueSize + 7) & ~7
      return entry
    })
    setDatasec(builder, { kind: 'datasec', name, size: end, entries })
  }
}

/** struct_ops maps by the section they go to. */
export function structOpsBySection(object: ObjectSpec): Map<string, MapSpec[]> {
  const out = new Map<string, MapSpec[]>()
  for (const map of object.maps) {
    if (map.type !== MAP_TYPES.struct_ops) continue
    const name = `${map.autocreate === false ? '?' : ''}.struct_ops${map.structOps?.legacy === true ? '' : '.link'}`
    out.set(name, [...(out.get(name) ?? []), map])
  }
  return out
}

function externSections(builder: BtfBuilder, object: ObjectSpec): void {
  const parts = [
    [
      '.ksyms',
      object.externs.filter(({ kind, typeId }) => kind === 'ksym' || (kind === 'kfunc' && typeId !== undefined)),
    ],
    ['.kconfig', object.externs.filter(({ kind }) => kind === 'kconfig')],
  ] as const
  for (const [name, externs] of parts) {
    if (externs.length === 0) continue
    const there = findDatasec(builder, name)
    const names = there === undefined ? [] : entryNames(builder, there.type)
    if (there !== undefined && externs.every((extern) => names.includes(extern.name))) continue
    const entries = externs.map((extern) => {
      if (extern.kind === 'kfunc') return { type: extern.typeId as number, offset: 0, size: 0 }
      const type = extern.typeId ?? builder.add({ kind: 'const', type: 0 })
      const id = builder.addDistinct({ kind: 'var', name: extern.name, type, linkage: BTF_LINKAGE.extern })
      return { type: id, offset: 0, size: extern.size ?? 0 }
    })
    setDatasec(builder, { kind: 'datasec', name, size: 0, entries })
  }
}
