import type { SourceLocation } from '../asm/index.ts'
import { BtfBuilder } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import type { ExternSpec, MapSpec, SpecContribution, VariableSpec } from '../spec/index.ts'
import { programTypeName } from '../uapi/index.ts'
import { hasHelper, helperSince, PROFILE_GPL_ONLY, SLEEPABLE_ONLY } from './facts.ts'
import { Emitter } from './ir/emitter.ts'
import type { Operand, Reg } from './ir/ops.ts'
import { captureSite, isOwnError, siteOfError } from './source.ts'
import type { Type } from './types/types.ts'

/** What the unit needs of a map that code refers to. */
export interface UsedMap {
  readonly spec: MapSpec
  readonly keyType?: Type
  readonly valueType?: Type
  /** Variables of a global-data map. */
  readonly variables?: (btf: BtfBuilder) => readonly VariableSpec[]
  /** Maps that this one holds from the start. */
  readonly holds?: readonly UsedMap[]
  /** Programs that it holds from the start. */
  readonly programs?: readonly SpecContribution[]
}

/** What kind of program a unit is, for what depends on it. */
export interface UnitKind {
  readonly type: number
  readonly attachType: number
  readonly sleepable: boolean
}

/** A BPF function that code calls. */
export interface UsedFunction {
  readonly name: string
  readonly linkage: 'static' | 'global'
  readonly fn: FunctionContext
  readonly params: readonly { readonly name: string; readonly type: FunctionParameter }[]
  readonly result: Type | 'void' | 'int'
  /** It runs later, on a stack of its own. */
  readonly deferred?: boolean
}
/** A parameter: an integer, the context, memory of a type, or any pointer. */
export type FunctionParameter =
  | Type
  | { readonly kind: 'ctx' }
  | { readonly kind: 'memory'; readonly to: Type }
  | { readonly kind: 'void' }

/** license_is_gpl_compatible() (include/linux/license.h). */
const GPL_COMPATIBLE = new Set([
  'GPL',
  'GPL v2',
  'GPL and additional rights',
  'Dual BSD/GPL',
  'Dual MIT/GPL',
  'Dual MPL/GPL',
])

/** One program while it is built, with all that it refers to. Nothing outlives the build. */
export class Unit {
  readonly name: string
  readonly target: readonly [major: number, minor: number]
  readonly license: string
  readonly kind: UnitKind | undefined
  readonly maps = new Map<string, UsedMap>()
  /** The contribution's BTF; CO-RE relocations name its types while code is emitted. */
  readonly btf = new BtfBuilder()
  readonly variables: VariableSpec[] = []
  readonly externs: ExternSpec[] = []
  readonly functions = new Map<string, UsedFunction>()
  readonly #sites: SourceLocation[] = []
  readonly #siteIndex = new Map<SourceLocation, number>()
  /** Extras of features (CO-RE types, externs), by a key of their own. */
  readonly extras = new Map<symbol, unknown>()

  constructor(name: string, target: readonly [number, number], license: string, kind?: UnitKind) {
    this.name = name
    this.target = target
    this.license = license
    this.kind = kind
  }

  siteOf(location: SourceLocation | undefined): number {
    if (location === undefined) return -1
    let index = this.#siteIndex.get(location)
    if (index === undefined) {
      index = this.#sites.push(location) - 1
      this.#siteIndex.set(location, index)
    }
    return index
  }
  location(site: number): SourceLocation | undefined {
    return this.#sites[site]
  }
  extra<T>(key: symbol, make: () => T): T {
    if (!this.extras.has(key)) this.extras.set(key, make())
    return this.extras.get(key) as T
  }

  use(map: UsedMap): string {
    const known = this.maps.get(map.spec.name)
    if (known !== undefined && known.spec !== map.spec)
      throw buildError('build.map-name', `two maps are named "${map.spec.name}"`, 'give each map a name of its own')
    if (known === undefined) {
      this.maps.set(map.spec.name, map)
      for (const held of map.holds ?? []) this.use(held)
    }
    return map.spec.name
  }

