import { decodeInstructions, type Instruction, type Reference, type SourceLocation, slotsOf } from '../asm/index.ts'
import { type BtfDeclTag, NOWHERE } from '../btf/index.ts'
import { InputError } from '../errors/index.ts'
import type { FunctionSpec, ProgramSpec } from '../spec/index.ts'
import { CLASS, JMP, LD_IMM64, matchSectionName, PSEUDO_CALL, PSEUDO_LD, SLOT_BYTES } from '../uapi/index.ts'
import { type ElfSection, type ElfSymbol, SECTION_INDEX, SYMBOL_BIND, SYMBOL_TYPE } from './container/index.ts'
import { type ObjectSections, placeOf } from './object-sections.ts'
import { sectionMeaning } from './section-attach.ts'

const CALL = CLASS.jmp | JMP.call

/** A function's place: found from symbols before any instruction is read. */
interface FunctionPlace {
  readonly section: ElfSection
  readonly start: number
  readonly end: number
  readonly name: string
  readonly linkage: 'static' | 'global' | 'weak'
  readonly isProgram: boolean
}

export interface ReadFunctions {
  readonly programs: ProgramSpec[]
  readonly functions: FunctionSpec[]
  /** The name of the function at a byte of a section. */
  nameAt(section: number, offset: number): string | undefined
}

/** What a symbol outside of code stands for: a map, a place in global data, an extern. */
export type SymbolMeaning = (symbol: ElfSymbol, addend: number, where: string) => Reference

/** Programs and functions of all executable sections. @throws InputError `elf.function`, `elf.call`, `elf.reference` */
export function readFunctions(object: ObjectSections, meaningOf: SymbolMeaning): ReadFunctions {
  const places = findFunctions(object)
  const names = new Map<string, string>()
  for (const { section, start, name } of places) names.set(`${section.index}:${start}`, name)
  const nameAt = (section: number, offset: number): string | undefined => names.get(`${section}:${offset}`)
  const programs: ProgramSpec[] = []
  const functions: FunctionSpec[] = []
  const reader = new CodeReader(object, meaningOf, nameAt)
  const callbacks = exceptionCallbacks(object)
  const callable = new Map(places.filter(({ isProgram }) => !isProgram).map((place) => [place.name, place]))
  const callbackOf = (name: string, typeId: number | undefined): string | undefined => {
    const callback = typeId === undefined ? undefined : callbacks.get(typeId)
    // a program can be named too: nothing is linked in then
    if (callback === undefined || places.some((place) => place.name === callback && place.isProgram)) return undefined
    const linkage = callable.get(callback)?.linkage
    if (linkage === undefined || linkage === 'static')
      throw new InputError(
        'elf.exception',
        `${object.what}: program ${name}: its exception callback ${callback} is ${linkage === undefined ? 'not there' : 'static, it must be global'}`,
      )
    return callback
  }
  // an object of functions only: its global functions are what can be loaded
  const alone = places.every(({ isProgram }) => !isProgram)
  for (const place of places) {
    const typeId = reader.typeIdAt(place)
    const spec: FunctionSpec = {
      name: place.name,
      instructions: reader.read(place),
      linkage: place.linkage,
      ...(typeId === undefined ? {} : { typeId }),
    }
    if (!place.isProgram && !(alone && place.linkage !== 'static')) functions.push(spec)
    else {
      const exceptionCallback = callbackOf(place.name, typeId)
      programs.push({
        ...spec,
        section: place.section.name,
        ...sectionMeaning(place.section.name),
        ...(exceptionCallback === undefined ? {} : { exceptionCallback }),
      })
    }
  }
  return { programs, functions, nameAt }
}

const EXCEPTION_CALLBACK = 'exception_callback:'

/** Names of exception callbacks by the FUNC that a declaration tag says them of. */
function exceptionCallbacks({ btf }: ObjectSections): Map<number, string> {
  const out = new Map<number, string>()
  const several = new Set<number>()
  if (btf === undefined) return out
  for (let id = btf.firstId; id < btf.endId; id++) {
    if (btf.kind(id) !== 'decl_tag') continue
    const tag = btf.type(id) as BtfDeclTag
    if (tag.component >= 0 || !tag.name.startsWith(EXCEPTION_CALLBACK)) continue
    // of several none counts: the verifier refuses the program
    if (out.has(tag.type)) several.add(tag.type)
    else out.set(tag.type, tag.name.slice(EXCEPTION_CALLBACK.length))
  }
  for (const id of several) out.delete(id)
  return out
}

