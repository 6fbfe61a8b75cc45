import { encodeInstructions, type Instruction, isJump, slotsOf } from '../asm/index.ts'
import { type CoreInfo, type FuncInfo, type LineInfo, NOWHERE, writeBtfExt } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import { ARENA_SECTION, type FunctionSpec, JUMP_TABLES, type ObjectSpec } from '../spec/index.ts'
import { CLASS, JMP, LD_IMM64, PSEUDO_CALL, PSEUDO_LD, SLOT_BYTES } from '../uapi/index.ts'
import { ElfWriter, RELOCATION, SECTION_FLAG, SECTION_TYPE, SYMBOL_BIND, SYMBOL_TYPE } from './container/index.ts'
import { swapData } from './swap-data.ts'
import { completeBtf, type ObjectBtf, slotNumber, structOpsBySection } from './write-btf.ts'
import { addSymbols, type Placed } from './write-symbols.ts'

export interface WriteObjectOptions {
  /** The byte order of the machine that will run it, default the object's own. Initial values of typed variables are turned. */
  readonly littleEndian?: boolean
}

const LONG_JUMP = CLASS.jmp32 | JMP.ja

/**
 * The object as a file that libbpf, bpftool and cilium/ebpf load: BTF-defined maps, BTF with functions, true lines of the
 * source and CO-RE relocations in BTF.ext, relocations, typed symbols. The same object gives the same bytes.
 * @throws UsageError `object.*` when the object does not hold together (a reference to a map or function it does not have)
 */
export function writeObject(object: ObjectSpec, options: WriteObjectOptions = {}): Uint8Array {
  return new ObjectWriter(object, options.littleEndian ?? object.littleEndian).write()
}

class ObjectWriter {
  readonly #object: ObjectSpec
  readonly #littleEndian: boolean
  readonly #elf: ElfWriter
  readonly #btf: ObjectBtf
  readonly #placed = new Map<string, Placed>()
  readonly #sectionNumbers = new Map<string, number>()
  #symbols: ReadonlyMap<string, number> = new Map()
  readonly #functions = new Map<string, FuncInfo[]>()
  readonly #lines = new Map<string, LineInfo[]>()
  readonly #relocations = new Map<string, CoreInfo[]>()

  constructor(object: ObjectSpec, littleEndian: boolean) {
    this.#object = object
    this.#littleEndian = littleEndian
    this.#elf = new ElfWriter(littleEndian)
    this.#btf = completeBtf(object)
  }

