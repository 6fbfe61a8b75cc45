import { CLASS, helperNumber, JMP, LD_IMM64, PSEUDO_CALL, PSEUDO_LD } from '../../uapi/index.ts'
import { encodeInstructions } from '../codec.ts'
import type { Instruction, Reference } from '../instruction.ts'
import { type FunctionCode, type LinkedCode, type LinkOptions, linkFunctions } from '../link.ts'
import type { ByteOrderOptions } from '../slots.ts'
import { checkInstruction } from '../validity.ts'
import { TokenCursor } from './cursor.ts'
import { DATA_DIRECTIVES, DATA_SECTION, IGNORED, mapDirective, type TextMap } from './directives.ts'
import { parseStatement } from './expressions.ts'
import { syntaxError, type TextPlace, tokenize, withoutComment } from './lexer.ts'
import type { Statement } from './statement.ts'

export interface AssembleOptions {
  /** Names the text in errors and sources. Default `<text>`. */
  readonly file?: string
  /** Keep each instruction's line as its source. Default true. */
  readonly sources?: boolean
}

/** The instructions of one section. Jumps and calls inside it refer to labels, calls elsewhere to functions. */
export interface AssembledSection {
  readonly name: string
  readonly instructions: readonly Instruction[]
}

export interface AssembledText {
  /** In order of appearance; the first is `.text` unless a directive names another one before any instruction. */
  readonly sections: readonly AssembledSection[]
  /** Labels that `.globl` makes visible. */
  readonly globals: readonly string[]
  /** From `.map NAME type=hash key=4 value=8 entries=16 flags=0` (keys default to 4 bytes, values to 8, flags to 0). */
  readonly maps: readonly TextMap[]
  /** From `.license "GPL"`; undefined without one. */
  readonly license: string | undefined
}

interface Pending {
  readonly statement: Statement
  readonly place: TextPlace
}

interface Section {
  readonly name: string
  /** A section of data: its labels and directives are skipped. */
  readonly isData: boolean
  readonly pending: Pending[]
  /** Label → index of the instruction it names (the number of instructions when it stands at the end). */
  readonly labels: Map<string, number>
}

const LABEL = /^[ \t]*([A-Za-z_.$][\w.$-]*):(?!\])/
/** Labels that compilers make for blocks: listed like symbols, but no functions. */
const BLOCK_LABEL = /^\.?LBB\d+_\d+$/
const BYTES_ONLY = /^\s*(?:[0-9a-f]{2} ){7}[0-9a-f]{2}(?: (?:[0-9a-f]{2} ){7}[0-9a-f]{2})?\s*$/
const SLOT_NUMBER = /^[ \t]*\d+:[ \t]+/
const RAW_BYTES = /^(?:[0-9a-f]{2} ){7}[0-9a-f]{2}(?: (?:[0-9a-f]{2} ){7}[0-9a-f]{2})?[ \t]+/
const OPCODE = /^\(([0-9a-f]{2})\)[ \t]+/
const TARGET_SYMBOL = /[ \t]<[^ \t<>]+>[ \t]*$/

/** Lines of more characters are no assembly: whatever a line costs to read is bounded. */
const MAX_LINE = 65_536

/** What a header line of a listing says; undefined for any other line. Written so that no line takes long. */
function headerOf(line: string): { readonly kind: 'file' | 'section' | 'function'; readonly name: string } | undefined {
  const text = line.trimEnd()
  if (text.includes('file format ') && /:[ \t]+file format \S+$/.test(text.slice(-64)))
    return { kind: 'file', name: '' }
  if (!text.endsWith(':')) return undefined
  const SECTION = 'Disassembly of section '
  if (text.startsWith(SECTION)) return { kind: 'section', name: text.slice(SECTION.length, -1) }
  if (text.endsWith('>:') && /^[0-9a-f]{16} </.test(text)) return { kind: 'function', name: text.slice(18, -2) }
  // a prototype, as translated dumps have it: `int f(struct xdp_md * ctx):`
  if (!text.endsWith('):') || !/^[A-Za-z_]/.test(text)) return undefined
  const end = text.indexOf('(')
  let start = end
  while (start > 0 && /\w/.test(text[start - 1])) start--
  return start === end || /[^\w \t*]/.test(text.slice(0, start))
    ? undefined
    : { kind: 'function', name: text.slice(start, end) }
}

class TextReader {
  readonly sections: Section[] = []
  readonly globals: string[] = []
  readonly maps: TextMap[] = []
  license: string | undefined
  readonly functions = new Set<string>()
  #section: Section | undefined
  readonly #file: string

  constructor(file: string) {
    this.#file = file
  }

  get section(): Section {
    this.#section ??= this.enter('.text')
    return this.#section
  }

  enter(name: string, isData = false): Section {
    const known = this.sections.find((one) => one.name === name)
    const section = known ?? { name, isData, pending: [], labels: new Map() }
    if (known === undefined) this.sections.push(section)
    this.#section = section
    return section
  }

