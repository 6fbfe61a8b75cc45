/** What CO-RE relocations ask for (enum bpf_core_relo_kind, Linux 5.2 to 5.19). */
export const CORE_KIND = {
  fieldByteOffset: 0,
  fieldByteSize: 1,
  fieldExists: 2,
  fieldSigned: 3,
  fieldLeftShift: 4,
  fieldRightShift: 5,
  typeIdLocal: 6,
  typeIdTarget: 7,
  typeExists: 8,
  typeSize: 9,
  enumValueExists: 10,
  enumValue: 11,
  typeMatches: 12,
} as const

/** libbpf's short names by number. */
export const CORE_KIND_NAMES = [
  'byte_off',
  'byte_sz',
  'field_exists',
  'signed',
  'lshift_u64',
  'rshift_u64',
  'local_type_id',
  'target_type_id',
  'type_exists',
  'type_size',
  'enumval_exists',
  'enumval_value',
  'type_matches',
] as const

export function isFieldKind(kind: number): boolean {
  return kind >= CORE_KIND.fieldByteOffset && kind <= CORE_KIND.fieldRightShift
}
export function isTypeKind(kind: number): boolean {
  return (kind >= CORE_KIND.typeIdLocal && kind <= CORE_KIND.typeSize) || kind === CORE_KIND.typeMatches
}
export function isEnumKind(kind: number): boolean {
  return kind === CORE_KIND.enumValueExists || kind === CORE_KIND.enumValue
}

/** The name without its flavour: "task_struct___old" is "task_struct". A flavour is three underscores between other characters. */
export function essentialName(name: string): string {
  for (let i = name.length - 5; i >= 0; i--)
    if (name[i] !== '_' && name[i + 1] === '_' && name[i + 2] === '_' && name[i + 3] === '_' && name[i + 4] !== '_')
      return name.slice(0, i + 1)
  return name
}