  write(): Uint8Array {
    const object = this.#object
    const groups = this.#place()
    // sections get their numbers first, so that symbols and relocations can name them
    const names = [...groups.keys()]
    names.forEach((name, i) => {
      this.#sectionNumbers.set(name, i + 1)
    })
    let next = names.length + 1
    const reserve = (name: string): void => {
      this.#sectionNumbers.set(name, next++)
    }
    if (object.license !== '') reserve('license')
    if (object.kernelVersion !== undefined) reserve('version')
    if (this.#btf.mapPlaces.length > 0) reserve('.maps')
    const data = object.maps.filter(({ section }) => section !== undefined && section !== '.kconfig')
    for (const map of data) reserve(map.section as string)
    const arena = object.maps.find(({ arenaData }) => arenaData !== undefined)
    if (arena !== undefined) reserve(ARENA_SECTION)
    const structOps = structOpsBySection(object)
    for (const name of structOps.keys()) reserve(name)
    const dataSections = data.map(({ section }) => section as string)
    this.#symbols = addSymbols(this.#elf, object, {
      btf: this.#btf,
      placed: this.#placed,
      dataSections: arena === undefined ? dataSections : [...dataSections, ARENA_SECTION],
      numberOf: (section) => this.#sectionNumbers.get(section) ?? 0,
    })
    this.#btf.dropSections(new Set(this.#sectionNumbers.keys()))
    for (const [name, placed] of groups) this.#writeCode(name, placed)
    this.#writeData(data, structOps)
    const { builder } = this.#btf
    const ext = { functions: this.#functions, lines: this.#lines, relocations: this.#relocations }
    const extBytes = writeBtfExt(ext, (text) => builder.addString(text), this.#littleEndian)
    const plain = { type: SECTION_TYPE.progbits, flags: 0, alignment: 4 }
    this.#elf.section({ ...plain, name: '.BTF', data: builder.toBytes({ littleEndian: this.#littleEndian }) })
    // some readers want func_info in every .BTF.ext
    if (groups.size > 0) this.#elf.section({ ...plain, name: '.BTF.ext', data: extBytes })
    return this.#elf.toBytes()
  }

  /** Functions go to .text, programs to the sections they name, in their order. */
  #place(): Map<string, Placed[]> {
    const groups = new Map<string, Placed[]>()
    const ends = new Map<string, number>()
    const add = (spec: FunctionSpec, section: string): void => {
      if (this.#placed.has(spec.name))
        throw new UsageError('object.duplicate', `${this.#object.name}: two functions have the name ${spec.name}`)
      const size = spec.instructions.reduce((sum, instruction) => sum + slotsOf(instruction), 0) * SLOT_BYTES
      if (size === 0) throw new UsageError('object.empty', `${this.#object.name}: ${spec.name} has no instruction`)
      const start = ends.get(section) ?? 0
      ends.set(section, start + size)
      const placed = { spec, section, start, size }
      this.#placed.set(spec.name, placed)
      groups.set(section, [...(groups.get(section) ?? []), placed])
    }
    for (const spec of this.#object.functions) add(spec, '.text')
    for (const spec of this.#object.programs) add(spec, spec.section)
    return groups
  }

  #writeCode(name: string, placed: readonly Placed[]): void {
    const instructions = placed.flatMap((item) => this.#writeFunction(name, item))
    this.#elf.section({
      name,
      type: SECTION_TYPE.progbits,
      flags: SECTION_FLAG.alloc | SECTION_FLAG.execinstr,
      alignment: 8,
      data: encodeInstructions(instructions, { littleEndian: this.#littleEndian }),
    })
  }

  #writeFunction(section: string, { spec, start }: Placed): Instruction[] {
    const { builder, functionIds } = this.#btf
    append(this.#functions, section, { offset: start, typeId: functionIds.get(spec.name) ?? 0 })
    const labels = new Map<string, number>()
    let at = start
    for (const { label, ...rest } of spec.instructions) {
      if (label !== undefined) labels.set(label, at)
      at += slotsOf(rest) * SLOT_BYTES
    }
    at = start
    let last: Instruction['source']
    return spec.instructions.map((instruction) => {
      const { core } = instruction
      // the kernel wants a line at each function's start, some loaders one in every object
      const source = at > start ? instruction.source : (spec.instructions.find((i) => i.source)?.source ?? NOWHERE)
      if (source !== undefined && source !== last) {
        append(this.#lines, section, {
          offset: at,
          fileName: builder.addString(source.file),
          line: builder.addString(source.text ?? ''),
          lineNumber: source.line,
          column: source.column,
        })
        last = source
      }
      if (core !== undefined)
        append(this.#relocations, section, {
          offset: at,
          typeId: core.typeId,
          access: builder.addString(core.access),
          kind: core.kind,
        })
      const result = this.#resolve(instruction, spec.name, section, at, labels)
      at += slotsOf(instruction) * SLOT_BYTES
      return result
    })
  }

  /** The instruction as it stands in the file; what the loader fills in becomes a relocation. */
  #resolve(
    instruction: Instruction,
    fn: string,
    section: string,
    at: number,
    labels: ReadonlyMap<string, number>,
  ): Instruction {
    const { reference, opcode } = instruction
    if (reference === undefined) return instruction
    const relocate = (symbol: string, type: number, what: string): void => {
      const index = this.#symbols.get(symbol)
      if (index === undefined)
        throw new UsageError(
          'object.reference',
          `${this.#object.name}: ${fn} refers to ${what}, which the object does not have`,
        )
      this.#elf.relocation(this.#sectionNumbers.get(section) ?? 0, at, index, type)
    }
    const load = (imm: number, src = 0): Instruction => ({
      ...instruction,
      src,
      imm,
      imm64: BigInt.asUintN(32, BigInt(imm)),
    })
    switch (reference.kind) {
      case 'label': {
        const target = labels.get(reference.name)
        if (target === undefined || !isJump(opcode))
          throw new UsageError('object.reference', `${this.#object.name}: ${fn}: no label ${reference.name} to jump to`)
        const distance = (target - at) / SLOT_BYTES - 1
        return opcode === LONG_JUMP ? { ...instruction, imm: distance } : { ...instruction, offset: distance }
      }
      case 'function': {
        const target = this.#placed.get(reference.name)
        if (target === undefined)
          throw new UsageError(
            'object.reference',
            `${this.#object.name}: ${fn} calls ${reference.name}, which is no function of the object`,
          )
        const isStatic = target.spec.linkage === 'static' && target.section === '.text'
        const symbol = isStatic ? 'section .text' : `function ${reference.name}`
        const place = isStatic ? target.start : 0
        if (opcode === LD_IMM64) {
          relocate(symbol, RELOCATION.r64_64, `the function ${reference.name}`)
          return load(place, PSEUDO_LD.func)
        }
        relocate(symbol, RELOCATION.r64_32, `the function ${reference.name}`)
        return { ...instruction, src: PSEUDO_CALL.local, imm: place / SLOT_BYTES - 1 }
      }
      case 'kfunc':
        relocate(
          `extern ${reference.name}`,
          opcode === LD_IMM64 ? RELOCATION.r64_64 : RELOCATION.r64_32,
          `the kernel function ${reference.name}`,
        )
        return opcode === LD_IMM64 ? load(0) : { ...instruction, src: PSEUDO_CALL.local, imm: -1, offset: 0 }
      case 'map':
        relocate(`map ${reference.name}`, RELOCATION.r64_64, `the map ${reference.name}`)
        return load(0)
      case 'mapValue': {
        const map = this.#object.maps.find(({ name }) => name === reference.name)
        const section = map?.arenaData === undefined ? reference.name : ARENA_SECTION
        if (this.#symbols.has(`section ${section}`)) {
          relocate(`section ${section}`, RELOCATION.r64_64, `the data of ${reference.name}`)
          return load(reference.offset)
        }
        throw new UsageError(
          'object.reference',
          reference.name === JUMP_TABLES
            ? `${this.#object.name}: ${fn} jumps by a table, which is not supported`
            : `${this.#object.name}: ${fn} takes the address of a value of ${reference.name}; object files have that for global data only`,
        )
      }
      case 'ksym':
      case 'kconfig':
        relocate(`extern ${reference.name}`, RELOCATION.r64_64, `the extern ${reference.name}`)
        return load(0)
      default:
        return reference satisfies never
    }
  }

