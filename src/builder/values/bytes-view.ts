/** Fixed byte fields: texts, addresses, hashes. */

import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import type { BytesType } from '../types/types.ts'
import { Bool } from './bool.ts'
import { chunks, constantBytes, copy, littleEndian } from './copying.ts'
import { IntField } from './fields.ts'
import { type Int, intType, operandOf } from './int.ts'
import { Maybe } from './maybe.ts'
import { type Access, PLACE, type Place, placeOf, shifted } from './place.ts'
import { Value } from './value.ts'

/** A fixed number of bytes in memory. */
export class BytesView<L extends number = number, A extends Access = Access> extends Value {
  declare readonly access: A
  readonly type: BytesType<L>
  readonly [PLACE]: Place
  readonly owner: FunctionContext
  constructor(type: BytesType<L>, place: Place) {
    super()
    this.type = type
    this[PLACE] = place
    this.owner = place.fn
  }
  get length(): L {
    return this.type.length
  }
  /** The byte at a fixed index. */
  at(index: number): A extends 'read' ? Int<'u8'> : IntField<'u8'> {
    here('at')
    checkIndex(index, this.length)
    return new IntField(intType('u8'), shifted(placeOf(this), index)) as A extends 'read' ? Int<'u8'> : IntField<'u8'>
  }
  /**
   * `length` bytes from a running offset on: missing where they would pass the end. Texts one behind the other in one
   * field: read each into its part, then go on by its length.
   */
  part<const N extends number>(offset: Int<'u32'> | Int<'u16'> | Int<'u8'>, length: N): Maybe<BytesView<N, A>> {
    const fn = here('part')
    const place = placeOf(this)
    const { emitter } = fn
    if (!Number.isInteger(length) || length < 1 || length > this.length)
      throw buildError('build.length', `a part of ${length} bytes of ${this.length}`, `1 to ${this.length} bytes`)
    const by = operandOf(fn, offset.type, offset)
    const last = constant(this.length - length)
    const ok = new Bool({ kind: 'compare', cmp: 'le', width: 64, a: by, b: last, site: emitter.site }, fn)
    const type = { ...this.type, length, size: length } as BytesType<N>
    return new Maybe(fn, ok, () => {
      const base = emitter.alu('add', 64, emitter.address(place.base, 0), by)
      if (emitter.stackAlignment(place.base, 0) !== undefined) emitter.stackPointer(base, 1)
      return new BytesView<N, A>(type, { ...place, base })
    })
  }
  /** Copies bytes of the same length in; or constants: a text, an address such as "02:00:00:00:00:01". */
  set(given: (A extends 'read' ? never : BytesView<L, Access>) | Uint8Array | string): void {
    here('set')
    const value = typeof given === 'string' ? constantBytes(given, this.type) : given
    if (value instanceof Uint8Array) {
      if (value.length > this.length)
        throw buildError(
          'build.length',
          `${value.length} bytes do not fit ${this.length}`,
          'cut them or make the field longer',
        )
      for (let i = 0; i < this.length; i++)
        placeOf(this).fn.emitter.store(
          placeOf(this).region,
          1,
          placeOf(this).base,
          placeOf(this).offset + i,
          constant(value[i] ?? 0),
        )
      return
    }
    copy(placeOf(this), placeOf(value as BytesView), this.length)
  }
  /** Exchanges the bytes of two fields. */
  swap(other: A extends 'read' ? never : BytesView<L, 'write' | 'shared'>): void {
    here('swap')
    const [one, two] = [placeOf(this), placeOf(other as BytesView)]
    const { emitter } = one.fn
    const pieces = [...chunks(this.length, one, two)].map(
      ([at, step]) =>
        [
          at,
          step,
          emitter.load(one.region, step, one.base, one.offset + at),
          emitter.load(two.region, step, two.base, two.offset + at),
        ] as const,
    )
    for (const [at, step, a, b] of pieces) {
      emitter.store(one.region, step, one.base, one.offset + at, b)
      emitter.store(two.region, step, two.base, two.offset + at, a)
    }
  }
  /** Byte by byte equal (compared in the widest units). */
  eq(other: BytesView<L, Access> | Uint8Array | string): Bool {
    const fn = here('eq')
    const { emitter } = fn
    const place = placeOf(this)
    const right = other instanceof BytesView ? undefined : constantBytes(other, this.type)
    let all: Bool | undefined
    for (const [at, step] of chunks(this.length, place, ...(other instanceof BytesView ? [placeOf(other)] : []))) {
      const compare = (): Bool => {
        const a = emitter.load(place.region, step, place.base, place.offset + at)
        const b: Operand =
          right === undefined
            ? emitter.load(
                placeOf(other as BytesView).region,
                step,
                placeOf(other as BytesView).base,
                placeOf(other as BytesView).offset + at,
              )
            : constant(littleEndian(right, at, step))
        const wide =
          step === 8 ||
          (typeof b === 'object' && b.kind === 'const' && b.value <= 0x7fff_ffffn) ||
          typeof b === 'number'
        return new Bool({ kind: 'compare', cmp: 'eq', width: wide ? 64 : 32, a, b, site: emitter.site }, fn)
      }
      all = all === undefined ? compare() : all.and(compare)
    }
    return all!
  }
  ne(other: BytesView<L, Access> | Uint8Array | string): Bool {
    return this.eq(other).not()
  }
}

/** A fixed index is inside. @throws BuildError `build.index` */
export function checkIndex(index: number, length: number): void {
  if (!Number.isInteger(index) || index < 0 || index >= length)
    throw buildError(
      'build.index',
      `index ${index} of ${length} elements`,
      `use 0 to ${length - 1}, or at(value) with a BPF value`,
    )
}
