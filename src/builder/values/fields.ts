import { ATOMIC } from '../../uapi/index.ts'
import { buildError, here } from '../context.ts'
import type { LoadSize, Operand } from '../ir/ops.ts'
import { constant } from '../ir/ops.ts'
import { INT_FORMS, type IntName, type WireName } from '../types/forms.ts'
import type { BitsType, EnumType, IntType, UnsignedName, WireType } from '../types/types.ts'
import { Bool, boolOperand, conditionOf } from './bool.ts'
import { canonical, Int, type Like, type LikeWire, operandOf, ownOperand, Wire, wireOperand } from './int.ts'
import { PLACE, type Place, placeOf } from './place.ts'

/** Reads an integer of this type from memory into register form. */
export function loadInt(place: Place, type: IntType): Operand {
  const { emitter } = place.fn
  const { bits, signed } = INT_FORMS[type.id]
  const raw = emitter.load(place.region, type.size as LoadSize, place.base, place.offset)
  return signed && bits < 32 ? emitter.sext(bits as 8 | 16, 32, raw) : raw
}

/** An integer in memory that the program may write: the value read at this line, plus `set`. */
export class IntField<N extends IntName = IntName> extends Int<N> {
  readonly [PLACE]: Place
  constructor(type: IntType<N>, place: Place) {
    super(type, loadInt(place, type as unknown as IntType), place.fn)
    this[PLACE] = place
  }
  set(value: Like<N>): void {
    const fn = here('set')
    const { region, base, offset } = placeOf(this)
    fn.emitter.store(region, this.type.size as LoadSize, base, offset, operandOf(fn, this.type, value))
  }
}

export type AtomicName = 'u32' | 'u64' | 'i32' | 'i64'

/** An integer in memory that other CPUs may change at the same time. */
export class AtomicField<N extends AtomicName = AtomicName> extends IntField<N> {
  #atomic(what: string, operation: number, value: Like<N>, fetch: boolean): Int<N> {
    const fn = here(what)
    const { region, base, offset } = placeOf(this)
    const size = this.type.size as 4 | 8
    if (operation !== ATOMIC.add) fn.unit.need(5, 12, `the atomic operation ${what}`)
    else if (fetch) fn.unit.need(5, 12, `the atomic operation ${what}`)
    const imm = fetch ? operation | ATOMIC.fetch : operation
    const old = fn.emitter.atomic(region, imm, size, base, offset, operandOf(fn, this.type, value), fetch)
    return new Int(this.type, old, fn)
  }
  /** Adds in one step that no other CPU can interrupt. */
  atomicAdd(value: Like<N>): void {
    this.#atomic('atomicAdd', ATOMIC.add, value, false)
  }
  atomicAnd(value: Like<N>): void {
    this.#atomic('atomicAnd', ATOMIC.and, value, false)
  }
  atomicOr(value: Like<N>): void {
    this.#atomic('atomicOr', ATOMIC.or, value, false)
  }
  atomicXor(value: Like<N>): void {
    this.#atomic('atomicXor', ATOMIC.xor, value, false)
  }
  /** Adds and gives the value from before (Linux 5.12). */
  fetchAdd(value: Like<N>): Int<N> {
    return this.#atomic('fetchAdd', ATOMIC.add, value, true)
  }
  fetchAnd(value: Like<N>): Int<N> {
    return this.#atomic('fetchAnd', ATOMIC.and, value, true)
  }
  fetchOr(value: Like<N>): Int<N> {
    return this.#atomic('fetchOr', ATOMIC.or, value, true)
  }
  fetchXor(value: Like<N>): Int<N> {
    return this.#atomic('fetchXor', ATOMIC.xor, value, true)
  }
  /** Stores and gives the value from before (Linux 5.12). */
  exchange(value: Like<N>): Int<N> {
    return this.#atomic('exchange', ATOMIC.xchg, value, true)
  }
  /** Stores `value` when the place still holds `expected`; gives the value from before (Linux 5.12). */
  compareExchange(expected: Like<N>, value: Like<N>): Int<N> {
    const fn = here('compareExchange')
    fn.unit.need(5, 12, 'the atomic operation compareExchange')
    const { region, base, offset } = placeOf(this)
    const size = this.type.size as 4 | 8
    const old = fn.emitter.atomic(
      region,
      ATOMIC.cmpxchg,
      size,
      base,
      offset,
      operandOf(fn, this.type, value),
      true,
      operandOf(fn, this.type, expected),
    )
    return new Int(this.type, old, fn)
  }
}