  read(text: string): void {
    const lines = text.split('\n')
    for (let i = 0; i < lines.length; i++)
      this.line({ file: this.#file, line: i + 1, text: lines[i].replace(/\r$/, '') })
  }

  line(place: TextPlace): void {
    const { text } = place
    if (text.length > MAX_LINE) {
      const shown = { ...place, text: `${text.slice(0, 80)}…` }
      throw syntaxError(shown, 1, `a line of ${text.length} characters; at most ${MAX_LINE} are read`)
    }
    const header = headerOf(text)
    if (header !== undefined) {
      if (header.kind === 'section') this.enter(header.name)
      // a section that no symbol starts is listed under its own name
      else if (header.kind === 'function' && header.name !== this.#section?.name)
        this.label(header.name, place, !BLOCK_LABEL.test(header.name))
      return
    }
    if (BYTES_ONLY.test(text)) return
    let code = withoutComment(text)
    let at = 0
    for (let label = LABEL.exec(code); label !== null; label = LABEL.exec(code.slice(at))) {
      this.label(label[1], place, false)
      at += label[0].length
    }
    code = blank(code, at)
    if (code.trim() === '') return
    const directive = /^[ \t]*(\.[\w.]+)/.exec(code)
    if (directive !== null) this.directive(directive[1], code.trim().slice(directive[1].length).trim(), place)
    else this.instruction(code, at, place)
  }

  instruction(code: string, from: number, place: TextPlace): void {
    let at = from
    const skip = (pattern: RegExp): RegExpExecArray | null => {
      const match = pattern.exec(code.slice(at))
      if (match !== null) at += match[0].length
      return match
    }
    skip(/^[ \t]+/)
    if (skip(SLOT_NUMBER) !== null) skip(RAW_BYTES)
    const opcode = skip(OPCODE)
    const symbol = TARGET_SYMBOL.exec(code)
    const end = symbol === null ? code.length : symbol.index
    const cursor = new TokenCursor(tokenize(code.slice(0, end), place, at), place)
    const statement = parseStatement(cursor, opcode === null ? undefined : Number.parseInt(opcode[1], 16))
    this.section.pending.push({ statement, place })
  }

  label(name: string, place: TextPlace, isFunction: boolean): void {
    const { labels, pending, isData } = this.section
    if (isData) return
    if (labels.has(name)) throw syntaxError(place, place.text.indexOf(name) + 1, `label ${name} is defined twice`)
    labels.set(name, pending.length)
    if (isFunction) this.functions.add(name)
  }

  directive(name: string, rest: string, place: TextPlace): void {
    if (name === '.text') this.enter('.text')
    else if (name === '.section') {
      const [, quoted, bare, flags] = /^(?:"([^"]*)"|([^,\s]+))(?:\s*,\s*"([^"]*)")?/.exec(rest) ?? []
      const section = quoted ?? bare ?? '.text'
      this.enter(section, flags === undefined ? DATA_SECTION.test(section) : !flags.includes('x'))
    } else if (name === '.data' || name === '.bss') this.enter(name, true)
    else if (name === '.globl' || name === '.global') this.globals.push(...rest.split(/\s*,\s*/))
    else if (name === '.type') {
      const type = /^(\S+?)\s*,\s*[@%]?(\w+)/.exec(rest)
      if (type !== null && type[2] === 'function') this.functions.add(type[1])
    } else if (name === '.license') this.license = rest.replace(/^"([^"]*)"$/, '$1')
    else if (name === '.map') this.maps.push(mapDirective(rest, place))
    else if (DATA_DIRECTIVES.has(name) && this.section.isData) {
      const text = /^"([^"\\]*)"$/.exec(rest)?.[1]
      if (this.section.name === 'license' && text !== undefined) this.license = text
    } else if (!IGNORED.has(name))
      throw syntaxError(place, place.text.indexOf(name) + 1, `the directive ${name} is not supported`)
  }
}

function blank(text: string, count: number): string {
  return ' '.repeat(count) + text.slice(count)
}

/**
 * Assembles text: LLVM's syntax, the kernel's (verifier log, translated dumps) and the classic one of ubpf's vectors, each
 * line in whichever it is written. Listings of llvm-objdump and of this project's disassembler are taken as they are.
 *
 * A callee that is no label is a helper, or a kfunc that the loader resolves; `rN = NAME ll` is a function's address or a
 * map that the loader resolves. The label `exit`, where none is defined, is the first exit instruction.
 * @throws InputError `asm.syntax` with file, line, column and a caret
 */
export function assembleText(text: string, options: AssembleOptions = {}): AssembledText {
  const reader = new TextReader(options.file ?? '<text>')
  reader.read(text)
  const everywhere = new Set<string>()
  for (const { labels } of reader.sections) for (const name of labels.keys()) everywhere.add(name)
  const functions = new Set([...reader.functions, ...reader.globals])
  for (const { labels, pending } of reader.sections)
    for (const { statement } of pending)
      if (statement.symbol !== undefined && !labels.has(statement.symbol)) functions.add(statement.symbol)
  const sections = reader.sections
    .filter(({ pending }) => pending.length > 0)
    .map((section) => ({
      name: section.name,
      instructions: finishSection(section, everywhere, functions, options.sources ?? true),
    }))
  return { sections, globals: reader.globals, maps: reader.maps, license: reader.license }
}

