import { Btf } from '../../btf/index.ts'
import { BpfError, UsageError } from '../../errors/index.ts'
import { type Layout, layoutFromBtf } from '../../layout/index.ts'
import { btfBytes, mapInfo } from '../inspect/info.ts'
import { openById, openPinned } from '../inspect/objects.ts'
import type { Sys } from '../sys/sys.ts'
import { BpfMap, type MapCodec, rawBytes } from './map.ts'
import { type RawMap, rawMapOf } from './raw-map.ts'

/** Which map: by id (needs CAP_SYS_ADMIN) or where it is pinned. */
export type MapPlace = { readonly id: number } | { readonly path: string }

/** A live map that somebody else made. The answer owns an fd of its own. @throws UsageError `map.unknown` */
export function openRawMap(sys: Sys, place: MapPlace): RawMap {
  const fd = 'id' in place ? openById(sys, 'map', place.id) : openPinned(sys, place.path)
  if (fd === undefined) throw new UsageError('map.unknown', `there is no map ${'id' in place ? place.id : place.path}`)
  try {
    const info = mapInfo(sys, fd.fd)
    const { name, type, key_size: keySize, value_size: valueSize, max_entries: maxEntries, map_flags: flags } = info
    return rawMapOf(sys, fd.release(), { name, type, keySize, valueSize, maxEntries, flags })
  } finally {
    fd.close()
  }
}

/**
 * Keys and values as the map's own BTF describes them; bytes where it has none or the sizes differ. Linux 4.18.
 */
export function codecOf(sys: Sys, map: RawMap): MapCodec<unknown, unknown> {
  const info = mapInfo(sys, map.fd)
  let btf: Btf | undefined
  if (info.btf_id !== 0) {
    using fd = openById(sys, 'btf', info.btf_id)
    if (fd !== undefined) btf = new Btf(btfBytes(sys, fd.fd), { what: `BTF of ${map.what}` })
  }
  return codecFrom(btf, info.btf_key_type_id, info.btf_value_type_id, map.shape)
}

/** Keys and values as types of a BTF describe them; bytes where there is none or the sizes differ. */
export function codecFrom(
  btf: Btf | undefined,
  keyType: number | undefined,
  valueType: number | undefined,
  { keySize, valueSize }: { readonly keySize: number; readonly valueSize: number },
): MapCodec<unknown, unknown> {
  const layout = (id: number | undefined, size: number): Layout => {
    if (btf !== undefined && id !== undefined && id !== 0) {
      try {
        const found = layoutFromBtf(btf, id)
        if (found.size === size) return found
      } catch (error) {
        if (!(error instanceof BpfError)) throw error
      }
    }
    return rawBytes(size) as Layout
  }
  return { key: layout(keyType, keySize), value: layout(valueType, valueSize) }
}

/** A live map that somebody else made, with typed keys and values: of the given layouts, else of its BTF. */
export function openMap<Key = unknown, Value = unknown>(
  sys: Sys,
  place: MapPlace,
  codec?: MapCodec<Key, Value>,
): BpfMap<Key, Value> {
  const raw = openRawMap(sys, place)
  try {
    return new BpfMap(raw, codec ?? (codecOf(sys, raw) as MapCodec<Key, Value>))
  } catch (error) {
    raw.close()
    throw error
  }
}
