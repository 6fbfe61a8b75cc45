import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { Type } from '../../builder/index.ts'
import { InputError, UsageError } from '../../errors/index.ts'
import {
  collectObject,
  findProgram,
  isContribution,
  type LinkProgramOptions,
  linkProgram,
  type MapSpec,
  type ObjectSpec,
  type ProgramImage,
  type ProgramSpec,
  type SpecContribution,
} from '../../spec/index.ts'
import { MAP_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'

/**
 * What a harness is made from: programs and maps of the builder (one, several, or a module's namespace), an object, one
 * linked program, or the path of a `.o` file or a module.
 */
export type HarnessSource =
  | SpecContribution
  | readonly SpecContribution[]
  | ObjectSpec
  | ProgramImage
  | string
  | URL
  | Readonly<Record<string, unknown>>

/** A map of the builder, as far as a harness reads it: its types decode keys and values. */
export interface TypedMapLike {
  readonly spec: MapSpec
  readonly keyType?: Type
  readonly valueType?: Type
}

export interface ResolvedSource {
  readonly images: readonly ProgramImage[]
  /** The object, where there is one: its verifier questions need it. */
  readonly object?: ObjectSpec
  /** Key and value types by map name. */
  readonly types: ReadonlyMap<string, TypedMapLike>
}

function isImage(value: object): value is ProgramImage {
  return 'insns' in value && 'relocations' in value
}
function isObject(value: object): value is ObjectSpec {
  return 'programs' in value && 'functions' in value && 'externs' in value
}
function isTypedMap(value: unknown): value is TypedMapLike {
  return typeof value === 'object' && value !== null && 'spec' in value && 'valueType' in value
}

async function load(path: string | URL): Promise<object> {
  const url = path instanceof URL ? path : pathToFileURL(path)
  if (/\.[cm]?[jt]s$/.test(url.pathname)) return (await import(url.href)) as object
  const { readObject } = await import('../../elf/index.ts')
  try {
    return readObject(readFileSync(url), { name: url.pathname })
  } catch (cause) {
    if (cause instanceof InputError || cause instanceof UsageError) throw cause
    throw new InputError(
      'progrun.file',
      `${url.pathname} cannot be read: ${cause instanceof Error ? cause.message : cause}`,
      { cause },
    )
  }
}

/** Inner maps that only the slots of a map of maps name belong to the program too. */
function withInnerMaps(image: ProgramImage, object: ObjectSpec): ProgramImage {
  const maps = [...image.maps]
  for (let i = 0; i < maps.length; i++)
    for (const [, target] of maps[i].slots ?? []) {
      const inner = object.maps.find(({ name }) => name === target)
      if (inner !== undefined && !maps.some(({ name }) => name === target)) maps.push(inner)
    }
  return { ...image, maps: maps.map(sized) }
}

const PAGE = 4096

/** Loaders give a ring a size that can be mapped: a power of two of whole pages. */
function sized(spec: MapSpec): MapSpec {
  if ((spec.type !== MAP_TYPES.ringbuf && spec.type !== MAP_TYPES.user_ringbuf) || spec.maxEntries === 0) return spec
  let maxEntries = PAGE
  while (maxEntries < spec.maxEntries && maxEntries < 2 ** 31) maxEntries *= 2
  return maxEntries === spec.maxEntries ? spec : { ...spec, maxEntries }
}

/** A source as it was given: an object, or one program that is linked already. */
export interface LoadedSource {
  readonly object?: ObjectSpec
  readonly image?: ProgramImage
  readonly types: ResolvedSource['types']
}

/** @throws InputError for a file that is no object */
export async function loadSource(source: HarnessSource): Promise<LoadedSource> {
  const given: object = typeof source === 'string' || source instanceof URL ? await load(source) : source
  const types = new Map<string, TypedMapLike>()
  if (isImage(given)) return { image: given, types }
  if (isObject(given)) return { object: given, types }
  const exported = Array.isArray(given) || isContribution(given) ? { source: given } : given
  const visit = (value: unknown): void => {
    if (Array.isArray(value)) value.forEach(visit)
    else if (isTypedMap(value)) types.set(value.spec.name, value)
  }
  Object.values(exported).forEach(visit)
  return { object: collectObject(exported), types }
}

/**
 * The programs of an object that are meant: those named, or all that load by themselves.
 * @throws UsageError `module.no-program`, `program.unknown`
 */
export function chosenPrograms(object: ObjectSpec, names?: readonly string[]): ProgramSpec[] {
  if (names === undefined) {
    const programs = object.programs.filter(({ autoload }) => autoload !== false)
    if (programs.length === 0) throw new UsageError('module.no-program', `${object.name}: there is no program in it`)
    return programs
  }
  return names.map((name) => findProgram(object, name))
}

/** True when linking asks for the kernel's types, symbols or configuration. */
export function needsKernel(object: ObjectSpec): boolean {
  if (object.programs.some(({ type }) => NEEDS_TARGET.has(type))) return true
  return [...object.programs, ...object.functions].some(({ instructions }) =>
    instructions.some(
      ({ core, reference }) => core !== undefined || ['kfunc', 'ksym', 'kconfig'].includes(reference?.kind ?? ''),
    ),
  )
}

/** Tracing, struct_ops, extensions, LSM: their targets are types of the kernel. */
const NEEDS_TARGET: ReadonlySet<number> = new Set([
  PROGRAM_TYPES.tracing,
  PROGRAM_TYPES.struct_ops,
  PROGRAM_TYPES.ext,
  PROGRAM_TYPES.lsm,
])

/**
 * The programs of a source, linked.
 * @throws UsageError `module.no-program`, `program.unknown`; InputError `link.*`
 */
export function linkSource(
  { object, image, types }: LoadedSource,
  link: LinkProgramOptions = {},
  names?: readonly string[],
): ResolvedSource {
  if (object === undefined) return { images: image === undefined ? [] : [image], types }
  const wanted = chosenPrograms(object, names).map(({ name }) => name)
  const images: ProgramImage[] = []
  for (const name of wanted) {
    const linked = withInnerMaps(linkProgram(object, name, link), object)
    images.push(linked)
    // what its tail calls reach is loaded too
    for (const { type, slots = [] } of linked.maps)
      for (const [, target] of type === MAP_TYPES.prog_array ? slots : [])
        if (!wanted.includes(target) && object.programs.some((program) => program.name === target)) wanted.push(target)
  }
  return { images, object, types }
}
