import { BTF_LINKAGE, type Btf, type BtfComposite, type BtfDatasec, typeName } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import type { MapSpec } from '../spec/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'
import { SYMBOL_BIND, SYMBOL_TYPE } from './container/index.ts'
import type { ObjectSections } from './object-sections.ts'

/** A map with the place of its definition, so that symbols can be told apart. */
export interface PlacedMap {
  readonly section: number
  readonly offset: number
  readonly map: MapSpec
}

/** What a relocation inside a map's initialiser points to. */
export type SlotTarget = (symbolIndex: number, addend: number) => string | undefined

/**
 * Maps of the `.maps` section: variables of struct types whose members say what the map is like.
 * @throws InputError `elf.map` naming map and attribute
 */
export function readBtfMaps(object: ObjectSections, targetOf: SlotTarget): PlacedMap[] {
  const { file, btf, what, roles } = object
  const index = roles.indexOf('maps')
  if (index < 0) return []
  const section = file.sections[index]
  const fail = (why: string): never => {
    throw new InputError('elf.map', `${what}: section .maps: ${why}`)
  }
  if (btf === undefined) return fail('maps are defined by BTF, and the object has no .BTF section')
  const datasecId = btf.idByName('.maps', 'datasec')
  const datasec = datasecId === undefined ? undefined : (btf.type(datasecId) as BtfDatasec)
  if (datasec === undefined) return fail('BTF has no DATASEC for it')
  const relocations = object.relocationsOf.get(index) ?? []
  return datasec.entries.flatMap((entry): PlacedMap[] => {
    const variable = btf.type(entry.type)
    if (variable.kind !== 'var') return fail(`entry [${entry.type}] of the DATASEC is no variable`)
    // another object's: an extern of this one
    if (variable.linkage === BTF_LINKAGE.extern) return []
    const { name } = variable
    const symbol = (object.symbolsOf.get(index) ?? []).find((s) => s.name === name && s.type !== SYMBOL_TYPE.section)
    const offset = symbol?.value ?? entry.offset
    const definition = btf.resolve(variable.type)
    if (definition.kind !== 'struct') return fail(`map ${name}: its type is no struct`)
    if (offset + definition.size > section.size) fail(`map ${name}: it ends after the section`)
    const parsed = parseDefinition(btf, definition, name, fail)
    const map = symbol?.bind === SYMBOL_BIND.weak ? { ...parsed.map, weak: true } : parsed.map
    if (parsed.valuesAt === undefined) return [{ section: index, offset, map }]
    const first = offset + parsed.valuesAt
    const pointerSize = 8
    const slots: (readonly [Uint8Array, string])[] = []
    for (const relocation of relocations) {
      if (
        relocation.offset < first ||
        relocation.offset >= offset + Math.max(entry.size, definition.size, symbol?.size ?? 0)
      )
        continue
      const slot = (relocation.offset - first) / pointerSize
      const target = targetOf(relocation.symbol, relocation.addend ?? 0)
      if (!Number.isInteger(slot) || target === undefined)
        return fail(`map ${name}: its initialiser at ${relocation.offset} is unclear`)
      const key = new Uint8Array(4)
      new DataView(key.buffer).setUint32(0, slot, file.littleEndian)
      slots.push([key, target])
    }
    return [{ section: index, offset, map: slots.length === 0 ? map : { ...map, slots } }]
  })
}

interface Definition {
  readonly map: MapSpec
  /** Byte offset of the `values` member. */
  readonly valuesAt?: number
}

