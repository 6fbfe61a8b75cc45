import { bytesToHex } from '../../bytes/index.ts'
import type { Layout } from '../../layout/index.ts'
import type { MapSpec, VariableSpec } from '../../spec/index.ts'
import { ArrayWatch, elementOf } from '../backend/array-image.ts'
import type { Backend, BackendMap } from '../backend/backend.ts'
import type { Difference } from './difference.ts'
import { canonical, decodeWith, isComparable, isOrdered, type MapCodec, sumValues } from './map-values.ts'
import { keyText, valueText } from './value-text.ts'

/** An entry that two backends have differently: the bytes of each, per-CPU values summed; undefined where there is none. */
export interface EntryDifference {
  readonly key: Uint8Array
  readonly emulator: Uint8Array | undefined
  readonly kernel: Uint8Array | undefined
}

/** How a map's entries are put into words. */
export interface MapWords {
  readonly codec: MapCodec
  /** Of a section of global variables: what lies in it. */
  readonly variables: readonly { readonly spec: VariableSpec; readonly layout: Layout }[]
}

const bytes = (hex: string | undefined): Uint8Array | undefined =>
  hex === undefined ? undefined : Uint8Array.from(Buffer.from(hex, 'hex'))

/** Compares the maps of two backends after every run: what was equal and did not change is not looked at again. */
export class MapComparer {
  readonly #emulator: Backend
  readonly #kernel: Backend
  readonly #watches = new Map<number, ArrayWatch>()

  constructor(emulator: Backend, kernel: Backend) {
    this.#emulator = emulator
    this.#kernel = kernel
  }

  /** What one map differs in, entry by entry. */
  entries(index: number): EntryDifference[] {
    const [left, right] = [this.#emulator.map(index), this.#kernel.map(index)]
    if (!isComparable(left.spec) && !isOrdered(left.spec)) return []
    return this.#arrays(index, left, right) ?? others(left, right)
  }

  #arrays(index: number, left: BackendMap, right: BackendMap): EntryDifference[] | undefined {
    const [a, b] = [left.image?.(), right.image?.()]
    if (a === undefined || b === undefined) return undefined
    let watch = this.#watches.get(index)
    if (watch === undefined) this.#watches.set(index, (watch = new ArrayWatch()))
    const { valueSize } = left.spec
    const changed = watch.changed(a, b)
    if (changed.length === 0) return []
    const out = changed.flatMap((element): EntryDifference[] => {
      const [emulator, kernel] = [a, b].map((image) => sumValues(elementOf(image, element, valueSize)))
      if (Buffer.compare(emulator, kernel) === 0) return []
      const key = new Uint8Array(4)
      new DataView(key.buffer).setUint32(0, element, true)
      return [{ key, emulator: emulator.slice(), kernel: kernel.slice() }]
    })
    if (out.length === 0) watch.settle(a, b)
    return out
  }

  /** The same in words: `map counts[6].bytes`, `global packets`. @param ignored global variables that may differ */
  differences(index: number, words: MapWords, ignored: ReadonlySet<string>): Difference[] {
    const { spec } = this.#emulator.map(index)
    return this.entries(index).flatMap((entry) =>
      words.variables.length > 0 && entry.emulator !== undefined && entry.kernel !== undefined
        ? inGlobals(spec, words, entry, ignored)
        : inEntry(spec, words, entry),
    )
  }
}

function others(left: BackendMap, right: BackendMap): EntryDifference[] {
  const [a, b] = [canonical(left.entries()), canonical(right.entries())]
  const out: EntryDifference[] = []
  for (const key of new Set([...a.keys(), ...b.keys()]))
    if (a.get(key) !== b.get(key))
      out.push({ key: bytes(key) ?? new Uint8Array(0), emulator: bytes(a.get(key)), kernel: bytes(b.get(key)) })
  return out
}

function inGlobals(
  spec: MapSpec,
  { variables }: MapWords,
  { key, emulator = key, kernel = key }: EntryDifference,
  ignored: ReadonlySet<string>,
): Difference[] {
  const covered = new Uint8Array(spec.valueSize)
  const out = variables.flatMap(({ spec: { name, offset, size }, layout }): Difference[] => {
    covered.fill(1, offset, offset + size)
    const [a, b] = [emulator, kernel].map((side) => side.subarray(offset, offset + size))
    if (ignored.has(name) || Buffer.compare(a, b) === 0) return []
    return fields(`global ${name}`, layout, a, b).map((row) => ({ ...row, key: bytesToHex(key) }))
  })
  // bytes between the variables: static ones without a symbol
  const rest = covered.findIndex((known, at) => known === 0 && emulator[at] !== kernel[at])
  if (rest >= 0)
    out.push({
      what: `${spec.name} byte ${rest}`,
      emulator: String(emulator[rest]),
      kernel: String(kernel[rest]),
      key: bytesToHex(key),
    })
  return out
}

function inEntry(spec: MapSpec, { codec }: MapWords, { key, emulator, kernel }: EntryDifference): Difference[] {
  const place = isOrdered(spec) ? String(Number(bytesToHex(key))) : keyText(decodeWith(codec.key, key))
  const what = `map ${spec.name}[${place}]`
  if (emulator !== undefined && kernel !== undefined)
    return fields(what, codec.value, emulator, kernel).map((row) => ({ ...row, key: bytesToHex(key) }))
  const text = (side: Uint8Array | undefined): string =>
    side === undefined ? '(absent)' : valueText(decodeWith(codec.value, side))
  return [{ what, emulator: text(emulator), kernel: text(kernel), key: bytesToHex(key) }]
}

/** Which members of a struct differ, else the whole values. */
function fields(what: string, layout: Layout, emulator: Uint8Array, kernel: Uint8Array): Difference[] {
  const [a, b] = [decodeWith(layout, emulator), decodeWith(layout, kernel)]
  if (layout.kind === 'struct' && isRecord(a) && isRecord(b)) {
    const rows = Object.keys(a)
      .map((name) => ({ what: `${what}.${name}`, emulator: valueText(a[name]), kernel: valueText(b[name]) }))
      .filter((row) => row.emulator !== row.kernel)
    if (rows.length > 0) return rows
  }
  const row = { what, emulator: valueText(a), kernel: valueText(b) }
  // what no value shows: padding
  return [row.emulator === row.kernel ? { what, emulator: bytesToHex(emulator), kernel: bytesToHex(kernel) } : row]
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !(value instanceof Uint8Array)
}
