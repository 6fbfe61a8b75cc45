import * as layouts from '../../layout/index.ts'
import { decode as decodeLayout, encode as encodeLayout, type Layout } from '../../layout/index.ts'
import type { Js, Type } from './types.ts'

const { u8, u16, u32, u64, i8, i16, i32, i64, be16, be32, be64 } = layouts
const SCALARS = { u8, u16, u32, u64, i8, i16, i32, i64, be16, be32, be64 } as Record<string, Layout>

const made = new WeakMap<object, Layout>()

/** The codec of a type: bytes to TypeScript values and back, the same layout that programs use. */
export function layoutOf<T extends Type>(type: T): Layout<Js<T>> {
  let layout = made.get(type)
  if (layout === undefined) {
    layout = makeLayout(type)
    made.set(type, layout)
  }
  return layout as Layout<Js<T>>
}

function makeLayout(type: Type): Layout {
  switch (type.kind) {
    case 'int':
    case 'wire':
      return SCALARS[type.id]
    case 'bool':
      return layouts.bool as Layout
    case 'bytes':
      return (
        type.form === 'mac'
          ? layouts.mac
          : type.form === 'ipv6'
            ? layouts.ipv6
            : type.form === 'text'
              ? layouts.chars(type.length)
              : layouts.bytes(type.length)
      ) as Layout
    case 'opaque':
      return layouts.bytes(type.size) as Layout
    case 'kptr':
    case 'pointer':
      return layouts.u64 as Layout
    case 'array':
      return layouts.array(layoutOf(type.element) as Layout, type.length) as Layout
    case 'enum':
      return layouts.enumeration(type.tag, type.values, type.signed ? layouts.i32 : layouts.u32) as unknown as Layout
    case 'bits':
      return layouts.bits(SCALARS[type.base.id] as never, type.width) as Layout
    case 'struct':
    case 'union': {
      const members = Object.fromEntries(type.members.map((member) => [member.name, makeLayout(member.type)]))
      const natural = type.kind === 'union' ? layouts.union(type.tag, members) : layouts.struct(type.tag, members)
      const same =
        natural.size === type.size &&
        natural.fields?.every((field, i) => field.offset === type.members[i].offset) === true
      return (same ? natural : layouts.struct(type.tag, members, { packed: true })) as Layout
    }
  }
}

/** Bytes of a value; members that are absent are 0. */
export function encode<T>(layout: Layout<T>, value: Partial<T>): Uint8Array {
  if (layout.kind !== 'struct') return encodeLayout(layout, value as T)
  const out = new Uint8Array(layout.size)
  for (const field of layout.fields ?? []) {
    const member = (value as Record<string, unknown>)[field.name]
    if (member === undefined) continue
    if (field.bitOffset !== undefined)
      throw new TypeError(`${field.name}: give bit fields together with the whole struct`)
    out.set(encodeLayout(field.layout, member), field.offset)
  }
  return out
}
export const decode = decodeLayout
