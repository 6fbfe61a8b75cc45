import type { CoreRelocation } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { CORE_KIND, CORE_KIND_NAMES, essentialName, isEnumKind, isFieldKind, isTypeKind } from './core-names.ts'
import { fieldsCompatible, kindsCompatible, typesCompatible, typesMatch } from './core-types.ts'
import type { BtfArray, BtfComposite, BtfEnum, BtfEnum64, BtfType } from './types.ts'

/** Levels of nesting that one access may have. */
const MAX_LEVELS = 64

/** A turning point of an access: a named member, or an element of an array (no name). */
interface Accessor {
  readonly typeId: number
  readonly index: number
  readonly name?: string
}

/** A parsed access: where it leads inside one BTF. */
interface Access {
  readonly btf: Btf
  readonly rootId: number
  readonly accessors: Accessor[]
  /** Every member on the way, of anonymous structs too. */
  readonly steps: Accessor[]
  bitOffset: number
}

/** Where a relocation leads in a target: its type, and the members on the way. */
export interface CoreTarget {
  readonly btf: Btf
  readonly typeId: number
  readonly members: readonly { readonly typeId: number; readonly index: number }[]
}

interface FieldValue {
  readonly value: bigint
  /** Bytes of the field, where a load's width may have to change; 0: it may not. */
  readonly size: number
  readonly typeId: number
  readonly validate: boolean
}

/** What a relocation comes to on a target. */
export interface CoreResult {
  /** What the compiler must have put into the instruction. */
  readonly original: bigint
  readonly value: bigint
  /** False where compiler and loader may differ (bit fields, type ids). */
  readonly validate: boolean
  /** Nothing on the target fits: the instruction becomes one that the verifier refuses where it is reached. */
  readonly poison: boolean
  /** The field's width before and after; a load or store must change with it. */
  readonly originalSize: number
  readonly size: number
  /** The width differs in a way that a changed load could not make good. */
  readonly badSize: boolean
  /** With `poison`: why, for people. */
  readonly reason?: string
}

/**
 * Resolves CO-RE relocations of one object against one target kernel, by libbpf's rules: candidates are target types of
 * the same name without flavour; all that match must agree.
 */
export class CoreResolver {
  readonly local: Btf
  readonly target: Btf
  readonly #modules: readonly Btf[]
  readonly #candidates = new Map<number, { btf: Btf; id: number }[]>()
  readonly #results = new Map<string, CoreResult>()

  /** @param modules BTF of kernel modules (split over `target`), looked at when `target` has no candidate */
  constructor(local: Btf, target: Btf, modules: readonly Btf[] = []) {
    this.local = local
    this.target = target
    this.#modules = modules
  }

  /** @throws InputError `core.relocation` (malformed), `core.ambiguous`, `core.depth` */
  resolve(relocation: CoreRelocation): CoreResult {
    const key = `${relocation.kind} ${relocation.typeId} ${relocation.access}`
    let result = this.#results.get(key)
    if (result === undefined) this.#results.set(key, (result = this.#resolve(relocation)))
    return result
  }

  #resolve(relocation: CoreRelocation): CoreResult {
    const { kind, typeId } = relocation
    const { local } = this
    const access = parseAccess(local, relocation)
    if (kind === CORE_KIND.typeIdLocal)
      return { ...NOTHING, original: BigInt(typeId), value: BigInt(typeId), validate: false }
    const name = local.name(typeId)
    if (name === '')
      throw new InputError('core.relocation', `${describe(local, relocation)}: anonymous types cannot be looked up`)
    const candidates = this.#candidatesOf(typeId, name)
    let chosen: { result: CoreResult; access: Access } | undefined
    const matching: { btf: Btf; id: number }[] = []
    for (const candidate of candidates) {
      const found = matchAccess(access, kind, candidate.btf, candidate.id)
      if (found === undefined) continue
      const result = compute(kind, access, found, relocation)
      if (chosen === undefined) chosen = { result, access: found }
      else if (
        chosen.access.bitOffset !== found.bitOffset ||
        chosen.result.value !== result.value ||
        chosen.result.poison !== result.poison
      )
        throw new InputError(
          'core.ambiguous',
          `${describe(local, relocation)}: the target's types of that name disagree (${chosen.result.value} and ${result.value})`,
        )
      matching.push(candidate)
    }
    if (chosen !== undefined) {
      this.#candidates.set(typeId, matching)
      return chosen.result
    }
    const missing = compute(kind, access, undefined, relocation)
    return missing.poison ? { ...missing, reason: this.#reason(relocation, access, candidates) } : missing
  }