function findFunctions(object: ObjectSections): FunctionPlace[] {
  const { file, roles, symbolsOf, what } = object
  const places: FunctionPlace[] = []
  const taken = new Set<string>()
  const unique = (name: string): string => {
    let result = name
    for (let number = 1; taken.has(result); number++) result = `${name}.${number}`
    taken.add(result)
    return result
  }
  for (const section of file.sections) {
    const role = roles[section.index]
    if (role !== 'program' && role !== 'text') continue
    if (section.size % SLOT_BYTES !== 0)
      throw new InputError(
        'elf.function',
        `${what}: section ${section.name}: ${section.size} bytes are no whole instructions`,
      )
    const symbols = codeSymbols(symbolsOf.get(section.index) ?? [])
    if (symbols.length === 0) {
      const name = unique(section.name)
      places.push({ section, start: 0, end: section.size, name, linkage: 'global', isProgram: role === 'program' })
      continue
    }
    symbols.forEach((symbol, i) => {
      const next = symbols[i + 1]?.value ?? section.size
      const end = symbol.size > 0 ? symbol.value + symbol.size : next
      if (symbol.value % SLOT_BYTES !== 0 || end % SLOT_BYTES !== 0 || end > section.size || end <= symbol.value)
        throw new InputError(
          'elf.function',
          `${what}: section ${section.name}: function ${symbol.name} at ${symbol.value}, ${end - symbol.value} bytes, does not fit in ${section.size}`,
        )
      const linkage =
        symbol.bind === SYMBOL_BIND.local ? 'static' : symbol.bind === SYMBOL_BIND.weak ? 'weak' : 'global'
      // a static function is a subprogram, unless nothing else is in a section that holds programs
      const isProgram =
        role === 'program' &&
        (linkage !== 'static' ||
          (symbols.every(({ bind }) => bind === SYMBOL_BIND.local) && matchSectionName(section.name) !== undefined))
      places.push({ section, start: symbol.value, end, name: unique(symbol.name), linkage, isProgram })
    })
  }
  return places
}

/** Symbols that start functions: STT_FUNC, or in objects of older compilers global symbols without a type. */
function codeSymbols(symbols: readonly ElfSymbol[]): ElfSymbol[] {
  const functions = symbols.filter(({ type }) => type === SYMBOL_TYPE.func)
  const found =
    functions.length > 0
      ? functions
      : symbols.filter(
          ({ type, bind, name }) => type === SYMBOL_TYPE.notype && bind !== SYMBOL_BIND.local && name !== '',
        )
  const seen = new Set<number>()
  return found.filter(({ value }) => !seen.has(value) && seen.add(value))
}

class CodeReader {
  readonly #object: ObjectSections
  readonly #meaningOf: SymbolMeaning
  readonly #nameAt: (section: number, offset: number) => string | undefined
  readonly #lines = new Map<string, ReadonlyMap<number, SourceLocation>>()
  readonly #cores = new Map<string, ReadonlyMap<number, NonNullable<Instruction['core']>>>()
  readonly #relocations = new Map<number, ReadonlyMap<number, { symbol: number; type: number; addend?: number }>>()

  constructor(
    object: ObjectSections,
    meaningOf: SymbolMeaning,
    nameAt: (section: number, offset: number) => string | undefined,
  ) {
    this.#object = object
    this.#meaningOf = meaningOf
    this.#nameAt = nameAt
  }

  typeIdAt({ section, start }: FunctionPlace): number | undefined {
    return this.#object.ext?.functions.get(section.name)?.find(({ offset }) => offset === start)?.typeId
  }

  read({ section, start, end, name }: FunctionPlace): Instruction[] {
    const { littleEndian } = this.#object.file
    const where = `${this.#object.what}: section ${section.name}: ${name}`
    let decoded: Instruction[]
    try {
      decoded = decodeInstructions(section.data.subarray(start, end), { littleEndian, accept: 'any' })
    } catch (cause) {
      throw new InputError('elf.function', `${where}: ${(cause as Error).message}`, { cause })
    }
    const relocations = this.#relocationsIn(section)
    const lines = this.#linesIn(section.name)
    const cores = this.#coresIn(section.name)
    let at = start
    let source: SourceLocation | undefined
    // the instructions are this function's own: what is known besides is put into them
    for (const instruction of decoded as Mutable[]) {
      source = lines.get(at) ?? source
      const core = cores.get(at)
      const relocation = relocations.get(at)
      const reference =
        relocation === undefined
          ? this.#localReference(instruction, section, at, start, end, where)
          : this.#reference(instruction, relocation.symbol, relocation.addend, section, at, where)
      at += slotsOf(instruction) * SLOT_BYTES
      if (reference !== undefined) neutralize(instruction, reference)
      if (source !== undefined) instruction.source = source
      if (core !== undefined) instruction.core = core
    }
    return decoded
  }

