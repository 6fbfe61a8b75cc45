import { Btf, typeScriptLayouts } from '../btf/index.ts'
import { writeObject } from '../elf/index.ts'
import { UsageError } from '../errors/index.ts'
import type { MapSpec, ObjectSpec } from '../spec/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'

/** A layout's expression for a type, with what it needs written before. */
interface Types {
  readonly definitions: string
  readonly imports: readonly string[]
  expression(typeId: number | undefined, size: number): string
}

const identifier = (name: string): string => name.replace(/[^A-Za-z0-9_$]/g, '_').replace(/^(?=\d)/, '_')
const className = (name: string): string =>
  identifier(name)
    .split('_')
    .map((part) => part.slice(0, 1).toUpperCase() + part.slice(1))
    .join('')
const quoted = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

function typesOf(object: ObjectSpec): Types {
  const imports = new Set<string>()
  if (object.btf === undefined) {
    return { definitions: '', imports: [], expression: (_, size) => `rawBytes(${size})` }
  }
  const btf = new Btf(object.btf, { what: `${object.name}: BTF` })
  const wanted = [
    ...object.maps.flatMap(({ btfKeyTypeId, btfValueTypeId, section, type }) =>
      section === undefined && type !== MAP_TYPES.struct_ops ? [btfKeyTypeId, btfValueTypeId] : [],
    ),
    ...object.variables.map(({ typeId }) => typeId),
  ].filter((id): id is number => id !== undefined && id !== 0 && btf.sizeOf(id) !== undefined)
  const { text, expressions } = typeScriptLayouts(btf, wanted)
  for (const match of /^import \{ ([^}]*) \}/.exec(text)?.[1].split(', ') ?? []) imports.add(match)
  return {
    definitions: text.replace(/^import .*\n\n?/, ''),
    imports: [...imports],
    expression: (typeId, size) => (typeId === undefined ? undefined : expressions.get(typeId)) ?? `rawBytes(${size})`,
  }
}

/**
 * A TypeScript module for an object: its bytes, its maps and global variables with their types, and the life cycle
 * open → set globals, resize maps → load → attach → close.
 * @throws UsageError `skeleton.names` when two things of the object would share a name
 */
