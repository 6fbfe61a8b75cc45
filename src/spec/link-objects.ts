import type { Instruction } from '../asm/index.ts'
import { BTF_LINKAGE, Btf, BtfBuilder, type BtfType, mergeBtf } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import { LD_IMM64, PSEUDO_CALL, PSEUDO_LD } from '../uapi/index.ts'
import type { MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { FunctionSpec, ProgramSpec } from './program.ts'
import type { ExternSpec, VariableSpec } from './variable.ts'

export interface LinkObjectsOptions {
  /** The result's name, default the first input's. */
  readonly name?: string
  /** The result's license, default the one that all inputs with a license share. */
  readonly license?: string
}

/**
 * Several objects as one: BTF merged with equal types united, global-data sections joined, programs, functions, maps and
 * externs by name. Maps of one name must be equal and become one; a strong function wins over weak ones and fills an
 * extern; static functions that share a name are kept apart.
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
  const linker = new Linker()
  objects.forEach((object, input) => {
    linker.add(object, renumber(input))
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

type Renumber = (id: number | undefined) => number | undefined

class Linker {
  readonly #programs = new Map<string, ProgramSpec>()
  readonly #functions = new Map<string, FunctionSpec>()
  readonly #maps = new Map<string, MapSpec>()
  readonly #sections = new Map<string, { map: MapSpec; bytes: Uint8Array }>()
  readonly #variables = new Map<string, VariableSpec>()
  readonly #externs = new Map<string, ExternSpec>()

  add(object: ObjectSpec, renumber: Renumber): void {
    const moved = this.#addSections(object, renumber)
    for (const map of object.maps) if (map.section === undefined) this.#addMap(map, renumber)
    const renamed = this.#chooseNames(object, renumber, moved)
    const rewrite = (list: readonly Instruction[]): readonly Instruction[] =>
      list.map((instruction) => this.#rewrite(instruction, renumber, moved, renamed))
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
    for (const variable of object.variables) {
      const shift = moved.get(variable.section) ?? 0
      const result = clean({ ...variable, offset: variable.offset + shift, typeId: renumber(variable.typeId) })
      const there = this.#variables.get(variable.name)
      if (there !== undefined && there.linkage === 'global' && result.linkage === 'global' && !equal(there, result))
        throw new UsageError('link.duplicate', `two different global variables have the name ${variable.name}`)
      this.#variables.set(there === undefined ? variable.name : `${variable.name}\0${this.#variables.size}`, result)
    }
    for (const extern of object.externs) {
      const result = clean({ ...extern, offset: undefined, typeId: renumber(extern.typeId) })
      const there = this.#externs.get(extern.name)
      this.#externs.set(extern.name, there === undefined ? result : { ...there, weak: there.weak && result.weak })
    }
  }

  /** Appends the object's global data; the answer is where each of its sections went. */
  #addSections(object: ObjectSpec, renumber: Renumber): Map<string, number> {
    const moved = new Map<string, number>()
    for (const map of object.maps) {
      if (map.section === undefined) continue
      const bytes = map.contents?.[0]?.[1] ?? new Uint8Array(map.valueSize)
      const there = this.#sections.get(map.section)
      if (there === undefined) {
        this.#sections.set(map.section, { map: renumberMap(map, renumber), bytes })
        moved.set(map.section, 0)
        continue
      }
      const names = new Set(object.variables.filter(({ section }) => section === map.section).map((v) => v.name))
      const same =
        map.section !== '.kconfig' &&
        there.bytes.length === bytes.length &&
        there.bytes.every((byte, i) => byte === bytes[i]) &&
        names.size > 0 &&
        [...names].every((name) => this.#variables.get(name)?.section === map.section)
      if (same) {
        moved.set(map.section, 0)
        continue
      }
      const shift = (there.bytes.length + 15) & ~15
      const joined = new Uint8Array(shift + bytes.length)
      joined.set(there.bytes)
      joined.set(bytes, shift)
      this.#sections.set(map.section, { map: there.map, bytes: joined })
      moved.set(map.section, shift)
    }
    return moved
  }

  #addMap(map: MapSpec, renumber: Renumber): void {
    const result = renumberMap(map, renumber)
    const there = this.#maps.get(map.name)
    if (there !== undefined && !equal(there, result))
      throw new UsageError('link.duplicate', `two different maps have the name ${map.name}`)
    this.#maps.set(map.name, result)
  }

  /** New names for static functions whose name is taken by something else. */
  #chooseNames(object: ObjectSpec, renumber: Renumber, moved: ReadonlyMap<string, number>): Map<string, string> {
    const renamed = new Map<string, string>()
    for (const { typeId, instructions, ...rest } of object.functions) {
      const { name, linkage } = rest
      const taken = this.#functions.get(name) ?? this.#programs.get(name)
      if (taken === undefined || linkage !== 'static') continue
      const same = instructions.map((instruction) => this.#rewrite(instruction, renumber, moved, renamed))
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
    moved: ReadonlyMap<string, number>,
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
    if (reference?.kind === 'mapValue' && (moved.get(reference.name) ?? 0) > 0)
      result = {
        ...result,
        reference: { ...reference, offset: reference.offset + (moved.get(reference.name) as number) },
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
    const defined = (name: string): boolean =>
      this.#functions.has(name) || this.#programs.has(name) || this.#variables.get(name)?.linkage === 'global'
    return clean({
      ...head,
      programs: [...this.#programs.values()].map(bind),
      functions: [...this.#functions.values()].map(bind),
      maps: [...this.#maps.values(), ...sections],
      variables: [...this.#variables.values()],
      externs: [...this.#externs.values()].filter(({ name }) => !defined(name)),
    })
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
    if (!isLoad || variable === undefined || variable.linkage === 'static') return instruction
    return {
      ...instruction,
      src: PSEUDO_LD.mapValue,
      reference: { kind: 'mapValue', name: variable.section, offset: variable.offset },
    }
  }
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
