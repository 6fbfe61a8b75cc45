import { readFileSync } from 'node:fs'
import { type Command, Option } from 'commander'
import {
  decodeSlots,
  type KernelNames,
  kernelListing,
  kernelText,
  llvmListing,
  llvmText,
  xlatedListing,
  xlatedNames,
} from '../asm/index.ts'
import { bytesToHex, hexToBytes } from '../bytes/index.ts'
import { NegativeError } from '../errors/index.ts'
import { LD_IMM64, PSEUDO_CALL, SLOT_BYTES } from '../uapi/index.ts'
import { type CodeSection, codeSections, type SourceLine, sourceLines } from './code-sections.ts'
import { kfuncResolver, readBtf } from './kernel-symbols.ts'
import { readInput } from './read-input.ts'

export type Dialect = 'llvm' | 'kernel' | 'xlated'

interface Options {
  readonly dialect: Dialect
  readonly program?: string
  readonly relocations?: boolean
  readonly source?: boolean
  readonly opcodes?: boolean
  readonly alu32?: boolean
  readonly bigEndian?: boolean
  readonly btf?: string
  readonly json?: boolean
}

/** What one listing is made from: a code section, or a part of it. */
export interface Listed {
  readonly section: CodeSection
  /** Slots from (included) to (not included). */
  readonly range: readonly [from: number, to: number]
  /** Source lines by byte address. */
  readonly lines?: ReadonlyMap<number, SourceLine>
  /** The function asked for, when one was. */
  readonly program?: string
}

/** Names of the relocations that compilers write into code sections. */
const RELOCATION_NAMES: ReadonlyMap<number, string> = new Map([
  [1, 'R_BPF_64_64'],
  [2, 'R_BPF_64_ABS64'],
  [3, 'R_BPF_64_ABS32'],
  [4, 'R_BPF_64_NODYLD32'],
  [10, 'R_BPF_64_32'],
])

/** Code of `hex:…`, `hex:-` (standard input) or an ELF object's executable sections. */
export function readCode(
  input: string,
  bigEndian = false,
): { readonly sections: CodeSection[]; readonly isObject: boolean; readonly file: Uint8Array } {
  if (input.startsWith('hex:')) {
    const text = input === 'hex:-' ? readFileSync(0, 'utf8') : input.slice(4)
    const bytes = hexToBytes(text, 'hex:')
    const bare = { index: 0, name: '.text', bytes, littleEndian: !bigEndian, symbols: [], relocations: new Map() }
    return { sections: [bare], isObject: false, file: bytes }
  }
  const file = readInput(input)
  return { sections: codeSections(file, input), isObject: true, file }
}

/** All sections, or the one function (or section) called `program`. */
export function selectCode(sections: readonly CodeSection[], program: string | undefined): Listed[] {
  const whole = (section: CodeSection): Listed => ({
    section,
    range: [0, Math.floor(section.bytes.length / SLOT_BYTES)],
  })
  if (program === undefined) return sections.map(whole)
  for (const section of sections) {
    const symbol = section.symbols.find(({ name, isFunction }) => name === program && isFunction)
    if (symbol === undefined) continue
    const from = Math.floor(symbol.address / SLOT_BYTES)
    return [{ section, range: [from, from + Math.ceil(symbol.size / SLOT_BYTES)], program }]
  }
  const named = sections.filter(({ name }) => name === program)
  if (named.length > 0) return named.map(whole)
  const names = sections.flatMap(({ symbols }) =>
    symbols.filter(({ isFunction }) => isFunction).map(({ name }) => name),
  )
  throw new NegativeError('disasm.no-program', `no function or section is called ${program}`, {
    details: names.length === 0 ? [] : [`functions: ${names.join(', ')}`],
  })
}

/** Callees and maps of an object by the names of its relocations and symbols. */
export function objectNames(section: CodeSection, kernel: KernelNames = {}): KernelNames {
  const plain = xlatedNames()
  const functionAt = new Map(
    section.symbols.filter(({ isFunction }) => isFunction).map((one) => [one.address, one.name]),
  )
  return {
    call(src, offset, imm, slot) {
      const relocation = section.relocations.get(slot * SLOT_BYTES)
      if (src !== 1) return relocation?.name ?? kernel.call?.(src, offset, imm, slot)
      const target = functionAt.get((slot + 1 + imm) * SLOT_BYTES) ?? relocation?.name
      const distance = imm >= 0 ? `+${imm}` : `${imm}`
      return target === undefined ? distance : `${distance}#${target}`
    },
    immediate(src, imm, high, slot) {
      const relocation = section.relocations.get(slot * SLOT_BYTES)
      return relocation === undefined ? plain.immediate?.(src, imm, high, slot) : `map[${relocation.name}]`
    },
  }
}

/** What the kernel and xlated dialects call things: by the object, by the kernel's BTF, as bpftool does. */
function namesFor(section: CodeSection, isObject: boolean, { dialect, btf }: Options): KernelNames {
  const resolver = btf === undefined ? undefined : kfuncResolver(readBtf(btf))
  const kernel: KernelNames = {
    call: (src, offset, imm) => (src === PSEUDO_CALL.kfunc ? resolver?.kfuncName?.(imm, offset) : undefined),
  }
  if (dialect === 'kernel') return kernel
  if (isObject) return objectNames(section, kernel)
  const plain = xlatedNames()
  return {
    ...plain,
    call: (src, offset, imm, slot) => kernel.call?.(src, offset, imm, slot) ?? plain.call?.(src, offset, imm, slot),
  }
}

