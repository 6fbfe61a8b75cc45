import { rmSync } from 'node:fs'
import { basename } from 'node:path'
import { type BpfError, NegativeError, SystemError, UnsupportedError, UsageError } from '../../errors/index.ts'
import type { ObjectSpec } from '../../spec/index.ts'
import {
  attachProgram,
  createMapSet,
  type LoadedObject,
  type LoadedProgram,
  loadObject,
  type OwnedFd,
  openPinned,
  type RawMap,
  realSys,
  type Sys,
} from '../../syscall/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { loadInput } from '../load-input.ts'
import { pinAt } from '../objects/bpffs.ts'
import { mapOf } from '../objects/live-map.ts'
import type { Context } from '../words/noun.ts'
import { type LoadWords, parseLoadWords, type Replacement } from './load-words.ts'

/** Where libbpf pins the maps that ask for it by name. */
const BY_NAME = '/sys/fs/bpf'

/** Names of files: dots mean something on a BPF file system. */
const fileName = (name: string): string => name.replaceAll('.', '_')

const SECTION_MAPS: ReadonlySet<string> = new Set(['.data', '.rodata', '.bss', '.kconfig'])

/**
 * Global data has the object's name before its section's in the kernel, both in 15 bytes, as libbpf calls it: what looks
 * for `myprog.rodata` finds it.
 */
function withKernelNames(object: ObjectSpec, file: string): ObjectSpec {
  const stem = basename(file)
    .slice(0, 15)
    .split('.')[0]
    .replace(/[^A-Za-z0-9]/g, '_')
  return {
    ...object,
    maps: object.maps.map((map) =>
      SECTION_MAPS.has(map.name)
        ? { ...map, kernelName: `${stem.slice(0, Math.max(0, 15 - Math.max(7, map.name.length)))}${map.name}` }
        : map,
    ),
  }
}

/** The object's maps that others take the place of, by name. @throws UsageError */
function replace(object: ObjectSpec, replacements: readonly Replacement[]): Map<string, RawMap> {
  const found = new Map<string, RawMap>()
  for (const { target, map } of replacements) {
    const spec = typeof target === 'number' ? object.maps[target] : object.maps.find(({ name }) => name === target)
    if (spec === undefined)
      throw new UsageError(
        'load.map',
        `${object.name} has no map ${target}: ${object.maps.map(({ name }, i) => `${i} ${name}`).join(', ') || 'it has none'}`,
      )
    if (found.has(spec.name)) throw new UsageError('load.map', `map ${spec.name} is replaced twice`)
    const { shape } = map
    if (shape.type !== spec.type || shape.keySize !== spec.keySize || shape.valueSize !== spec.valueSize)
      throw new UsageError('load.map', `${map.what} cannot take the place of ${spec.name}: type, key or value differ`)
    found.set(spec.name, map)
  }
  return found
}

/** Maps that are pinned by name and exist already are used, as libbpf does. */
function reusePinned(sys: Sys, object: ObjectSpec, maps: Map<string, RawMap>): RawMap[] {
  const opened: RawMap[] = []
  for (const spec of object.maps) {
    if (spec.pinning !== 'by_name' || maps.has(spec.name)) continue
    let fd: OwnedFd
    try {
      fd = openPinned(sys, `${BY_NAME}/${fileName(spec.name)}`)
    } catch (error) {
      if (error instanceof SystemError && error.code === 'sys.enoent') continue
      throw error
    }
    const map = mapOf(sys, fd)
    opened.push(map)
    const { shape } = map
    if (shape.type !== spec.type || shape.keySize !== spec.keySize || shape.valueSize !== spec.valueSize)
      throw new UsageError('load.map', `${BY_NAME}/${fileName(spec.name)} is another kind of map than ${spec.name}`)
    maps.set(spec.name, map)
  }
  return opened
}

/** What the kernel said of the first program that it did not take. */
function refused({ spec, result, error }: LoadedProgram): BpfError {
  if (error !== undefined) return error
  const lines = result.log.trim().split('\n')
  const details = lines.length > 1 ? lines.slice(-8) : []
  const message = `program ${spec.name} (${spec.section}): ${result.message ?? result.verdict}`
  return result.verdict === 'reject'
    ? new NegativeError('load.rejected', message, { details })
    : new SystemError('load.refused', message, { errno: result.errno, details })
}

