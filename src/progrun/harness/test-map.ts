import { bytesToHex } from '../../bytes/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { ArrayWatch, elementOf } from '../backend/array-image.ts'
import type { Backend } from '../backend/backend.ts'
import { decodeWith, encodeWith, type MapCodec, sumValues } from './map-values.ts'
import { keyText } from './value-text.ts'

/** A map of the program under test: read and written with typed keys and values, in every backend at once. */
export class TestMap<K = unknown, V = unknown> {
  readonly spec: MapSpec
  readonly #codec: MapCodec
  readonly #backends: readonly Backend[]
  readonly #index: number
  readonly #agreed: () => void

  /** @param agreed throws where two backends differ in this map */
  constructor(spec: MapSpec, codec: MapCodec, backends: readonly Backend[], index: number, agreed: () => void) {
    this.spec = spec
    this.#codec = codec
    this.#backends = backends
    this.#index = index
    this.#agreed = agreed
  }

  get name(): string {
    return this.spec.name
  }

  /** Both backends must agree before anything is read. */
  #agree(): Backend {
    this.#agreed()
    return this.#backends[0]
  }

  #key(key: K): Uint8Array {
    return encodeWith(this.#codec.key, key, `key of ${this.name}`)
  }

  /** The value of a key; of a per-CPU map the sum over the CPUs. Undefined where there is none. */
  get(key: K): V | undefined {
    const bytes = this.#key(key)
    const [first, second] = this.#backends.map((backend) => backend.map(this.#index).get(bytes))
    const value = first === undefined ? undefined : sumValues(first)
    // one key is looked at quickly; where it differs, all are, to say what
    if (this.#backends.length > 1 && !sameValue(value, second)) this.#agree()
    return value === undefined ? undefined : (decodeWith(this.#codec.value, value) as V)
  }

  /** A value for each CPU, in the first backend. */
  perCpu(key: K): V[] | undefined {
    const values = this.#backends[0].map(this.#index).get(this.#key(key))
    return values?.map((value) => decodeWith(this.#codec.value, value) as V)
  }

  /** Writes an entry, of per-CPU maps for every CPU. @throws SystemError or InputError when it is full or does not fit */
  set(key: K, value: V): this {
    const bytes = encodeWith(this.#codec.value, value, `value of ${this.name}`)
    for (const backend of this.#backends) backend.map(this.#index).set(this.#key(key), bytes)
    return this
  }

  /** True when it was there. */
  delete(key: K): boolean {
    return this.#backends.map((backend) => backend.map(this.#index).delete(this.#key(key)))[0] ?? false
  }

  /** All entries, by the bytes of their keys; per-CPU values are summed. */
  entries(): [key: K, value: V][] {
    const rows = this.#agree().map(this.#index).entries()
    return rows
      .map(({ key, values }) => ({ order: bytesToHex(key), key, values }))
      .sort((a, b) => (a.order < b.order ? -1 : 1))
      .map(({ key, values }) => [
        decodeWith(this.#codec.key, key) as K,
        decodeWith(this.#codec.value, sumValues(values)) as V,
      ])
  }

  get size(): number {
    return this.#agree().map(this.#index).entries().length
  }

  /** Its first contents again. */
  reset(): void {
    for (const backend of this.#backends) backend.map(this.#index).reset()
  }

  /** A key as {@link entries} gives it: of bytes or anything that encodes to the same. */
  normalKey(key: unknown): K {
    return decodeWith(this.#codec.key, this.#key(key as K)) as K
  }

  /** A value as {@link get} gives it, where it is given whole, as bytes or as a number for 64 bits. */
  normalValue(value: unknown): unknown {
    const whole = value instanceof Uint8Array || typeof value === 'number'
    return whole ? decodeWith(this.#codec.value, encodeWith(this.#codec.value, value, `value of ${this.name}`)) : value
  }

  /** The entries that hold something: of an array, the elements that are not zero. */
  filled(): [key: K, value: V][] {
    const image = this.#agree().map(this.#index).image?.()
    if (image === undefined) return this.entries()
    const key = new Uint8Array(4)
    return new ArrayWatch().changed(image, { ...image, bytes: new Uint8Array(0) }).map((element) => {
      new DataView(key.buffer).setUint32(0, element, true)
      const value = sumValues(elementOf(image, element, this.spec.valueSize))
      return [decodeWith(this.#codec.key, key) as K, decodeWith(this.#codec.value, value) as V]
    })
  }

  /** A stable form for snapshots: keys as text; of arrays only what is not zero. */
  toJSON(): Record<string, unknown> {
    return Object.fromEntries(this.filled().map(([key, value]) => [keyText(key), value]))
  }
}

function sameValue(value: Uint8Array | undefined, others: readonly Uint8Array[] | undefined): boolean {
  if (value === undefined || others === undefined) return value === others
  return Buffer.compare(value, sumValues(others)) === 0
}
