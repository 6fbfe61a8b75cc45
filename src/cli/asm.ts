import { writeFileSync } from 'node:fs'
import { basename, resolve } from 'node:path'
import type { Command } from 'commander'
import {
  type AssembledText,
  assembleText,
  checkInstruction,
  encodeInstructions,
  type FunctionCode,
  type Instruction,
  type LinkedCode,
  linkFunctions,
  linkProgram,
  type SymbolResolver,
  slotsOf,
  splitFunctions,
} from '../asm/index.ts'
import { bytesToHex } from '../bytes/index.ts'
import { writeObject } from '../elf/index.ts'
import { sectionMeaning } from '../elf/section-attach.ts'
import { InputError } from '../errors/index.ts'
import type { FunctionSpec, ObjectSpec, ProgramSpec } from '../spec/index.ts'
import { kfuncResolver, readBtf } from './kernel-symbols.ts'
import { readInput } from './read-input.ts'

interface Options {
  readonly output?: string
  readonly bigEndian?: boolean
  readonly btf?: string
  readonly json?: boolean
}

/** One program of the text: a section, linked with what it calls in other sections. */
interface Assembled {
  readonly section: string
  readonly code: LinkedCode
  readonly bytes: Uint8Array
}

/**
 * Assembles every section. A section that calls functions of other sections takes them along, as a loader would do; `.text`
 * is then no program of its own.
 */
export function assembleSections(
  text: string,
  file: string,
  littleEndian: boolean,
  resolver: SymbolResolver = {},
): Assembled[] {
  const { sections } = assembleText(text, { file })
  const functions: FunctionCode[] = sections.flatMap(({ name, instructions }) => splitFunctions(name, instructions))
  const callsOut = (instructions: readonly Instruction[]): boolean =>
    instructions.some(({ reference }) => reference?.kind === 'function')
  const lends = sections.some(({ instructions }) => callsOut(instructions))
  const programs = sections.filter(({ name }) => name !== '.text' || !lends)
  return programs.map(({ name, instructions }) => {
    const outward = callsOut(instructions)
    const entry = splitFunctions(name, instructions)[0]
    const code = outward
      ? linkProgram(entry.name, functions, { resolver })
      : linkFunctions([{ name, instructions }], { resolver })
    let slot = 0
    for (const instruction of code.instructions) {
      checkInstruction(instruction, 'internal', slot)
      slot += slotsOf(instruction)
    }
    return { section: name, code, bytes: encodeInstructions(code.instructions, { littleEndian }) }
  })
}

function objectName(input: string): string {
  return input === '-' ? 'text' : basename(input).replace(/\.[^.]*$/, '')
}

/**
 * The text as an object: in every section but `.text`, the first function and each one that `.globl` names is a program of
 * the type that the section's name tells; all others are functions that programs call. The license is GPL unless
 * `.license` says otherwise.
 */
export function textObject(text: AssembledText, name: string): ObjectSpec {
  const programs: ProgramSpec[] = []
  const functions: FunctionSpec[] = []
  const only = text.sections.length === 1
  for (const { name: section, instructions } of text.sections) {
    for (const [index, code] of splitFunctions(
      section.replace(/\W+/g, '_').replace(/^_/, ''),
      instructions,
    ).entries()) {
      const isGlobal = text.globals.includes(code.name)
      if ((section !== '.text' || only) && (index === 0 || isGlobal))
        programs.push({ ...code, linkage: 'global', section, ...sectionMeaning(section) })
      else functions.push({ ...code, linkage: isGlobal ? 'global' : 'static' })
    }
  }
  return {
    name,
    littleEndian: true,
    license: text.license ?? 'GPL',
    programs,
    functions,
    maps: text.maps,
    variables: [],
    externs: [],
  }
}

async function run(input: string, options: Options): Promise<void> {
  const text = new TextDecoder().decode(readInput(input))
  const assembled = assembleSections(
    text,
    input === '-' ? '<stdin>' : input,
    options.bigEndian !== true,
    options.btf === undefined ? {} : kfuncResolver(readBtf(options.btf)),
  )
  if (assembled.length === 0) throw new InputError('asm.empty', `${input}: no instructions`)
  if (options.output?.endsWith('.bin')) {
    if (assembled.length > 1)
      throw new InputError('asm.several-sections', `${input}: ${assembled.length} programs do not fit one .bin file`)
    writeFileSync(options.output, assembled[0].bytes)
    return
  }
  if (options.output !== undefined) {
    const object = textObject(
      assembleText(text, { file: input === '-' ? '<stdin>' : resolve(input) }),
      objectName(input),
    )
    writeFileSync(options.output, writeObject({ ...object, littleEndian: options.bigEndian !== true }))
    return
  }
  if (options.json === true) {
    const rows = assembled.map(({ section, code, bytes }) => ({
      section,
      insns: bytesToHex(bytes),
      open: code.open.map(({ slot, reference }) => ({ insn: slot, ...reference })),
    }))
    process.stdout.write(`${JSON.stringify(rows)}\n`)
    return
  }
  for (const { section, bytes, code } of assembled) {
    process.stdout.write(`${assembled.length > 1 ? `${section}: ` : ''}${bytesToHex(bytes)}\n`)
    for (const { slot, reference } of code.open)
      process.stderr.write(`typebpf: instruction ${slot}: ${reference.kind} ${reference.name} is left to a loader\n`)
  }
}

export function register(program: Command): void {
  program
    .command('asm')
    .description("assemble text (LLVM's, the kernel's or the classic syntax) to bytes")
    .argument('<file>', 'the text, or - for standard input')
    .option('-o, --output <file>', 'write an object file, or FILE.bin with the bytes, instead of printing hex')
    .option('--btf <file>', 'BTF of the kernel: kfunc names become ids (/sys/kernel/btf/vmlinux)')
    .option('--big-endian', 'big-endian BPF')
    .option('-j, --json', 'an array of sections with their bytes and the names left to a loader')
    .action((input: string, options: Options) => run(input, options))
}