/** Pins step by step; when one step fails, what was pinned is taken away again. */
class Pins {
  readonly #paths: string[] = []
  readonly #sys: Sys
  readonly #nomount: boolean
  constructor(sys: Sys, nomount: boolean) {
    this.#sys = sys
    this.#nomount = nomount
  }
  add(fd: OwnedFd, path: string): void {
    pinAt(this.#sys, fd, path, { nomount: this.#nomount })
    this.#paths.push(path)
  }
  undo(): void {
    for (const path of this.#paths) rmSync(path, { force: true })
  }
}

function pinProgram(pins: Pins, { spec, result }: LoadedProgram, path: string, autoAttach: boolean): void {
  const program = result.program
  if (program === undefined) return
  if (autoAttach) {
    try {
      using link = attachProgram(program, spec)
      pins.add(link, path)
      return
    } catch (error) {
      const alone = error instanceof UnsupportedError || (error instanceof UsageError && error.code === 'attach.where')
      if (!alone) throw error
      process.stderr.write(`typebpf: ${spec.name} does not attach by itself: it is only pinned\n`)
    }
  }
  pins.add(program, path)
}

function pinMaps(pins: Pins, sys: Sys, loaded: LoadedObject, folder: string): void {
  const { object, maps } = loaded
  // maps that no program uses are not there yet
  const unused = object.maps.filter(({ name, type }) => !maps.has(name) && type !== MAP_TYPES.struct_ops)
  const made = createMapSet(sys, unused)
  try {
    for (const spec of object.maps) {
      const map = maps.get(spec.name) ?? made[unused.indexOf(spec)]
      if (map !== undefined) pins.add(map, `${folder}/${fileName(spec.kernelName ?? spec.name)}`)
    }
  } finally {
    for (const map of made) map.close()
  }
}

async function load(sys: Sys, words: LoadWords, context: Context, first: boolean): Promise<void> {
  const read = withKernelNames(await loadInput(words.file), words.file)
  const object: ObjectSpec =
    words.type === undefined
      ? read
      : { ...read, programs: read.programs.map((program) => ({ ...program, ...words.type })) }
  const untyped = object.programs.find(({ type }) => type === 0)
  if (untyped !== undefined)
    throw new UsageError(
      'load.type',
      `program ${untyped.name}: its section ${JSON.stringify(untyped.section)} does not tell its type: say it with 'type', as in 'type xdp'`,
    )
  const maps = replace(object, words.replacements)
  const opened = reusePinned(sys, object, maps)
  const pins = new Pins(sys, context.nomount === true)
  try {
    using loaded = loadObject(sys, object, { mapsByName: maps, logLevel: context.debug === true ? 7 : 1 })
    if (context.debug === true) for (const { result } of loaded.programs) process.stderr.write(result.log)
    const bad = loaded.programs.find(({ result }) => result.program === undefined)
    if (bad !== undefined) throw refused(bad)
    for (const spec of object.maps) {
      const map = loaded.maps.get(spec.name)
      if (spec.pinning === 'by_name' && map !== undefined && !maps.has(spec.name))
        pins.add(map, `${BY_NAME}/${fileName(spec.name)}`)
    }
    if (first) pinProgram(pins, loaded.programs[0], words.path, words.autoAttach)
    else
      for (const program of loaded.programs)
        pinProgram(pins, program, `${words.path}/${fileName(program.spec.name)}`, words.autoAttach)
    if (words.pinMaps !== undefined) pinMaps(pins, sys, loaded, words.pinMaps)
  } catch (error) {
    pins.undo()
    throw error
  } finally {
    for (const map of opened) map.close()
  }
}

async function withWords(words: readonly string[], context: Context, first: boolean): Promise<void> {
  if (context.useLoader === true)
    throw new UnsupportedError(
      'load.loader',
      'there is no loader program here: programs are loaded directly, without -L',
    )
  const sys = realSys()
  const parsed = parseLoadWords(sys, words)
  try {
    await load(sys, parsed, context, first)
  } finally {
    for (const { map } of parsed.replacements) map.close()
  }
}

/** `prog load OBJ PATH …`: all programs of the object are loaded, the first is pinned. */
export const loadFirst = (words: readonly string[], context: Context): Promise<void> => withWords(words, context, true)

/** `prog loadall OBJ DIR …`: each program is pinned below the folder. */
export const loadAll = (words: readonly string[], context: Context): Promise<void> => withWords(words, context, false)
