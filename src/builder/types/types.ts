import { UsageError } from '../../errors/index.ts'
import type { Int, Wire } from '../values/int.ts'
import { INT_FORMS, type IntName, type JsOfInt, WIRE_FORMS, type WireName } from './forms.ts'

/** What all types have. Sizes and alignments in bytes. */
interface Sized {
  readonly size: number
  readonly align: number
}

/** An integer in the machine's byte order; called with a number it gives a constant: `u32(5)`. */
export interface IntType<N extends IntName = IntName> extends Sized {
  (value: number | bigint): Int<N>
  readonly kind: 'int'
  readonly id: N
  readonly signed: boolean
}
/** An integer in network byte order. */
export interface WireType<N extends WireName = WireName> extends Sized {
  (value: number | bigint): Wire<N>
  readonly kind: 'wire'
  readonly id: N
}
/** One byte that is 0 or 1. */
export interface BoolType extends Sized {
  readonly kind: 'bool'
}
/** A fixed number of bytes; `form` says how user space shows them. */
export interface BytesType<L extends number = number, F extends BytesForm = BytesForm> extends Sized {
  readonly kind: 'bytes'
  readonly length: L
  readonly form: F
}
export type BytesForm = 'bytes' | 'text' | 'mac' | 'ipv6'
export interface ArrayType<E extends Type = Type, L extends number = number> extends Sized {
  readonly kind: 'array'
  readonly element: E
  readonly length: L
}
/** A bit field inside a struct; consecutive ones share storage of their base type. */
export interface BitsType<N extends UnsignedName = UnsignedName> extends Sized {
  readonly kind: 'bits'
  readonly base: IntType<N>
  readonly width: number
}
export type UnsignedName = 'u8' | 'u16' | 'u32' | 'u64'
export interface EnumType<V extends Record<string, number> = Record<string, number>> extends Sized {
  readonly kind: 'enum'
  readonly tag: string
  readonly values: V
  readonly signed: boolean
}
export interface StructType<F extends Fields = Fields> extends Sized {
  readonly kind: 'struct' | 'union'
  readonly tag: string
  readonly fields: F
  readonly members: readonly Member[]
}
/** A pointer to kernel memory as a value: 8 bytes. */
export interface PointerType<T = unknown> extends Sized {
  readonly kind: 'pointer'
  readonly to: T
}

/** Memory that the kernel keeps: a lock, a timer. Programs pass its place to helpers, user space sees zeros. */
export interface OpaqueType<N extends OpaqueName = OpaqueName> extends Sized {
  readonly kind: 'opaque'
  readonly id: N
}
export type OpaqueName = 'bpf_spin_lock' | 'bpf_timer'
/** A pointer to a kernel object that a map value owns (kptr, Linux 6.3). */
export interface KptrType<S = unknown> extends Sized {
  readonly kind: 'kptr'
  readonly to: S
  readonly tag: string
}

export type Type =
  | OpaqueType
  | KptrType
  | IntType
  | WireType
  | BoolType
  | BytesType
  | ArrayType
  | BitsType
  | EnumType
  | StructType
  | PointerType
export type Fields = { readonly [name: string]: Type }

export interface Member {
  readonly name: string
  readonly type: Type
  /** Bytes from the start of the struct; of a bit field the start of its storage unit. */
  readonly offset: number
  /** Of a bit field: the lowest bit inside the storage unit (little endian) and the width. */
  readonly bit?: number
  readonly bits?: number
}

/** The TypeScript value of a type: what maps and events give to user space. */
export type Js<T> =
  T extends IntType<infer N>
    ? JsOfInt<N>
    : T extends WireType<infer N>
      ? JsOfInt<N>
      : T extends BoolType
        ? boolean
        : T extends BytesType<number, infer F>
          ? F extends 'bytes'
            ? Uint8Array
            : string
          : T extends BitsType<infer N>
            ? JsOfInt<N>
            : T extends EnumType
              ? number
              : T extends ArrayType<infer E, number>
                ? Js<E>[]
                : T extends StructType<infer F>
                  ? { -readonly [K in keyof F]: Js<F[K]> }
                  : T extends PointerType | KptrType
                    ? bigint
                    : T extends OpaqueType
                      ? Uint8Array
                      : never

/** Set by the values module: makes the constant that a call of a type gives. */
export const makeConstant: {
  int?: (type: IntType, value: bigint) => unknown
  wire?: (type: WireType, value: bigint) => unknown
} = {}

function intType<N extends IntName>(id: N): IntType<N> {
  const { bits, signed } = INT_FORMS[id]
  const call = (value: number | bigint): unknown => makeConstant.int?.(type as unknown as IntType, BigInt(value))
  const type = Object.assign(call, {
    kind: 'int',
    id,
    size: bits / 8,
    align: bits / 8,
    signed,
  }) as unknown as IntType<N>
  return Object.freeze(type)
}
function wireType<N extends WireName>(id: N): WireType<N> {
  const { bits } = WIRE_FORMS[id]
  const call = (value: number | bigint): unknown => makeConstant.wire?.(type as unknown as WireType, BigInt(value))
  const type = Object.assign(call, { kind: 'wire', id, size: bits / 8, align: bits / 8 }) as unknown as WireType<N>
  return Object.freeze(type)
}

