import { UsageError } from '../errors/index.ts'
import { type ByteOrder, badValue, type Field, type Layout } from './layout.ts'

/** A fixed number of elements. */
export function array<Value>(element: Layout<Value>, count: number): Layout<Value[]> {
  checkCount(count)
  return {
    kind: 'array',
    name: '',
    size: element.size * count,
    align: element.align,
    element: element as Layout,
    count,
    read: (view, at, order) =>
      Array.from({ length: count }, (_, i) => element.read(view, at + i * element.size, order)),
    write(view, at, value, order, path) {
      if (!Array.isArray(value) || value.length !== count) badValue(path, value, `an array of ${count} elements`)
      value.forEach((item, i) => {
        element.write(view, at + i * element.size, item, order, `${path}[${i}]`)
      })
    },
  }
}

const byteElement: Layout<number> = {
  kind: 'int',
  name: '__u8',
  size: 1,
  align: 1,
  signed: false,
  read: (view, at) => view.getUint8(at),
  write: (view, at, value) => view.setUint8(at, value),
}

/** Raw bytes: Uint8Array, a copy. */
export function bytes(count: number): Layout<Uint8Array> {
  checkCount(count)
  return {
    kind: 'bytes',
    name: '',
    size: count,
    align: 1,
    element: byteElement as Layout,
    count,
    read: (view, at) => new Uint8Array(view.buffer, view.byteOffset + at, count).slice(),
    write(view, at, value, _order, path) {
      if (!(value instanceof Uint8Array) || value.length !== count)
        badValue(path, value, `a Uint8Array of ${count} bytes`)
      new Uint8Array(view.buffer, view.byteOffset + at, count).set(value)
    },
  }
}

const utf8 = new TextDecoder()
const encoder = new TextEncoder()

/** Text in `char[count]`: read up to the first NUL (UTF-8), written with a terminating NUL and zeros after it. */
export function chars(count: number): Layout<string> {
  checkCount(count)
  return {
    kind: 'chars',
    name: '',
    size: count,
    align: 1,
    element: { ...byteElement, name: 'char', signed: true } as Layout,
    count,
    read(view, at) {
      const all = new Uint8Array(view.buffer, view.byteOffset + at, count)
      const end = all.indexOf(0)
      return utf8.decode(end < 0 ? all : all.subarray(0, end))
    },
    write(view, at, value, _order, path) {
      const encoded = typeof value === 'string' ? encoder.encode(value) : undefined
      if (encoded === undefined || encoded.length >= count) badValue(path, value, `text of at most ${count - 1} bytes`)
      const all = new Uint8Array(view.buffer, view.byteOffset + at, count)
      all.fill(0)
      all.set(encoded)
    },
  }
}

/** An enum: the value is the number; `values` give names to BTF and to printers. */
export function enumeration<Value extends number | bigint>(
  name: string,
  values: Readonly<Record<string, number | bigint>>,
  element: Layout<Value>,
): Layout<Value> {
  return { ...element, kind: 'enum', name, values, element: element as Layout }
}

/** A bit field of an integer type, inside a struct only. */
export function bits<Value extends number | bigint>(element: Layout<Value>, width: number): Layout<Value> {
  if (element.kind !== 'int' || element.byteOrder !== undefined)
    throw new UsageError('layout.bits', 'a bit field is made of a plain integer type')
  if (!Number.isInteger(width) || width < 1 || width > element.size * 8)
    throw new UsageError('layout.bits', `a bit field of ${width} bits does not fit ${element.name}`)
  return { ...element, kind: 'bits', bits: width, element: element as Layout }
}

/** A bit field's value inside its storage unit. `shift` counts from the lowest bit. */
function readBits(layout: Layout, view: DataView, at: number, shift: number, order: ByteOrder): number | bigint {
  const element = layout.element as Layout<number | bigint>
  const width = BigInt(layout.bits as number)
  const raw = BigInt.asUintN(element.size * 8, BigInt(element.read(view, at, order))) >> BigInt(shift)
  const value = layout.signed ? BigInt.asIntN(Number(width), raw) : BigInt.asUintN(Number(width), raw)
  return element.size === 8 ? value : Number(value)
}

function writeBits(
  layout: Layout,
  view: DataView,
  at: number,
  shift: number,
  value: unknown,
  order: ByteOrder,
  path: string,
): void {
  const element = layout.element as Layout<number | bigint>
  const width = layout.bits as number
  if ((typeof value !== 'number' || !Number.isInteger(value)) && typeof value !== 'bigint')
    badValue(path, value, `an integer of ${width} bits`)
  const big = BigInt(value)
  const fits = layout.signed ? BigInt.asIntN(width, big) === big : BigInt.asUintN(width, big) === big
  if (!fits) badValue(path, value, `an integer of ${width} bits`)
  const mask = ((1n << BigInt(width)) - 1n) << BigInt(shift)
  const old = BigInt.asUintN(element.size * 8, BigInt(element.read(view, at, order)))
  const word = (old & ~mask) | ((big << BigInt(shift)) & mask)
  const out = element.signed ? BigInt.asIntN(element.size * 8, word) : word
  element.write(view, at, element.size === 8 ? out : Number(out), order, path)
}

