import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { type KernelFields, type KernelStruct, type TrustedView, trustedAt } from '../kernel.ts'
import { helper } from '../kinds/helper-calls.ts'
import type { KptrType } from '../types/types.ts'
import { Maybe, nullable } from './maybe.ts'
import { PLACE, type Place, placeOf } from './place.ts'
import { Value } from './value.ts'

/** How an object that a program got comes and goes: what `kfunc(…, { release })` makes. */
export interface Acquired<S> {
  /** Emits the call; the pointer may be null. @internal */
  acquire(fn: FunctionContext): Operand
  /** Emits the release. @internal */
  release(fn: FunctionContext, pointer: Operand): void
  readonly type: S
}

/** A pointer to a kernel object in a map value, which owns a reference. */
export class Kptr<S = unknown> extends Value {
  readonly type: KptrType<S>
  readonly [PLACE]: Place
  readonly owner: FunctionContext
  constructor(type: KptrType<S>, place: Place) {
    super()
    this.type = type
    this[PLACE] = place
    this.owner = place.fn
  }
  #exchange(fn: FunctionContext, pointer: Operand): Operand {
    const place = placeOf(this)
    const args = [fn.emitter.address(place.base, place.offset), pointer]
    return fn.emitter.call(helper('kptr_xchg'), args)
  }
  /** Puts an object in as it is acquired; what was there before is released. Nothing happens where there is none. */
  fill(from: Acquired<S>): void {
    const fn = here('kptr.fill')
    const { emitter } = fn
    const fresh = from.acquire(fn)
    emitter.choose(nullable(fn, fresh).condition, () => {
      const old = this.#exchange(fn, fresh)
      emitter.choose(nullable(fn, old).condition, () => from.release(fn, old))
    })
  }
  /** Takes the object out and runs `body` with it; it is released behind, on every path. */
  take(from: Pick<Acquired<S>, 'release'>, body: (object: ObjectOf<S>) => void, missing?: () => void): void {
    const fn = here('kptr.take')
    const old = this.#exchange(fn, constant(0))
    holdingObject(
      fn,
      old,
      () => from.release(fn, old),
      () => body(objectAt(fn, this.type.to, old)),
      missing,
    )
  }
  /** The object as it is now, for reading only; missing when there is none. */
  peek(): Maybe<ObjectOf<S>> {
    const fn = here('kptr.peek')
    const place = placeOf(this)
    const pointer = fn.emitter.freshLoad(8, place.base, place.offset)
    return new Maybe(fn, nullable(fn, pointer), () => objectAt(fn, this.type.to, pointer))
  }
}

export type ObjectOf<S> = S extends KernelStruct<infer F> ? TrustedView<KernelStruct<F>> : never
export function objectAt<S>(fn: FunctionContext, type: S, pointer: Operand): ObjectOf<S> {
  return trustedAt(fn, type as unknown as KernelStruct<KernelFields>, pointer) as unknown as ObjectOf<S>
}

/** Runs `body` where the pointer is not null; `release` on every path out. */
export function holdingObject(
  fn: FunctionContext,
  pointer: Operand,
  release: () => void,
  body: () => void,
  missing?: () => void,
): void {
  const { emitter } = fn
  emitter.choose(
    nullable(fn, pointer).condition,
    () => {
      fn.held.push(release)
      try {
        body()
      } finally {
        fn.held.pop()
      }
      if (emitter.isOpen) release()
    },
    missing,
  )
}
