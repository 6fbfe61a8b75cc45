import { buildError, type FunctionContext } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { helper } from '../kinds/helper-calls.ts'
import { i64, type StructType, type Type, u64 } from '../types/types.ts'
import { Int, ownOperand } from '../values/int.ts'
import { Maybe, nullable } from '../values/maybe.ts'
import { PLACE, type Place, placeOf } from '../values/place.ts'
import { assign, type Init, type InitOf, type View, view, zero } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import { isWhole, materialize, unwritten } from './keys.ts'

/** A ring buffer (Linux 5.8): records of one type from the kernel to one reader. */
export class RingBuffer<T extends Type> extends MapDefinition {
  /** The type of a record. */
  readonly recordType: T
  constructor(name: string, record: T, sizeBytes: number, options: MapOptions) {
    super('ringbuf', name, { maxEntries: sizeBytes }, options)
    if (sizeBytes < 4096 || (sizeBytes & (sizeBytes - 1)) !== 0)
      throw buildError(
        'build.ring-size',
        `ring buffer ${name}: ${sizeBytes} bytes`,
        'a ring is a power of two, at least one page',
      )
    this.recordType = record
  }

  #reserve(what: string): { fn: FunctionContext; record: Operand } {
    const { fn, handle } = this.use(what)
    fn.unit.need(5, 8, 'a ring buffer', 'use map.perfEventArray')
    const size = constant(this.recordType.size)
    return { fn, record: fn.emitter.call(helper('ringbuf_reserve'), [handle, size, constant(0)], { pure: true }) }
  }

  /** Sends one record; when the ring is full it is lost. Members that are absent are 0. */
  emit(values: T extends StructType<infer F> ? Partial<Init<F>> : InitOf<T>): void {
    this.#write(!isWhole(this.recordType, values), (record) => {
      assign(this.recordType, (record as unknown as { readonly [PLACE]: Place })[PLACE], values)
    })
  }

  /**
   * Reserves a zeroed record, lets `fill` write it, sends it. `fill` returning false discards it. Every path gives it back,
   * early returns of the program too.
   */
  record(fill: (record: View<T, 'shared'>) => unknown, full?: () => void): void {
    this.#write(true, fill, full)
  }
  /**
   * As {@link record}, not zeroed: bytes that `fill` does not write are left from earlier records. For large records of
   * which only a part is used.
   */
  reserve(fill: (record: View<T, 'shared'>) => unknown, full?: () => void): void {
    this.#write(false, fill, full)
  }
  #write(clear: boolean, fill: (record: View<T, 'shared'>) => unknown, full?: () => void): void {
    const { fn, record } = this.#reserve('record')
    const { emitter } = fn
    emitter.choose(
      nullable(fn, record).condition,
      () => {
        const place = { fn, region: 'map' as const, base: record, offset: 0, access: 'shared' as const }
        if (clear) {
          emitter.zeroing(record)
          zero(place, this.recordType.size)
        }
        const finish = (name: string): void => {
          emitter.call(helper(name), [record, constant(0)], { result: false })
        }
        fn.held.push(() => finish('ringbuf_discard'))
        let keep: unknown
        try {
          keep = fill(view<T, 'shared'>(this.recordType, place))
        } finally {
          fn.held.pop()
        }
        finish(keep === false ? 'ringbuf_discard' : 'ringbuf_submit')
      },
      full,
    )
  }

  /**
   * Sends a copy of a record that is in memory already (a map value, scratch memory): its first `size` bytes, all of it when
   * it is not said or more. The answer is 0 or a negative errno when the ring is full.
   */
  send(record: { readonly [PLACE]: Place }, size?: Int<'u32'>): Int<'i64'> {
    const { fn, handle } = this.use('send')
    fn.unit.need(5, 8, 'a ring buffer', 'use map.perfEventArray')
    const { emitter } = fn
    const whole = this.recordType.size
    let bytes: Operand = constant(whole)
    if (size !== undefined) {
      const now = ownOperand(fn, size)
      const capped = emitter.variable(constant(whole), BigInt(whole))
      const { site } = emitter
      const less = { kind: 'compare', cmp: 'lt', width: 64, a: now, b: constant(whole), site } as const
      emitter.choose(less, () => emitter.setVariable(capped, now))
      bytes = emitter.getVariable(capped)
    }
    const place = placeOf(record)
    const from = emitter.address(place.base, place.offset)
    return new Int(i64, emitter.call(helper('ringbuf_output'), [handle, from, bytes, constant(0)]), fn)
  }

  /** Bytes that the reader has not taken yet. */
  unread(): Int<'u64'> {
    const { fn, handle } = this.use('unread')
    return new Int(u64, fn.emitter.call(helper('ringbuf_query'), [handle, constant(0)]), fn)
  }
}

/** A queue or stack of values. Linux 4.20. */
export class ValueList<T extends Type> extends MapDefinition {
  declare readonly valueType: T
  constructor(type: 'queue' | 'stack', name: string, value: T, maxEntries: number, options: MapOptions) {
    super(type, name, { value, maxEntries }, options)
  }
  push(value: InitOf<T>, replaceOldest = false): Int<'i64'> {
    const { fn, handle } = this.use('push')
    const v = materialize(fn, this.valueType, value, `value of ${this.name}`)
    return new Int(i64, fn.emitter.call(helper('map_push_elem'), [handle, v, constant(replaceOldest ? 2 : 0)]), fn)
  }
  /** The next value, taken out. */
  pop(): Maybe<View<T, 'shared'>> {
    return this.#take('map_pop_elem')
  }
  /** The next value; it stays. */
  peek(): Maybe<View<T, 'shared'>> {
    return this.#take('map_peek_elem')
  }
  #take(name: string): Maybe<View<T, 'shared'>> {
    const { fn, handle } = this.use(name)
    const base = unwritten(fn, this.valueType, `value from ${this.name}`)
    const result = fn.emitter.call(helper(name), [handle, base])
    const region = typeof base === 'object' && base.kind === 'frame' ? (`stack${base.slot.id}` as const) : 'map'
    return new Maybe(fn, nullable(fn, result).not(), () =>
      view<T, 'shared'>(this.valueType, { fn, region, base, offset: 0, access: 'shared' }),
    )
  }
}

/** A bloom filter (Linux 5.16). */
export class BloomFilter<T extends Type> extends MapDefinition {
  declare readonly valueType: T
  constructor(name: string, value: T, maxEntries: number, options: MapOptions & { readonly hashes?: number }) {
    super('bloom_filter', name, { value, maxEntries }, { ...options, mapExtra: BigInt(options.hashes ?? 5) })
  }
  add(value: InitOf<T>): void {
    const { fn, handle } = this.use('add')
    const v = materialize(fn, this.valueType, value, `value of ${this.name}`)
    fn.emitter.call(helper('map_push_elem'), [handle, v, constant(0)], { result: false })
  }
  /** False: certainly not there. */
  mayHave(value: InitOf<T>): import('../values/bool.ts').Bool {
    const { fn, handle } = this.use('mayHave')
    const v = materialize(fn, this.valueType, value, `value of ${this.name}`)
    return nullable(fn, fn.emitter.call(helper('map_peek_elem'), [handle, v])).not()
  }
}
