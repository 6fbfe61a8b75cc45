import { mapInfo, type OwnedFd, openById, RawMap, type Sys } from '../../syscall/index.ts'

/** A map's fd with the operations on it; the fd moves into the answer. */
export function mapOf(sys: Sys, fd: OwnedFd): RawMap {
  const info = mapInfo(sys, fd.fd)
  return new RawMap(sys, fd.release(), {
    name: info.name,
    type: info.type,
    keySize: info.key_size,
    valueSize: info.value_size,
    maxEntries: info.max_entries,
    flags: info.map_flags,
  })
}

/** The map with that id, undefined when there is none (any more). */
export function liveMap(sys: Sys, id: number): RawMap | undefined {
  const fd = openById(sys, 'map', id)
  return fd === undefined ? undefined : mapOf(sys, fd)
}
