import { buildError, type FunctionContext, here } from '../context.ts'
import type { Condition, Emitter } from '../ir/emitter.ts'
import { type AluOperation, type Comparison, constant, isConst, type Operand, type Width } from '../ir/ops.ts'
import { INT_FORMS, type IntName, WIRE_FORMS, type Wide, type WireName } from '../types/forms.ts'
import { type IntType, i8, i16, i32, i64, makeConstant, u8, u16, u32, u64, type WireType } from '../types/types.ts'
import { Bool } from './bool.ts'
import { Value } from './value.ts'

/** What may stand where an integer of type N is expected: one of the same type, or a constant (bigint only for 64 bits). */
export type Like<N extends IntName> = Int<N> | number | (N extends Wide ? bigint : never)
export type LikeWire<N extends WireName> =
  | Wire<N>
  | number
  | (N extends 'be64' ? bigint : never)
  | (N extends 'be32' ? Ipv4Text : never)
/** "10.0.0.1" */
export type Ipv4Text = `${number}.${number}.${number}.${number}`

const widthOf = (id: IntName): Width => (INT_FORMS[id].bits === 64 ? 64 : 32)

/** The register form of an integer: zero-extended from its width; narrow signed ones are sign-extended to 32 bits first. */
export function canonical(emitter: Emitter, id: IntName, value: Operand): Operand {
  const { bits, signed } = INT_FORMS[id]
  if (bits === 64) return value
  if (signed) return bits === 32 ? emitter.zext(32, value) : emitter.sext(bits, 32, value)
  return emitter.zext(bits, value)
}

function literal(id: string, bits: number, signed: boolean, value: number | bigint): bigint {
  if (typeof value === 'number' && !Number.isSafeInteger(value))
    throw buildError(
      'build.literal',
      `${value} is no exact integer`,
      'write large constants as bigint: 0x123456789abcdefn',
    )
  const exact = BigInt(value)
  const low = signed ? -(1n << BigInt(bits - 1)) : 0n
  const high = (1n << BigInt(signed ? bits - 1 : bits)) - 1n
  if (exact < low || exact > high)
    throw buildError('build.literal', `${exact} does not fit ${id} (${low} to ${high})`, 'use a wider type: .to(u64)')
  return exact
}

/** An integer of the running program. Both sides of an operation have the same type; convert with `.to(type)`. */
export class Int<N extends IntName = IntName> extends Value {
  readonly type: IntType<N>
  /** @internal */
  readonly operand: Operand
  readonly owner: FunctionContext | undefined

  constructor(type: IntType<N>, operand: Operand, owner: FunctionContext | undefined) {
    super()
    this.type = type
    this.operand = operand
    this.owner = owner
  }

