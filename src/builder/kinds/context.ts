import { type FunctionContext, here } from '../context.ts'
import type { LoadSize, Operand } from '../ir/ops.ts'
import type { IntName, WireName } from '../types/forms.ts'
import type { IntType, WireType } from '../types/types.ts'
import { type IntField, WideWireField, type WireField } from '../values/fields.ts'
import { Int, type Wire, Wire as WireValue } from '../values/int.ts'
import type { Place } from '../values/place.ts'
import { view } from '../values/views.ts'

/** A field of a context: its type, its offset in the uapi struct (bytes), whether programs may write it. */
export interface ContextField<T = IntType | WireType, W extends boolean = boolean> {
  readonly type: T
  readonly offset: number
  readonly writable: W
  /** Bytes that a write takes where it takes more than a read: a port in a 32-bit member. */
  readonly stored?: LoadSize
}
export type ContextFields = { readonly [name: string]: ContextField }

/** A field that programs read. */
export const ro = <T>(type: T, offset: number): ContextField<T, false> => ({ type, offset, writable: false })
/** A field that programs read and write. */
export const rw = <T>(type: T, offset: number): ContextField<T, true> => ({ type, offset, writable: true })

/** The context's fields as values; only writable ones have `set`. */
export type ContextView<C extends ContextFields> = {
  readonly [K in keyof C]: C[K] extends ContextField<infer T, infer W>
    ? T extends IntType<infer N extends IntName>
      ? W extends true
        ? IntField<N>
        : Int<N>
      : T extends WireType<infer M extends WireName>
        ? W extends true
          ? WireField<M>
          : Wire<M>
        : never
    : never
}

/** The view of a context. */
export function contextView<C extends ContextFields>(fn: FunctionContext, base: Operand, fields: C): ContextView<C> {
  const out = {}
  for (const [name, field] of Object.entries(fields))
    Object.defineProperty(out, name, {
      enumerable: true,
      get() {
        const now = here(`ctx.${name}`)
        const own = now.reach(fn, base)
        if (field.writable) {
          const place: Place = { fn: now, region: 'ctx', base: own, offset: field.offset, access: 'write' }
          if (field.stored === undefined || field.type.kind === 'int') return view(field.type, place)
          return new WideWireField(field.type, place, field.stored)
        }
        const raw = now.emitter.load('ctx', field.type.size as LoadSize, own, field.offset)
        return field.type.kind === 'int' ? new Int(field.type, raw, now) : new WireValue(field.type, raw, now)
      },
    })
  return out as ContextView<C>
}
