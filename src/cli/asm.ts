import { readFileSync, writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import {
  assembleText,
  checkInstruction,
  encodeInstructions,
  type FunctionCode,
  type LinkedCode,
  linkFunctions,
  linkProgram,
  slotsOf,
  splitFunctions,
} from '../asm/index.ts'
import { bytesToHex } from '../bytes/index.ts'
import { InputError, UnsupportedError } from '../errors/index.ts'

interface Options {
  readonly output?: string
  readonly bigEndian?: boolean
  readonly json?: boolean
}

/** One program of the text: a section, linked with what it calls in other sections. */
interface Assembled {
  readonly section: string
  readonly code: LinkedCode
  readonly bytes: Uint8Array
}

/**
 * Assembles every section. A section that calls functions of other sections takes them along, as a loader would do; a
 * section that only lends functions (`.text` beside others) is no program of its own.
 */
export function assembleSections(text: string, file: string, littleEndian: boolean): Assembled[] {
  const { sections } = assembleText(text, { file })
  const functions: FunctionCode[] = sections.flatMap(({ name, instructions }) => splitFunctions(name, instructions))
  const programs = sections.length > 1 ? sections.filter(({ name }) => name !== '.text') : sections
  return programs.map(({ name, instructions }) => {
    const outward = instructions.some(({ reference }) => reference?.kind === 'function')
    const entry = splitFunctions(name, instructions)[0]
    const code = outward ? linkProgram(entry.name, functions) : linkFunctions([{ name, instructions }])
    let slot = 0
    for (const instruction of code.instructions) {
      checkInstruction(instruction, 'internal', slot)
      slot += slotsOf(instruction)
    }
    return { section: name, code, bytes: encodeInstructions(code.instructions, { littleEndian }) }
  })
}

async function run(input: string, options: Options): Promise<void> {
  let text: string
  try {
    text = readFileSync(input === '-' ? 0 : input, 'utf8')
  } catch (cause) {
    throw new InputError('input.unreadable', `${input}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    })
  }
  const assembled = assembleSections(text, input === '-' ? '<stdin>' : input, options.bigEndian !== true)
  if (assembled.length === 0) throw new InputError('asm.empty', `${input}: no instructions`)
  if (options.output?.endsWith('.bin')) {
    if (assembled.length > 1)
      throw new InputError('asm.several-sections', `${input}: ${assembled.length} programs do not fit one .bin file`)
    writeFileSync(options.output, assembled[0].bytes)
    return
  }
  if (options.output !== undefined)
    throw new UnsupportedError(
      'asm.object-output',
      'asm: writing an object file is not possible yet; -o FILE.bin writes the bytes',
    )
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
    .option('-o, --output <file>', 'write to FILE.bin (the bytes) instead of printing hex')
    .option('--big-endian', 'big-endian BPF')
    .option('-j, --json', 'an array of sections with their bytes and the names left to a loader')
    .action((input: string, options: Options) => run(input, options))
}