function finishSection(
  section: Section,
  everywhere: ReadonlySet<string>,
  functions: ReadonlySet<string>,
  sources: boolean,
): Instruction[] {
  const { pending, labels } = section
  const exit = pending.findIndex(({ statement }) => statement.opcode === (CLASS.jmp | JMP.exit))
  if (!labels.has('exit') && exit >= 0) labels.set('exit', exit)
  // several labels may stand at one place: one of them, a function's name first, is the instruction's
  const canonical = new Map<number, string>()
  const isFunction = new Set<number>()
  for (const [name, index] of labels) {
    if (functions.has(name)) isFunction.add(index)
    if (!canonical.has(index) || functions.has(name)) canonical.set(index, name)
  }
  const referenced = new Set<string>()
  const inside = (name: string, place: TextPlace): Reference => {
    const index = labels.get(name)
    if (index === undefined || index >= pending.length) {
      const what = index === undefined ? 'is not defined' : 'stands after the last instruction'
      throw syntaxError(place, Math.max(place.text.lastIndexOf(name), 0) + 1, `label ${name} ${what}`)
    }
    const label = canonical.get(index) ?? name
    referenced.add(label)
    return { kind: 'label', name: label }
  }
  const bodies = pending.map(({ statement, place }): Instruction => {
    const { label, symbol, ...fields } = statement
    if (label !== undefined) {
      const reference = inside(label, place)
      const call = fields.opcode === (CLASS.jmp | JMP.call)
      if (call) isFunction.add(labels.get(label) ?? -1)
      return { ...fields, reference }
    }
    if (symbol === undefined) return fields
    const isAddress = fields.opcode === LD_IMM64
    if (labels.has(symbol) || everywhere.has(symbol)) {
      const local = labels.get(symbol)
      if (local !== undefined) isFunction.add(local)
      const reference: Reference = local === undefined ? { kind: 'function', name: symbol } : inside(symbol, place)
      return { ...fields, src: isAddress ? PSEUDO_LD.func : PSEUDO_CALL.local, reference }
    }
    if (isAddress) return { ...fields, src: PSEUDO_LD.mapFd, reference: { kind: 'map', name: symbol } }
    const number = helperNumber(symbol)
    return number === undefined
      ? { ...fields, src: PSEUDO_CALL.kfunc, reference: { kind: 'kfunc', name: symbol } }
      : { ...fields, imm: number }
  })
  return bodies.map((body, index): Instruction => {
    const { place } = pending[index]
    const label = canonical.get(index)
    const named = label !== undefined && (label !== 'exit' || referenced.has('exit'))
    return {
      ...body,
      ...(named ? { label } : {}),
      ...(named && (isFunction.has(index) || (index === 0 && isFunction.size === 0)) ? { functionStart: true } : {}),
      ...(sources
        ? {
            source: {
              file: place.file,
              line: place.line,
              column: place.text.search(/\S/) + 1,
              text: place.text.trimEnd(),
            },
          }
        : {}),
    }
  })
}

/**
 * Splits a section where functions start; instructions before the first one belong to a function called `name`. Calls and
 * addresses of functions become references to functions, so that each one can be placed anywhere.
 */
export function splitFunctions(name: string, instructions: readonly Instruction[]): FunctionCode[] {
  const functions: { name: string; instructions: Instruction[] }[] = []
  for (const instruction of instructions) {
    if (functions.length === 0 || instruction.functionStart === true)
      functions.push({
        name: instruction.functionStart === true ? (instruction.label ?? name) : name,
        instructions: [],
      })
    const { reference, opcode } = instruction
    const outward = reference?.kind === 'label' && (opcode === (CLASS.jmp | JMP.call) || opcode === LD_IMM64)
    functions[functions.length - 1].instructions.push(
      outward ? { ...instruction, reference: { kind: 'function', name: reference.name } } : instruction,
    )
  }
  return functions
}

/**
 * Assembles text that is one section and resolves what can be resolved inside it.
 * @throws InputError as {@link assembleText} and {@link linkFunctions}; `asm.several-sections`
 */
export function assembleProgram(text: string, options: AssembleOptions & LinkOptions = {}): LinkedCode {
  const { sections } = assembleText(text, options)
  const instructions = sections.flatMap((section) => section.instructions)
  return linkFunctions([{ name: sections[0]?.name ?? '.text', instructions }], options)
}

/**
 * The bytes of text that is one program: labels and calls resolved, forms checked, names that need a loader left at 0.
 * @throws InputError as {@link assembleProgram}; `asm.invalid-instruction`
 */
export function assembleBytes(
  text: string,
  options: AssembleOptions & LinkOptions & ByteOrderOptions = {},
): Uint8Array {
  const { instructions } = assembleProgram(text, options)
  let slot = 0
  for (const instruction of instructions) {
    checkInstruction(instruction, 'internal', slot)
    slot += instruction.opcode === LD_IMM64 ? 2 : 1
  }
  return encodeInstructions(instructions, options)
}