  /** A call or function address that the compiler resolved itself, inside one section. */
  #localReference(
    instruction: Instruction,
    section: ElfSection,
    at: number,
    start: number,
    end: number,
    where: string,
  ): Reference | undefined {
    const { opcode, src, imm } = instruction
    const isCall = opcode === CALL && src === PSEUDO_CALL.local
    if (!isCall && !(opcode === LD_IMM64 && src === PSEUDO_LD.func)) return undefined
    const target = at + (imm + 1) * SLOT_BYTES
    const name = this.#nameAt(section.index, target)
    if (name !== undefined) return { kind: 'function', name }
    // programs of loaders without symbols keep their functions inside
    if (target >= start && target < end) return undefined
    throw new InputError(
      'elf.call',
      `${where}: the call at byte ${at} goes to byte ${target}, where no function starts`,
    )
  }

  #reference(
    instruction: Instruction,
    symbolIndex: number,
    relAddend: number | undefined,
    section: ElfSection,
    at: number,
    where: string,
  ): Reference {
    const object = this.#object
    const symbol = object.symbols[symbolIndex]
    const { opcode, imm } = instruction
    const place = `${where}: instruction at byte ${at}`
    const role = object.roles[symbol.section]
    const inCode = role === 'program' || role === 'text'
    if (opcode === CALL) {
      if (inCode) {
        const target = symbol.value + (relAddend ?? 0) + (imm + 1) * SLOT_BYTES
        const name = this.#nameAt(symbol.section, target)
        if (name !== undefined) return { kind: 'function', name }
        throw new InputError(
          'elf.call',
          `${place}: it calls byte ${target} of ${placeOf(object, symbol)}, where no function starts`,
        )
      }
      if (symbol.section === SECTION_INDEX.undef)
        return { kind: 'kfunc', name: symbol.name, ...(symbol.bind === SYMBOL_BIND.weak ? { weak: true } : {}) }
      throw new InputError('elf.call', `${place}: it calls ${symbol.name}, which lies in ${placeOf(object, symbol)}`)
    }
    if (opcode !== LD_IMM64)
      throw new InputError(
        'elf.reference',
        `${place}: a relocation of ${symbol.name || placeOf(object, symbol)} on opcode 0x${opcode.toString(16)}, which takes none`,
      )
    const addend = (relAddend ?? 0) + imm
    if (inCode) {
      const name = this.#nameAt(symbol.section, symbol.value + addend)
      if (name !== undefined) return { kind: 'function', name }
      throw new InputError(
        'elf.reference',
        `${place}: it takes the address of byte ${symbol.value + addend} of ${placeOf(object, symbol)}, where no function starts`,
      )
    }
    return this.#meaningOf(symbol, addend, `${place} of section ${section.name}`)
  }

  #relocationsIn(section: ElfSection) {
    let found = this.#relocations.get(section.index)
    if (found === undefined) {
      found = new Map((this.#object.relocationsOf.get(section.index) ?? []).map((row) => [row.offset, row]))
      this.#relocations.set(section.index, found)
    }
    return found
  }

  #linesIn(section: string): ReadonlyMap<number, SourceLocation> {
    let found = this.#lines.get(section)
    if (found === undefined) {
      const { ext, btf } = this.#object
      const map = new Map<number, SourceLocation>()
      if (ext !== undefined && btf !== undefined)
        for (const { offset, fileName, line, lineNumber, column } of ext.lines.get(section) ?? [])
          if (lineNumber > 0 || btf.string(fileName) !== NOWHERE.file)
            map.set(offset, { file: btf.string(fileName), line: lineNumber, column, text: btf.string(line) })
      found = map
      this.#lines.set(section, found)
    }
    return found
  }

  #coresIn(section: string) {
    let found = this.#cores.get(section)
    if (found === undefined) {
      const { ext, btf } = this.#object
      const map = new Map<number, NonNullable<Instruction['core']>>()
      if (ext !== undefined && btf !== undefined)
        for (const { offset, kind, typeId, access } of ext.relocations.get(section) ?? [])
          map.set(offset, { kind, typeId, access: btf.string(access) })
      found = map
      this.#cores.set(section, found)
    }
    return found
  }
}

type Mutable = { -readonly [K in keyof Instruction]: Instruction[K] }

/** Gives an instruction its reference and takes away the numbers that it stands for. */
function neutralize(instruction: Mutable, reference: Reference): void {
  instruction.reference = reference
  if (instruction.opcode === CALL) {
    instruction.src = reference.kind === 'kfunc' ? PSEUDO_CALL.kfunc : PSEUDO_CALL.local
    instruction.imm = -1
    return
  }
  instruction.src =
    reference.kind === 'function'
      ? PSEUDO_LD.func
      : reference.kind === 'map'
        ? PSEUDO_LD.mapFd
        : reference.kind === 'mapValue' || reference.kind === 'kconfig'
          ? PSEUDO_LD.mapValue
          : reference.kind === 'ksym' && reference.typed === true
            ? PSEUDO_LD.btfId
            : 0
  instruction.imm = 0
  instruction.imm64 = 0n
}
