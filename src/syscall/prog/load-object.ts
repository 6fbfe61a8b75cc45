import { Btf } from '../../btf/index.ts'
import { BpfError, NegativeError, UsageError } from '../../errors/index.ts'
import {
  findProgram,
  imageBtf,
  type LinkProgramOptions,
  linkProgram,
  type MapSpec,
  type ObjectSpec,
  type ProgramImage,
  type ProgramSpec,
} from '../../spec/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { runningKernel } from '../inspect/running-kernel.ts'
import { BpfMap, type MapCodec } from '../maps/map.ts'
import { createMapSet, fdBytes } from '../maps/map-set.ts'
import { codecFrom } from '../maps/open-map.ts'
import { pinByName, reusePinnedMap } from '../maps/pinned-maps.ts'
import type { RawMap } from '../maps/raw-map.ts'
import type { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'
import { type LiveBtf, loadBtf } from './btf.ts'
import { type LoadImageOptions, type LoadResult, loadImage, refusal } from './load-image.ts'
import { reasonLines } from './verdict.ts'

export interface LoadObjectOptions extends LoadImageOptions {
  /** Only these programs; default all that load by themselves. */
  readonly programs?: readonly string[]
  /** The kernel to link for; default the running one. */
  readonly kernel?: LinkProgramOptions
  /** The loaded program whose functions ext (freplace) programs replace; fentry and fexit of its functions too. */
  readonly target?: { readonly fd: number }
  /**
   * Folder of a BPF file system for maps that are pinned by name: those that are there are used when they fit, new ones are
   * pinned. Absent: nothing is pinned.
   */
  readonly pinFolder?: string
  /** Also the maps that no program uses, and an object of maps alone. */
  readonly allMaps?: boolean
  /** Maps to use instead of the object's own, by name. Not closed. */
  readonly mapsByName?: ReadonlyMap<string, RawMap>
}

/** One program of an object and what the kernel said. */
export interface LoadedProgram {
  readonly spec: ProgramSpec
  readonly image?: ProgramImage
  readonly result: LoadResult
  /** Why it could not be linked: the kernel was not asked. */
  readonly error?: BpfError
}

/** Live programs and maps of one object. Close it, or `using`; what is pinned stays. */
export interface LoadedObject {
  readonly sys: Sys
  readonly object: ObjectSpec
  readonly programs: readonly LoadedProgram[]
  readonly maps: ReadonlyMap<string, RawMap>
  /**
   * A program that the kernel took. Owned by this object.
   * @throws UsageError `program.unknown`; NegativeError `load.refused` with the kernel's reason
   */
  program(name: string): OwnedFd
  /**
   * A map with typed keys and values: those of `codec`, else as the object's BTF describes them, else bytes. Owned by this object.
   * @throws UsageError `map.unknown`
   */
  map<Key = unknown, Value = unknown>(name: string, codec?: MapCodec<Key, Value>): BpfMap<Key, Value>
  close(): void
  [Symbol.dispose](): void
}

/** An ext program names a function of another program; tracing programs may. */
function aimedAt(image: ProgramImage, target: { readonly fd: number } | undefined): ProgramImage {
  const aimed = image.type === PROGRAM_TYPES.ext || image.type === PROGRAM_TYPES.tracing
  return target === undefined || image.attachTo === undefined || !aimed
    ? image
    : { ...image, attachTo: { ...image.attachTo, programFd: target.fd } }
}

/** Lines of a refused program's log in the error. */
const LOG_LINES = 12

function mapBtf(sys: Sys, object: ObjectSpec): { bytes: Uint8Array; live: LiveBtf } | undefined {
  const bytes = imageBtf(object)?.bytes()
  try {
    return bytes === undefined ? undefined : { bytes, live: loadBtf(sys, bytes) }
  } catch {
    // maps need no types: those that do are refused by the kernel with their own reason
    return undefined
  }
}

/** Made for every object, whoever uses it: configuration values and struct_ops come with the programs that have them. */
const isPlain = ({ type, section }: MapSpec): boolean => type !== MAP_TYPES.struct_ops && section !== '.kconfig'

/** The maps of an image and those that stand in their slots, by name. */
function neededMaps(image: Pick<ProgramImage, 'maps'>, object: ObjectSpec): MapSpec[] {
  const needed = new Map(image.maps.map((spec) => [spec.name, spec]))
  for (const spec of needed.values()) {
    if (spec.type === MAP_TYPES.prog_array) continue
    for (const [, target] of spec.slots ?? []) {
      const inner = object.maps.find(({ name }) => name === target)
      if (inner !== undefined) needed.set(target, needed.get(target) ?? inner)
    }
  }
  return [...needed.values()]
}

/**
 * Links every program of an object for the running kernel, creates the maps they use once, and asks the kernel for each.
 * A program that is refused does not keep the others from loading; prog arrays are filled when all are there.
 * @throws UsageError `program.unknown`, `load.no-program`
 */
export function loadObject(sys: Sys, object: ObjectSpec, options: LoadObjectOptions = {}): LoadedObject {
  const kernel = options.kernel ?? runningKernel()
  const specs =
    options.programs === undefined
      ? object.programs.filter(({ autoload }) => autoload !== false)
      : options.programs.map((name) => findProgram(object, name))
  if (specs.length === 0 && options.allMaps !== true)
    throw new UsageError('load.no-program', `${object.name}: there is no program in it`)
  const maps = new Map<string, RawMap>(options.mapsByName ?? [])
  const programs: LoadedProgram[] = []
  let btf: { bytes: Uint8Array; live: LiveBtf } | undefined
  const close = (): void => {
    for (const { result } of programs) result.close()
    for (const [name, map] of maps) if (options.mapsByName?.get(name) !== map) map.close()
    btf?.live.close()
  }
  const loadOne = (image: ProgramImage): LoadResult => {
    if (image.btf !== undefined && btf?.bytes !== image.btf) {
      const live = loadBtf(sys, image.btf)
      btf?.live.close()
      btf = { bytes: image.btf, live }
    }
    const btfFd = image.btf === undefined ? undefined : btf?.live.fd
    const needed = neededMaps(image, object)
    const there = new Map<number, RawMap>()
    needed.forEach(({ name }, index) => {
      const map = maps.get(name)
      if (map !== undefined) there.set(index, map)
    })
    const made = createMapSet(sys, needed, { given: there, btfFd })
    needed.forEach((spec, index) => {
      const isNew = !maps.has(spec.name)
      maps.set(spec.name, made[index])
      if (isNew && spec.pinning === 'by_name' && options.pinFolder !== undefined)
        pinByName(made[index], spec, options.pinFolder)
    })
    const given = new Map(image.maps.map((_, index) => [index, made[index]]))
    return loadImage(sys, aimedAt(image, options.target), { ...options, maps: given, btfFd })
  }
  try {
    if (options.pinFolder !== undefined)
      for (const spec of object.maps) {
        if (spec.pinning !== 'by_name' || maps.has(spec.name)) continue
        const map = reusePinnedMap(sys, spec, options.pinFolder)
        if (map !== undefined) maps.set(spec.name, map)
      }
    for (const spec of specs) {
      let image: ProgramImage | undefined
      try {
        image = linkProgram(object, spec.name, kernel)
        programs.push({ spec, image, result: loadOne(image) })
      } catch (error) {
        if (!(error instanceof BpfError)) throw error
        programs.push({ spec, image, result: refusal(error), error })
      }
    }
    if (options.allMaps === true) {
      const rest = object.maps.filter((spec) => !maps.has(spec.name) && isPlain(spec))
      if (btf === undefined && object.btf !== undefined && rest.length > 0) btf = mapBtf(sys, object)
      const needed = [...new Set(rest.flatMap((spec) => [spec, ...neededMaps({ maps: [spec] }, object)]))]
      const given = new Map(
        needed.flatMap(({ name }, index) => (maps.has(name) ? [[index, maps.get(name) as RawMap]] : [])),
      )
      createMapSet(sys, needed, { given, btfFd: btf?.live.fd }).forEach((map, index) => {
        const spec = needed[index]
        if (!maps.has(spec.name) && spec.pinning === 'by_name' && options.pinFolder !== undefined)
          pinByName(map, spec, options.pinFolder)
        maps.set(spec.name, map)
      })
    }
    fillProgramArrays(object, maps, programs)
  } catch (error) {
    close()
    throw error
  }
  return {
    sys,
    object,
    programs,
    maps,
    program: (name) => acceptedProgram(object, programs, name),
    map: (name, codec) => typedMap(object, maps, name, codec),
    close,
    [Symbol.dispose]: close,
  }
}

function acceptedProgram(object: ObjectSpec, programs: readonly LoadedProgram[], name: string): OwnedFd {
  const found = programs.find(({ spec }) => spec.name === name)
  if (found === undefined)
    throw new UsageError('program.unknown', `${object.name}: no program ${name} was loaded`, {
      details: [`loaded: ${programs.map(({ spec }) => spec.name).join(', ')}`],
    })
  const { program, verdict, message, log } = found.result
  if (program !== undefined) return program
  throw new NegativeError('load.refused', `${name}: ${verdict}: ${message ?? 'no reason was given'}`, {
    cause: found.error,
    details: reasonLines(log, LOG_LINES),
  })
}

function typedMap<Key, Value>(
  object: ObjectSpec,
  maps: ReadonlyMap<string, RawMap>,
  name: string,
  codec: MapCodec<Key, Value> | undefined,
): BpfMap<Key, Value> {
  const raw = maps.get(name)
  if (raw === undefined)
    throw new UsageError('map.unknown', `${object.name}: no loaded program uses a map ${name}`, {
      details: [`there are: ${[...maps.keys()].join(', ')}`],
    })
  if (codec !== undefined) return new BpfMap(raw, codec)
  const spec = object.maps.find((map) => map.name === name)
  const btf = object.btf === undefined ? undefined : new Btf(object.btf, { what: `BTF of ${object.name}` })
  const own = codecFrom(btf, spec?.btfKeyTypeId, spec?.btfValueTypeId, raw.shape)
  return new BpfMap(raw, own as MapCodec<Key, Value>)
}

function fillProgramArrays(
  object: ObjectSpec,
  maps: ReadonlyMap<string, RawMap>,
  programs: readonly LoadedProgram[],
): void {
  for (const spec of object.maps) {
    const map = spec.type === MAP_TYPES.prog_array ? maps.get(spec.name) : undefined
    if (map === undefined) continue
    for (const [key, target] of spec.slots ?? []) {
      const program = programs.find((loaded) => loaded.spec.name === target)?.result.program
      if (program !== undefined) map.update(key, fdBytes(program.fd))
    }
  }
}