  #make(fn: FunctionContext, value: Operand): Int<N> {
    return new Int(this.type, canonical(fn.emitter, this.type.id, value), fn)
  }
  #binary(what: string, alu: AluOperation, other: Like<N>): Int<N> {
    const fn = here(what)
    const b = operandOf(fn, this.type, other)
    return this.#make(fn, fn.emitter.alu(alu, widthOf(this.type.id), ownOperand(fn, this), b))
  }

  /** Wraps around, as in C for unsigned types. */
  add(other: Like<N>): Int<N> {
    return this.#binary('add', 'add', other)
  }
  sub(other: Like<N>): Int<N> {
    return this.#binary('sub', 'sub', other)
  }
  mul(other: Like<N>): Int<N> {
    return this.#binary('mul', 'mul', other)
  }
  /** Division by zero gives 0 (RFC 9669). Signed division needs Linux 6.6. */
  div(other: Like<N>): Int<N> {
    return this.#divide('div', other)
  }
  /** The remainder; by zero it is the dividend (RFC 9669). Signed: Linux 6.6, the sign of the dividend. */
  mod(other: Like<N>): Int<N> {
    return this.#divide('mod', other)
  }
  #divide(kind: 'div' | 'mod', other: Like<N>): Int<N> {
    const fn = here(kind)
    if (this.type.signed)
      fn.unit.need(6, 6, 'signed division', 'convert to an unsigned type first, or set the target to 6.6 or newer')
    const b = operandOf(fn, this.type, other)
    if (!(other instanceof Int) && isConst(b) && b.value === 0n)
      throw buildError('build.division', 'division by the constant 0', 'the kernel refuses it: use another divisor')
    const alu: AluOperation = this.type.signed ? `s${kind}` : kind
    return this.#make(fn, fn.emitter.alu(alu, widthOf(this.type.id), ownOperand(fn, this), b))
  }
  and(other: Like<N>): Int<N> {
    return this.#binary('and', 'and', other)
  }
  or(other: Like<N>): Int<N> {
    return this.#binary('or', 'or', other)
  }
  xor(other: Like<N>): Int<N> {
    return this.#binary('xor', 'xor', other)
  }
  not(): Int<N> {
    const fn = here('not')
    return this.#make(fn, fn.emitter.alu('xor', widthOf(this.type.id), ownOperand(fn, this), constant(-1n)))
  }
  neg(): Int<N> {
    const fn = here('neg')
    return this.#make(fn, fn.emitter.neg(widthOf(this.type.id), ownOperand(fn, this)))
  }
  /** Shift counts are taken modulo 32 (modulo 64 for 64-bit types); a constant count must be below the type's width. */
  shl(count: Like<N> | Int<'u32'> | Int<'u8'>): Int<N> {
    return this.#shift('lsh', count)
  }
  /** Signed types keep their sign. */
  shr(count: Like<N> | Int<'u32'> | Int<'u8'>): Int<N> {
    return this.#shift(this.type.signed ? 'arsh' : 'rsh', count)
  }
  #shift(alu: AluOperation, count: Like<N> | Int<'u32'> | Int<'u8'>): Int<N> {
    const fn = here('a shift')
    const width = widthOf(this.type.id)
    let by: Operand
    if (count instanceof Int) by = ownOperand(fn, count)
    else {
      const bits = INT_FORMS[this.type.id].bits
      if (count < 0 || count >= bits)
        throw buildError('build.shift', `a shift of ${this.type.id} by ${count}`, `shift by 0 to ${bits - 1}`)
      by = constant(count)
    }
    return this.#make(fn, fn.emitter.alu(alu, width, ownOperand(fn, this), by))
  }

  #compare(unsigned: Comparison, signed: Comparison, other: Like<N>): Bool {
    const fn = here('a comparison')
    const b = operandOf(fn, this.type, other)
    return comparison(fn, this.type.signed ? signed : unsigned, this.type, ownOperand(fn, this), b)
  }
  eq(other: Like<N>): Bool {
    return this.#compare('eq', 'eq', other)
  }
  ne(other: Like<N>): Bool {
    return this.#compare('ne', 'ne', other)
  }
  gt(other: Like<N>): Bool {
    return this.#compare('gt', 'sgt', other)
  }
  ge(other: Like<N>): Bool {
    return this.#compare('ge', 'sge', other)
  }
  lt(other: Like<N>): Bool {
    return this.#compare('lt', 'slt', other)
  }
  le(other: Like<N>): Bool {
    return this.#compare('le', 'sle', other)
  }
  /** True when any bit of `mask` is set. */
  hasBits(mask: Like<N>): Bool {
    const fn = here('hasBits')
    const b = operandOf(fn, this.type, mask)
    return comparison(fn, 'set', this.type, ownOperand(fn, this), b)
  }
  /** One of these. */
  oneOf(...values: readonly [Like<N>, ...Like<N>[]]): Bool {
    const mask = smallSet(values)
    const fn = here('oneOf')
    // one look at a set of bits: in a loop every comparison would be a path of its own for the verifier
    if (mask !== undefined && !this.type.signed && fn.emitter.inLoop) {
      const last = mask.toString(2).length - 1
      const own = ownOperand(fn, this)
      const { emitter } = fn
      const { site } = emitter
      const below: Condition = { kind: 'compare', cmp: 'le', width: 64, a: own, b: constant(last), site }
      const right = (): Condition => {
        const bits = emitter.alu('rsh', 64, emitter.opaque(mask), own)
        return { kind: 'compare', cmp: 'set', width: 64, a: bits, b: constant(1), site: emitter.site }
      }
      return new Bool({ kind: 'and', left: below, right }, fn)
    }
    return values.slice(1).reduce<Bool>((any, value) => any.or(this.eq(value)), this.eq(values[0]))
  }
  min(other: Like<N>): Int<N> {
    return this.#pick(other, (a, b) => a.lt(b))
  }
  max(other: Like<N>): Int<N> {
    return this.#pick(other, (a, b) => a.gt(b))
  }
  #pick(other: Like<N>, better: (a: Int<N>, b: Int<N>) => Bool): Int<N> {
    const fn = here('min or max')
    const { emitter } = fn
    const { bits, signed } = INT_FORMS[this.type.id]
    const bound = (1n << BigInt(signed && bits < 32 ? 32 : bits)) - 1n
    const b = new Int(this.type, operandOf(fn, this.type, other), fn)
    const wins = better(this, b).condition
    const result = emitter.variable(b.operand, bound)
    emitter.choose(wins, () => emitter.setVariable(result, ownOperand(fn, this)))
    return new Int(this.type, emitter.getVariable(result), fn)
  }

  /** The same bytes seen as network byte order (nothing is swapped): the way back from `.raw()`. */
  as<M extends SameWidth<N>>(type: WireType<M>): Wire<M> {
    const fn = here('as')
    return new Wire(type, ownOperand(fn, this), fn)
  }

  /** The same number in another type: narrower cuts off, wider extends by this type's sign, network types swap bytes. */
  to<M extends IntName>(type: IntType<M>): Int<M>
  to<M extends WireName>(type: WireType<M>): Wire<M>
  to(type: IntType | WireType): Value {
    const fn = here('a conversion')
    const own = ownOperand(fn, this)
    if (type.kind === 'wire') {
      const host = WIRE_FORMS[type.id]
      return new Wire(type, fn.emitter.swap(host.bits, convert(fn.emitter, this.type.id, host.host, own)), fn)
    }
    return new Int(type, convert(fn.emitter, this.type.id, type.id, own), fn)
  }
}

