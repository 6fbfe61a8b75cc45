import { buildError, type FunctionContext, type FunctionParameter } from '../context.ts'
import type { Operand } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import type { IntName } from '../types/forms.ts'
import type { IntType, Type } from '../types/types.ts'
import { canonical, Int, type Like, operandOf } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { type Access, CONTEXT, PLACE, type Place, placeOf } from '../values/place.ts'
import { type KernelObject, POINTER } from '../values/socket.ts'
import { typeOfView, type View, view } from '../values/views.ts'
import { maxOf } from './widths.ts'

/** A parameter that is memory of a type: a struct on the stack, a map value. */
export interface RefType<T extends Type = Type, A extends Access = Access> {
  readonly kind: 'memory'
  readonly to: T
  readonly access: A
}
/** A parameter that is the program's context. */
export interface ContextType {
  readonly kind: 'ctx'
}

/** Memory as a parameter: `ref(Pair)` may be written, `ref(Pair, 'read')` not. */
export function ref<T extends Type>(to: T): RefType<T, 'shared'>
export function ref<T extends Type, const A extends Access>(to: T, access: A): RefType<T, A>
export function ref(to: Type, access: Access = 'shared'): RefType {
  return Object.freeze({ kind: 'memory', to, access })
}
/** The program's context as a parameter: pass `b`. */
export const context: ContextType = Object.freeze({ kind: 'ctx' })

export type Parameter = IntType | RefType | ContextType | KernelStruct
export type Parameters = { readonly [name: string]: Parameter }

/** What a function's own code gets. A global function is verified alone: memory may be missing there. */
export type Arguments<P extends Parameters, G extends boolean> = { readonly [K in keyof P]: Argument<P[K], G> }
type Argument<T, G extends boolean> =
  T extends IntType<infer N>
    ? Int<N>
    : T extends RefType<infer M, infer A>
      ? G extends true
        ? Maybe<View<M, A>>
        : View<M, A>
      : T extends KernelStruct<infer F>
        ? TrustedView<KernelStruct<F>>
        : { readonly [CONTEXT]: () => Operand }
/** What a caller passes. */
export type Passed<P extends Parameters> = { readonly [K in keyof P]: PassedOne<P[K]> }
type PassedOne<T> =
  T extends IntType<infer N>
    ? Like<N>
    : T extends RefType<infer M, infer A>
      ? A extends 'read'
        ? View<M, Access>
        : View<M, A>
      : T extends KernelStruct
        ? KernelObject
        : { readonly [CONTEXT]: () => Operand }

/** The operand of an argument in the caller. */
export function passed(fn: FunctionContext, name: string, type: Parameter, value: unknown): Operand {
  if (value === undefined || value === null)
    throw buildError('build.operand', `the argument ${name} is missing`, 'pass all arguments by name')
  switch (type.kind) {
    case 'int':
      return operandOf(fn, type, value as Like<IntName>)
    case 'ctx':
      return (value as { [CONTEXT]: () => Operand })[CONTEXT]()
    case 'kernel': {
      const object = (value as KernelObject)[POINTER]
      return fn.reach(object.fn, object.operand)
    }
    case 'memory': {
      const given = value as { readonly [PLACE]: Place }
      const at = placeOf(given)
      const own = typeOfView(given)
      if (own.size < type.to.size)
        throw buildError(
          'build.operand',
          `${name}: ${own.size} bytes where ${type.to.size} are expected`,
          'pass memory of the same type',
        )
      if ((fn.emitter.stackAlignment(at.base, at.offset) ?? 8) < type.to.align)
        throw buildError(
          'build.alignment',
          `${name}: this member of a packed struct on the stack is not aligned as ${describeType(type.to)} is`,
          'copy it first: const whole = b.local(Type); whole.$copy(member)',
        )
      return fn.emitter.address(at.base, at.offset)
    }
  }
}
/** The value of a parameter inside the function. */
export function received(fn: FunctionContext, type: Parameter, isGlobal: boolean): unknown {
  const { emitter } = fn
  switch (type.kind) {
    case 'int': {
      const raw = emitter.param(isGlobal ? (1n << 64n) - 1n : maxOf(type))
      return new Int(type, isGlobal ? canonical(emitter, type.id, raw) : raw, fn)
    }
    case 'ctx': {
      const raw = emitter.param()
      return { [CONTEXT]: () => raw }
    }
    case 'kernel':
      return trustedAt(fn, type as KernelStruct<KernelFields>, emitter.param())
    case 'memory': {
      const base = emitter.param()
      // it may be memory of the caller's stack
      if (!isGlobal) emitter.stackPointer(base, type.to.align)
      const make = () => view(type.to, { fn, region: 'map', base, offset: 0, access: type.access })
      return isGlobal ? new Maybe(fn, nullable(fn, base), make) : make()
    }
  }
}

const describeType = (type: Type): string => (type.kind === 'struct' ? `struct ${type.tag}` : type.kind)

export const bpfParameter = (type: Parameter): FunctionParameter =>
  type.kind === 'kernel' ? { kind: 'void' } : type.kind === 'int' ? (type as Type) : type
