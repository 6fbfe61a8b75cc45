import type { Btf } from '../../btf/index.ts'
import { mapInfo, openById, type ProgramDetails, type Sys } from '../../syscall/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { btfValue } from '../objects/btf-value.ts'
import type { Json } from '../objects/json.ts'
import { liveBtf } from '../objects/live-btf.ts'
import { liveMap } from '../objects/live-map.ts'
import { fullName } from '../objects/program-name.ts'

/** A program's name and metadata, as its types tell them. */
export function described(sys: Sys, info: ProgramDetails): { readonly name: string; readonly metadata?: Json } {
  return { name: fullName(info, liveBtf(sys, info.btfId)), metadata: metadata(sys, info) }
}

const PREFIX = 'bpf_metadata_'

/** Constants of `.rodata` whose names begin with `bpf_metadata_`: what a program says about itself. */
function metadata(sys: Sys, info: ProgramDetails): Json | undefined {
  const found: Record<string, Json> = {}
  for (const id of info.mapIds) {
    using fd = openById(sys, 'map', id)
    if (fd === undefined) continue
    const map = mapInfo(sys, fd.fd)
    if (map.type !== MAP_TYPES.array || map.key_size !== 4 || map.max_entries !== 1 || map.btf_value_type_id === 0)
      continue
    const btf = liveBtf(sys, map.btf_id)
    if (btf === undefined) continue
    const values = read(sys, btf, id, map.btf_value_type_id)
    Object.assign(found, values)
  }
  return Object.keys(found).length === 0 ? undefined : found
}

function read(sys: Sys, btf: Btf, id: number, typeId: number): Record<string, Json> {
  const section = btf.type(typeId)
  const out: Record<string, Json> = {}
  if (section.kind !== 'datasec') return out
  const wanted = section.entries.filter(({ type }) => {
    const variable = btf.type(type)
    return variable.kind === 'var' && variable.name.startsWith(PREFIX)
  })
  if (wanted.length === 0) return out
  using map = liveMap(sys, id)
  const bytes = map?.lookup(new Uint8Array(4))
  if (bytes === undefined) return out
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (const { type, offset } of wanted) {
    const variable = btf.type(type)
    if (variable.kind === 'var')
      out[variable.name.slice(PREFIX.length)] = btfValue(
        btf,
        variable.type,
        new DataView(view.buffer, view.byteOffset + offset),
        false,
      )
  }
  return out
}