  /** All target types that fit a relocation. @throws InputError `core.relocation` */
  targetsOf(relocation: CoreRelocation): CoreTarget[] {
    const { kind, typeId } = relocation
    const name = this.local.name(typeId)
    if (kind === CORE_KIND.typeIdLocal || name === '') return []
    const access = parseAccess(this.local, relocation)
    return this.#candidatesOf(typeId, name).flatMap(({ btf, id }) => {
      const found = matchAccess(access, kind, btf, id)
      return found === undefined ? [] : [{ btf, typeId: id, members: found.steps }]
    })
  }

  #candidatesOf(typeId: number, name: string): { btf: Btf; id: number }[] {
    let found = this.#candidates.get(typeId)
    if (found !== undefined) return found
    const kind = this.local.kind(typeId)
    const essential = essentialName(name)
    const search = (btf: Btf): { btf: Btf; id: number }[] =>
      idsByEssentialName(btf, essential)
        .filter((id) => kindsCompatible(btf.kind(id), kind))
        .map((id) => ({ btf, id }))
    found = search(this.target)
    if (found.length === 0)
      for (const module of this.#modules) found.push(...search(module).filter(({ id }) => id >= module.firstId))
    this.#candidates.set(typeId, found)
    return found
  }

  #reason(relocation: CoreRelocation, access: Access, candidates: readonly { btf: Btf; id: number }[]): string {
    const kind = this.local.kind(relocation.typeId)
    const name = essentialName(this.local.name(relocation.typeId))
    if (candidates.length === 0) return `this kernel has no ${kind} ${name}`
    if (isEnumKind(relocation.kind))
      return `${kind} ${name} has no value ${essentialName(access.accessors[0].name ?? '')} on this kernel`
    const path: string[] = []
    // the first step that no candidate has
    for (let i = 1; i <= access.accessors.length; i++) {
      const step = access.accessors[i - 1]
      const partial: Access = { ...access, accessors: access.accessors.slice(0, i) }
      const works = candidates.some(({ btf, id }) => matchAccess(partial, CORE_KIND.fieldExists, btf, id) !== undefined)
      if (works) {
        if (step.name !== undefined) path.push(step.name)
        continue
      }
      const holder = path.length === 0 ? name : `${name}.${path.join('.')}`
      return step.name === undefined
        ? `${holder} has no element ${step.index} on this kernel`
        : `${holder} has no field ${step.name} of a matching type on this kernel`
    }
    return `${kind} ${name} does not match on this kernel`
  }
}

const NOTHING: CoreResult = {
  original: 0n,
  value: 0n,
  validate: true,
  poison: false,
  originalSize: 0,
  size: 0,
  badSize: false,
}

const flavours = new WeakMap<Btf, ReadonlyMap<string, readonly number[]>>()

function idsByEssentialName(btf: Btf, essential: string): number[] {
  let table = flavours.get(btf)
  if (table === undefined) {
    const map = new Map<string, number[]>()
    for (const id of btf.idsWithNamePart('___')) {
      const name = btf.name(id)
      const stem = essentialName(name)
      if (stem !== name) map.set(stem, [...(map.get(stem) ?? []), id])
    }
    table = map
    flavours.set(btf, table)
  }
  const plain = btf.idsByName(essential)
  const more = table.get(essential)
  return more === undefined ? [...plain] : [...plain, ...more].sort((a, b) => a - b)
}

/** The relocation in words: "byte_off of struct task_struct, access 0:1:2". */
export function describe(btf: Btf, { kind, typeId, access }: CoreRelocation): string {
  const what = btf.has(typeId) ? btf.describe(typeId) : `type [${typeId}]`
  return `CO-RE relocation ${CORE_KIND_NAMES[kind] ?? kind} of ${what}, access ${JSON.stringify(access)}`
}

function sizeOf(btf: Btf, id: number): number {
  const size = btf.sizeOf(id)
  if (size === undefined) throw new InputError('core.relocation', `${btf.what}: ${btf.describe(id)} has no size`)
  return size
}