/** An integer in network byte order in memory that the program may write. */
export class WireField<N extends WireName = WireName> extends Wire<N> {
  readonly [PLACE]: Place
  constructor(type: WireType<N>, place: Place) {
    super(type, place.fn.emitter.load(place.region, type.size as LoadSize, place.base, place.offset), place.fn)
    this[PLACE] = place
  }
  set(value: LikeWire<N>): void {
    const fn = here('set')
    const { region, base, offset } = placeOf(this)
    fn.emitter.store(region, this.type.size as LoadSize, base, offset, wireOperand(fn, this.type, value))
  }
}

/** As {@link WireField} in a larger member of a context, which is written as a whole: the bytes behind it become 0. */
export class WideWireField<N extends WireName = WireName> extends WireField<N> {
  readonly #stored: LoadSize
  constructor(type: WireType<N>, place: Place, stored: LoadSize) {
    super(type, place)
    this.#stored = stored
  }
  override set(value: LikeWire<N>): void {
    const fn = here('set')
    const { region, base, offset } = placeOf(this)
    fn.emitter.store(region, this.#stored, base, offset, wireOperand(fn, this.type, value))
  }
}

/** A truth value in memory. */
export class BoolField extends Bool {
  readonly [PLACE]: Place
  constructor(place: Place) {
    const a = place.fn.emitter.load(place.region, 1, place.base, place.offset)
    super({ kind: 'compare', cmp: 'ne', width: 64, a, b: constant(0), site: place.fn.emitter.site }, place.fn)
    this[PLACE] = place
  }
  set(value: Bool | boolean): void {
    const fn = here('set')
    const { region, base, offset } = placeOf(this)
    conditionOf(value)
    const operand = typeof value === 'boolean' ? constant(value ? 1 : 0) : boolOperand(value)
    fn.emitter.store(region, 1, base, offset, operand)
  }
}

/** A bit field in memory. */
export class BitsField<N extends UnsignedName = UnsignedName> extends Int<N> {
  readonly [PLACE]: Place
  readonly bits: BitsType<N>
  readonly bit: number
  constructor(type: BitsType<N>, bit: number, place: Place) {
    const { emitter } = place.fn
    const unit = emitter.load(place.region, type.base.size as LoadSize, place.base, place.offset)
    const width = type.base.size === 8 ? 64 : 32
    const low = emitter.alu('rsh', width, unit, constant(bit))
    super(type.base, emitter.alu('and', width, low, constant((1n << BigInt(type.width)) - 1n)), place.fn)
    this[PLACE] = place
    this.bits = type
    this.bit = bit
  }
  set(value: Like<N>): void {
    const fn = here('set')
    const { emitter } = fn
    const { region, base, offset } = placeOf(this)
    const size = this.bits.base.size as LoadSize
    const width = size === 8 ? 64 : 32
    const mask = ((1n << BigInt(this.bits.width)) - 1n) << BigInt(this.bit)
    const unit = emitter.load(region, size, base, offset)
    const kept = emitter.alu('and', width, unit, constant(BigInt.asUintN(size * 8, ~mask)))
    const moved = emitter.alu('lsh', width, operandOf(fn, this.type, value), constant(this.bit))
    const own = emitter.alu('and', width, moved, constant(mask))
    emitter.store(region, size, base, offset, emitter.alu('or', width, kept, own))
  }
}

/** A value of an enumeration. */
export class EnumValue<V extends Record<string, number> = Record<string, number>> extends Int<'i32' | 'u32'> {
  readonly enumeration: EnumType<V>
  constructor(type: EnumType<V>, base: IntType, operand: Operand, fn: Place['fn']) {
    super(base as IntType<'i32' | 'u32'>, canonical(fn.emitter, base.id, operand), fn)
    this.enumeration = type
  }
  /** Compares with a name of the enumeration. */
  is(name: keyof V & string): Bool {
    const value = this.enumeration.values[name]
    if (value === undefined)
      throw buildError(
        'build.enum',
        `${this.enumeration.tag} has no value ${String(name)}`,
        `it has ${Object.keys(this.enumeration.values).join(', ')}`,
      )
    return this.eq(value)
  }
}
export class EnumField<V extends Record<string, number> = Record<string, number>> extends EnumValue<V> {
  readonly [PLACE]: Place
  constructor(type: EnumType<V>, base: IntType, place: Place) {
    super(type, base, place.fn.emitter.load(place.region, 4, place.base, place.offset), place.fn)
    this[PLACE] = place
  }
  set(value: (keyof V & string) | Like<'i32' | 'u32'>): void {
    const fn = here('set')
    const { region, base, offset } = placeOf(this)
    const number = typeof value === 'string' ? this.enumeration.values[value] : value
    const operand = number instanceof Int ? ownOperand(fn, number) : operandOf(fn, this.type, number)
    fn.emitter.store(region, 4, base, offset, operand)
  }
}
