import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import type { IntName, WireName } from '../types/forms.ts'
import type {
  ArrayType,
  BitsType,
  BoolType,
  BytesType,
  EnumType,
  Fields,
  IntType,
  KptrType,
  Member,
  OpaqueType,
  PointerType,
  StructType,
  Type,
  WireType,
} from '../types/types.ts'
import { Bool } from './bool.ts'
import { BytesView, checkIndex } from './bytes-view.ts'
import { copy, zero } from './copying.ts'
import {
  AtomicField,
  type AtomicName,
  BitsField,
  BoolField,
  EnumField,
  type EnumValue,
  IntField,
  WireField,
} from './fields.ts'
import { type Int, intType, type Like, type LikeWire, operandOf, type Wire } from './int.ts'
import { Kptr } from './kptr.ts'
import { Maybe } from './maybe.ts'
import { Opaque } from './opaque.ts'
import { type Access, PLACE, type Place, placeOf, shifted, TYPE } from './place.ts'
import { Value } from './value.ts'

export { BytesView } from './bytes-view.ts'
export { copy, zero } from './copying.ts'

/** How a type appears to code: integers as values, structs and arrays as views of their memory. */
export type View<T, A extends Access = 'shared'> =
  T extends IntType<infer N>
    ? IntView<N, A>
    : T extends WireType<infer N>
      ? A extends 'read'
        ? Wire<N>
        : WireField<N>
      : T extends BoolType
        ? A extends 'read'
          ? Bool
          : BoolField
        : T extends BitsType<infer N>
          ? A extends 'read'
            ? Int<N>
            : BitsField<N>
          : T extends EnumType<infer V>
            ? A extends 'read'
              ? EnumValue<V>
              : EnumField<V>
            : T extends BytesType<infer L>
              ? BytesView<L, A>
              : T extends ArrayType<infer E, infer L>
                ? ArrayView<E, L, A>
                : T extends StructType<infer F>
                  ? StructView<F, A>
                  : T extends PointerType
                    ? IntView<'u64', A>
                    : T extends OpaqueType<infer N>
                      ? Opaque<N>
                      : T extends KptrType<infer S>
                        ? Kptr<S>
                        : never
type IntView<N extends IntName, A extends Access> = A extends 'read'
  ? Int<N>
  : A extends 'shared'
    ? N extends AtomicName
      ? AtomicField<N>
      : IntField<N>
    : IntField<N>

/** The members of a struct by name. What is not a member is under `$`-names. */
export type StructView<F extends Fields, A extends Access = 'shared'> = {
  readonly [K in keyof F]: View<F[K], A>
} & StructMethods<F, A>

export interface StructMethods<F extends Fields, A extends Access> {
  readonly [PLACE]: Place
  /** Writes several members; the others stay. */
  $set: A extends 'read' ? never : (values: Partial<Init<F>>) => void
  /** Writes all bytes, padding included, with 0. */
  $zero: A extends 'read' ? never : () => void
  /** Copies all bytes from another view of the same struct. */
  $copy: A extends 'read' ? never : (from: StructView<F, Access>) => void
}
/** What the members can be set to. Arrays, locks and timers have no value as a whole: they begin as 0. */
export type Init<F extends Fields> = {
  [K in keyof F as F[K] extends { readonly kind: 'array' | 'opaque' | 'kptr' } ? never : K]: InitOf<F[K]>
}
/** A first value: members that are absent are 0. */
export type FirstOf<T> = T extends StructType<infer F> ? StructView<F, Access> | Partial<Init<F>> : InitOf<T>
export type InitOf<T> =
  T extends IntType<infer N>
    ? Like<N>
    : T extends WireType<infer N>
      ? LikeWire<N>
      : T extends BoolType
        ? Bool | boolean
        : T extends BitsType<infer N>
          ? Like<N>
          : T extends EnumType<infer V>
            ? (keyof V & string) | Like<'i32' | 'u32'>
            : T extends BytesType<infer L>
              ? BytesView<L, Access> | Uint8Array | string
              : T extends StructType<infer F>
                ? StructView<F, Access> | Init<F>
                : T extends PointerType
                  ? Like<'u64'>
                  : never

/** Makes the view of a type at a place. */
export function view<T extends Type, A extends Access>(type: T, place: Place): View<T, A> {
  return viewOf(type, place) as View<T, A>
}

function viewOf(type: Type, place: Place, member?: Member): unknown {
  switch (type.kind) {
    case 'int':
      return type.size >= 4 ? new AtomicField(type as IntType<AtomicName>, place) : new IntField(type, place)
    case 'wire':
      return new WireField(type as WireType<WireName>, place)
    case 'bool':
      return new BoolField(place)
    case 'bits':
      return new BitsField(type, member?.bit ?? 0, place)
    case 'enum':
      return new EnumField(type, intType(type.signed ? 'i32' : 'u32'), place)
    case 'bytes':
      return new BytesView(type, place)
    case 'array':
      return new ArrayView(type, place)
    case 'opaque':
      return new Opaque(type.id, place)
    case 'kptr':
      return new Kptr(type, place)
    case 'pointer':
      return new AtomicField(intType('u64'), place)
    case 'struct':
    case 'union':
      return structView(type, place)
  }
}

const structClasses = new WeakMap<StructType, new (place: Place) => object>()

