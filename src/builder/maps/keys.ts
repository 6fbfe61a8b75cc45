import { buildError, type FunctionContext } from '../context.ts'
import { constant, type LoadSize, type Operand, operandKey } from '../ir/ops.ts'
import type { Type } from '../types/types.ts'
import { operandOf, wireOperand } from '../values/int.ts'
import { PLACE, type Place, placeOf } from '../values/place.ts'
import { assign, zero } from '../values/views.ts'
import { zeroBytes } from './strings.ts'

/** True when a type has bytes that belong to no member. */
export function hasPadding(type: Type): boolean {
  if (type.kind === 'array') return hasPadding(type.element)
  if (type.kind === 'union') return true
  if (type.kind !== 'struct') return false
  let end = 0
  for (const member of type.members) {
    if (member.offset > end || hasPadding(member.type) || member.bits !== undefined) return true
    end = Math.max(end, member.offset + member.type.size)
  }
  return end !== type.size
}

/** Bytes the compiler knows to be written: all members of a struct named, no padding. */
export function isWhole(type: Type, value: unknown): boolean {
  if (type.kind === 'struct') {
    if (typeof value !== 'object' || value === null) return false
    if (PLACE in value) return true
    return (
      !hasPadding(type) &&
      type.members.every((member) => {
        const inner = (value as Record<string, unknown>)[member.name]
        return inner !== undefined && isWhole(member.type, inner)
      })
    )
  }
  return type.kind !== 'array' && type.kind !== 'union'
}

/**
 * The address of memory that holds `value`: memory on the stack that has it already, or a new slot. Padding is zeroed,
 * because the kernel compares keys byte by byte.
 */
export function materialize(fn: FunctionContext, type: Type, value: unknown, what: string): Operand {
  const { emitter } = fn
  if (
    typeof value === 'object' &&
    value !== null &&
    PLACE in value &&
    (type.kind === 'struct' || type.kind === 'union' || type.kind === 'bytes')
  ) {
    const place = placeOf(value as { [PLACE]: Place })
    if (typeof place.base === 'object' && place.base.kind === 'frame') return emitter.address(place.base, place.offset)
  }
  if (type.kind === 'int' || type.kind === 'wire') {
    const operand = type.kind === 'int' ? operandOf(fn, type, value as number) : wireOperand(fn, type, value as number)
    const key = `slot${type.size}:${operandKey(operand)}`
    const known = emitter.known(key)
    if (known !== undefined) return known
    const slot = emitter.slot(type.size, type.size, what)
    const frame: Operand = { kind: 'frame', slot, offset: 0 }
    emitter.store(`stack${slot.id}`, type.size as LoadSize, frame, 0, operand)
    emitter.remember(key, frame)
    return frame
  }
  if (value === undefined || value === null)
    throw buildError('build.operand', `${what}: a value is missing`, 'pass all members')
  // packed keys are copied in wide pieces too
  const align = [8, 4, 2].find((unit) => type.size % unit === 0) ?? 1
  const slot = emitter.slot(type.size, Math.max(type.align, align), what)
  const base: Operand = { kind: 'frame', slot, offset: 0 }
  const place: Place = { fn, region: `stack${slot.id}`, base, offset: 0, access: 'shared' }
  if (!isWhole(type, value)) {
    emitter.zeroing(base)
    zero(place, type.size)
  }
  assign(type, place, value)
  return base
}

/** Stack memory that a helper fills in any case. */
export function unwritten(fn: FunctionContext, type: Type, what: string): Operand {
  const slot = fn.emitter.slot(type.size, type.size % 8 === 0 ? 8 : type.align, what)
  return { kind: 'frame', slot, offset: 0 }
}

/** Above this a zero comes from read-only data instead of the stack. */
const LARGE_ZERO = 64

/** A zeroed value of a type to be copied by a helper: on the stack when it is small. */
export function zeroed(fn: FunctionContext, type: Type, what: string): Operand {
  if (type.size > LARGE_ZERO && fn.unit.atLeast(5, 2)) return zeroBytes(fn, type.size)
  const align = type.size % 8 === 0 ? 8 : type.align
  const slot = fn.emitter.slot(type.size, align, what)
  const base: Operand = { kind: 'frame', slot, offset: 0 }
  zero({ fn, region: `stack${slot.id}`, base, offset: 0, access: 'shared' }, type.size)
  return base
}

export const ZERO = constant(0)