function parseDefinition(
  btf: Btf,
  struct: BtfComposite,
  name: string,
  fail: (why: string) => never,
  isInner = false,
): Definition {
  const map: { -readonly [K in keyof MapSpec]: MapSpec[K] } = {
    name,
    type: 0,
    keySize: 0,
    valueSize: 0,
    maxEntries: 0,
    flags: 0,
  }
  let valuesAt: number | undefined
  const agree = (attribute: 'keySize' | 'valueSize', size: number): void => {
    if (map[attribute] !== 0 && map[attribute] !== size)
      fail(
        `map ${name}: its ${attribute === 'keySize' ? 'key' : 'value'} has ${size} bytes, ${map[attribute]} are declared`,
      )
    map[attribute] = size
  }
  const typed = (member: { name: string; type: number }): { id: number; size: number } => {
    const pointer = btf.resolve(member.type)
    if (pointer.kind !== 'ptr') return fail(`map ${name}: ${member.name} is no pointer to a type`)
    const size = btf.sizeOf(pointer.type)
    if (size === undefined) return fail(`map ${name}: the type of ${member.name} has no size`)
    return { id: pointer.type, size }
  }
  for (const member of struct.members) {
    const number = (): number => numberOf(btf, member, name, fail)
    switch (member.name) {
      case 'type':
        map.type = number()
        break
      case 'max_entries':
        map.maxEntries = number()
        break
      case 'map_flags':
        map.flags = number()
        break
      case 'numa_node':
        map.numaNode = number()
        break
      case 'key_size':
        agree('keySize', number())
        break
      case 'value_size':
        agree('valueSize', number())
        break
      case 'map_extra':
        map.mapExtra = longOf(btf, member, name, fail)
        break
      case 'pinning': {
        const pinning = number()
        if (pinning > 0) map.pinning = pinning === 1 ? 'by_name' : pinning
        break
      }
      case 'key': {
        const { id, size } = typed(member)
        agree('keySize', size)
        map.btfKeyTypeId = id
        break
      }
      case 'value': {
        const { id, size } = typed(member)
        agree('valueSize', size)
        map.btfValueTypeId = id
        break
      }
      case 'values': {
        const values = btf.resolve(member.type)
        if (values.kind !== 'array') return fail(`map ${name}: values is no array`)
        const pointer = btf.resolve(values.type)
        if (pointer.kind !== 'ptr') return fail(`map ${name}: values is no array of pointers`)
        const target = btf.resolve(pointer.type)
        agree('valueSize', 4)
        if (map.keySize === 0 && map.type === MAP_TYPES.prog_array) map.keySize = 4
        if (target.kind === 'struct') {
          if (isInner) fail(`map ${name}: maps of maps of maps do not exist`)
          const inner = parseDefinition(btf, target, `${name}.inner`, fail, true)
          map.inner = inner.map
        } else if (target.kind !== 'func_proto')
          fail(`map ${name}: values points to ${target.kind} ${typeName(target)}`)
        if (member.bitOffset % 8 !== 0) fail(`map ${name}: values starts at bit ${member.bitOffset}`)
        valuesAt = member.bitOffset / 8
        break
      }
      default:
        fail(`map ${name}: the attribute ${JSON.stringify(member.name)} is unknown`)
    }
  }
  if (map.type === 0) fail(`map ${name}: it has no type`)
  return valuesAt === undefined ? { map } : { map, valuesAt }
}

interface Member {
  readonly name: string
  readonly type: number
}

/** `__uint(name, n)`: a pointer to an array of n elements. */
function numberOf(btf: Btf, member: Member, map: string, fail: (why: string) => never): number {
  const pointer = btf.resolve(member.type)
  if (pointer.kind === 'ptr') {
    const array = btf.resolve(pointer.type)
    if (array.kind === 'array') return array.count
  }
  return fail(`map ${map}: ${member.name} is no number (a pointer to an array)`)
}

/** `__ulong(name, n)`: an enum of one value. */
function longOf(btf: Btf, member: Member, map: string, fail: (why: string) => never): bigint {
  const type = btf.resolve(member.type)
  if ((type.kind === 'enum' || type.kind === 'enum64') && type.values.length === 1)
    return BigInt.asUintN(64, BigInt(type.values[0].value))
  return BigInt(numberOf(btf, member, map, fail))
}
