import { UsageError } from '../../errors/index.ts'
import { type AttachSpec, CONTRIBUTION, type Contribution, type SpecContribution } from '../../spec/index.ts'
import { PROGRAM_FLAGS, type ProgramFlag } from '../../uapi/index.ts'
import { contributionOfUnit } from '../compile.ts'
import { buildError, building, FunctionContext, located, placed, Unit } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { captureSite } from '../source.ts'
import { Int, ownOperand } from '../values/int.ts'
import { CODE } from '../values/place.ts'

/** A return code of one kind of program. */
export class ReturnCode<K extends string = string> {
  declare private readonly brand: K
  readonly [CODE] = true
  readonly name: string
  readonly value: number
  constructor(name: string, value: number) {
    this.name = name
    this.value = value
  }
}

export interface ProgramOptions {
  /** "GPL" unless said otherwise. Some helpers are for GPL-compatible programs only. */
  readonly license?: string
  /**
   * The oldest kernel it must load on: newer features are errors when it is built. Default '5.15', or the first Linux that
   * has this kind of program when that is newer.
   */
  readonly target?: `${number}.${number}`
}

/** What one kind of program is, beyond its callback. */
export interface ProgramShape {
  readonly section: string
  readonly type: number
  readonly attachType: number
  readonly flags?: readonly ProgramFlag[]
  /** The C name of the context's struct, "void" for none. */
  readonly contextType: string
  readonly attachTo?: { readonly name: string; readonly module?: string }
  readonly attach?: AttachSpec
  /** The first Linux that has this kind of program, and the kind's name. */
  readonly since?: readonly [major: number, minor: number]
  readonly kind?: string
  readonly options: ProgramOptions
}

/** A program: a module exports it. */
export class BpfProgram<K extends string = string> implements SpecContribution {
  declare readonly kind: K
  readonly name: string
  readonly shape: ProgramShape
  readonly #build: (fn: FunctionContext, context: Operand) => unknown
  readonly #definedAt = captureSite()
  #made: Contribution | undefined

  constructor(name: string, shape: ProgramShape, build: (fn: FunctionContext, context: Operand) => unknown) {
    if (!/^[A-Za-z_]\w*$/.test(name))
      throw new UsageError('build.program-name', `${JSON.stringify(name)} is no name for a program`, {
        details: ['use letters, digits and _ (the kernel keeps the first 15)'],
      })
    this.name = name
    this.shape = shape
    this.#build = build
  }

  /** The program as data; built once. @throws UsageError at mistakes that types do not hold */
  [CONTRIBUTION](): Contribution {
    try {
      this.#made ??= this.#compile()
    } catch (error) {
      throw located(error, this.#definedAt)
    }
    return this.#made
  }

  #target(): readonly [number, number] {
    const { since, kind, options } = this.shape
    const target = parseTarget(options.target ?? '5.15')
    const older = since !== undefined && (target[0] < since[0] || (target[0] === since[0] && target[1] < since[1]))
    if (!older) return target
    if (options.target === undefined) return since
    throw buildError(
      'build.target',
      `a program of this kind (${kind}) needs Linux ${since.join('.')}, the target is ${options.target}`,
      `set target: '${since.join('.')}' or newer, or leave it out`,
      this.#definedAt,
    )
  }

  #compile(): Contribution {
    const { shape } = this
    const unit = new Unit(this.name, this.#target(), shape.options.license ?? 'GPL', {
      type: shape.type,
      attachType: shape.attachType,
      sleepable: shape.flags?.includes('sleepable') ?? false,
    })
    const fn = new FunctionContext(unit, this.name, programCode)
    const context = fn.emitter.param()
    fn.context = context
    building(fn, () => {
      const result = this.#build(fn, context)
      if (result instanceof Promise)
        throw buildError(
          'build.async',
          'the callback of a program is async',
          'make it a plain function',
          this.#definedAt,
        )
      // a constant at the end has no call of its own: its line is the program's
      if (!(result instanceof Int)) fn.emitter.site = unit.siteOf(this.#definedAt)
      if (fn.emitter.isOpen) placed(this.#definedAt, () => fn.leave(result))
    })
    return contributionOfUnit(unit, {
      fn,
      contextType: shape.contextType,
      spec: {
        name: this.name,
        section: shape.section,
        type: shape.type,
        expectedAttachType: shape.attachType,
        flags: (shape.flags ?? []).reduce((sum, flag) => sum | PROGRAM_FLAGS[flag], 0),
        ...(shape.attachTo === undefined ? {} : { attachTo: shape.attachTo }),
        ...(shape.attach === undefined ? {} : { attach: shape.attach }),
      },
    })
  }
}

/** A program's return value. */
export function programCode(fn: FunctionContext, code: unknown): Operand {
  if (code instanceof ReturnCode) return constant(BigInt.asUintN(32, BigInt(code.value)))
  if (code instanceof Int) return ownOperand(fn, code)
  if (typeof code === 'number' && Number.isInteger(code)) return constant(BigInt.asUintN(32, BigInt(code)))
  throw buildError(
    'build.return',
    `${fn.emitter.ir.name}: a program ends with a return code, this path has ${code === undefined ? 'none' : String(typeof code)}`,
    'return one of the codes (return b.PASS), also on early returns',
  )
}

function parseTarget(text: string): readonly [number, number] {
  const match = /^(\d+)\.(\d+)$/.exec(text)
  if (match === null)
    throw new UsageError('build.target', `${JSON.stringify(text)} is no kernel version`, { details: ["write '5.15'"] })
  return [Number(match[1]), Number(match[2])]
}
