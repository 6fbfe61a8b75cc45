import type { Btf } from './btf.ts'
import { type BtfKind, type BtfType, typeName } from './types.ts'

const LINKAGE = ['static', 'global', 'extern'] as const

// bpftool's word for type 0
const upper = (kind: BtfKind): string => (kind === 'void' ? 'UNKNOWN' : kind.toUpperCase())
const shown = (name: string): string => (name === '' ? '(anon)' : name)
const linkageName = (linkage: number): string => LINKAGE[linkage] ?? '(unknown)'

function encodingName(type: { signed: boolean; char: boolean; bool: boolean }): string {
  const bits = (type.signed ? 1 : 0) | (type.char ? 2 : 0) | (type.bool ? 4 : 0)
  return bits === 0 ? '(none)' : bits === 1 ? 'SIGNED' : bits === 2 ? 'CHAR' : bits === 4 ? 'BOOL' : 'UNKN'
}

/** The text of one type as bpftool's `btf dump … format raw` has it. */
export function rawText(btf: Btf, id: number): string {
  const type = btf.type(id)
  let text = `[${id}] ${upper(type.kind)} '${shown(typeName(type))}'`
  const sign = (signed: boolean): string => (signed ? 'SIGNED' : 'UNSIGNED')
  switch (type.kind) {
    case 'int':
      text += ` size=${type.size} bits_offset=${type.bitOffset} nr_bits=${type.bits} encoding=${encodingName(type)}`
      break
    case 'ptr':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'typedef':
    case 'type_tag':
      text += ` type_id=${type.type}`
      break
    case 'array':
      text += ` type_id=${type.type} index_type_id=${type.indexType} nr_elems=${type.count}`
      break
    case 'struct':
    case 'union':
      text += ` size=${type.size} vlen=${type.members.length}`
      for (const { name, type: member, bitOffset, bitSize } of type.members) {
        text += `\n\t'${shown(name)}' type_id=${member} bits_offset=${bitOffset}`
        if (bitSize > 0) text += ` bitfield_size=${bitSize}`
      }
      break
    case 'enum':
      text += ` encoding=${sign(type.signed)} size=${type.size} vlen=${type.values.length}`
      for (const { name, value } of type.values) text += `\n\t'${shown(name)}' val=${value}`
      break
    case 'enum64':
      text += ` encoding=${sign(type.signed)} size=${type.size} vlen=${type.values.length}`
      for (const { name, value } of type.values)
        text += `\n\t'${shown(name)}' val=${value}${type.signed ? 'LL' : 'ULL'}`
      break
    case 'fwd':
      text += ` fwd_kind=${type.union ? 'union' : 'struct'}`
      break
    case 'func':
      text += ` type_id=${type.type} linkage=${linkageName(type.linkage)}`
      break
    case 'func_proto':
      text += ` ret_type_id=${type.returnType} vlen=${type.params.length}`
      for (const param of type.params) text += `\n\t'${shown(param.name)}' type_id=${param.type}`
      break
    case 'var':
      text += ` type_id=${type.type}, linkage=${linkageName(type.linkage)}`
      break
    case 'datasec':
      text += ` size=${type.size} vlen=${type.entries.length}`
      for (const entry of type.entries) {
        text += `\n\ttype_id=${entry.type} offset=${entry.offset} size=${entry.size}`
        if (btf.has(entry.type)) {
          const target = btf.type(entry.type)
          text += ` (${upper(target.kind)} '${shown(typeName(target))}')`
        }
      }
      break
    case 'float':
      text += ` size=${type.size}`
      break
    case 'decl_tag':
      text += ` type_id=${type.type} component_idx=${type.component}`
      break
    case 'void':
      break
    default:
      return type satisfies never
  }
  return text
}

/** A type with the keys of bpftool's JSON. 64-bit values that a number cannot hold are bigint. */
export function jsonType(btf: Btf, id: number): Record<string, unknown> {
  const type = btf.type(id)
  return { id, kind: upper(type.kind), name: shown(typeName(type)), ...jsonFields(type) }
}

function jsonFields(type: BtfType): Record<string, unknown> {
  const sign = (signed: boolean): string => (signed ? 'SIGNED' : 'UNSIGNED')
  switch (type.kind) {
    case 'int':
      return { size: type.size, bits_offset: type.bitOffset, nr_bits: type.bits, encoding: encodingName(type) }
    case 'ptr':
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'typedef':
    case 'type_tag':
      return { type_id: type.type }
    case 'array':
      return { type_id: type.type, index_type_id: type.indexType, nr_elems: type.count }
    case 'struct':
    case 'union':
      return {
        size: type.size,
        vlen: type.members.length,
        members: type.members.map(({ name, type: member, bitOffset, bitSize }) => ({
          name: shown(name),
          type_id: member,
          bits_offset: bitOffset,
          ...(bitSize > 0 ? { bitfield_size: bitSize } : {}),
        })),
      }
    case 'enum':
    case 'enum64':
      return {
        encoding: sign(type.signed),
        size: type.size,
        vlen: type.values.length,
        values: type.values.map(({ name, value }) => ({ name: shown(name), val: value })),
      }
    case 'fwd':
      return { fwd_kind: type.union ? 'union' : 'struct' }
    case 'func':
      return { type_id: type.type, linkage: linkageName(type.linkage) }
    case 'func_proto':
      return {
        ret_type_id: type.returnType,
        vlen: type.params.length,
        params: type.params.map((param) => ({ name: shown(param.name), type_id: param.type })),
      }
    case 'var':
      return { type_id: type.type, linkage: linkageName(type.linkage) }
    case 'datasec':
      return {
        size: type.size,
        vlen: type.entries.length,
        vars: type.entries.map((entry) => ({ type_id: entry.type, offset: entry.offset, size: entry.size })),
      }
    case 'float':
      return { size: type.size }
    case 'decl_tag':
      return { type_id: type.type, component_idx: type.component }
    case 'void':
      return {}
    default:
      return type satisfies never
  }
}

/** All own types as raw text, a line feed after each. */
export function dumpRaw(btf: Btf, roots?: readonly number[]): string {
  const parts: string[] = []
  if (roots === undefined) for (let id = btf.firstId; id < btf.endId; id++) parts.push(rawText(btf, id))
  else for (const id of roots) parts.push(rawText(btf, id))
  parts.push('')
  return parts.join('\n')
}

/** bpftool's JSON on one line: `{"types":[…]}`. */
export function dumpJson(btf: Btf, roots?: readonly number[]): string {
  const parts: string[] = []
  const add = (id: number): void => {
    parts.push(toJson(jsonType(btf, id)))
  }
  if (roots === undefined) for (let id = btf.firstId; id < btf.endId; id++) add(id)
  else for (const id of roots) add(id)
  return `{"types":[${parts.join(',')}]}`
}

/** JSON.stringify that writes bigint as a number of any length. */
function toJson(value: unknown): string {
  if (typeof value === 'bigint') return value.toString()
  if (Array.isArray(value)) return `[${value.map(toJson).join(',')}]`
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, item]) => `${JSON.stringify(key)}:${toJson(item)}`)
      .join(',')}}`
  return JSON.stringify(value)
}