  #writeData(data: ObjectSpec['maps'], structOps: ReturnType<typeof structOpsBySection>): void {
    const object = this.#object
    const elf = this.#elf
    const littleEndian = this.#littleEndian
    const writable = { type: SECTION_TYPE.progbits, flags: SECTION_FLAG.alloc | SECTION_FLAG.write }
    if (object.license !== '')
      elf.section({ ...writable, name: 'license', alignment: 1, data: new TextEncoder().encode(`${object.license}\0`) })
    if (object.kernelVersion !== undefined) {
      const version = new Uint8Array(4)
      new DataView(version.buffer).setUint32(0, object.kernelVersion, littleEndian)
      elf.section({ ...writable, name: 'version', alignment: 4, data: version })
    }
    if (this.#btf.mapPlaces.length > 0) {
      const section = elf.section({
        ...writable,
        name: '.maps',
        alignment: 8,
        data: new Uint8Array(this.#btf.mapsSize),
      })
      for (const { map, offset, slotsAt } of this.#btf.mapPlaces)
        for (const [key, target] of map.slots ?? []) {
          const symbol = this.#symbols.get(`map ${target}`) ?? this.#symbols.get(`function ${target}`)
          if (symbol === undefined)
            throw new UsageError(
              'object.reference',
              `${object.name}: the map ${map.name} has a slot for ${target}, which the object does not have`,
            )
          elf.relocation(
            section,
            offset + slotsAt + 8 * slotNumber(key, object.littleEndian),
            symbol,
            RELOCATION.r64_abs64,
          )
        }
    }
    for (const map of data) {
      const name = map.section as string
      const bytes = map.contents?.[0]?.[1]
      const flags = name.startsWith('.rodata') ? SECTION_FLAG.alloc : writable.flags
      if (bytes === undefined)
        elf.section({
          name,
          type: SECTION_TYPE.nobits,
          flags,
          alignment: 8,
          data: new Uint8Array(0),
          size: map.valueSize,
        })
      else
        elf.section({
          name,
          type: SECTION_TYPE.progbits,
          flags,
          alignment: 8,
          data: littleEndian === object.littleEndian ? bytes : swapData(object, map, bytes),
        })
    }
    for (const { arenaData } of object.maps)
      if (arenaData !== undefined) elf.section({ ...writable, name: ARENA_SECTION, alignment: 8, data: arenaData })
    for (const [name, maps] of structOps) this.#writeStructOps(name, maps)
  }

  #writeStructOps(name: string, maps: ObjectSpec['maps']): void {
    let end = 0
    const starts = maps.map((map) => {
      const start = end
      end = (end + map.valueSize + 7) & ~7
      return start
    })
    const bytes = new Uint8Array(end)
    maps.forEach((map, i) => {
      bytes.set(map.contents?.[0]?.[1] ?? new Uint8Array(0), starts[i])
    })
    const section = this.#elf.section({
      name,
      type: SECTION_TYPE.progbits,
      flags: SECTION_FLAG.alloc | SECTION_FLAG.write,
      alignment: 8,
      data: bytes,
    })
    maps.forEach((map, i) => {
      this.#elf.symbol({
        name: map.name,
        value: starts[i],
        size: map.valueSize,
        bind: SYMBOL_BIND.global,
        type: SYMBOL_TYPE.object,
        section,
      })
      for (const { offset, program } of map.structOps?.members ?? []) {
        const symbol = this.#symbols.get(`function ${program}`)
        if (symbol === undefined)
          throw new UsageError(
            'object.reference',
            `${this.#object.name}: ${map.name} names the program ${program}, which the object does not have`,
          )
        this.#elf.relocation(section, starts[i] + offset, symbol, RELOCATION.r64_abs64)
      }
    })
  }
}

function append<Row>(groups: Map<string, Row[]>, key: string, row: Row): void {
  const list = groups.get(key)
  if (list === undefined) groups.set(key, [row])
  else list.push(row)
}
