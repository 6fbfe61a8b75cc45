import { buildError } from '../context.ts'
import { constant, type LoadSize } from '../ir/ops.ts'
import type { BytesType } from '../types/types.ts'
import type { Place } from './place.ts'

/** Pieces to copy bytes in, as wide as the verifier lets them be in all of the places. */
export function* chunks(size: number, ...places: readonly Place[]): Generator<[at: number, size: LoadSize]> {
  const fits = (at: number, unit: number): boolean =>
    places.every(({ fn, base, offset }) => (fn.emitter.stackAlignment(base, offset + at) ?? 8) >= unit)
  for (let at = 0; at < size; ) {
    const step = ([8, 4, 2, 1] as const).find((unit) => unit <= size - at && fits(at, unit)) ?? 1
    yield [at, step]
    at += step
  }
}
export function zero(place: Place, size: number): void {
  for (const [at, step] of chunks(size, place))
    place.fn.emitter.store(place.region, step, place.base, place.offset + at, constant(0))
}
export function copy(to: Place, from: Place, size: number): void {
  const { emitter } = to.fn
  // read all first: the two may overlap
  const pieces = [...chunks(size, to, from)].map(
    ([at, step]) => [at, step, emitter.load(from.region, step, from.base, from.offset + at)] as const,
  )
  for (const [at, step, value] of pieces) emitter.store(to.region, step, to.base, to.offset + at, value)
}

/** Bytes as the number that a load gives. */
export function littleEndian(bytes: Uint8Array, at: number, size: number): bigint {
  let value = 0n
  for (let i = size - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[at + i])
  return value
}
/** Bytes of "02:00:…" (not of texts), of a text, filled up with 0; or as they are. */
export function constantBytes(value: Uint8Array | string, { length, form }: BytesType): Uint8Array {
  let out: Uint8Array
  if (typeof value !== 'string') out = value
  else if (form !== 'text' && /^([0-9a-fA-F]{2}:)*[0-9a-fA-F]{2}$/.test(value))
    out = Uint8Array.from(value.split(':'), (it) => Number.parseInt(it, 16))
  else {
    out = new Uint8Array(length)
    const encoded = new TextEncoder().encode(value)
    if (encoded.length <= length) out.set(encoded)
    else out = encoded
  }
  if (out.length !== length)
    throw buildError(
      'build.length',
      `${out.length} bytes where ${length} are expected`,
      'give as many bytes as the field has',
    )
  return out
}
