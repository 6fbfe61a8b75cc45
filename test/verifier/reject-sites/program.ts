/** Programs by reject site: text, what is around it, and the words that refuse it. */
import { assembleProgram, encodeInstructions } from '../../../src/asm/index.ts'
import type { Btf, BtfBuilder } from '../../../src/btf/index.ts'
import type { ImageRelocation, MapSpec, ProgramImage } from '../../../src/spec/index.ts'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'
import {
  ATTACH_TYPES,
  PROGRAM_FLAGS,
  PROGRAM_TYPES,
  type ProgramFlag,
  type ProgramType,
} from '../../../src/uapi/index.ts'
import { type World, world } from './world.ts'

export interface FunctionRow {
  /** Of the first function, which is global without: false makes it static. */
  readonly global?: boolean
  /** Types of the arguments. */
  readonly params?: readonly number[]
  readonly returns?: number
  /** `arg:` tags of the first argument. */
  readonly tags?: readonly string[]
}

/** One program that the model and Linux 6.18 refuse with the same words. */
export interface SiteProgram {
  readonly name: string
  readonly type: ProgramType
  readonly attach?: keyof typeof ATTACH_TYPES
  readonly flags?: readonly ProgramFlag[]
  readonly license?: string
  /** A line a statement, `;` between short ones. `NAME ll` is a map of {@link world} or a function. */
  readonly program: string
  /** The last line of the log; a pattern where it has numbers of the running kernel. */
  readonly says: string | RegExp
  /** How functions are declared; all are `static int f(void)` else. `main` is the first one. */
  readonly functions?: Readonly<Record<string, FunctionRow>>
  /** Adds types before they are written; gets the ids of the functions by name. */
  readonly types?: (b: BtfBuilder, functions: Readonly<Record<string, number>>) => void
  /** Changes the image after it is made. */
  readonly change?: (image: ProgramImage) => ProgramImage
  /** No BTF of its own at all. */
  readonly bare?: true
  /** The tracepoint, function or struct_ops member that the program is for. */
  readonly target?: string
  /** The program whose function `target` is. */
  readonly onto?: SiteProgram
  /** The target's number instead of its name. */
  readonly targetId?: number
  /** Why the running kernel is not asked. */
  readonly notHere?: string
}

const LABEL = /^\s*([A-Za-z_]\w*):/

/** Puts other bytes, in hex, over a slot. */
export function withSlot(image: ProgramImage, slot: number, hex: string): ProgramImage {
  const insns = Uint8Array.from(image.insns)
  insns.set(Buffer.from(hex, 'hex'), slot * 8)
  return { ...image, insns }
}

function words(values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer)
}

/** `$struct.member` is where the running kernel has the member, in bytes, and `$struct` the struct's number in its BTF. */
function withKernelNumbers(text: string, kernel: Btf | undefined): string {
  return text.replace(/\$(\w+)(?:\.(\w+))?/g, (_, struct: string, name: string | undefined) => {
    const id = kernel?.idByName(struct, 'struct') ?? 0
    if (name === undefined) return String(id)
    const type = id === 0 ? undefined : kernel?.type(id)
    const found = type?.kind === 'struct' ? type.members.find((member) => member.name === name) : undefined
    return String((found?.bitOffset ?? 0) / 8)
  })
}

/** Statements, one a line: `;` ends one as a line end does. */
function statements(text: string): string[] {
  return text
    .split(/[\n;]/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
}

/** The program as a loader gets it. */
export function siteImage(row: SiteProgram): ProgramImage {
  const { b, maps: known }: World = world()
  const maps: MapSpec[] = []
  const kernel = kernelBtf()
  const lines = statements(withKernelNumbers(row.program, kernel))
  const { instructions } = assembleProgram(lines.join('\n'), { file: `${row.name}.s`, sources: false })
  const relocations: ImageRelocation[] = []
  let slot = 0
  const resolved = instructions.map((instruction) => {
    const { reference, opcode } = instruction
    const name = reference !== undefined && 'name' in reference ? reference.name : undefined
    const spec = opcode === 0x18 ? known.find((one) => one.name === name) : undefined
    if (spec !== undefined) {
      if (!maps.includes(spec)) maps.push(spec)
      const place =
        reference?.kind === 'mapValue' ? { kind: 'value' as const, offset: reference.offset } : { kind: 'fd' as const }
      relocations.push({ insn: slot, map: maps.indexOf(spec), ...place })
    }
    slot += opcode === 0x18 ? 2 : 1
    return reference?.kind === 'kfunc'
      ? { ...instruction, imm: kernel?.idByName(reference.name, 'func') ?? 0 }
      : instruction
  })
  const starts = functionStarts(lines, resolved)
  const records: number[] = []
  const functions: Record<string, number> = {}
  for (const [name, start] of starts) {
    const { params = [], returns, global, tags = [] } = row.functions?.[name] ?? {}
    const proto = b.add({
      kind: 'func_proto',
      returnType: returns ?? 1,
      params: params.map((type, i) => ({ name: `a${i}`, type })),
    })
    functions[name] = b.addDistinct({
      kind: 'func',
      name,
      type: proto,
      linkage: (global ?? start === 0) ? 1 : 0,
    })
    for (const tag of tags) b.addDistinct({ kind: 'decl_tag', name: `arg:${tag}`, type: functions[name], component: 0 })
    records.push(start, functions[name])
  }
  row.types?.(b, functions)
  const image: ProgramImage = {
    name: 'site',
    type: PROGRAM_TYPES[row.type],
    expectedAttachType: row.attach === undefined ? 0 : ATTACH_TYPES[row.attach],
    insns: encodeInstructions(resolved),
    license: row.license ?? 'GPL',
    flags: (row.flags ?? []).reduce((bits, flag) => bits | PROGRAM_FLAGS[flag], 0),
    maps,
    relocations,
    ...(row.bare === true ? {} : { btf: b.toBytes(), funcInfo: words(records) }),
    ...(row.target === undefined
      ? {}
      : { attachTo: { name: row.target, ...(row.onto === undefined ? {} : { program: siteImage(row.onto) }) } }),
    ...(row.targetId === undefined ? {} : { attachBtfId: row.targetId }),
  }
  return row.change?.(image) ?? image
}

/** Labels that calls and function pointers mean, with their slots. */
function functionStarts(
  lines: readonly string[],
  instructions: readonly { readonly opcode: number }[],
): [name: string, start: number][] {
  const named = new Set<string>()
  for (const line of lines) {
    const match = /^(?:\w+:\s*)*(?:call\s+(\w+)|r\d+ = ([A-Za-z_]\w*) ll)$/.exec(line)
    if (match !== null) named.add(match[1] ?? match[2])
  }
  const starts: [string, number][] = [['main', 0]]
  let index = 0
  let slot = 0
  for (const line of lines) {
    const label = LABEL.exec(line)
    if (label !== null && (named.has(label[1]) || label[1].startsWith('f_'))) starts.push([label[1], slot])
    if (line.replace(/^\s*(?:[A-Za-z_]\w*:\s*)+/, '') === '') continue
    slot += instructions[index].opcode === 0x18 ? 2 : 1
    index++
  }
  return starts
}
