import type { BtfBuilder, BtfMember } from '../btf/index.ts'
import { UsageError } from '../errors/index.ts'
import type { Layout } from './layout.ts'

/** What the fixed-width names stand for, as the kernel's headers define them. */
const BASE: Readonly<Record<string, readonly [name: string, size: number, signed: boolean]>> = {
  __u8: ['unsigned char', 1, false],
  __s8: ['signed char', 1, true],
  __u16: ['unsigned short', 2, false],
  __s16: ['short', 2, true],
  __u32: ['unsigned int', 4, false],
  __s32: ['int', 4, true],
  __u64: ['unsigned long long', 8, false],
  __s64: ['long long', 8, true],
}
const BIG: Readonly<Record<string, string>> = { __be16: '__u16', __be32: '__u32', __be64: '__u64' }

/** Adds the BTF type of a layout to `builder`, once; the answer is its id. Addresses become arrays of bytes or `__be32`. */
export function addLayout(builder: BtfBuilder, layout: Layout): number {
  switch (layout.kind) {
    case 'int': {
      const under = BIG[layout.name]
      if (under !== undefined)
        return builder.add({ kind: 'typedef', name: layout.name, type: base(builder, under, layout) })
      return base(builder, layout.name, layout)
    }
    case 'bool':
      return builder.int('_Bool', 1, { bool: true })
    case 'float':
      return builder.add({ kind: 'float', name: layout.name, size: layout.size })
    case 'pointer':
      return builder.pointer(layout.element === undefined ? 0 : addLayout(builder, layout.element))
    case 'bits':
      return addLayout(builder, layout.element as Layout)
    case 'address':
      return layout.count === undefined
        ? addLayout(builder, layout.element as Layout)
        : builder.array(addLayout(builder, layout.element as Layout), layout.count)
    case 'chars':
      return builder.array(builder.int('char', 1, { signed: true }), layout.count as number)
    case 'array':
    case 'bytes':
      return builder.array(addLayout(builder, layout.element as Layout), layout.count as number)
    case 'enum': {
      const { name, size } = layout
      const signed = layout.signed === true
      const values = Object.entries(layout.values ?? {})
      return size === 8
        ? builder.add({
            kind: 'enum64',
            name,
            size,
            signed,
            values: values.map(([n, v]) => ({ name: n, value: BigInt(v) })),
          })
        : builder.add({
            kind: 'enum',
            name,
            size,
            signed,
            values: values.map(([n, v]) => ({ name: n, value: Number(v) })),
          })
    }
    case 'struct':
    case 'union': {
      const members: BtfMember[] = (layout.fields ?? []).map((field) => ({
        name: field.name,
        type: addLayout(builder, field.layout),
        bitOffset: field.bitOffset ?? field.offset * 8,
        bitSize: field.layout.bits ?? 0,
      }))
      return builder.add({ kind: layout.kind, name: layout.name, size: layout.size, members })
    }
    default:
      throw new UsageError('layout.kind', `no BTF for ${layout.kind satisfies never}`)
  }
}

function base(builder: BtfBuilder, name: string, layout: Layout): number {
  const known = BASE[name]
  if (known === undefined) return builder.int(name, layout.size, { signed: layout.signed === true })
  return builder.add({
    kind: 'typedef',
    name,
    type: builder.int(known[0], known[1], { signed: known[2] }),
  })
}
