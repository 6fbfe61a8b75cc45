/** BTF kinds by number (include/uapi/linux/btf.h; 1 to 13 Linux 4.18–5.0, var/datasec 5.2, float 5.13, tags 5.16–5.17, enum64 6.0). */
export const BTF_KINDS = [
  'void',
  'int',
  'ptr',
  'array',
  'struct',
  'union',
  'enum',
  'fwd',
  'typedef',
  'volatile',
  'const',
  'restrict',
  'func',
  'func_proto',
  'var',
  'datasec',
  'float',
  'decl_tag',
  'type_tag',
  'enum64',
] as const

export type BtfKind = (typeof BTF_KINDS)[number]

/** The kind's number. */
export const BTF_KIND: Readonly<Record<BtfKind, number>> = Object.fromEntries(
  BTF_KINDS.map((name, number) => [name, number]),
) as Record<BtfKind, number>

/** Linkage of functions and variables by number. */
export const BTF_LINKAGE = { static: 0, global: 1, extern: 2 } as const

export interface BtfMember {
  /** "" for an anonymous struct or union. */
  readonly name: string
  readonly type: number
  /** From the start of the struct. */
  readonly bitOffset: number
  /** Bits of a bit field; 0: not a bit field. */
  readonly bitSize: number
}

export interface BtfInt {
  readonly kind: 'int'
  readonly name: string
  /** Bytes. */
  readonly size: number
  /** Bits in use, 8 × size except in old-style bit fields. */
  readonly bits: number
  readonly bitOffset: number
  readonly signed: boolean
  readonly char: boolean
  readonly bool: boolean
}
export interface BtfPtr {
  readonly kind: 'ptr'
  readonly type: number
}
export interface BtfArray {
  readonly kind: 'array'
  readonly type: number
  readonly indexType: number
  readonly count: number
}
export interface BtfComposite {
  readonly kind: 'struct' | 'union'
  readonly name: string
  /** Bytes. */
  readonly size: number
  readonly members: readonly BtfMember[]
  /** The kind flag: member offsets carry bit-field sizes. Absent when writing: set when a member is a bit field. */
  readonly bitFields?: boolean
}
export interface BtfEnum {
  readonly kind: 'enum'
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly values: readonly { readonly name: string; readonly value: number }[]
}
export interface BtfEnum64 {
  readonly kind: 'enum64'
  readonly name: string
  readonly size: number
  readonly signed: boolean
  readonly values: readonly { readonly name: string; readonly value: bigint }[]
}
export interface BtfFwd {
  readonly kind: 'fwd'
  readonly name: string
  readonly union: boolean
}
export interface BtfTypedef {
  readonly kind: 'typedef'
  readonly name: string
  readonly type: number
}
export interface BtfModifier {
  readonly kind: 'volatile' | 'const' | 'restrict'
  readonly type: number
}
export interface BtfFunc {
  readonly kind: 'func'
  readonly name: string
  /** The FUNC_PROTO. */
  readonly type: number
  readonly linkage: number
}
export interface BtfFuncProto {
  readonly kind: 'func_proto'
  readonly returnType: number
  /** A variadic function ends with a parameter of no name and type 0. */
  readonly params: readonly { readonly name: string; readonly type: number }[]
}
export interface BtfVar {
  readonly kind: 'var'
  readonly name: string
  readonly type: number
  readonly linkage: number
}
export interface BtfDatasec {
  readonly kind: 'datasec'
  readonly name: string
  readonly size: number
  readonly entries: readonly { readonly type: number; readonly offset: number; readonly size: number }[]
}
export interface BtfFloat {
  readonly kind: 'float'
  readonly name: string
  readonly size: number
}
export interface BtfDeclTag {
  readonly kind: 'decl_tag'
  readonly name: string
  readonly type: number
  /** Member or parameter index, -1 for the type itself. */
  readonly component: number
  /** The kind flag (6.15): an attribute other than btf_decl_tag. */
  readonly attribute?: boolean
}
export interface BtfTypeTag {
  readonly kind: 'type_tag'
  readonly name: string
  readonly type: number
  /** The kind flag (6.15): an attribute other than btf_type_tag. */
  readonly attribute?: boolean
}
export interface BtfVoid {
  readonly kind: 'void'
}

/** One type. References are type ids; 0 is void. */
export type BtfType =
  | BtfVoid
  | BtfInt
  | BtfPtr
  | BtfArray
  | BtfComposite
  | BtfEnum
  | BtfEnum64
  | BtfFwd
  | BtfTypedef
  | BtfModifier
  | BtfFunc
  | BtfFuncProto
  | BtfVar
  | BtfDatasec
  | BtfFloat
  | BtfDeclTag
  | BtfTypeTag

/** The name of a type, "" for kinds without one. */
export function typeName(type: BtfType): string {
  return 'name' in type ? type.name : ''
}

/** A copy with every reference renumbered. */
export function mapReferences(type: BtfType, map: (id: number) => number): BtfType {
  switch (type.kind) {
    case 'void':
    case 'int':
    case 'float':
    case 'fwd':
    case 'enum':
    case 'enum64':
      return type
    case 'array':
      return { ...type, type: map(type.type), indexType: map(type.indexType) }
    case 'struct':
    case 'union':
      return { ...type, members: type.members.map((member) => ({ ...member, type: map(member.type) })) }
    case 'func_proto':
      return {
        ...type,
        returnType: map(type.returnType),
        params: type.params.map((param) => ({ ...param, type: map(param.type) })),
      }
    case 'datasec':
      return { ...type, entries: type.entries.map((entry) => ({ ...entry, type: map(entry.type) })) }
    default:
      return { ...type, type: map(type.type) }
  }
}

/** Calls `visit` for every reference of a type. */
export function forEachReference(type: BtfType, visit: (id: number) => void): void {
  switch (type.kind) {
    case 'void':
    case 'int':
    case 'float':
    case 'fwd':
    case 'enum':
    case 'enum64':
      return
    case 'array':
      visit(type.type)
      visit(type.indexType)
      return
    case 'struct':
    case 'union':
      for (const member of type.members) visit(member.type)
      return
    case 'func_proto':
      visit(type.returnType)
      for (const param of type.params) visit(param.type)
      return
    case 'datasec':
      for (const entry of type.entries) visit(entry.type)
      return
    default:
      visit(type.type)
  }
}