export function skeleton(object: ObjectSpec, name: string): string {
  const type = className(name)
  const types = typesOf(object)
  const maps = object.maps.filter(({ section, type: kind }) => section === undefined && kind !== MAP_TYPES.struct_ops)
  const sections = object.maps.filter(({ section }) => section !== undefined && section !== '.kconfig')
  const raw = [...maps.map(mapTypes), ...sections.map(variablesOf)].join('\n').includes('rawBytes(')
  const layoutImports = [...types.imports, 'decode', 'encode'].sort()
  if (types.definitions.includes(`export const ${type} `))
    throw new UsageError('skeleton.names', `${object.name} has a type called ${type}: choose another name with --name`)

  function mapTypes(map: MapSpec): string {
    const key = map.keySize === 0 ? 'rawBytes(0)' : types.expression(map.btfKeyTypeId, map.keySize)
    const value = map.valueSize === 0 ? 'rawBytes(0)' : types.expression(map.btfValueTypeId, map.valueSize)
    return `  ${identifier(map.name)}: { key: ${key}, value: ${value} },`
  }
  function variablesOf(map: MapSpec): string {
    const rows = object.variables
      .filter(({ section, linkage }) => section === map.section && linkage !== 'static')
      .map((v) => `    ${identifier(v.name)}: { offset: ${v.offset}, layout: ${types.expression(v.typeId, v.size)} },`)
    return `  ${quoted(map.section as string)}: {\n${rows.join('\n')}\n  },`
  }
  // functions of an object without programs have no type to be loaded with
  const autoload = object.programs
    .filter((program) => program.autoload !== false && program.section !== '.text')
    .map((program) => quoted(program.name))
    .join(', ')
  const bytes = Buffer.from(writeObject(object)).toString('base64')
  const lines = bytes.match(/.{1,120}/g) ?? []
  return `// Written by "typebpf gen skeleton": do not edit.
import { readObject } from 'typebpf/elf'
import { ${['attachAll', 'type AttachOptions', 'BpfMap', 'GlobalVariables', 'type Link', 'type LoadedObject', 'loadObject', 'type ProgramHandle', ...(raw ? ['rawBytes'] : []), 'realSys', 'type Sys'].join(', ')} } from 'typebpf/kernel'
import { ${layoutImports.join(', ')}, type Layout, type ValueOf } from 'typebpf/layout'
import type { MapSpec, ObjectSpec } from 'typebpf/spec'

${types.definitions}
const MAPS = {
${maps.map(mapTypes).join('\n')}
} as const

/** Global variables by section, with their places. */
const VARIABLES = {
${sections.map(variablesOf).join('\n')}
} as const

type Codecs = typeof MAPS
type Variables = typeof VARIABLES
/** Live maps by name. */
export type ${type}Maps = { readonly [K in keyof Codecs]: BpfMap<ValueOf<Codecs[K]['key']>, ValueOf<Codecs[K]['value']>> }
type Values<S> = { -readonly [K in keyof S]: S[K] extends { layout: infer L } ? ValueOf<L> : never }
export type ${type}Program = ${object.programs.map((program) => quoted(program.name)).join(' | ') || 'never'}

interface Place {
  readonly offset: number
  readonly layout: Layout
}
const placesOf = (section: string): [string, Place][] =>
  Object.entries((VARIABLES as unknown as Record<string, Record<string, Place>>)[section] ?? {})

/** An object with just these properties; another name is an error. */
function accessors(
  names: readonly string[],
  get: (name: string) => unknown,
  set: (name: string, value: unknown) => void,
): object {
  const property = (name: string) => ({ enumerable: true, get: () => get(name), set: (value: unknown) => set(name, value) })
  return Object.freeze(Object.defineProperties({}, Object.fromEntries(names.map((name) => [name, property(name)]))))
}
const textOf = (value: unknown): string =>
  JSON.stringify(value, (_, item) => (typeof item === 'bigint' ? \`\${item}n\` : item))

/** Programs that load by themselves. */
const PROGRAMS: readonly string[] = [${autoload}]

const BYTES = [
${lines.map((line) => `  '${line}',`).join('\n')}
].join('')

/** The object opened: global variables and maps can still be changed. */
export class ${type} {
  #object: ObjectSpec
  #loaded: LoadedObject | undefined
  #links: Link[] = []
  #globals: GlobalVariables | undefined
  #live: ${type}['variables'] | undefined
  readonly #values = new Map<string, Map<string, unknown>>()
  /** First values of global variables, until the load; then see \`live\`. */
  readonly variables: { readonly [S in keyof Variables]: Values<Variables[S]> }
  readonly #sys: Sys

  private constructor(object: ObjectSpec, sys: Sys) {
    this.#object = object
    this.#sys = sys
    const section = (name: string) => {
      const values = new Map(placesOf(name).map(([variable, place]) => [variable, this.#first(name, place)]))
      this.#values.set(name, values)
      const set = (variable: string, value: unknown): void => {
        if (this.#loaded !== undefined) throw new Error(\`\${variable}: the object is loaded, set it through live\`)
        values.set(variable, value)
      }
      return accessors([...values.keys()], (variable) => values.get(variable), set)
    }
    this.variables = Object.fromEntries(
      Object.keys(VARIABLES).map((name) => [name, section(name)]),
    ) as unknown as this['variables']
  }

  /** A variable's value in the object file. */
  #first(section: string, { offset, layout }: Place): unknown {
    const map = this.#object.maps.find((candidate) => candidate.section === section) as MapSpec
    const bytes = map.contents?.[0]?.[1] ?? new Uint8Array(map.valueSize)
    return decode(layout, bytes, 'little', offset)
  }

  static open(sys: Sys = realSys()): ${type} {
    const binary = Uint8Array.from(atob(BYTES), (letter) => letter.charCodeAt(0))
    return new ${type}(readObject(binary, { name: ${quoted(object.name)} }), sys)
  }

  /** Another size for a map, before the load. */
  resize(map: keyof Codecs, maxEntries: number): this {
    if (!(map in MAPS)) throw new Error(\`there is no map \${String(map)}\`)
    this.#change((spec) => (spec.name === map ? { ...spec, maxEntries } : spec))
    return this
  }

  #change(change: (spec: MapSpec) => MapSpec): void {
    if (this.#loaded !== undefined) throw new Error('the object is loaded: change it before')
    this.#object = { ...this.#object, maps: this.#object.maps.map(change) }
  }

  /** Creates all maps and loads the programs. @throws the kernel's refusal of the first program that it refuses */
  load(): this {
    this.#change((spec) => {
      const { section } = spec
      if (section === undefined || placesOf(section).length === 0) return spec
      const bytes = Uint8Array.from(spec.contents?.[0]?.[1] ?? new Uint8Array(spec.valueSize))
      for (const [name, place] of placesOf(section)) {
        const value = this.#values.get(section)?.get(name)
        // what nobody changed stays as it is, byte for byte
        if (textOf(value) === textOf(this.#first(section, place))) continue
        try {
          bytes.set(encode(place.layout, value), place.offset)
        } catch (cause) {
          throw new Error(\`\${name} of \${section}: \${(cause as Error).message}\`, { cause })
        }
      }
      return { ...spec, contents: [[new Uint8Array(4), bytes]] }
    })
    const loaded = loadObject(this.#sys, this.#object, { allMaps: true, programs: PROGRAMS })
    const failed = loaded.programs.find(({ result }) => result.program === undefined)
    if (failed !== undefined) {
      const error = failed.error ?? new Error(\`\${failed.spec.name} was refused: \${failed.result.message ?? failed.result.verdict}\`)
      loaded.close()
      throw error
    }
    this.#loaded = loaded
    return this
  }

  get loaded(): LoadedObject {
    if (this.#loaded === undefined) throw new Error('the object is not loaded')
    return this.#loaded
  }

  /** A live program. */
  program(name: ${type}Program): ProgramHandle {
    return this.#handle(name)
  }

  #handle(name: string): ProgramHandle {
    const program = this.loaded.programs.find(({ spec }) => spec.name === name)?.result.program
    if (program === undefined)
      throw new Error(\`\${name} is \${this.#object.programs.some((spec) => spec.name === name) ? 'not loaded' : 'no program of the object'}\`)
    return program
  }

  /** A live map with its types. */
  map<K extends keyof Codecs>(name: K): ${type}Maps[K] {
    const raw = this.loaded.maps.get(name)
    if (raw === undefined) throw new Error(\`there is no map \${name}\`)
    return new BpfMap<unknown, unknown>(raw, MAPS[name] as never) as ${type}Maps[K]
  }

  /** The global variables of the loaded programs as shared memory: programs see a write at once. Constants throw when set. */
  get live(): ${type}['variables'] {
    if (this.#live === undefined) {
      const sections = Object.keys(VARIABLES)
      const globals = new GlobalVariables(
        this.loaded,
        sections.flatMap((section) => placesOf(section).map(([name, { layout }]) => [name, layout] as const)),
      )
      this.#globals = globals
      const section = (name: string): object =>
        accessors(
          placesOf(name).map(([variable]) => variable),
          (variable) => globals.get(variable),
          (variable, value) => globals.set(variable, value),
        )
      this.#live = Object.fromEntries(sections.map((name) => [name, section(name)])) as unknown as this['variables']
    }
    return this.#live
  }

  /** Attaches the programs whose section or \`options\` say where; others (an interface, a cgroup to choose) stay as they are. */
  attach(options: AttachOptions = {}): this {
    this.#links.push(...attachAll(this.loaded, { ...options, unplaced: 'skip' }))
    return this
  }

  /** Detaches and unloads; again is harmless. */
  close(): void {
    for (const link of this.#links.splice(0)) link.close()
    this.#globals?.close()
    this.#globals = this.#live = undefined
    this.#loaded?.close()
    this.#loaded = undefined
  }

  [Symbol.dispose](): void {
    this.close()
  }
}
`
}
