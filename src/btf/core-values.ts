import type { CoreRelocation } from '../asm/index.ts'
import { InputError } from '../errors/index.ts'
import type { Btf } from './btf.ts'
import { type Access, describe, MAX_LEVELS, sizeOf } from './core-access.ts'
import { CORE_KIND, isFieldKind, isTypeKind } from './core-names.ts'
import type { BtfComposite, BtfEnum, BtfEnum64, BtfType } from './types.ts'

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

/** Nothing changes. */
export const NOTHING: CoreResult = {
  original: 0n,
  value: 0n,
  validate: true,
  poison: false,
  originalSize: 0,
  size: 0,
  badSize: false,
}

/** What a relocation of this kind comes to between two accesses; `target` undefined: the target has none. */
export function compute(
  kind: number,
  local: Access,
  target: Access | undefined,
  relocation: CoreRelocation,
): CoreResult {
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
