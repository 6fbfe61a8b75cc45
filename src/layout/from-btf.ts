import type { Btf } from '../btf/index.ts'
import { InputError, UsageError } from '../errors/index.ts'
import { array, bits, chars, composite, enumeration } from './composites.ts'
import type { Field, Layout } from './layout.ts'
import {
  be16,
  be32,
  be64,
  bool as boolLayout,
  f32,
  f64,
  i8,
  i16,
  i32,
  i64,
  pointer,
  u8,
  u16,
  u32,
  u64,
} from './scalars.ts'

const NETWORK: Readonly<Record<string, Layout>> = {
  __be16: be16 as Layout,
  __be32: be32 as Layout,
  __be64: be64 as Layout,
}

/** Types inside types before this counts as endless. */
const MAX_DEPTH = 32

/**
 * The layout of a BTF type: for values of maps and events whose types come from an object or the kernel. Pointers are
 * addresses (what they point to is not followed). `char` arrays are text; anonymous members merge into their parent.
 * @throws InputError `btf.*` for types without a size, wrong ids and endless nesting
 */
export function layoutFromBtf(btf: Btf, id: number): Layout {
  return build(btf, id, 0, new Map())
}

/** Every type is built once, so that types nested many times over cost nothing. */
function build(btf: Btf, id: number, depth: number, done: Map<number, Layout>): Layout {
  let layout = done.get(id)
  if (layout === undefined) {
    layout = buildOne(btf, id, depth, done)
    done.set(id, layout)
  }
  return layout
}

function buildOne(btf: Btf, id: number, depth: number, done: Map<number, Layout>): Layout {
  if (depth > MAX_DEPTH) throw new InputError('btf.cycle', `${btf.what}: type [${id}] has itself inside`)
  const type = btf.type(id)
  switch (type.kind) {
    case 'typedef': {
      const network = NETWORK[type.name]
      const under = build(btf, type.type, depth + 1, done)
      if (network !== undefined && under.size === network.size) return network
      return under.name === '' ? { ...under, name: type.name } : under
    }
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'type_tag':
    case 'var':
      return build(btf, type.type, depth + 1, done)
    case 'int':
      return integer(type.name, type.size, type.signed, type.bool, btf.what, id)
    case 'float':
      if (type.size === 4) return f32 as Layout
      if (type.size === 8) return f64 as Layout
      throw new InputError('btf.float', `${btf.what}: type [${id}] is a float of ${type.size} bytes`)
    case 'ptr':
      return pointer() as Layout
    case 'enum':
    case 'enum64': {
      const values = Object.fromEntries(type.values.map((entry) => [entry.name, entry.value]))
      return enumeration(
        type.name,
        values,
        integer('', type.size, type.signed, false, btf.what, id) as Layout<number | bigint>,
      ) as Layout
    }
    case 'array': {
      const element = btf.resolve(type.type)
      if (element.kind === 'int' && element.size === 1 && (element.char || element.name === 'char') && type.count > 0)
        return chars(type.count) as Layout
      const layout = build(btf, type.type, depth + 1, done)
      if (type.count * Math.max(1, layout.size) > 0x7fffffff)
        throw new InputError('btf.size', `${btf.what}: type [${id}] takes ${type.count} × ${layout.size} bytes`)
      return array(layout, type.count) as Layout
    }
    case 'struct':
    case 'union': {
      const fields: Field[] = type.members.map((member) => {
        const inner = build(btf, member.type, depth + 1, done)
        const where = `${btf.what}: ${type.kind} ${type.name}.${member.name}`
        if (member.bitSize > 0) {
          const unit = inner.size * 8
          const offset = Math.floor(member.bitOffset / unit) * inner.size
          if (inner.kind === 'struct' || inner.kind === 'union' || inner.kind === 'array' || member.bitSize > unit)
            throw new InputError(
              'btf.bit-field',
              `${where}: a bit field of ${member.bitSize} bits does not fit its type`,
            )
          const plain = integer('', inner.size, inner.signed === true, false, btf.what, member.type)
          return {
            name: member.name,
            offset,
            layout: bits(plain as Layout<number>, member.bitSize),
            bitOffset: member.bitOffset,
          }
        }
        if (member.bitOffset % 8 !== 0) throw new InputError('btf.member', `${where}: bit offset ${member.bitOffset}`)
        const offset = member.bitOffset / 8
        if (offset + inner.size > type.size && inner.size > 0)
          throw new InputError(
            'btf.member',
            `${where}: it ends at ${offset + inner.size}, after the ${type.size} bytes`,
          )
        return { name: member.name, offset, layout: inner }
      })
      const align = Math.max(1, ...fields.map(({ layout }) => layout.align))
      return composite(type.kind, type.name, type.size, type.size % align === 0 ? align : 1, fields) as Layout
    }
    default:
      throw new UsageError('btf.size', `${btf.what}: ${btf.describe(id)} has no size`)
  }
}

function integer(name: string, size: number, signed: boolean, isBool: boolean, what: string, id: number): Layout {
  if (isBool && size === 1) return boolLayout as Layout
  const plain = ({ 1: [u8, i8], 2: [u16, i16], 4: [u32, i32], 8: [u64, i64] } as Record<number, readonly Layout[]>)[
    size
  ]
  if (plain !== undefined) {
    const layout = plain[signed ? 1 : 0]
    return name === '' ? layout : { ...layout, name }
  }
  if (size === 16) return { ...(array(u64, 2) as Layout), name, align: 16 }
  throw new InputError('btf.int', `${what}: type [${id}] is an integer of ${size} bytes`)
}
