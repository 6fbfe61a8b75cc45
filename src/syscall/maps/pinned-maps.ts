import { SystemError, UsageError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { MAP_FLAGS, MAP_TYPES } from '../../uapi/index.ts'
import { mapInfo } from '../inspect/info.ts'
import { openPinned, pin } from '../inspect/objects.ts'
import type { Sys } from '../sys/sys.ts'
import { sizedSpec } from './map-set.ts'
import { type RawMap, rawMapOf } from './raw-map.ts'

const DEVICE_MAPS: ReadonlySet<number> = new Set([MAP_TYPES.devmap, MAP_TYPES.devmap_hash])

/** Where a map of an object is pinned by name: dots are not allowed in file names of a BPF file system. */
export function pinPath(folder: string, name: string): string {
  return `${folder}/${name.replaceAll('.', '_')}`
}

/**
 * The map that is pinned under a spec's name, undefined when there is none. As libbpf's LIBBPF_PIN_BY_NAME it is used only
 * when type, sizes, entries, flags and extra are those of the spec.
 * @throws UsageError `map.pinned` that names what differs
 */
export function reusePinnedMap(sys: Sys, spec: MapSpec, folder: string): RawMap | undefined {
  const path = pinPath(folder, spec.name)
  let fd: ReturnType<typeof openPinned>
  try {
    fd = openPinned(sys, path)
  } catch (error) {
    if (error instanceof SystemError && error.code === 'sys.enoent') return undefined
    throw error
  }
  try {
    const info = mapInfo(sys, fd.fd)
    const wanted = sizedSpec(sys, spec)
    // The kernel itself makes these read-only for programs, and says so.
    const own = DEVICE_MAPS.has(spec.type) ? MAP_FLAGS.rdonly_prog : 0
    const pairs: readonly (readonly [what: string, there: number | bigint, here: number | bigint])[] = [
      ['type', info.type, wanted.type],
      ['key size', info.key_size, wanted.keySize],
      ['value size', info.value_size, wanted.valueSize],
      ['entries', info.max_entries, wanted.maxEntries],
      ['flags', info.map_flags & ~own, wanted.flags & ~own],
      ['extra', info.map_extra, wanted.mapExtra ?? 0n],
    ]
    const different = pairs.filter(([, there, here]) => there !== here)
    if (different.length > 0)
      throw new UsageError('map.pinned', `${path} is another map than ${spec.name} of this object`, {
        details: [
          ...different.map(([what, there, here]) => `${what}: ${there} there, ${here} here`),
          'remove the file, or give the map another name',
        ],
      })
    return rawMapOf(sys, fd.release(), wanted)
  } finally {
    fd.close()
  }
}

/** Pins a new map under its name; a file that somebody made meanwhile is an error (EEXIST). */
export function pinByName(map: RawMap, spec: MapSpec, folder: string): void {
  pin(map.sys, map.fd, pinPath(folder, spec.name))
}
