import { buildError, type FunctionContext, inside } from '../context.ts'
import type { Region } from '../ir/emitter.ts'
import type { Operand } from '../ir/ops.ts'

/**
 * What a program may do with memory: `read` it, also `write` it, or also use atomic operations on it (`shared`: map
 * values, globals, the stack, ring records; not packets).
 */
export type Access = 'read' | 'write' | 'shared'

/** A typed place in memory that the verifier lets the program reach. */
export interface Place {
  readonly fn: FunctionContext
  readonly region: Region
  readonly base: Operand
  /** Bytes from `base`. */
  readonly offset: number
  readonly access: Access
}

export const shifted = (place: Place, bytes: number): Place => ({ ...place, offset: place.offset + bytes })

/** The property under which views keep their place. */
export const PLACE: unique symbol = Symbol('place')

/** The property under which struct views keep their type (a member may be called `type`). */
export const TYPE: unique symbol = Symbol('type')

/** The property that return codes have. */
export const CODE: unique symbol = Symbol('code')

/** How a body gives its context to helpers that need it. */
export const CONTEXT: unique symbol = Symbol('context')

/** The place of a view, as the function being built reaches it: a closure captures the address. */
export function placeOf(view: { readonly [PLACE]: Place }): Place {
  const place = view?.[PLACE]
  if (place === undefined)
    throw buildError(
      'build.memory',
      'memory is expected: a member of a map value, a ring record or of b.local(Struct)',
      'pass the member itself (record.name), not a number',
    )
  const fn = inside()
  if (fn === undefined || fn === place.fn) return place
  return { ...place, fn, base: fn.reach(place.fn, place.base) }
}
