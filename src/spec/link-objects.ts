import type { Instruction } from '../asm/index.ts'
import { BTF_LINKAGE, Btf, BtfBuilder, type BtfType, mergeBtf } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import { LD_IMM64, PSEUDO_CALL, PSEUDO_LD } from '../uapi/index.ts'
import { placeKconfig } from './kconfig.ts'
import { ARENA_SECTION, type MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { FunctionSpec, ProgramSpec } from './program.ts'
import type { ExternSpec, VariableSpec } from './variable.ts'

export interface LinkObjectsOptions {
  /** The result's name, default the first input's. */
  readonly name?: string
  /** The result's license, default the one that all inputs with a license share. */
  readonly license?: string
  /** The inputs are parts of one module: global data of one section with the same variables is one and the same. */
  readonly oneModule?: boolean
}

/**
 * Several objects as one: BTF merged with equal types united, global-data sections joined, programs, functions, maps and
 * externs by name. Maps of one name must be equal and become one; a strong function, map or variable wins over weak ones, the
 * first weak one over later ones, and what is defined fills an extern; static functions and variables that share a name are
 * kept apart.
 * @throws UsageError `link.*` for two different things of one name, mixed byte orders or licenses
 */
export function linkObjects(objects: readonly ObjectSpec[], options: LinkObjectsOptions = {}): ObjectSpec {
  const name = options.name ?? objects[0]?.name ?? 'program'
  if (objects.length === 0) throw new UsageError('link.nothing', `${name}: nothing to link`)
  const littleEndian = objects[0].littleEndian
  if (objects.some((object) => object.littleEndian !== littleEndian))
    throw new UsageError('link.byte-order', `${name}: objects of both byte orders cannot be linked`)
  const licenses = [...new Set(objects.map(({ license }) => license).filter((license) => license !== ''))]
  if (options.license === undefined && licenses.length > 1)
    throw new UsageError('link.license', `${name}: the objects have different licenses: ${licenses.join(', ')}`)

  const btfs = objects.map(({ btf, name: what }) =>
    btf === undefined ? undefined : new Btf(btf, { what: `${what}: .BTF` }),
  )
  const defined = new Set(
    objects.flatMap(({ functions, programs }) => [...functions, ...programs].map((spec) => spec.name)),
  )
  // sections are made anew; a declaration gives way to the definition
  const omit = (type: BtfType): boolean =>
    type.kind === 'datasec' ||
    type.kind === 'var' ||
    (type.kind === 'func' && type.linkage === BTF_LINKAGE.extern && defined.has(type.name))
  const merged = mergeBtf(btfs.map((btf) => ({ btf: btf ?? EMPTY, omit })))
  const renumber = (input: number) => (id: number | undefined) =>
    id === undefined ? undefined : id === 0 ? 0 : merged.ids[input].get(id)
  const linker = new Linker(options.oneModule === true)
  objects.forEach((object, input) => {
    linker.addData(object, renumber(input))
  })
  objects.forEach((object, input) => {
    linker.addCode(object, renumber(input))
  })
  return linker.finish({
    name,
    littleEndian,
    license: options.license ?? licenses[0] ?? '',
    btf: merged.builder.isEmpty ? undefined : merged.builder.toBytes({ littleEndian }),
    kernelVersion: objects.find(({ kernelVersion }) => kernelVersion !== undefined)?.kernelVersion,
  })
}

const EMPTY = new Btf(new BtfBuilder().toBytes())

/** A place in global data: the map that holds it and the byte. */
type PlaceOf = (name: string, offset: number) => { readonly name: string; readonly offset: number }
type Renumber = (id: number | undefined) => number | undefined

class Linker {
  readonly #oneModule: boolean
  readonly #programs = new Map<string, ProgramSpec>()
  readonly #functions = new Map<string, FunctionSpec>()
  readonly #maps = new Map<string, MapSpec>()
  readonly #sections = new Map<string, { map: MapSpec; bytes: Uint8Array }>()
  /** By name, static ones under keys of their own. */
  readonly #variables = new Map<string, VariableSpec>()
  readonly #externs = new Map<string, ExternSpec>()
  /** Where each object's sections went. */
  readonly #moved = new Map<ObjectSpec, ReadonlyMap<string, number>>()

  #arena: { readonly name: string; readonly bytes: Uint8Array } | undefined

  constructor(oneModule: boolean) {
    this.#oneModule = oneModule
  }

  /** Global data of all objects is placed before any code that refers to it is read. */
  addData(object: ObjectSpec, renumber: Renumber): void {
    const moved = this.#addSections(object, renumber)
    this.#moved.set(object, moved)
    for (const variable of object.variables) {
      const shift = moved.get(variable.section) ?? 0
      const result = clean({ ...variable, offset: variable.offset + shift, typeId: renumber(variable.typeId) })
      const there = this.#variables.get(variable.name)
      if (result.linkage === 'static' || there?.linkage === 'static') {
        if (there !== undefined && equal(there, result)) continue
        this.#variables.set(there === undefined ? variable.name : `${variable.name}\0${this.#variables.size}`, result)
        continue
      }
      if (there?.linkage === 'global' && result.linkage === 'global' && !equal(there, result))
        throw new UsageError('link.duplicate', `two different global variables have the name ${variable.name}`)
      if (there === undefined || (there.linkage === 'weak' && result.linkage === 'global'))
        this.#variables.set(variable.name, result)
    }
  }

  addCode(object: ObjectSpec, renumber: Renumber): void {
    const place = this.#placeOf(object)
    for (const map of object.maps) if (map.section === undefined) this.#addMap(map, renumber)
    const renamed = this.#chooseNames(object, renumber, place)
    const rewrite = (list: readonly Instruction[]): readonly Instruction[] =>
      list.map((instruction) => this.#rewrite(instruction, renumber, place, renamed))
    for (const { typeId, instructions, ...rest } of object.functions) {
      const own = renamed.get(rest.name) ?? rest.name
      this.#addFunction(clean({ ...rest, name: own, typeId: renumber(typeId), instructions: rewrite(instructions) }))
    }
    for (const { typeId, instructions, ...rest } of object.programs) {
      const program = clean({ ...rest, typeId: renumber(typeId), instructions: rewrite(instructions) })
      const there = this.#programs.get(program.name)
      if (there !== undefined && !equal(there, program))
        throw new UsageError('link.duplicate', `two different programs have the name ${program.name}`)
      this.#programs.set(program.name, program)
    }
    for (const extern of object.externs) {
      const result = clean({ ...extern, offset: undefined, typeId: renumber(extern.typeId) })
      const there = this.#externs.get(extern.name)
      this.#externs.set(extern.name, there === undefined ? result : { ...there, weak: there.weak && result.weak })
    }
  }

  /** Where a byte of an object's global data is in the result: a weak variable may be another object's. */
  #placeOf(object: ObjectSpec): PlaceOf {
    const moved = this.#moved.get(object)
    const weak = object.variables.filter(({ linkage }) => linkage === 'weak')
    const arena = object.maps.find(({ arenaData }) => arenaData !== undefined)?.name
    return (name, offset) => {
      const section = name === arena ? ARENA_SECTION : name
      const own = weak.find((v) => v.section === section && offset >= v.offset && offset < v.offset + v.size)
      const winner = own === undefined ? undefined : this.#variables.get(own.name)
      if (own !== undefined && winner !== undefined)
        return { name: this.#mapOf(winner.section), offset: winner.offset + offset - own.offset }
      return { name, offset: offset + (moved?.get(section) ?? 0) }
    }
  }

  /** Appends the object's global data; the answer is where each of its sections went. */
  #addSections(object: ObjectSpec, renumber: Renumber): Map<string, number> {
    const moved = new Map<string, number>()
    for (const map of object.maps) {
      if (map.arenaData !== undefined) moved.set(ARENA_SECTION, this.#addArena(map.name, map.arenaData))
      // configuration values get new places at the end
      if (map.section === undefined || map.section === '.kconfig') continue
      const bytes = map.contents?.[0]?.[1] ?? new Uint8Array(map.valueSize)
      const there = this.#sections.get(map.section)
      if (there === undefined) {
        this.#sections.set(map.section, { map: renumberMap(map, renumber), bytes })
        moved.set(map.section, 0)
        continue
      }
      if (this.#oneModule && this.#isSame(object, map.section, there.bytes, bytes)) {
        moved.set(map.section, 0)
        continue
      }
      const { joined, shift } = join(there.bytes, bytes)
      const { contents } = there.map.contents === undefined ? map : there.map
      const flags = there.map.flags | map.flags
      const merged = clean({ ...there.map, flags, contents })
      this.#sections.set(map.section, { map: merged, bytes: joined })
      moved.set(map.section, shift)
    }
    return moved
  }

  /** Appends variables of the arena: an object has one arena at most. */
  #addArena(name: string, bytes: Uint8Array): number {
    if (this.#arena !== undefined && this.#arena.name !== name)
      throw new UsageError('link.arena', `variables live in two arenas, ${this.#arena.name} and ${name}`)
    const { joined, shift } = this.#arena === undefined ? { joined: bytes, shift: 0 } : join(this.#arena.bytes, bytes)
    this.#arena = { name, bytes: joined }
    return shift
  }

  #isSame(object: ObjectSpec, section: string, there: Uint8Array, bytes: Uint8Array): boolean {
    const own = object.variables.filter((variable) => variable.section === section)
    return (
      there.length === bytes.length &&
      there.every((byte, i) => byte === bytes[i]) &&
      own.length > 0 &&
      own.every(({ name }) => this.#variables.get(name)?.section === section)
    )
  }

  #addMap(map: MapSpec, renumber: Renumber): void {
    // the arena's first bytes are joined at the end
    const result = clean({ ...renumberMap(map, renumber), arenaData: undefined })
    const there = this.#maps.get(map.name)
    // the strong one stays, of weak ones the first
    if (there !== undefined && result.weak === true) return
    if (there !== undefined && there.weak !== true && !equal(there, result))
      throw new UsageError('link.duplicate', `two different maps have the name ${map.name}`)
    this.#maps.set(map.name, result)
  }

  /** New names for static functions whose name is taken by something else. */
  #chooseNames(object: ObjectSpec, renumber: Renumber, place: PlaceOf): Map<string, string> {
    const renamed = new Map<string, string>()
    for (const { typeId, instructions, ...rest } of object.functions) {
      const { name, linkage } = rest
      const taken = this.#functions.get(name) ?? this.#programs.get(name)
      if (taken === undefined || linkage !== 'static') continue
      const same = instructions.map((instruction) => this.#rewrite(instruction, renumber, place, renamed))
      if (equal(taken, clean({ ...rest, typeId: renumber(typeId), instructions: same }))) continue
      let number = 1
      while (this.#functions.has(`${name}.${number}`)) number++
      renamed.set(name, `${name}.${number}`)
    }
    return renamed
  }

  #addFunction(spec: FunctionSpec): void {
    const there = this.#functions.get(spec.name)
    if (there === undefined || (there.linkage === 'weak' && spec.linkage === 'global')) {
      this.#functions.set(spec.name, spec)
      return
    }
    if (spec.linkage === 'weak' || equal(there, spec)) return
    throw new UsageError('link.duplicate', `two different functions have the name ${spec.name}`)
  }

  #rewrite(
    instruction: Instruction,
    renumber: Renumber,
    place: PlaceOf,
    renamed: ReadonlyMap<string, string>,
  ): Instruction {
    let result = instruction
    const { reference, core } = instruction
    if (core !== undefined) {
      const typeId = renumber(core.typeId)
      if (typeId === undefined)
        throw new UsageError('link.type', `CO-RE relocation of the unknown type [${core.typeId}]`)
      result = { ...result, core: { ...core, typeId } }
    }
    if (reference?.kind === 'function' && renamed.has(reference.name))
      result = { ...result, reference: { ...reference, name: renamed.get(reference.name) as string } }
    if (reference?.kind === 'mapValue') {
      result = { ...result, reference: { ...reference, ...place(reference.name, reference.offset) } }
    }
    return result
  }

  finish(head: Pick<ObjectSpec, 'name' | 'littleEndian' | 'license' | 'btf' | 'kernelVersion'>): ObjectSpec {
    const sections = [...this.#sections.values()].map(({ map, bytes }) => ({
      ...map,
      valueSize: bytes.length,
      ...(map.contents === undefined ? {} : { contents: [[map.contents[0][0], bytes] as const] }),
    }))
    const bind = <Spec extends FunctionSpec>(spec: Spec): Spec => ({
      ...spec,
      instructions: spec.instructions.map((instruction) => this.#bind(instruction)),
    })
    const defined = ({ name, kind }: ExternSpec): boolean =>
      kind === 'map'
        ? this.#maps.has(name)
        : this.#functions.has(name) || this.#programs.has(name) || this.#isVisible(name)
    const open = [...this.#externs.values()].filter((extern) => !defined(extern))
    const configuration = open.filter(({ kind }) => kind === 'kconfig')
    const placed = configuration.length === 0 ? undefined : placeKconfig(configuration.map(sized))
    const externs = [...(placed?.externs ?? []), ...open.filter(({ kind }) => kind !== 'kconfig')]
    const maps = placed === undefined ? [] : [placed.map]
    return clean({
      ...head,
      programs: [...this.#programs.values()].map(bind),
      functions: [...this.#functions.values()].map(bind),
      maps: [...[...this.#maps.values()].map((map) => this.#withArena(map)), ...sections, ...maps],
      variables: [...this.#variables.values()],
      externs,
    })
  }

  #withArena(map: MapSpec): MapSpec {
    return map.name === this.#arena?.name ? { ...map, arenaData: this.#arena.bytes } : map
  }

  /** The map that a section's variables live in. */
  #mapOf(section: string): string {
    return section === ARENA_SECTION ? (this.#arena?.name ?? section) : section
  }

  /** A variable that other objects can mean. */
  #isVisible(name: string): boolean {
    const linkage = this.#variables.get(name)?.linkage
    return linkage !== undefined && linkage !== 'static'
  }

  /** What one object only declared and another defines. */
  #bind(instruction: Instruction): Instruction {
    const { reference } = instruction
    if (reference?.kind !== 'kfunc' && reference?.kind !== 'ksym') return instruction
    const { name } = reference
    const isLoad = instruction.opcode === LD_IMM64
    if (this.#functions.has(name) || this.#programs.has(name))
      return {
        ...instruction,
        src: isLoad ? PSEUDO_LD.func : PSEUDO_CALL.local,
        reference: { kind: 'function', name },
      }
    const variable = this.#variables.get(name)
    if (!isLoad || variable === undefined || !this.#isVisible(name)) return instruction
    return {
      ...instruction,
      src: PSEUDO_LD.mapValue,
      reference: { kind: 'mapValue', name: this.#mapOf(variable.section), offset: variable.offset },
    }
  }
}

const sized = (extern: ExternSpec) => ({ ...extern, size: extern.size ?? 0, align: 8 })

/** One block of data behind another. */
function join(first: Uint8Array, second: Uint8Array): { joined: Uint8Array; shift: number } {
  const shift = (first.length + 15) & ~15
  const joined = new Uint8Array(shift + second.length)
  joined.set(first)
  joined.set(second, shift)
  return { joined, shift }
}

function renumberMap(map: MapSpec, renumber: Renumber): MapSpec {
  return clean({
    ...map,
    btfKeyTypeId: renumber(map.btfKeyTypeId),
    btfValueTypeId: renumber(map.btfValueTypeId),
    inner: map.inner === undefined ? undefined : renumberMap(map.inner, renumber),
  })
}

/** Without the properties that are undefined, so that equal specs compare equal. */
function clean<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, v]) => v !== undefined)) as T
}

function equal(a: unknown, b: unknown): boolean {
  const text = (value: unknown): string =>
    JSON.stringify(value, (key, v) =>
      key === 'source' ? undefined : typeof v === 'bigint' ? `${v}n` : v instanceof Uint8Array ? [...v] : v,
    )
  return text(a) === text(b)
}
