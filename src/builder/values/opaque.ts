import type { FunctionContext } from '../context.ts'
import type { OpaqueName } from '../types/types.ts'
import { PLACE, type Place } from './place.ts'
import { Value } from './value.ts'

/** The place of something that only helpers touch: a lock, a timer. */
export class Opaque<N extends OpaqueName = OpaqueName> extends Value {
  readonly id: N
  readonly [PLACE]: Place
  readonly owner: FunctionContext
  constructor(id: N, place: Place) {
    super()
    this.id = id
    this[PLACE] = place
    this.owner = place.fn
  }
}