export const u8: IntType<'u8'> = intType('u8')
export const u16: IntType<'u16'> = intType('u16')
export const u32: IntType<'u32'> = intType('u32')
export const u64: IntType<'u64'> = intType('u64')
export const i8: IntType<'i8'> = intType('i8')
export const i16: IntType<'i16'> = intType('i16')
export const i32: IntType<'i32'> = intType('i32')
export const i64: IntType<'i64'> = intType('i64')
export const be16: WireType<'be16'> = wireType('be16')
export const be32: WireType<'be32'> = wireType('be32')
export const be64: WireType<'be64'> = wireType('be64')
export const bool: BoolType = Object.freeze({ kind: 'bool', size: 1, align: 1 })

/** `length` bytes; in user space a Uint8Array. */
export function bytes<const L extends number>(length: L): BytesType<L, 'bytes'> {
  return bytesOf(length, 'bytes')
}
/** `length` bytes of NUL-terminated text; in user space a string. */
export function text<const L extends number>(length: L): BytesType<L, 'text'> {
  return bytesOf(length, 'text')
}
function bytesOf<const L extends number, F extends BytesForm>(length: L, form: F): BytesType<L, F> {
  checkLength(length, form)
  return Object.freeze({ kind: 'bytes', length, form, size: length, align: 1 })
}
/** A hardware address: six bytes, "02:00:00:00:00:01" in user space. */
export const mac: BytesType<6, 'mac'> = bytesOf(6, 'mac')
/** An IPv6 address: sixteen bytes, "2001:db8::1" in user space. */
export const ipv6: BytesType<16, 'ipv6'> = bytesOf(16, 'ipv6')

export function array<const E extends Type, const L extends number>(element: E, length: L): ArrayType<E, L> {
  checkLength(length, 'array')
  return Object.freeze({ kind: 'array', element, length, size: element.size * length, align: element.align })
}
/** A bit field of `width` bits in storage of `base` (lowest bits first). */
export function bits<N extends UnsignedName>(base: IntType<N>, width: number): BitsType<N> {
  if (!Number.isInteger(width) || width < 1 || width > base.size * 8)
    throw new UsageError('type.bits', `a bit field in ${base.id} has 1 to ${base.size * 8} bits, not ${width}`)
  return Object.freeze({ kind: 'bits', base, width, size: base.size, align: base.align })
}
/** A 32-bit enumeration; compare with the name: `state.is('ESTABLISHED')`. */
export function enumeration<const V extends Record<string, number>>(tag: string, values: V): EnumType<V> {
  const signed = Object.values(values).some((value) => value < 0)
  return Object.freeze({ kind: 'enum', tag, values, signed, size: 4, align: 4 })
}
/** A kernel pointer kept as a value. */
export function pointer<T>(to: T): PointerType<T> {
  return Object.freeze({ kind: 'pointer', to, size: 8, align: 8 })
}

/** A lock in a map value: `b.lock(value.lock, () => { … })`. Linux 5.1. */
export const spinLock: OpaqueType<'bpf_spin_lock'> = Object.freeze({
  kind: 'opaque',
  id: 'bpf_spin_lock',
  size: 4,
  align: 4,
})
/** A timer in a map value ({@link timerCallback}). Linux 5.15. */
export const timer: OpaqueType<'bpf_timer'> = Object.freeze({ kind: 'opaque', id: 'bpf_timer', size: 16, align: 8 })
/** A pointer to a kernel object that the map value owns: `kptr(task)` for a kernelStruct. Linux 6.3. */
export function kptr<S extends { readonly tag: string }>(to: S): KptrType<S> {
  return Object.freeze({ kind: 'kptr', to, tag: to.tag, size: 8, align: 8 })
}

export interface StructOptions {
  /** No padding, alignment 1 (as `__attribute__((packed))`). Network headers from the wire are packed by nature. */
  readonly packed?: boolean
  /** At least this alignment. */
  readonly align?: number
}

/**
 * A C struct: members in order, each at its natural alignment, padding between them and at the end. The same definition
 * gives the layout, the BTF, the codec and the TypeScript value type ({@link Js}).
 */
export function struct<const F extends Fields>(tag: string, fields: F, options: StructOptions = {}): StructType<F> {
  const members: Member[] = []
  let end = 0
  let align = 1
  let unit: { start: number; used: number; size: number } | undefined
  for (const [name, type] of Object.entries(fields)) {
    const own = options.packed ? 1 : type.align
    if (type.kind === 'bits') {
      const size = type.base.size
      if (unit === undefined || unit.size !== size || unit.used + type.width > size * 8) {
        const start = roundUp(end, own)
        unit = { start, used: 0, size }
        end = start + size
      }
      members.push({ name, type, offset: unit.start, bit: unit.used, bits: type.width })
      unit.used += type.width
    } else {
      unit = undefined
      end = roundUp(end, own)
      members.push({ name, type, offset: end })
      end += type.size
    }
    align = Math.max(align, own)
  }
  align = Math.max(align, options.align ?? 1)
  if (end === 0) throw new UsageError('type.empty', `struct ${tag} has no members`)
  return Object.freeze({ kind: 'struct', tag, fields, members, size: roundUp(end, align), align })
}

/** A C union: all members at offset 0. */
export function union<const F extends Fields>(tag: string, fields: F): StructType<F> {
  const types = Object.values(fields)
  if (types.length === 0) throw new UsageError('type.empty', `union ${tag} has no members`)
  const align = Math.max(...types.map((type) => type.align))
  const size = roundUp(Math.max(...types.map((type) => type.size)), align)
  const members = Object.entries(fields).map(([name, type]) => ({ name, type, offset: 0 }))
  return Object.freeze({ kind: 'union', tag, fields, members, size, align })
}

const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to
function checkLength(length: number, what: string): void {
  if (!Number.isInteger(length) || length < 1)
    throw new UsageError('type.length', `${what}: a length is a positive integer, not ${length}`)
}
