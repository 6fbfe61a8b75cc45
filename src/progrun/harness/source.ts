import { readFileSync } from 'node:fs'
import { pathToFileURL } from 'node:url'
import type { Type } from '../../builder/index.ts'
import { readObject } from '../../elf/index.ts'
import { InputError, UsageError } from '../../errors/index.ts'
import {
  collectObject,
  isContribution,
  type LinkProgramOptions,
  linkProgram,
  type MapSpec,
  type ObjectSpec,
  type ProgramImage,
  type SpecContribution,
} from '../../spec/index.ts'

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
  return maps.length === image.maps.length ? image : { ...image, maps }
}

/**
 * The programs of a source, linked.
 * @throws UsageError `module.no-program`; InputError for a file that is no object
 */
export async function resolveSource(source: HarnessSource, link: LinkProgramOptions = {}): Promise<ResolvedSource> {
  const given: object = typeof source === 'string' || source instanceof URL ? await load(source) : source
  if (isImage(given)) return { images: [given], types: new Map() }
  const types = new Map<string, TypedMapLike>()
  let object: ObjectSpec
  if (isObject(given)) object = given
  else {
    const exported = Array.isArray(given) || isContribution(given) ? { source: given } : given
    object = collectObject(exported)
    const visit = (value: unknown): void => {
      if (Array.isArray(value)) value.forEach(visit)
      else if (isTypedMap(value)) types.set(value.spec.name, value)
    }
    Object.values(exported).forEach(visit)
  }
  const programs = object.programs.filter(({ autoload }) => autoload !== false)
  if (programs.length === 0) throw new UsageError('module.no-program', `${object.name}: there is no program in it`)
  return { images: programs.map(({ name }) => withInnerMaps(linkProgram(object, name, link), object)), object, types }
}