/** Three or more constants below 64 as a set of bits. */
function smallSet(values: readonly unknown[]): bigint | undefined {
  if (values.length < 3) return undefined
  let mask = 0n
  for (const value of values) {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > 63) return undefined
    mask |= 1n << BigInt(value)
  }
  return mask
}

/** Integer types of the same width as a network type. */
type SameWidth<N extends IntName> = N extends 'u16'
  ? 'be16'
  : N extends 'u32'
    ? 'be32'
    : N extends 'u64'
      ? 'be64'
      : never

/** An integer in network byte order. It can be compared and masked as it is; `.to(u16)` gives the number. */
export class Wire<N extends WireName = WireName> extends Value {
  readonly type: WireType<N>
  /** @internal The bytes as a little-endian load gives them. */
  readonly operand: Operand
  readonly owner: FunctionContext | undefined

  constructor(type: WireType<N>, operand: Operand, owner: FunctionContext | undefined) {
    super()
    this.type = type
    this.operand = operand
    this.owner = owner
  }
  #host(): IntType {
    return hostType(this.type.id)
  }
  eq(other: LikeWire<N>): Bool {
    const fn = here('a comparison')
    return comparison(fn, 'eq', this.#host(), ownOperand(fn, this), wireOperand(fn, this.type, other))
  }
  ne(other: LikeWire<N>): Bool {
    const fn = here('a comparison')
    return comparison(fn, 'ne', this.#host(), ownOperand(fn, this), wireOperand(fn, this.type, other))
  }
  /** One of these. */
  oneOf(...values: readonly [LikeWire<N>, ...LikeWire<N>[]]): Bool {
    return values.slice(1).reduce<Bool>((any, value) => any.or(this.eq(value)), this.eq(values[0]))
  }
  /** True when any bit of `mask` (as a number) is set. */
  hasBits(mask: LikeWire<N>): Bool {
    const fn = here('hasBits')
    return comparison(fn, 'set', this.#host(), ownOperand(fn, this), wireOperand(fn, this.type, mask))
  }
  and(mask: LikeWire<N>): Wire<N> {
    const fn = here('and')
    return new Wire(
      this.type,
      fn.emitter.alu('and', this.type.size === 8 ? 64 : 32, ownOperand(fn, this), wireOperand(fn, this.type, mask)),
      fn,
    )
  }
  /** The number in the machine's byte order. */
  to<M extends IntName>(type: IntType<M>): Int<M> {
    const fn = here('a conversion')
    const { bits, host } = WIRE_FORMS[this.type.id]
    return new Int(type, convert(fn.emitter, host, type.id, fn.emitter.swap(bits, ownOperand(fn, this))), fn)
  }
  /** The bytes as they are in memory, read as a little-endian number: cheap keys for maps. */
  raw(): Int<(typeof WIRE_FORMS)[N]['host']> {
    const fn = here('raw')
    return new Int(hostType(this.type.id), ownOperand(fn, this), fn) as unknown as Int<(typeof WIRE_FORMS)[N]['host']>
  }
}

const TYPES: Record<IntName, IntType> = { u8, u16, u32, u64, i8, i16, i32, i64 } as unknown as Record<IntName, IntType>
export function hostType(id: WireName): IntType {
  return TYPES[WIRE_FORMS[id].host]
}
export function intType<N extends IntName>(id: N): IntType<N> {
  return TYPES[id] as unknown as IntType<N>
}

/** The register of a value in the function being built: its own, or captured by a callback. */
export function ownOperand(
  fn: FunctionContext,
  value: { readonly operand: Operand; readonly owner?: FunctionContext },
): Operand {
  return value.owner === undefined ? value.operand : fn.reach(value.owner, value.operand)
}

/** The register of an integer or literal of this type. */
export function operandOf<N extends IntName>(fn: FunctionContext, type: IntType<N>, value: Like<N>): Operand {
  if (value instanceof Int) {
    if (value.type.id !== type.id)
      throw buildError('build.width', `${value.type.id} where ${type.id} is expected`, `convert it: .to(${type.id})`)
    return ownOperand(fn, value)
  }
  const given: unknown = value
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw buildError(
      'build.operand',
      given instanceof Wire
        ? `${given.type.id} (network order) where ${type.id} is expected`
        : `not an integer: ${describe(value)}`,
      given instanceof Wire ? `convert it: .to(${type.id})` : `pass a number or a value of type ${type.id}`,
    )
  const { bits, signed } = INT_FORMS[type.id]
  const exact = literal(type.id, bits, signed, value)
  return constant(BigInt.asUintN(Math.max(bits, 32), exact))
}
export function wireOperand<N extends WireName>(fn: FunctionContext, type: WireType<N>, value: LikeWire<N>): Operand {
  if (value instanceof Wire) {
    if (value.type.id !== type.id)
      throw buildError('build.width', `${value.type.id} where ${type.id} is expected`, 'convert both to numbers first')
    return ownOperand(fn, value)
  }
  if (typeof value === 'string' && type.id === 'be32') return wireOperand(fn, type, ipv4(value) as LikeWire<N>)
  const given: unknown = value
  if (typeof value !== 'number' && typeof value !== 'bigint')
    throw buildError(
      'build.operand',
      given instanceof Int
        ? `${given.type.id} where ${type.id} (network order) is expected`
        : `not an integer: ${describe(value)}`,
      given instanceof Int ? `convert it: .to(${type.id})` : `pass a number or a value of type ${type.id}`,
    )
  const { bits } = WIRE_FORMS[type.id]
  return fn.emitter.swap(bits, constant(literal(type.id, bits, false, value)))
}
/** An IPv4 address as its number. */
function ipv4(text: string): number {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^\d{1,3}$/.test(part) && Number(part) <= 255))
    throw buildError('build.literal', `${JSON.stringify(text)} is no IPv4 address`, 'write it as 10.0.0.1')
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0)
}
const describe = (value: unknown): string =>
  value === null || value === undefined
    ? String(value)
    : typeof value === 'object'
      ? value.constructor.name
      : typeof value

