import type { CoreRelocation } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { CORE_KIND, CORE_KIND_NAMES, essentialName, isEnumKind, isFieldKind, isTypeKind } from './core-names.ts'
import { fieldsCompatible, typesCompatible, typesMatch } from './core-types.ts'
import type { BtfArray, BtfComposite } from './types.ts'

/** Levels of nesting that one access may have. */
export const MAX_LEVELS = 64

/** A turning point of an access: a named member, or an element of an array (no name). */
export interface Accessor {
  readonly typeId: number
  readonly index: number
  readonly name?: string
}

/** A parsed access: where it leads inside one BTF. */
export interface Access {
  readonly btf: Btf
  readonly rootId: number
  readonly accessors: Accessor[]
  /** Every member on the way, of anonymous structs too. */
  readonly steps: Accessor[]
  bitOffset: number
}

/** The relocation in words: "byte_off of struct task_struct, access 0:1:2". */
export function describe(btf: Btf, { kind, typeId, access }: CoreRelocation): string {
  const what = btf.has(typeId) ? btf.describe(typeId) : `type [${typeId}]`
  return `CO-RE relocation ${CORE_KIND_NAMES[kind] ?? kind} of ${what}, access ${JSON.stringify(access)}`
}

export function sizeOf(btf: Btf, id: number): number {
  const size = btf.sizeOf(id)
  if (size === undefined) throw new InputError('core.relocation', `${btf.what}: ${btf.describe(id)} has no size`)
  return size
}

/** @throws InputError `core.relocation` */
export function parseAccess(btf: Btf, relocation: CoreRelocation): Access {
  const { kind, typeId, access } = relocation
  const fail = (why: string): never => {
    throw new InputError('core.relocation', `${describe(btf, relocation)}: ${why}`)
  }
  if (!btf.has(typeId) || typeId === 0) fail('there is no such type')
  const result: Access = { btf, rootId: typeId, accessors: [], steps: [], bitOffset: 0 }
  if (isTypeKind(kind)) {
    if (access !== '0') fail('a type has the access "0"')
    return result
  }
  if (!isFieldKind(kind) && !isEnumKind(kind)) fail('the kind is unknown')
  if (!/^\d{1,9}(:\d{1,9})*$/.test(access)) fail('the access is malformed')
  const indices = access.split(':').map(Number)
  if (indices.length > MAX_LEVELS) fail(`${indices.length} levels, ${MAX_LEVELS} at most`)
  let id = btf.skipModifiers(typeId)
  const first = btf.type(id)
  if (isEnumKind(kind)) {
    if (first.kind !== 'enum' && first.kind !== 'enum64') return fail('the type is no enum')
    if (indices.length > 1 || indices[0] >= first.values.length) return fail('the enum has no such value')
    result.accessors.push({ typeId: id, index: indices[0], name: first.values[indices[0]].name })
    return result
  }
  result.accessors.push({ typeId: id, index: indices[0] })
  result.bitOffset = indices[0] * sizeOf(btf, id) * 8
  for (const index of indices.slice(1)) {
    id = btf.skipModifiers(id)
    const type = btf.type(id)
    if (type.kind === 'struct' || type.kind === 'union') {
      const member = type.members[index]
      if (member === undefined) return fail(`${btf.describe(id)} has no member ${index}`)
      result.bitOffset += member.bitOffset
      if (member.name !== '') result.accessors.push({ typeId: id, index, name: member.name })
      id = member.type
    } else if (type.kind === 'array') {
      const flexible = isFlexible(btf, result.accessors[result.accessors.length - 1], type)
      if (!flexible && index >= type.count) return fail(`element ${index} of ${type.count}`)
      id = btf.skipModifiers(type.type)
      result.accessors.push({ typeId: id, index })
      result.bitOffset += index * sizeOf(btf, id) * 8
    } else return fail(`it goes into ${btf.describe(id)}, which has no members`)
  }
  return result
}

/** An array of no elements at the end of a struct. */
function isFlexible(btf: Btf, before: Accessor | undefined, array: BtfArray): boolean {
  if (before?.name === undefined || array.count > 0) return false
  const holder = btf.type(before.typeId)
  return (holder.kind === 'struct' || holder.kind === 'union') && before.index === holder.members.length - 1
}

/** The same access in a candidate, undefined when it has none. */
export function matchAccess(local: Access, kind: number, target: Btf, targetId: number): Access | undefined {
  const found: Access = { btf: target, rootId: targetId, accessors: [], steps: [], bitOffset: 0 }
  if (isTypeKind(kind)) {
    const compare = kind === CORE_KIND.typeMatches ? typesMatch : typesCompatible
    return compare(local.btf, local.rootId, target, targetId) ? found : undefined
  }
  if (isEnumKind(kind)) {
    const id = target.skipModifiers(targetId)
    const type = target.type(id)
    if (type.kind !== 'enum' && type.kind !== 'enum64') return undefined
    const wanted = essentialName(local.accessors[0].name ?? '')
    const index = type.values.findIndex(({ name }) => essentialName(name) === wanted)
    if (index < 0) return undefined
    found.accessors.push({ typeId: id, index, name: type.values[index].name })
    return found
  }
  let id = targetId
  for (const [i, accessor] of local.accessors.entries()) {
    id = target.skipModifiers(id)
    if (accessor.name !== undefined) {
      const next = matchMember(local.btf, accessor, target, id, found, 0)
      if (next === undefined) return undefined
      id = next
      continue
    }
    if (i > 0) {
      const array = target.type(id)
      if (array.kind !== 'array') return undefined
      const flexible = isFlexible(target, found.accessors[found.accessors.length - 1], array)
      if (!flexible && accessor.index >= array.count) return undefined
      id = target.skipModifiers(array.type)
    }
    found.accessors.push({ typeId: id, index: accessor.index })
    found.bitOffset += accessor.index * sizeOf(target, id) * 8
  }
  return found
}

/** Finds a member by name, through anonymous structs and unions; the answer is its type. Updates `found`. */
function matchMember(
  local: Btf,
  accessor: Accessor,
  target: Btf,
  targetId: number,
  found: Access,
  depth: number,
): number | undefined {
  if (depth > MAX_LEVELS)
    throw new InputError('core.depth', `${target.what}: ${target.describe(targetId)} is nested too deeply`)
  const id = target.skipModifiers(targetId)
  const type = target.type(id)
  if (type.kind !== 'struct' && type.kind !== 'union') return undefined
  const localMember = (local.type(accessor.typeId) as BtfComposite).members[accessor.index]
  for (const [index, member] of type.members.entries()) {
    if (member.name === '') {
      found.bitOffset += member.bitOffset
      found.steps.push({ typeId: id, index })
      const inner = matchMember(local, accessor, target, member.type, found, depth + 1)
      if (inner !== undefined) return inner
      found.steps.pop()
      found.bitOffset -= member.bitOffset
    } else if (member.name === accessor.name) {
      if (!fieldsCompatible(local, localMember.type, target, member.type)) return undefined
      found.bitOffset += member.bitOffset
      found.accessors.push({ typeId: id, index, name: member.name })
      found.steps.push({ typeId: id, index })
      return member.type
    }
  }
  return undefined
}