function relocationLines(section: CodeSection): (slot: number) => readonly string[] {
  return (slot) => {
    const at = slot * SLOT_BYTES
    const relocation = section.relocations.get(at)
    if (relocation === undefined) return []
    const type = RELOCATION_NAMES.get(relocation.type) ?? 'Unknown'
    return [`\t\t${at.toString(16).padStart(16, '0')}:  ${type}\t${relocation.name}`]
  }
}

/** `; text [file:x.c line_num:5 line_col:3]`, as translated dumps with line numbers show it. */
function sourceText({ text, file, line, column }: SourceLine): string {
  return `; ${text} [file:${file} line_num:${line} line_col:${column}]`
}

function listing({ section, range, lines }: Listed, isObject: boolean, options: Options): string {
  const { bytes, littleEndian, symbols } = section
  const source = (slot: number): readonly string[] => {
    const line = lines?.get(slot * SLOT_BYTES)
    return line === undefined ? [] : [sourceText(line)]
  }
  if (options.dialect === 'llvm') {
    const after = options.relocations === true ? relocationLines(section) : undefined
    const alu32 = options.alu32 ?? false
    return llvmListing(bytes, {
      section: section.name,
      symbols,
      littleEndian,
      alu32,
      range,
      after,
      before: lines && source,
    })
  }
  const shared = { littleEndian, range, opcodes: options.opcodes ?? false }
  if (options.dialect === 'kernel')
    return kernelListing(bytes, { ...shared, names: namesFor(section, isObject, options), before: lines && source })
  const names = namesFor(section, isObject, options)
  const functions = new Map(symbols.filter(({ isFunction }) => isFunction).map((one) => [one.address, one.name]))
  const before = (slot: number): readonly string[] => {
    const name = functions.get(slot * SLOT_BYTES)
    return name === undefined ? source(slot) : [`${name}:`, ...source(slot)]
  }
  return xlatedListing(bytes, { ...shared, names, before })
}

/** One instruction of the JSON form. */
interface Row {
  readonly slot: number
  readonly bytes: string
  readonly text: string | null
  readonly source?: SourceLine
}

function rows({ section, range, lines }: Listed, isObject: boolean, options: Options): Row[] {
  const { opcode, dst, src, offset, imm, length } = decodeSlots(section.bytes, { littleEndian: section.littleEndian })
  const names = namesFor(section, isObject, options)
  const out: Row[] = []
  for (let slot = range[0]; slot < Math.min(range[1], length); slot++) {
    const size = opcode[slot] === LD_IMM64 && slot + 1 < length ? 2 : 1
    const high = size === 2 ? imm[slot + 1] : 0
    const text =
      options.dialect === 'llvm'
        ? (llvmText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], high, options.alu32 ?? false) ?? null)
        : kernelText(opcode[slot], dst[slot], src[slot], offset[slot], imm[slot], high, names, slot)
    const bytes = bytesToHex(section.bytes.subarray(slot * SLOT_BYTES, (slot + size) * SLOT_BYTES))
    const source = lines?.get(slot * SLOT_BYTES)
    out.push(source === undefined ? { slot, bytes, text } : { slot, bytes, text, source })
    slot += size - 1
  }
  return out
}

function run(input: string, options: Options): void {
  const { sections, isObject, file } = readCode(input, options.bigEndian)
  const sources = isObject && options.source === true ? sourceLines(file, input) : undefined
  const selected = selectCode(sections, options.program).map((one) => ({
    ...one,
    ...(sources === undefined ? {} : { lines: sources.get(one.section.name) }),
  }))
  if (options.json === true) {
    const answer = selected.map((one) => ({
      section: one.section.name,
      ...(one.program === undefined ? {} : { program: one.program }),
      insns: rows(one, isObject, options),
    }))
    process.stdout.write(`${JSON.stringify(answer)}\n`)
    return
  }
  let out = isObject && options.dialect === 'llvm' ? `\n${input}:\tfile format elf64-bpf\n` : ''
  for (const one of selected) {
    if (isObject) out += `${out === '' ? '' : '\n'}Disassembly of section ${one.section.name}:\n`
    const text = listing(one, isObject, options)
    out += isObject || options.dialect !== 'llvm' ? text : text.replace(/^\n/, '')
  }
  process.stdout.write(out)
}

export function register(program: Command): void {
  program
    .command('disasm')
    .description('show the instructions of an object file or of hex bytes')
    .argument('<input>', 'an ELF object (FILE.o), hex:BYTES, or hex:- for hex on standard input')
    .addOption(
      new Option('--dialect <dialect>', 'llvm: as llvm-objdump -d; kernel: as the verifier log; xlated: as bpftool')
        .choices(['llvm', 'kernel', 'xlated'])
        .default('llvm'),
    )
    .option('--program <name>', 'only this function or section')
    .option('-r, --relocations', 'llvm: relocations below their instructions')
    .option('-S, --source', 'source lines of the object before their instructions')
    .option('--opcodes', 'kernel, xlated: raw bytes below each instruction')
    .option('--alu32', 'llvm: w registers in loads and stores, as --mcpu=v3 prints them')
    .option('--btf <file>', 'kernel, xlated: BTF of the kernel, for names of kfuncs (/sys/kernel/btf/vmlinux)')
    .option('--big-endian', 'hex input is big-endian BPF')
    .option('-j, --json', 'an array of sections with their instructions')
    .action((input: string, options: Options) => run(input, options))
}