export interface StructOptions {
  /** No padding, alignment 1 (`__attribute__((packed))`). */
  readonly packed?: boolean
  /** At least this alignment. */
  readonly align?: number
}

type FieldLayouts = Readonly<Record<string, Layout>>
/** The value type of a struct's fields. */
export type StructValue<F extends FieldLayouts> = { -readonly [K in keyof F]: F[K] extends Layout<infer V> ? V : never }

/** A struct's layout with typed access to its fields. */
export interface StructLayout<F extends FieldLayouts = FieldLayouts> extends Layout<StructValue<F>> {
  readonly kind: 'struct'
  readonly fields: readonly Field[]
  /** The fields by name as they were given. */
  readonly members: F
}

/**
 * A C struct: members in order, aligned and padded as the BPF target does it (System V rules), bit fields included.
 * Keys that look like numbers would be reordered by JavaScript and are refused.
 */
export function struct<const F extends FieldLayouts>(
  name: string,
  members: F,
  options: StructOptions = {},
): StructLayout<F> {
  const { fields, size, align } = place(name, members, options)
  return {
    ...composite('struct', name, size, align, fields),
    kind: 'struct',
    fields,
    members,
  } as unknown as StructLayout<F>
}

/** A C union: every member at offset 0. Reading gives all members, writing takes one (the others absent). */
export function union<const F extends FieldLayouts>(name: string, members: F): Layout<Partial<StructValue<F>>> {
  const entries = Object.entries(members)
  const align = Math.max(1, ...entries.map(([, layout]) => layout.align))
  const size = roundUp(Math.max(0, ...entries.map(([, layout]) => layout.size)), align)
  const fields = entries.map(([key, layout]) => ({ name: key, offset: 0, layout }))
  return composite('union', name, size, align, fields) as unknown as Layout<Partial<StructValue<F>>>
}

const roundUp = (value: number, align: number): number => Math.ceil(value / align) * align

function checkCount(count: number): void {
  if (!Number.isInteger(count) || count < 0 || count > 0x7fffffff)
    throw new UsageError('layout.count', `${count} is no number of elements`)
}

function place(
  name: string,
  members: FieldLayouts,
  options: StructOptions,
): { fields: Field[]; size: number; align: number } {
  const fields: Field[] = []
  let bit = 0
  let align = options.align ?? 1
  for (const [key, layout] of Object.entries(members)) {
    if (/^\d+$/.test(key)) throw new UsageError('layout.field', `struct ${name}: ${key} is no field name`)
    const own = options.packed ? 1 : layout.align
    align = Math.max(align, own)
    if (layout.kind === 'bits') {
      const width = layout.bits as number
      const unit = layout.size * 8
      // a bit field never crosses a storage unit of its type
      if (!options.packed && Math.floor(bit / unit) !== Math.floor((bit + width - 1) / unit)) bit = roundUp(bit, unit)
      fields.push({ name: key, offset: Math.floor(bit / unit) * layout.size, layout, bitOffset: bit })
      bit += width
      continue
    }
    const offset = roundUp(Math.ceil(bit / 8), own)
    fields.push({ name: key, offset, layout })
    bit = (offset + layout.size) * 8
  }
  return { fields, size: roundUp(Math.ceil(bit / 8), align), align }
}

/** Members that only the kernel touches: who writes a value need not name them. */
const KERNEL_OWNED: ReadonlySet<string> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_timer',
  'bpf_wq',
  'bpf_task_work',
  'bpf_list_head',
  'bpf_list_node',
  'bpf_rb_root',
  'bpf_rb_node',
  'bpf_refcount',
])
const isOptional = ({ layout }: Field): boolean => layout.size === 0 || KERNEL_OWNED.has(layout.name)

/**
 * The codec of a struct or union whose fields are already placed. Anonymous members ("") merge into their parent. A struct is
 * written whole: a member that is missing is an error, except what only the kernel touches.
 */
export function composite(
  kind: 'struct' | 'union',
  name: string,
  size: number,
  align: number,
  fields: readonly Field[],
): Layout<Record<string, unknown>> {
  const shiftOf = ({ layout, bitOffset, offset }: Field, order: ByteOrder): number => {
    const inside = (bitOffset as number) - offset * 8
    return order === 'little' ? inside : layout.size * 8 - inside - (layout.bits as number)
  }
  return {
    kind,
    name,
    size,
    align,
    fields,
    read(view, at, order) {
      const out: Record<string, unknown> = {}
      for (const field of fields) {
        const value =
          field.bitOffset === undefined
            ? field.layout.read(view, at + field.offset, order)
            : readBits(field.layout, view, at + field.offset, shiftOf(field, order), order)
        if (field.name === '') Object.assign(out, value)
        else out[field.name] = value
      }
      return out
    },
    write(view, at, value, order, path) {
      if (typeof value !== 'object' || value === null) badValue(path, value, `an object (${kind} ${name})`)
      for (const field of fields) {
        const item = field.name === '' ? value : value[field.name]
        if (item === undefined && (kind === 'union' || isOptional(field))) continue
        const below = field.name === '' ? path : `${path}.${field.name}`
        if (field.bitOffset === undefined) field.layout.write(view, at + field.offset, item, order, below)
        else writeBits(field.layout, view, at + field.offset, shiftOf(field, order), item, order, below)
      }
    },
  }
}