function structView(type: StructType, place: Place): object {
  let made = structClasses.get(type)
  if (made === undefined) {
    made = makeClass(type)
    structClasses.set(type, made)
  }
  return new made(place)
}

function makeClass(type: StructType): new (place: Place) => object {
  class Struct extends Value {
    readonly [PLACE]: Place
    readonly [TYPE] = type
    readonly owner: FunctionContext
    constructor(place: Place) {
      super()
      this[PLACE] = place
      this.owner = place.fn
    }
    $set(values: Record<string, unknown>): void {
      here('$set')
      for (const [name, value] of Object.entries(values)) {
        const member = type.members.find((it) => it.name === name)
        if (member === undefined)
          throw buildError('build.member', `struct ${type.tag} has no member ${name}`, `it has ${memberNames(type)}`)
        assign(member.type, shifted(placeOf(this), member.offset), value, member)
      }
    }
    $zero(): void {
      here('$zero')
      zero(placeOf(this), type.size)
    }
    $copy(from: { readonly [PLACE]: Place }): void {
      here('$copy')
      copy(placeOf(this), placeOf(from), type.size)
    }
  }
  for (const member of type.members)
    Object.defineProperty(Struct.prototype, member.name, {
      enumerable: true,
      get(this: Struct) {
        here(`${type.tag}.${member.name}`)
        return viewOf(member.type, shifted(placeOf(this), member.offset), member)
      },
      set() {
        throw buildError(
          'build.assign',
          `${type.tag}.${member.name} cannot be assigned with =`,
          `write it with .${member.name}.set(value) or $set({ ${member.name}: value })`,
        )
      },
    })
  return Struct
}
/** The type of the memory that a view shows. */
export function typeOfView(value: { readonly [PLACE]: Place }): Type {
  return ((value as { [TYPE]?: Type })[TYPE] ?? (value as unknown as { type: Type }).type) as Type
}
const memberNames = (type: StructType): string => type.members.map((member) => member.name).join(', ')

/** Stores a value of a type at a place. */
export function assign(type: Type, place: Place, value: unknown, member?: Member): void {
  if (type.kind === 'struct' || type.kind === 'union') {
    if (typeof value === 'object' && value !== null && PLACE in value) {
      copy(place, placeOf(value as { [PLACE]: Place }), type.size)
      return
    }
    for (const [name, inner] of Object.entries(value as Record<string, unknown>)) {
      const found = type.members.find((it) => it.name === name)
      if (found === undefined)
        throw buildError('build.member', `struct ${type.tag} has no member ${name}`, `it has ${memberNames(type)}`)
      assign(found.type, shifted(place, found.offset), inner, found)
    }
    return
  }
  if (type.kind === 'bytes') {
    const bytes = new BytesView(type, place)
    bytes.set(value as Uint8Array)
    return
  }
  if (type.kind === 'array')
    throw buildError('build.array-value', 'an array is not set as a whole', 'set its elements: view.at(i).set(value)')
  ;(viewOf(type, place, member) as { set(value: unknown): void }).set(value)
}

/** An array in memory. */
export class ArrayView<E extends Type = Type, L extends number = number, A extends Access = Access> extends Value {
  declare readonly access: A
  readonly type: ArrayType<E, L>
  readonly [PLACE]: Place
  readonly owner: FunctionContext
  constructor(type: ArrayType<E, L>, place: Place) {
    super()
    this.type = type
    this[PLACE] = place
    this.owner = place.fn
  }
  get length(): L {
    return this.type.length
  }
  /** A fixed index gives the element; a running value gives it only where it is inside the array. */
  at(index: number): View<E, A>
  at(index: Int<'u32'> | Int<'u64'> | Int<'u16'> | Int<'u8'>): Maybe<View<E, A>>
  at(index: number | Int): unknown {
    const fn = here('at')
    const place = placeOf(this)
    const { element, length } = this.type
    if (typeof index === 'number') {
      checkIndex(index, length)
      return viewOf(element, shifted(place, index * element.size))
    }
    const { emitter } = fn
    const i = operandOf(fn, index.type, index)
    const ok = new Bool({ kind: 'compare', cmp: 'lt', width: 64, a: i, b: constant(length), site: emitter.site }, fn)
    return new Maybe(fn, ok, () => this.#element(i))
  }
  /** The element at `index` modulo the length, which must be a power of two. */
  masked(index: Int<'u32'> | Int<'u64'> | Int<'u16'> | Int<'u8'>): View<E, A> {
    const fn = here('masked')
    const { length } = this.type
    if ((length & (length - 1)) !== 0)
      throw buildError(
        'build.masked',
        `an array of ${length} elements cannot be indexed by a mask`,
        'use at(index), or a power of two as the length',
      )
    const i = fn.emitter.mask(operandOf(fn, index.type, index), BigInt(length - 1))
    return this.#element(i) as View<E, A>
  }
  #element(i: Operand): unknown {
    const place = placeOf(this)
    const { emitter } = place.fn
    const { size } = this.type.element
    const base = emitter.alu('add', 64, place.base, emitter.alu('mul', 64, i, constant(size)))
    const align = emitter.stackAlignment(place.base, 0)
    if (align !== undefined) emitter.stackPointer(base, Math.min(align, size & -size))
    return viewOf(this.type.element, { ...place, base })
  }
}
