import { UsageError } from '../../errors/index.ts'
import type { FunctionContext } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { type ArrayType, array, type IntType, type Type, u32, u64 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { log2 } from '../values/log2.ts'
import { nullable } from '../values/maybe.ts'
import type { InitOf } from '../values/views.ts'
import type { MapOptions } from './definition.ts'
import { LookupMap } from './lookup.ts'
import { type Bucket, decodeSlots } from './slots.ts'

export type { Bucket } from './slots.ts'

export interface HistogramOptions extends MapOptions {
  /** How many slots. Values past the last one count in it. Default 64 (log2) or 32 (linear). */
  readonly slots?: number
  /** Linear slots of this width; absent: slot i counts from 2^i to 2^(i+1) - 1. */
  readonly step?: number
  /** Where linear slots begin; smaller values count in the first. Default 0. */
  readonly from?: number
  /** One copy a CPU: cheaper to count, user space adds them up. */
  readonly perCpu?: boolean
}

const MAX = (1n << 64n) - 1n

/** How values become slots, on both sides. */
export class Scale {
  readonly slots: number
  readonly step: number | undefined
  readonly from: number
  constructor(name: string, { slots, step, from = 0 }: HistogramOptions) {
    this.slots = slots ?? (step === undefined ? 64 : 32)
    this.step = step
    this.from = from
    const bad = (what: string): never => {
      throw new UsageError('build.histogram', `histogram ${name}: ${what}`)
    }
    if (!Number.isInteger(this.slots) || this.slots < 1 || this.slots > 4096) bad(`${this.slots} slots: 1 to 4,096`)
    if (step === undefined && this.slots > 64) bad(`${this.slots} slots: powers of two of 64 bits have 64`)
    if (step !== undefined && (!Number.isInteger(step) || step < 1)) bad(`step ${step}: a positive whole number`)
    if (!Number.isInteger(from) || from < 0 || (step === undefined && from !== 0))
      bad(`from ${from}: a whole number, of linear slots only`)
  }
  /** @internal The slot of a running value: at most the last. */
  slot(fn: FunctionContext, value: Operand): Operand {
    const { emitter } = fn
    let at: Operand
    if (this.step === undefined) at = log2(fn, value)
    else {
      let above = value
      if (this.from > 0) {
        const rest = emitter.variable(constant(0), MAX)
        const { site } = emitter
        const past = { kind: 'compare', cmp: 'gt', width: 64, a: value, b: constant(this.from), site } as const
        emitter.choose(past, () => emitter.setVariable(rest, emitter.alu('sub', 64, value, constant(this.from))))
        above = emitter.getVariable(rest)
      }
      at = emitter.alu('div', 64, above, constant(this.step))
    }
    const last = BigInt(this.slots - 1)
    if (emitter.bound(at) <= last) return at
    const capped = emitter.variable(at, MAX)
    const { site } = emitter
    emitter.choose({ kind: 'compare', cmp: 'gt', width: 64, a: at, b: constant(last), site }, () =>
      emitter.setVariable(capped, constant(last)),
    )
    return emitter.getVariable(capped)
  }
  /** {@link decodeSlots} */
  decode(counts: Iterable<number | bigint>, options?: { readonly all?: boolean }): Bucket[] {
    return decodeSlots(this, counts, options)
  }
}

/** What a histogram counts. */
export type Countable = Int<'u64'> | Int<'u32'> | Int<'u32' | 'u64'> | number | bigint
const wide = (fn: FunctionContext, value: Countable): Operand =>
  typeof value === 'number' || typeof value === 'bigint'
    ? operandOf(fn, u64, value)
    : operandOf(fn, value.type as IntType<'u64'>, value as Like<'u64'>)

const mapOptions = ({ flags, numaNode, pinned }: MapOptions): MapOptions => ({ flags, numaNode, pinned })

/** A histogram: an array map of counters, a slot an entry. User space: `latencies.decode(counts)`. */
export class Histogram extends LookupMap<IntType<'u32'>, IntType<'u64'>, 'array' | 'percpu_array'> {
  readonly scale: Scale
  constructor(name: string, options: HistogramOptions) {
    const scale = new Scale(name, options)
    super(options.perCpu ? 'percpu_array' : 'array', name, u32, u64, scale.slots, mapOptions(options))
    this.scale = scale
  }
  /** Counts a value. */
  add(value: Countable): void {
    const { fn, handle } = this.use('add')
    const slot = this.scale.slot(fn, wide(fn, value))
    const pointer = this.find(fn, handle, this.key(fn, new Int(u32, slot, fn)))
    fn.emitter.choose(nullable(fn, pointer).condition, () => {
      fn.emitter.atomic('map', 0, 8, pointer, 0, constant(1), false)
    })
  }
  /** {@link Scale.decode} */
  decode(counts: Iterable<number | bigint>, options?: { readonly all?: boolean }): Bucket[] {
    return this.scale.decode(counts, options)
  }
}

/** Histograms by key: a hash map whose values are the slots. User space: `byPid.decode(value)` for each entry. */
export class KeyedHistogram<K extends Type> extends LookupMap<
  K,
  ArrayType<IntType<'u64'>, number>,
  'hash' | 'percpu_hash'
> {
  readonly scale: Scale
  constructor(name: string, options: HistogramOptions & { readonly key: K; readonly maxEntries: number }) {
    const scale = new Scale(name, options)
    super(
      options.perCpu ? 'percpu_hash' : 'hash',
      name,
      options.key,
      array(u64, scale.slots),
      options.maxEntries,
      mapOptions(options),
    )
    this.scale = scale
  }
  /** Counts a value in the histogram of a key, which is made when it is missing. */
  add(key: InitOf<K>, value: Countable): void {
    const { fn, handle } = this.use('add')
    const { emitter } = fn
    const slot = this.scale.slot(fn, wide(fn, value))
    const pointer = this.ensure(fn, handle, this.key(fn, key))
    emitter.choose(nullable(fn, pointer).condition, () => {
      const { site } = emitter
      const within = { kind: 'compare', cmp: 'lt', width: 64, a: slot, b: constant(this.scale.slots), site } as const
      emitter.choose(within, () => {
        const at = emitter.alu('add', 64, pointer, emitter.alu('lsh', 64, slot, constant(3)))
        emitter.atomic('map', 0, 8, at, 0, constant(1), false)
      })
    })
  }
  /** {@link Scale.decode} */
  decode(counts: Iterable<number | bigint>, options?: { readonly all?: boolean }): Bucket[] {
    return this.scale.decode(counts, options)
  }
}