export function comparison(fn: FunctionContext, cmp: Comparison, type: IntType, a: Operand, b: Operand): Bool {
  const { bits, signed } = INT_FORMS[type.id]
  // Registers are zero-extended: unsigned comparisons may use 64 bits, which every kernel's verifier tracks.
  const fits = (operand: Operand): boolean => !isConst(operand) || operand.value <= 0x7fff_ffffn
  const ordered = cmp.startsWith('s') && cmp !== 'set'
  const width: Width = bits === 64 || (!ordered && !signed && fits(a) && fits(b)) ? 64 : 32
  if (width === 32) fn.unit.need(5, 1, '32-bit comparison', 'compare 64-bit values: .to(u64)')
  return new Bool({ kind: 'compare', cmp, width, a, b, site: fn.emitter.site }, fn)
}

/** Register form of one integer type to that of another. */
export function convert(emitter: Emitter, from: IntName, to: IntName, value: Operand): Operand {
  const source = INT_FORMS[from]
  const target = INT_FORMS[to]
  if (target.bits === 64) {
    if (source.bits === 64 || !source.signed) return value
    return emitter.sext(32, 64, value)
  }
  return canonical(emitter, to, value)
}

makeConstant.int = (type, value) => {
  const { bits, signed } = INT_FORMS[type.id]
  return new Int(type, constant(BigInt.asUintN(Math.max(bits, 32), literal(type.id, bits, signed, value))), undefined)
}
makeConstant.wire = (type, value) => {
  const { bits } = WIRE_FORMS[type.id]
  const exact = literal(type.id, bits, false, value)
  let swapped = 0n
  for (let i = 0; i < bits; i += 8) swapped = (swapped << 8n) | ((exact >> BigInt(i)) & 0xffn)
  return new Wire(type, constant(swapped), undefined)
}
