import { Btf } from '../../btf/index.ts'
import { bytesToHex } from '../../bytes/index.ts'
import { UsageError } from '../../errors/index.ts'
import {
  bytes as bytesLayout,
  decode,
  encode,
  type Layout,
  layoutFromBtf,
  u8,
  u16,
  u32,
  u64,
} from '../../layout/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import type { RawEntry } from '../backend/backend.ts'

/** How keys and values of a map are read: by the builder's types, by BTF, else as plain integers or bytes. */
export interface MapCodec {
  readonly key: Layout
  readonly value: Layout
}

/** An integer of this size where there is one, else bytes. */
export function plain(size: number): Layout {
  return ({ 1: u8, 2: u16, 4: u32, 8: u64 } as Record<number, Layout>)[size] ?? (bytesLayout(size) as Layout)
}

function fromBtf(btf: Btf | undefined, id: number | undefined, size: number): Layout {
  if (btf === undefined || id === undefined || id === 0) return plain(size)
  try {
    const layout = layoutFromBtf(btf, id)
    return layout.size === size ? layout : plain(size)
  } catch {
    // a type without a plain layout is shown as bytes
    return plain(size)
  }
}

export function mapCodec(spec: MapSpec, btf?: Uint8Array): MapCodec {
  const types = btf === undefined ? undefined : new Btf(btf, { what: `${spec.name}: BTF` })
  return {
    key: fromBtf(types, spec.btfKeyTypeId, spec.keySize),
    value: fromBtf(types, spec.btfValueTypeId, spec.valueSize),
  }
}

export function encodeWith(layout: Layout, value: unknown, what: string): Uint8Array {
  if (value instanceof Uint8Array) {
    if (value.length !== layout.size)
      throw new UsageError('progrun.map-value', `${what}: ${value.length} bytes, ${layout.size} are needed`)
    return value
  }
  // a number where 64 bits are wanted is what people write
  const wide = layout.kind === 'int' && layout.size === 8 && typeof value === 'number' ? BigInt(value) : value
  return encode(layout, wide)
}

export function decodeWith(layout: Layout, value: Uint8Array): unknown {
  return decode(layout, value)
}

const PER_CPU: readonly number[] = [
  MAP_TYPES.percpu_hash,
  MAP_TYPES.percpu_array,
  MAP_TYPES.lru_percpu_hash,
  MAP_TYPES.percpu_cgroup_storage,
]
export function isPerCpu(spec: MapSpec): boolean {
  return PER_CPU.includes(spec.type)
}

/** Maps whose entries can be read without changing them and mean the same in every backend. */
const COMPARABLE: readonly number[] = [
  MAP_TYPES.hash,
  MAP_TYPES.array,
  MAP_TYPES.percpu_hash,
  MAP_TYPES.percpu_array,
  MAP_TYPES.lru_hash,
  MAP_TYPES.lru_percpu_hash,
  MAP_TYPES.lpm_trie,
]
export function isComparable(spec: MapSpec): boolean {
  return COMPARABLE.includes(spec.type)
}

/** Maps without keys whose values have an order: the kernel gives them out only one by one, and they are put back. */
export function isOrdered(spec: MapSpec): boolean {
  return spec.type === MAP_TYPES.queue || spec.type === MAP_TYPES.stack
}

/** The sum of values as little-endian 64-bit words (32-bit or single bytes where the size is no multiple): a per-CPU value as one. */
export function sumValues(values: readonly Uint8Array[]): Uint8Array {
  if (values.length === 1) return values[0]
  const size = values[0].length
  const out = new Uint8Array(size)
  const view = new DataView(out.buffer)
  const lane = size % 8 === 0 ? 8 : size % 4 === 0 ? 4 : 1
  for (const value of values) {
    const from = new DataView(value.buffer, value.byteOffset, size)
    for (let at = 0; at < size; at += lane) {
      if (lane === 8) view.setBigUint64(at, view.getBigUint64(at, true) + from.getBigUint64(at, true), true)
      else if (lane === 4) view.setUint32(at, view.getUint32(at, true) + from.getUint32(at, true), true)
      else out[at] += value[at]
    }
  }
  return out
}

/** Entries by key in hex (without keys: by place), sorted, per-CPU values summed: what two backends are compared by. */
export function canonical(entries: readonly RawEntry[]): Map<string, string> {
  const rows = entries.map(
    ({ key, values }, place) =>
      [key.length === 0 ? String(place).padStart(8, '0') : bytesToHex(key), bytesToHex(sumValues(values))] as const,
  )
  return new Map(rows.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
}