  atLeast(major: number, minor: number): boolean {
    return this.target[0] > major || (this.target[0] === major && this.target[1] >= minor)
  }
  /** Helpers for GPL-compatible programs only. @throws UsageError `build.license` */
  needGpl(helper: string): void {
    if (GPL_COMPATIBLE.has(this.license)) return
    throw buildError(
      'build.license',
      `bpf_${helper} is for GPL-compatible programs, the licence is ${JSON.stringify(this.license)}`,
      "set license: 'GPL' (or 'Dual MIT/GPL')",
    )
  }
  /** A helper must exist on the target, and for this kind of program. @throws UsageError `build.target`, `build.helper`, `build.sleepable` */
  needHelper(helper: string): void {
    if (PROFILE_GPL_ONLY.has(helper)) this.needGpl(helper)
    const since = helperSince(helper)
    if (since !== undefined) this.need(...since, `bpf_${helper}`)
    const { kind } = this
    if (kind === undefined) return
    if (SLEEPABLE_ONLY.has(helper) && !kind.sleepable)
      throw buildError(
        'build.sleepable',
        `bpf_${helper} may sleep, this program may not`,
        'set sleepable: true (fentry, fexit, fmod_ret, lsm, iter, uprobe, syscall), or read without sleeping',
      )
    if (!hasHelper(kind.type, kind.attachType, kind.sleepable, helper))
      throw buildError(
        'build.helper',
        `${programTypeName(kind.type)} programs have no bpf_${helper}`,
        'use it in a kind of program that has it (bpf-helpers(7)), and pass the result through a map',
      )
  }
  /** @throws UsageError `build.target` when the target kernel is older than what `what` needs */
  need(major: number, minor: number, what: string, instead?: string): void {
    if (this.atLeast(major, minor)) return
    throw buildError(
      'build.target',
      `${what} needs Linux ${major}.${minor}, the target is ${this.target.join('.')}`,
      instead ?? `set target: '${major}.${minor}' or newer`,
    )
  }
}

/** What user code returns as an operand of the function's result; throws when it is none. */
export type CodeOf = (fn: FunctionContext, code: unknown) => Operand | undefined

/** One function while it is built. */
export class FunctionContext {
  readonly unit: Unit
  readonly emitter: Emitter
  readonly codeOf: CodeOf
  /** The context's register (r1 at entry); subprograms have none. */
  context: Operand | undefined
  /** The function is a callback that uses values of the function around it. */
  closure: Closure | undefined
  /** What must be given back before the function may end: how to do that, innermost last. */
  readonly held: (() => void)[] = []
  /** How many callbacks it has so far: their names count. */
  callbacks = 0

  constructor(unit: Unit, name: string, codeOf: CodeOf) {
    this.unit = unit
    this.emitter = new Emitter(name)
    this.emitter.held = () => this.held.length
    this.codeOf = codeOf
  }

  /** Ends the function with this code. Inside a callback it ends the function around it, too. */
  leave(code: unknown): void {
    this.giveBack(0)
    if (this.closure !== undefined) this.closure.leave(code)
    else this.emitter.exit(this.codeOf(this, code))
  }
  /** The same with a code that is an operand already. */
  leaveWith(code: Operand): void {
    this.giveBack(0)
    if (this.closure !== undefined) this.closure.leaveWith(code)
    else this.emitter.exit(code)
  }

  /** Emits what gives back everything held beyond the first `keep`. */
  giveBack(keep: number): void {
    for (let i = this.held.length - 1; i >= keep; i--) this.held[i]()
  }

