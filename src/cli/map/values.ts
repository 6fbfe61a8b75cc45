import type { Btf } from '../../btf/index.ts'
import { type MapInfo, mapInfo, type OwnedFd, type RawMap, type Sys } from '../../syscall/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { btfValue } from '../objects/btf-value.ts'
import type { Json } from '../objects/json.ts'
import { liveBtf } from '../objects/live-btf.ts'
import { mapOf } from '../objects/live-map.ts'
import { hexList, hexText } from '../objects/options.ts'
import { selectOne } from '../objects/select.ts'

const MAPS_IN_MAPS: ReadonlySet<number> = new Set([MAP_TYPES.array_of_maps, MAP_TYPES.hash_of_maps])

/** Maps of programs and maps: an empty slot is no entry. */
export const isReferenceMap = (type: number): boolean => MAPS_IN_MAPS.has(type) || type === MAP_TYPES.prog_array

/** A live map with what its types are. */
export interface OpenMap {
  readonly map: RawMap
  readonly info: MapInfo
  readonly btf?: Btf
  [Symbol.dispose](): void
}

/** The fd moves into the answer. */
export function openMapFd(sys: Sys, fd: OwnedFd): OpenMap {
  const info = mapInfo(sys, fd.fd)
  const map = mapOf(sys, fd)
  // struct_ops maps have a type of the kernel as their value
  const btf =
    info.btf_vmlinux_value_type_id > 0
      ? liveBtf(sys, 1)
      : info.btf_value_type_id > 0
        ? liveBtf(sys, info.btf_id)
        : undefined
  return { map, info, btf, [Symbol.dispose]: () => map.close() }
}

/** The one map that the words name, and the words that are left. */
export function openMap(sys: Sys, words: readonly string[]): OpenMap & { readonly rest: readonly string[] } {
  const { fd, rest } = selectOne(sys, 'map', words)
  return { ...openMapFd(sys, fd), rest }
}

export const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The values of all CPUs, or the one value. */
export function values({ map }: OpenMap, value: Uint8Array): Uint8Array[] {
  const step = map.exchangedSize / map.cpus
  return Array.from({ length: map.cpus }, (_, cpu) => value.subarray(cpu * step, cpu * step + map.shape.valueSize))
}

/** Key and value by their types. */
export function typed(open: OpenMap, btf: Btf, key: Uint8Array | undefined, value: Uint8Array, plain: boolean): Json {
  const { info, map } = open
  const one = (bytes: Uint8Array): Json => btfValue(btf, info.btf_value_type_id, viewOf(bytes), plain)
  return {
    key:
      info.btf_key_type_id > 0 && key !== undefined
        ? btfValue(btf, info.btf_key_type_id, viewOf(key), plain)
        : undefined,
    ...(map.cpus === 1
      ? { value: one(value) }
      : { values: values(open, value).map((bytes, cpu) => ({ cpu, value: one(bytes) })) }),
  }
}

export function entryJson(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array): Json {
  const { map, btf, info } = open
  const formatted = btf === undefined ? undefined : typed(open, btf, key, value, false)
  const named = key === undefined ? {} : { key: hexList(key) }
  if (map.cpus > 1)
    return { ...named, values: values(open, value).map((bytes, cpu) => ({ cpu, value: hexList(bytes) })), formatted }
  const inner = MAPS_IN_MAPS.has(info.type) ? viewOf(value).getUint32(0, true) : undefined
  return { ...named, value: hexList(value), inner_map_id: inner, formatted }
}

export function entryText(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array): string {
  const { map, info } = open
  const size = map.shape.valueSize
  if (map.cpus > 1) {
    let out = key === undefined || key.length === 0 ? '' : `key:\n${hexText(key)}\n`
    values(open, value).forEach((bytes, cpu) => {
      out += `value (CPU ${String(cpu).padStart(2, '0')}):${size > 16 ? '\n' : ' '}${hexText(bytes)}\n`
    })
    return out
  }
  const keySize = key?.length ?? 0
  const broken = keySize > 16 || size > 16
  let out = ''
  if (keySize > 0)
    out += `key:${broken ? '\n' : ' '}${hexText(key as Uint8Array)}${keySize + size <= 24 && !broken ? '  ' : '\n'}`
  if (MAPS_IN_MAPS.has(info.type)) out += `inner_map_id:${broken ? '\n' : ' '}${viewOf(value).getUint32(0, true)} `
  else if (size > 0) out += `value:${broken ? '\n' : ' '}${hexText(value)}`
  return `${out}\n`
}
