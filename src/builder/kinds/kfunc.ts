import { buildError, type FunctionContext, here } from '../context.ts'
import type { CallTarget, Operand } from '../ir/ops.ts'
import type { KernelStruct } from '../kernel.ts'
import { addBtf } from '../types/btf.ts'
import type { IntType, Type } from '../types/types.ts'
import { canonical, Int } from '../values/int.ts'
import { type Acquired, holdingObject, type ObjectOf, objectAt } from '../values/kptr.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { type Parameter, type Parameters, type Passed, passed } from './parameters.ts'

/** What a parameter or result of a kernel function is in BTF: the kernel compares kinds, structs by name. */
export type KernelType =
  | Type
  | 'void'
  /** Any pointer. */
  | 'pointer'
  /** A pointer to a struct of the kernel. */
  | { readonly kind: 'pointer'; readonly to: { readonly name: string } | Type }
export interface KernelPrototype {
  readonly name: string
  readonly params: readonly KernelType[]
  readonly result: KernelType
  /** Absent is no error when the program is loaded. */
  readonly weak?: boolean
}

const KEY = Symbol('kernel functions')

function kernelType(fn: FunctionContext, type: KernelType): number {
  const { btf } = fn.unit
  if (type === 'void') return 0
  if (type === 'pointer') return btf.pointer(0)
  if (!('kind' in type) || type.kind !== 'pointer') return addBtf(btf, type as Type)
  const to = type.to as { readonly name: string } | Type
  if ('kind' in to) return btf.pointer(addBtf(btf, to))
  // loaders compare kinds: an empty struct stands for the kernel's
  return btf.pointer(btf.add({ kind: 'struct', name: to.name, size: 0, members: [] }))
}

/** A function of the kernel that programs may call (kfunc, Linux 5.13): declared in the object, found by its name at load. */
export function kernelFunction(fn: FunctionContext, prototype: KernelPrototype): CallTarget {
  const { unit } = fn
  unit.need(5, 13, `the kernel function ${prototype.name}`)
  const known = unit.extra(KEY, () => new Set<string>())
  if (!known.has(prototype.name)) {
    known.add(prototype.name)
    const params = prototype.params.map((type, i) => ({ name: `a${i}`, type: kernelType(fn, type) }))
    const proto = unit.btf.add({ kind: 'func_proto', returnType: kernelType(fn, prototype.result), params })
    const typeId = unit.btf.add({ kind: 'func', name: prototype.name, type: proto, linkage: 2 })
    unit.externs.push({ name: prototype.name, kind: 'kfunc', weak: prototype.weak ?? false, typeId })
  }
  return { kind: 'kfunc', name: prototype.name, ...(prototype.weak ? { weak: true } : {}) }
}

/** What a kernel function gives: an integer, nothing, or a pointer to a kernel struct (which may be null). */
export type KernelResult = IntType | 'void' | KernelStruct
type Answer<R> = R extends IntType<infer N> ? Int<N> : R extends KernelStruct ? Maybe<ObjectOf<R>> : undefined

export interface KernelFunctionOptions {
  /** The kernel function that gives the result's reference back: then use `with`, which calls it on every path. */
  readonly release?: string
  /** It may sleep: sleepable programs only. */
  readonly sleepable?: boolean
  /** Absent is no error at load; a call that is reached then is refused. */
  readonly weak?: boolean
  /** The first kernel that has it. */
  readonly since?: readonly [major: number, minor: number]
}

/** A function of the kernel (kfunc). */
export class KernelFunction<P extends Parameters, R extends KernelResult> {
  readonly name: string
  readonly params: P
  readonly result: R
  readonly options: KernelFunctionOptions
  constructor(name: string, params: P, result: R, options: KernelFunctionOptions) {
    this.name = name
    this.params = params
    this.result = result
    this.options = options
  }
  #emit(fn: FunctionContext, args: Passed<P>): Operand {
    const { name, options, result } = this
    const { unit } = fn
    if (options.since !== undefined) unit.need(...options.since, `the kernel function ${name}`)
    if (options.sleepable && unit.kind?.sleepable === false)
      throw buildError('build.sleepable', `${name} may sleep, this program may not`, 'set sleepable: true')
    const target = kernelFunction(fn, {
      name,
      params: Object.values(this.params).map(kernelParameter),
      result: typeof result === 'object' ? { kind: 'pointer', to: { name: result.tag } } : (result as IntType | 'void'),
      ...(options.weak ? { weak: true } : {}),
    })
    const operands = Object.entries(this.params).map(([param, type]) =>
      passed(fn, param, type, (args as Record<string, unknown>)[param]),
    )
    return fn.emitter.call(target, operands, { result: result !== 'void' })
  }
  /** Calls it. */
  call(args: Passed<P>): Answer<R> {
    const fn = here(this.name)
    if (this.options.release !== undefined)
      throw buildError('build.reference', `${this.name} gives a reference`, 'use with(args, (object) => { … })')
    const raw = this.#emit(fn, args)
    const { result } = this
    if (result === 'void') return undefined as Answer<R>
    if (typeof result === 'object')
      return new Maybe(fn, nullable(fn, raw), () => objectAt(fn, result, raw)) as Answer<R>
    const type = result as IntType
    return new Int(type, canonical(fn.emitter, type.id, raw), fn) as Answer<R>
  }
  /** Calls it and runs `body` with the object it gives; the reference is given back on every path. */
  with(args: Passed<P>, body: (object: ObjectOf<R>) => void, missing?: () => void): void {
    const fn = here(this.name)
    const from = this.acquired(args)
    const pointer = from.acquire(fn)
    holdingObject(
      fn,
      pointer,
      () => from.release(fn, pointer),
      () => body(objectAt(fn, this.result, pointer)),
      missing,
    )
  }
  /** The object as a map value's kptr takes it: `value.slot.fill(taskFromPid.acquired({ pid }))`. */
  acquired(args: Passed<P>): Acquired<R> {
    return {
      acquire: (fn) => this.#emit(fn, args),
      release: (fn, pointer) => this.release(fn, pointer),
      type: this.result,
    }
  }
  /** @internal */
  release(fn: FunctionContext, pointer: Operand): void {
    const { release } = this.options
    if (release === undefined || typeof this.result !== 'object')
      throw buildError(
        'build.reference',
        `${this.name} gives no reference`,
        "name its release: kfunc(…, { release: 'bpf_…_release' })",
      )
    const params = [{ kind: 'pointer' as const, to: { name: this.result.tag } }]
    fn.emitter.call(kernelFunction(fn, { name: release, params, result: 'void' }), [pointer], { result: false })
  }
}
function kernelParameter(type: Parameter): KernelType {
  if (type.kind === 'int') return type
  if (type.kind === 'kernel') return { kind: 'pointer', to: { name: type.tag } }
  return { kind: 'pointer', to: type.kind === 'memory' ? type.to : { name: 'context' } }
}

/**
 * Declares a function of the kernel: `const fromPid = kfunc('bpf_task_from_pid', { pid: i32 }, task, { release:
 * 'bpf_task_release' })`. It is found by its name when the program is loaded. Linux 5.13, GPL.
 */
export function kfunc<const P extends Parameters, const R extends KernelResult>(
  name: string,
  params: P,
  result: R,
  options: KernelFunctionOptions = {},
): KernelFunction<P, R> {
  return new KernelFunction(name, params, result, options)
}
