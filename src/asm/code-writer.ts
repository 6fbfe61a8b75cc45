import { UsageError } from '../errors/index.ts'
import { CLASS } from '../uapi/index.ts'
import { callSite } from './call-site.ts'
import type { CoreRelocation, Instruction, Reference, SourceLocation } from './instruction.ts'
import { type FunctionCode, type LinkedCode, type LinkOptions, linkFunctions } from './link.ts'
import { type RegisterName, registerNumber } from './registers.ts'

/** An instruction without its metadata. */
export type Fields = Pick<Instruction, 'opcode' | 'dst' | 'src' | 'offset' | 'imm'> & {
  readonly imm64?: bigint
  readonly reference?: Reference
}

/** Ends of the 32-bit immediates. */
export const S32_LOW = -0x80000000
export const U32_HIGH = 0xffffffff

/** What collects instructions: labels and metadata for the next one, checked operands, the finished functions. */
export abstract class CodeWriter {
  readonly name: string
  readonly #module: string
  readonly #captureSources: boolean
  readonly #instructions: Instruction[] = []
  readonly #functions: CodeWriter[] = []
  readonly #aliases = new Map<string, string>()
  readonly #labels = new Set<string>()
  #label: string | undefined
  #comment: string | undefined
  #core: CoreRelocation | undefined
  #source: SourceLocation | undefined

  /** @param module `import.meta.url` of the subclass: callers are looked for outside of it */
  constructor(name: string, module: string, captureSources: boolean) {
    this.name = name
    this.#module = module
    this.#captureSources = captureSources
  }

  /** Names the next instruction. Several labels may stand at one place. */
  label(name: string): this {
    if (name === '' || this.#labels.has(name))
      this.fail(name === '' ? 'a label needs a name' : `label ${name} is placed twice`)
    this.#labels.add(name)
    if (this.#label === undefined) this.#label = name
    else this.#aliases.set(name, this.#label)
    return this
  }
  /** Remarks on the next instruction. */
  comment(text: string): this {
    this.#comment = this.#comment === undefined ? text : `${this.#comment}\n${text}`
    return this
  }
  /** The source of the following instructions, until the next call; undefined ends it. */
  source(location: SourceLocation | undefined): this {
    this.#source = location
    return this
  }
  /** A CO-RE relocation for the next instruction. */
  relocate(core: CoreRelocation): this {
    this.#core = core
    return this
  }

  /** A further function of the same program. */
  protected adopt(writer: CodeWriter): void {
    this.#functions.push(writer)
  }

  /** This function's instructions; labels are still names. */
  get instructions(): readonly Instruction[] {
    return this.build()[0].instructions
  }

  /** This function and its subprograms, in the order in which they were written. */
  build(): FunctionCode[] {
    if (this.#label !== undefined) this.fail(`label ${this.#label} stands after the last instruction of ${this.name}`)
    const instructions = this.#instructions.map((instruction, index) => {
      const { reference } = instruction
      const alias = reference?.kind === 'label' ? this.#aliases.get(reference.name) : undefined
      const aliased: Instruction =
        alias === undefined ? instruction : { ...instruction, reference: { kind: 'label', name: alias } }
      return index === 0 ? { ...aliased, label: instruction.label ?? this.name, functionStart: true } : aliased
    })
    return [{ name: this.name, instructions }, ...this.#functions.flatMap((assembler) => assembler.build())]
  }

  /** All functions linked, this one first. */
  link(options: LinkOptions = {}): LinkedCode {
    return linkFunctions(this.build(), options)
  }

  protected emit(fields: Fields | Instruction): this {
    const source = this.#source ?? (this.#captureSources ? this.#site() : undefined)
    this.#instructions.push({
      ...fields,
      ...(this.#label === undefined ? {} : { label: this.#label }),
      ...(source === undefined ? {} : { source }),
      ...(this.#core === undefined ? {} : { core: this.#core }),
      ...(this.#comment === undefined ? {} : { comment: this.#comment }),
    })
    this.#label = undefined
    this.#core = undefined
    this.#comment = undefined
    return this
  }

  protected register(name: RegisterName): number {
    const number = registerNumber(name)
    if (number === undefined) this.fail(`${String(name)} is no register; r0 to r10 and w0 to w10 are`)
    return number
  }

  protected aluClass(name: RegisterName): number {
    this.register(name)
    return name.startsWith('w') ? CLASS.alu : CLASS.alu64
  }

  protected sameWidth(left: RegisterName, right: RegisterName): void {
    this.register(right)
    if (left[0] !== right[0]) this.fail(`${left} and ${right} have different widths; use two r or two w registers`)
  }

  protected offset(value: number): number {
    return this.range('offset', value, -0x8000, 0x7fff)
  }

  protected imm(value: number, narrow = false): number {
    return this.range('immediate', value, S32_LOW, narrow ? U32_HIGH : 0x7fffffff) | 0
  }

  protected range(what: string, value: number, low: number, high: number): number {
    if (!Number.isInteger(value) || value < low || value > high)
      this.fail(`${what} ${String(value)} is not an integer from ${low} to ${high}`)
    return value
  }

  protected fail(message: string): never {
    const site = this.#site()
    const details = site === undefined ? [] : [`at ${site.file}:${site.line}:${site.column}`]
    throw new UsageError('asm.bad-operand', `${this.name}, instruction ${this.#instructions.length}: ${message}`, {
      details,
    })
  }

  #site(): SourceLocation | undefined {
    return callSite([import.meta.url, this.#module])
  }
}