function parseAccess(btf: Btf, relocation: CoreRelocation): Access {
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
function matchAccess(local: Access, kind: number, target: Btf, targetId: number): Access | undefined {
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

function compute(kind: number, local: Access, target: Access | undefined, relocation: CoreRelocation): CoreResult {
  if (isFieldKind(kind)) {
    const before = fieldValue(kind, local, relocation)
    if (target === undefined)
      return kind === CORE_KIND.fieldExists
        ? { ...NOTHING, original: 1n, value: 0n }
        : { ...NOTHING, original: before.value, validate: before.validate, poison: true }
    const after = fieldValue(kind, target, relocation)
    const differs = before.size !== after.size
    return {
      original: before.value,
      value: after.value,
      validate: before.validate,
      poison: false,
      originalSize: before.size,
      size: after.size,
      badSize: differs && !mayResize(local.btf.type(before.typeId), target.btf.type(after.typeId)),
    }
  }
  if (isTypeKind(kind))
    return {
      ...NOTHING,
      original: typeValue(kind, local),
      value: target === undefined ? 0n : typeValue(kind, target),
      validate: kind !== CORE_KIND.typeIdTarget,
    }
  if (kind === CORE_KIND.enumValueExists) return { ...NOTHING, original: 1n, value: target === undefined ? 0n : 1n }
  const original = enumValue(local)
  return target === undefined
    ? { ...NOTHING, original, poison: true }
    : { ...NOTHING, original, value: enumValue(target) }
}

/** Loads of pointers and of unsigned integers may change their width, others would read something else. */
function mayResize(before: BtfType, after: BtfType): boolean {
  if (before.kind === 'ptr' && after.kind === 'ptr') return true
  return before.kind === 'int' && after.kind === 'int' && !onlySigned(before) && !onlySigned(after)
}

const onlySigned = (type: { signed: boolean; char: boolean; bool: boolean }): boolean =>
  type.signed && !type.char && !type.bool

function typeValue(kind: number, access: Access): bigint {
  if (kind === CORE_KIND.typeIdTarget) return BigInt(access.rootId)
  if (kind === CORE_KIND.typeSize) return BigInt(sizeOf(access.btf, access.rootId))
  return 1n
}

function enumValue({ btf, accessors }: Access): bigint {
  const type = btf.type(accessors[0].typeId) as BtfEnum | BtfEnum64
  return BigInt.asUintN(64, BigInt(type.values[accessors[0].index].value))
}

function fieldValue(kind: number, access: Access, relocation: CoreRelocation): FieldValue {
  const { btf, accessors, bitOffset } = access
  if (kind === CORE_KIND.fieldExists) return { value: 1n, size: 0, typeId: 0, validate: true }
  const last = accessors[accessors.length - 1]
  const fail = (why: string): never => {
    throw new InputError('core.relocation', `${describe(btf, relocation)}: ${why}`)
  }
  if (last.name === undefined) {
    if (kind === CORE_KIND.fieldByteOffset)
      return {
        value: BigInt(Math.floor(bitOffset / 8)),
        size: elementSize(btf, last.typeId),
        typeId: last.typeId,
        validate: true,
      }
    if (kind === CORE_KIND.fieldByteSize)
      return { value: BigInt(sizeOf(btf, last.typeId)), size: 0, typeId: 0, validate: true }
    return fail('an array element has no such property')
  }
  const member = (btf.type(last.typeId) as BtfComposite).members[last.index]
  const fieldId = btf.skipModifiers(member.type)
  const field = btf.type(fieldId)
  let byteSize = sizeOf(btf, fieldId)
  let byteOffset = Math.floor(bitOffset / 8)
  let bitSize = byteSize * 8
  const isBitField = member.bitSize > 0
  if (isBitField) {
    bitSize = member.bitSize
    if (byteSize === 0) fail('a bit field of no size')
    byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize
    // the smallest load that has all its bits
    while (bitOffset + bitSize - byteOffset * 8 > byteSize * 8) {
      if (byteSize >= 8) return fail('the bit field does not fit a 64-bit load')
      byteSize *= 2
      byteOffset = Math.floor(bitOffset / 8 / byteSize) * byteSize
    }
  }
  const plain = { size: 0, typeId: 0, validate: !isBitField }
  switch (kind) {
    case CORE_KIND.fieldByteOffset:
      return isBitField
        ? { ...plain, value: BigInt(byteOffset) }
        : { value: BigInt(byteOffset), size: elementSize(btf, fieldId), typeId: fieldId, validate: true }
    case CORE_KIND.fieldByteSize:
      return { ...plain, value: BigInt(byteSize) }
    case CORE_KIND.fieldSigned: {
      const signed = field.kind === 'enum' || field.kind === 'enum64' || field.kind === 'int' ? field.signed : false
      return { ...plain, value: signed ? 1n : 0n, validate: true }
    }
    case CORE_KIND.fieldLeftShift: {
      const shift = btf.littleEndian
        ? 64 - (bitOffset + bitSize - byteOffset * 8)
        : (8 - byteSize) * 8 + (bitOffset - byteOffset * 8)
      return { ...plain, value: BigInt.asUintN(64, BigInt(shift)) }
    }
    case CORE_KIND.fieldRightShift:
      return { ...plain, value: BigInt.asUintN(64, BigInt(64 - bitSize)), validate: true }
    default:
      return fail('the kind is unknown')
  }
}

/** Of arrays, of however many dimensions, the size of one element. */
function elementSize(btf: Btf, id: number): number {
  let at = btf.skipModifiers(id)
  for (let depth = 0; depth < MAX_LEVELS; depth++) {
    const type = btf.type(at)
    if (type.kind !== 'array') return sizeOf(btf, at)
    at = btf.skipModifiers(type.type)
  }
  throw new InputError('btf.cycle', `${btf.what}: type [${id}] is an array of itself`)
}
