import { InputError, UsageError } from '../errors/index.ts'

/** Byte order of the machine that runs the program. */
export type ByteOrder = 'little' | 'big'

/** How the bytes of a field tell what they are; decides BTF and the builder's loads and stores. */
export type LayoutKind =
  | 'int'
  | 'bool'
  | 'float'
  | 'pointer'
  | 'enum'
  | 'bits'
  | 'array'
  | 'bytes'
  | 'chars'
  | 'address'
  | 'struct'
  | 'union'

/**
 * A type as bytes: size, alignment and the way between bytes and a TypeScript value. Pure data plus two functions, the
 * same object serves the builder (kernel side), maps and events (user side) and BTF.
 *
 * 64-bit integers and pointers are bigint, smaller ones number, booleans boolean.
 */
export interface Layout<Value = unknown> {
  readonly kind: LayoutKind
  /** The C name: "unsigned int", "task_struct", "__be16"; "" when anonymous. */
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** Bytes, a power of two. */
  readonly align: number
  /** 'big' for network-order fields whatever the machine; absent: the machine's order. */
  readonly byteOrder?: ByteOrder
  /** Integers, enums and bit fields. */
  readonly signed?: boolean
  /** Width in bits of a bit field. */
  readonly bits?: number
  /** Of an array, pointer, bit field or enum: what it is made of. */
  readonly element?: Layout
  /** Of an array, bytes, chars. */
  readonly count?: number
  /** Of a struct or union. */
  readonly fields?: readonly Field[]
  /** Of an enum: names and numbers. */
  readonly values?: Readonly<Record<string, number | bigint>>
  /** The value at `offset`; `order` is the machine's. The caller has checked the length. */
  read(view: DataView, offset: number, order: ByteOrder): Value
  /** @throws UsageError `layout.value` when the value does not fit; `path` names it */
  write(view: DataView, offset: number, value: Value, order: ByteOrder, path: string): void
}

/** A member of a struct or union. */
export interface Field {
  readonly name: string
  /** Bytes from the start; of a bit field: of its storage unit. */
  readonly offset: number
  readonly layout: Layout
  /** Of a bit field: bits from the struct's start (little endian: of the lowest bit; big endian: of the highest). */
  readonly bitOffset?: number
}

/** The TypeScript value of a layout: `ValueOf<typeof Event>`. */
export type ValueOf<L> = L extends Layout<infer Value> ? Value : never

/** The value that bytes hold. Longer input is allowed, what follows is ignored. @throws InputError `layout.short` */
export function decode<Value>(
  layout: Layout<Value>,
  bytes: Uint8Array,
  order: ByteOrder = 'little',
  offset = 0,
): Value {
  if (offset < 0 || bytes.length - offset < layout.size)
    throw new InputError(
      'layout.short',
      `${layout.name || layout.kind}: ${Math.max(0, bytes.length - offset)} bytes, it takes ${layout.size}`,
    )
  return layout.read(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength), offset, order)
}

/** The bytes of a value, padding zero. @throws UsageError `layout.value` */
export function encode<Value>(layout: Layout<Value>, value: Value, order: ByteOrder = 'little'): Uint8Array {
  const bytes = new Uint8Array(layout.size)
  layout.write(new DataView(bytes.buffer), 0, value, order, layout.name || layout.kind)
  return bytes
}

export function badValue(path: string, value: unknown, expected: string): never {
  const shown =
    typeof value === 'bigint' ? `${value}n` : typeof value === 'string' ? JSON.stringify(value) : String(value)
  throw new UsageError('layout.value', `${path}: ${shown} is not ${expected}`)
}
