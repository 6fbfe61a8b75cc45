import { Btf } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import { decode, encode, type Layout, layoutFromBtf } from '../layout/index.ts'
import { ARENA_SECTION, type MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { VariableSpec } from './variable.ts'

/** What can be changed of a map before it is made. */
export type MapChange = Partial<
  Pick<MapSpec, 'maxEntries' | 'flags' | 'mapExtra' | 'numaNode' | 'pinning' | 'contents'>
>

/**
 * The object with other first values of global variables: constants that the verifier knows (.rodata), settings, counters.
 * A name that several sections have is written `.data:name`. Values have the form that `layoutFromBtf` gives for the variable's
 * type (numbers, bigint for 64 bits, text for char arrays, objects for structs), or are its bytes.
 * @throws UsageError `object.variable` for a name that is not there or stands for several variables; `layout.value`
 */
export function withVariables(object: ObjectSpec, values: Readonly<Record<string, unknown>>): ObjectSpec {
  const changed = new Map<string, Uint8Array>()
  for (const [name, value] of Object.entries(values)) {
    const variable = findVariable(object, name)
    const { section, offset } = variable
    let bytes = changed.get(section)
    if (bytes === undefined) changed.set(section, (bytes = firstBytes(object, section).slice()))
    bytes.set(bytesOf(object, variable, value), offset)
  }
  return {
    ...object,
    maps: object.maps.map((map) => {
      if (map.arenaData !== undefined) return { ...map, arenaData: changed.get(ARENA_SECTION) ?? map.arenaData }
      const bytes = map.section === undefined ? undefined : changed.get(map.section)
      return bytes === undefined ? map : { ...map, contents: [[new Uint8Array(map.keySize), bytes]] }
    }),
  }
}

/** The first value of a global variable. @throws UsageError `object.variable` */
export function variableValue(object: ObjectSpec, name: string): unknown {
  const variable = findVariable(object, name)
  const { section, offset, size } = variable
  const bytes = firstBytes(object, section)
  const layout = layoutOf(object, variable)
  if (layout === undefined) return bytes.slice(offset, offset + size)
  return decode(layout, bytes, object.littleEndian ? 'little' : 'big', offset)
}

/**
 * The object with some attributes of its maps changed: `withMaps(object, { events: { maxEntries: 4096 } })`.
 * @throws UsageError `object.map` for a name that is not there
 */
export function withMaps(object: ObjectSpec, changes: Readonly<Record<string, MapChange>>): ObjectSpec {
  for (const name of Object.keys(changes))
    if (!object.maps.some((map) => map.name === name))
      throw new UsageError('object.map', `${object.name} has no map ${name}; it has ${listed(object.maps)}`)
  return { ...object, maps: object.maps.map((map) => ({ ...map, ...changes[map.name] })) }
}

/**
 * The object with these programs only.
 * @throws UsageError `program.unknown` for a name that is not there
 */
export function withPrograms(object: ObjectSpec, names: readonly string[]): ObjectSpec {
  for (const name of names)
    if (!object.programs.some((program) => program.name === name))
      throw new UsageError(
        'program.unknown',
        `${object.name} has no program ${name}; it has ${listed(object.programs)}`,
      )
  return { ...object, programs: object.programs.filter(({ name }) => names.includes(name)) }
}

const listed = (list: readonly { readonly name: string }[]): string =>
  list.length === 0 ? 'none' : list.map(({ name }) => name).join(', ')

function findVariable(object: ObjectSpec, wanted: string): VariableSpec {
  const found = object.variables.filter(({ name, section }) => name === wanted || `${section}:${name}` === wanted)
  if (found.length === 1) return found[0]
  const why =
    found.length === 0
      ? `has no variable ${wanted}; it has ${listed(object.variables)}`
      : `has ${found.length} variables ${wanted}: in ${found.map(({ section }) => section).join(' and ')}`
  throw new UsageError('object.variable', `${object.name} ${why}`)
}

function firstBytes(object: ObjectSpec, section: string): Uint8Array {
  if (section === ARENA_SECTION)
    return object.maps.find(({ arenaData }) => arenaData !== undefined)?.arenaData ?? new Uint8Array(0)
  const map = object.maps.find((candidate) => candidate.section === section)
  return map?.contents?.[0]?.[1] ?? new Uint8Array(map?.valueSize ?? 0)
}

function layoutOf(object: ObjectSpec, { typeId }: VariableSpec): Layout | undefined {
  if (object.btf === undefined || typeId === undefined || typeId === 0) return undefined
  return layoutFromBtf(new Btf(object.btf, { what: `${object.name}: BTF` }), typeId)
}

function bytesOf(object: ObjectSpec, variable: VariableSpec, value: unknown): Uint8Array {
  const { name, size } = variable
  if (value instanceof Uint8Array && value.length === size) return value
  const layout = layoutOf(object, variable)
  if (layout === undefined)
    throw new UsageError('object.variable', `${object.name}: ${name} has no type: its value is ${size} bytes`)
  try {
    return encode(layout, value, object.littleEndian ? 'little' : 'big')
  } catch (cause) {
    if (!(cause instanceof UsageError)) throw cause
    throw new UsageError(cause.code, `${object.name}: ${name}: ${cause.message}`, { cause })
  }
}
