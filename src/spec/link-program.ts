import {
  encodeInstructions,
  type Instruction,
  linkProgram as linkCode,
  type SourceLocation,
  slotsOf,
} from '../asm/index.ts'
import { applyCore, type Btf, CoreResolver, NOWHERE, packPlace } from '../btf/index.ts'
import { ByteWriter } from '../bytes/index.ts'
import { InputError, UsageError } from '../errors/index.ts'
import { PSEUDO_LD } from '../uapi/index.ts'
import type { ImageRelocation, ProgramImage } from './image.ts'
import { kconfigContents } from './kconfig.ts'
import { type LinkProgramOptions, linkKfunc, linkKsym, localBtf, stripFlavour } from './kernel-symbols.ts'
import { JUMP_TABLES, type MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { ProgramSpec } from './program.ts'
import { imageBtf } from './program-btf.ts'

/**
 * One program of an object, ready for the verifier model, the emulator or the kernel: functions it calls follow it in the
 * order of their first call, maps are numbered, externs and CO-RE resolved as far as `options` allow. Without `kernelBtf`,
 * CO-RE relocations keep the compiler's values and kfunc calls have BTF id 0.
 * @throws UsageError `program.unknown` naming the programs there are; InputError `link.*`, `core.*` where something needed
 * is missing
 */
export function linkProgram(object: ObjectSpec, programName: string, options: LinkProgramOptions = {}): ProgramImage {
  const program = findProgram(object, programName)
  const { exceptionCallback } = program
  const linked = linkCode(
    program.name,
    [program, ...object.functions.filter((candidate) => candidate.name !== program.name)],
    exceptionCallback === undefined ? {} : { also: [exceptionCallback] },
  )
  const typeIds = new Map([program, ...object.functions].map(({ name, typeId }) => [name, typeId]))
  const maps = new MapTable(object, options)
  const kfuncModules: string[] = []
  const relocations: ImageRelocation[] = []
  const core = coreOf(object, options)
  const instructions: Instruction[] = []
  const sources = new Map<number, SourceLocation>()
  let slot = 0
  const unresolved = new Map<number, string>()
  const kfuncs = new Map<number, string>()
  for (const instruction of linked.instructions) {
    if (instruction.source !== undefined) sources.set(slot, instruction.source)
    let result = instruction
    if (instruction.core !== undefined && core !== undefined) {
      const applied = applyCore(core, instruction, `${programName}: instruction ${slot}`)
      if (applied.reason !== undefined) unresolved.set(slot, applied.reason)
      if (applied.instructions.length > 1) {
        instructions.push(...applied.instructions)
        slot += applied.instructions.length
        continue
      }
      result = applied.instructions[0]
    }
    const reference = result.reference
    switch (reference?.kind) {
      case 'map':
        relocations.push({ insn: slot, map: maps.index(reference.name, programName), kind: 'fd' })
        result = { ...result, src: PSEUDO_LD.mapFd, imm: 0, imm64: 0n }
        break
      case 'mapValue':
        relocations.push({
          insn: slot,
          map: maps.index(reference.name, programName),
          kind: 'value',
          offset: reference.offset,
        })
        result = { ...result, src: PSEUDO_LD.mapValue, imm: 0, imm64: BigInt(reference.offset) << 32n }
        break
      case 'kconfig': {
        const offset = object.externs.find(({ kind, name }) => kind === 'kconfig' && name === reference.name)?.offset
        if (offset === undefined)
          throw new InputError(
            'link.kconfig',
            `${programName}: ${reference.name} is no configuration value of the object`,
          )
        relocations.push({ insn: slot, map: maps.index('.kconfig', programName), kind: 'value', offset })
        result = { ...result, src: PSEUDO_LD.mapValue, imm: 0, imm64: BigInt(offset) << 32n }
        break
      }
      case 'kfunc':
        kfuncs.set(slot, reference.name)
        result = linkKfunc(result, reference.name, reference.weak === true, object, options, kfuncModules, programName)
        break
      case 'ksym':
        result = linkKsym(
          result,
          reference.name,
          reference.weak === true,
          reference.typed === true,
          object,
          options,
          programName,
        )
        break
      default:
    }
    instructions.push(result)
    slot += slotsOf(result)
  }
  const btf = imageBtf(object)
  const info = btf === undefined ? undefined : extInfo(linked, typeIds, btf.string, object.littleEndian)
  const { attachTo } = program
  const target = attachTarget(program, options)
  return {
    name: program.name,
    type: program.type,
    expectedAttachType: target.memberIndex ?? program.expectedAttachType,
    insns: encodeInstructions(instructions, { littleEndian: object.littleEndian }),
    ...(object.littleEndian ? {} : { littleEndian: false }),
    license: object.license,
    flags: program.flags,
    maps: maps.list,
    relocations,
    ...(btf === undefined ? {} : { btf: btf.bytes() }),
    ...(info?.funcInfo === undefined ? {} : { funcInfo: info.funcInfo }),
    ...(info?.lineInfo === undefined ? {} : { lineInfo: info.lineInfo }),
    ...(attachTo === undefined ? {} : { attachTo }),
    ...(target.btfId === undefined ? {} : { attachBtfId: target.btfId }),
    ...(exceptionCallback === undefined
      ? {}
      : { exceptionSlot: linked.functions.find(({ name }) => name === exceptionCallback)?.slot }),
    ...(kfuncModules.length === 0 ? {} : { fdArray: ['', ...kfuncModules] }),
    ...(sources.size === 0 ? {} : { sources }),
    ...(kfuncs.size === 0 ? {} : { kfuncs }),
    ...(unresolved.size === 0 ? {} : { unresolved }),
  }
}

/** The program of this name, or a function as a program without a type. @throws UsageError `program.unknown` */
export function findProgram(object: ObjectSpec, name: string): ProgramSpec {
  const program = object.programs.find((candidate) => candidate.name === name)
  if (program !== undefined) return program
  const alone = object.functions.find((candidate) => candidate.name === name)
  if (alone !== undefined) return { ...alone, section: '.text', type: 0, expectedAttachType: 0, flags: 0 }
  const names = object.programs.map((candidate) => candidate.name)
  throw new UsageError(
    'program.unknown',
    `${object.name} has no program ${JSON.stringify(name)}${names.length === 0 ? ': it has none at all' : `; it has ${names.join(', ')}`}`,
  )
}

/** Numbers the maps that a program uses, in order of first use. */
class MapTable {
  readonly list: MapSpec[] = []
  readonly #indices = new Map<string, number>()
  readonly #object: ObjectSpec
  readonly #options: LinkProgramOptions

  constructor(object: ObjectSpec, options: LinkProgramOptions) {
    this.#object = object
    this.#options = options
  }

  index(name: string, programName: string): number {
    const known = this.#indices.get(name)
    if (known !== undefined) return known
    if (name === JUMP_TABLES)
      throw new InputError(
        'link.jump-tables',
        `${programName} jumps by a table (clang 21 and later), which is not supported: compile it with -fno-jump-tables`,
      )
    const map = this.#object.maps.find((candidate) => candidate.name === name)
    if (map === undefined)
      throw new InputError('link.map', `${programName} uses the map ${name}, which the object does not have`)
    const index = this.list.length
    this.list.push(
      map.section === '.kconfig' ? { ...map, contents: kconfigContents(this.#object, map, this.#options) } : map,
    )
    this.#indices.set(name, index)
    // maps that a map of maps holds from the start come along
    if (map.inner !== undefined) for (const [, held] of map.slots ?? []) this.index(held, programName)
    return index
  }
}

const resolvers = new WeakMap<Uint8Array, WeakMap<Btf, CoreResolver>>()

function coreOf(object: ObjectSpec, options: LinkProgramOptions): CoreResolver | undefined {
  const { kernelBtf, moduleBtfs } = options
  if (kernelBtf === undefined || object.btf === undefined) return undefined
  if (moduleBtfs !== undefined)
    return new CoreResolver(localBtf(object.btf, object.name), kernelBtf, [...moduleBtfs.values()])
  let perKernel = resolvers.get(object.btf)
  if (perKernel === undefined) resolvers.set(object.btf, (perKernel = new WeakMap()))
  let resolver = perKernel.get(kernelBtf)
  if (resolver === undefined) {
    resolver = new CoreResolver(localBtf(object.btf, object.name), kernelBtf)
    perKernel.set(kernelBtf, resolver)
  }
  return resolver
}

/** Of struct_ops programs: the struct's BTF id and the member's index, which the kernel wants as the attach type. */
function attachTarget(program: ProgramSpec, options: LinkProgramOptions): { btfId?: number; memberIndex?: number } {
  const { attach } = program
  if (attach?.kind !== 'struct_ops' || options.kernelBtf === undefined) return {}
  const kernel = options.kernelBtf
  const btfId = kernel.idByName(stripFlavour(attach.type), 'struct')
  const struct = btfId === undefined ? undefined : kernel.type(btfId)
  const memberIndex = struct?.kind === 'struct' ? struct.members.findIndex(({ name }) => name === attach.member) : -1
  // a struct of a module that is not there: whoever loads the program says so
  return btfId === undefined || memberIndex < 0 ? {} : { btfId, memberIndex }
}

interface LinkedForInfo {
  readonly instructions: readonly Instruction[]
  readonly functions: readonly { readonly name: string; readonly slot: number; readonly slots: number }[]
}

/** func_info when every function has a type; line_info when one of them has lines. */
function extInfo(
  linked: LinkedForInfo,
  typeIds: ReadonlyMap<string, number | undefined>,
  string: (text: string) => number,
  littleEndian: boolean,
): { funcInfo?: Uint8Array; lineInfo?: Uint8Array } {
  const functions = new ByteWriter({ littleEndian })
  for (const { name, slot } of linked.functions) {
    const typeId = typeIds.get(name)
    if (typeId === undefined || typeId === 0) return {}
    functions.u32(slot).u32(typeId)
  }
  const lines = new ByteWriter({ littleEndian })
  const starts = new Map(linked.functions.map(({ slot, slots }) => [slot, slots]))
  let known = false
  let slot = 0
  let last: SourceLocation | undefined
  const pathOf = new Map<string, number>()
  linked.instructions.forEach((instruction, index) => {
    let { source } = instruction
    const isStart = starts.has(slot)
    if (isStart) {
      last = undefined
      // the kernel wants a line at each function's start: the first one that the function has
      if (source === undefined) {
        const end = slot + (starts.get(slot) ?? 0)
        for (let i = index, at = slot; at < end && source === undefined; i++) {
          source = linked.instructions[i].source
          at += slotsOf(linked.instructions[i])
        }
        source ??= NOWHERE
      }
    }
    if (source !== undefined && source !== NOWHERE) known = true
    if (source !== undefined && source !== last) {
      let file = pathOf.get(source.file)
      if (file === undefined) pathOf.set(source.file, (file = string(source.file)))
      lines
        .u32(slot)
        .u32(file)
        .u32(string(source.text ?? ''))
        .u32(packPlace(source.line, source.column))
      last = source
    }
    slot += slotsOf(instruction)
  })
  return { funcInfo: functions.toBytes(), ...(known ? { lineInfo: lines.toBytes() } : {}) }
}