  /** An operand of `owner` as this function reaches it: its own, or captured by a callback. */
  reach(owner: FunctionContext, operand: Operand): Operand {
    if (owner === this || (typeof operand === 'object' && operand.kind !== 'frame')) return operand
    if (this.closure === undefined)
      throw buildError(
        'build.foreign',
        'this value belongs to another BPF function',
        'pass it as an argument of the function, or keep it in a map',
      )
    return this.closure.capture(owner, operand)
  }
  /** The value of a variable of this function or, in a callback, of one around it. */
  readVariable(owner: FunctionContext, reg: Reg): Operand {
    if (owner === this) return this.emitter.getVariable(reg)
    return this.#around().read(owner, reg)
  }
  writeVariable(owner: FunctionContext, reg: Reg, value: Operand): void {
    if (owner === this) this.emitter.setVariable(reg, value)
    else this.#around().write(owner, reg, value)
  }
  #around(): Closure {
    if (this.closure === undefined)
      throw buildError(
        'build.foreign',
        'this variable belongs to another BPF function',
        'pass its value as an argument, or keep it in a map',
      )
    return this.closure
  }

  /** Operations from here on belong to the user's line that is now on the stack. */
  mark(): Emitter {
    this.emitter.site = this.unit.siteOf(captureSite(here, 2))
    return this.emitter
  }
}

/** How a callback reaches what is around it. */
export interface Closure {
  capture(owner: FunctionContext, operand: Operand): Operand
  read(owner: FunctionContext, reg: Reg): Operand
  write(owner: FunctionContext, reg: Reg, value: Operand): void
  /** Ends the callback and then the function around it. */
  leave(code: unknown): void
  leaveWith(code: Operand | undefined): void
  /** Ends this call of the callback; `stop`: it is not called again. */
  next(stop: boolean): void
}

let current: FunctionContext | undefined

/** Runs `body` while `fn` is the function being built. */
export function building<T>(fn: FunctionContext, body: () => T): T {
  const before = current
  current = fn
  try {
    return body()
  } catch (error) {
    throw located(asUsage(error), fn.unit.location(fn.emitter.site))
  } finally {
    current = before
  }
}

/**
 * A value of the wrong kind, past the types, fails somewhere inside the builder, or has no method of the name: the mistake is
 * the caller's.
 */
function asUsage(error: unknown): unknown {
  if (!(error instanceof TypeError || error instanceof SyntaxError || error instanceof RangeError)) return error
  if (!isOwnError(error)) {
    if (!/is not a function$/.test(error.message)) return error
    const at = siteOfError(error)
    return new UsageError('build.value', error.message, {
      cause: error,
      details: [
        'what may be missing has no members before .orReturn(code) or .match(…), a variable is read by .get(); tsc --noEmit names what there is',
        ...(at === undefined ? [] : [`at ${at.file}:${at.line}:${at.column}`]),
      ],
    })
  }
  return new UsageError('build.value', `a value of the wrong kind was passed (${error.message})`, {
    cause: error,
    details: ['the type checker names it: run tsc --noEmit'],
  })
}

let marked = false
/** Runs `body`: what it calls of the builder's own methods belongs to the line that is marked already. */
export function unmarked<T>(body: () => T): T {
  const before = marked
  marked = true
  try {
    return body()
  } finally {
    marked = before
  }
}

/** The function being built, its site set to the caller's line. */
export function here(what: string): FunctionContext {
  if (current === undefined)
    throw new UsageError('build.outside', `${what} is only possible inside a program's function`, {
      details: ['call it inside the callback of xdp(…), tracepoint(…) and so on'],
    })
  if (!marked) current.mark()
  return current
}
/** The function being built, without a new site. */
export function inside(): FunctionContext | undefined {
  return current
}

let place: SourceLocation | undefined
/** Mistakes that `body` finds are at this place, whatever called it. */
export function placed<T>(at: SourceLocation | undefined, body: () => T): T {
  place = at
  try {
    return body()
  } finally {
    place = undefined
  }
}

/** A mistake in the user's program: one line, the fix, the user's place. */
export function buildError(code: string, message: string, fix: string, at?: SourceLocation): UsageError {
  const found = at ?? place ?? captureSite()
  const where = found === undefined ? [] : [`at ${found.file}:${found.line}:${found.column}`]
  return new UsageError(code, message, { details: [fix, ...where] })
}

/** An error with the user's place, unless it says one already. */
export function located(error: unknown, place: SourceLocation | undefined): unknown {
  if (!(error instanceof UsageError) || place === undefined) return error
  if (error.details.some((line) => line.startsWith('at '))) return error
  return new UsageError(error.code, error.message, {
    cause: error,
    details: [...error.details, `at ${place.file}:${place.line}:${place.column}`],
  })
}
