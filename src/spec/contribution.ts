import { UsageError } from '../errors/index.ts'
import { linkObjects } from './link-objects.ts'
import type { MapSpec } from './map.ts'
import type { ObjectSpec } from './object.ts'
import type { FunctionSpec, ProgramSpec } from './program.ts'
import type { ExternSpec, VariableSpec } from './variable.ts'

/** The property by which a value of a module offers its part of an object. */
export const CONTRIBUTION: unique symbol = Symbol.for('typebpf.contribution')

/**
 * What one exported value adds to an object. Type ids are of this contribution's own `btf`; {@link collectObject} merges
 * the BTF of all contributions and renumbers. A map, function or variable that several contributions share appears in
 * each of them under the same name.
 */
export interface Contribution {
  readonly programs: readonly ProgramSpec[]
  readonly maps: readonly MapSpec[]
  readonly functions?: readonly FunctionSpec[]
  readonly variables?: readonly VariableSpec[]
  readonly externs?: readonly ExternSpec[]
  /** A .BTF section (see BtfBuilder), little endian. */
  readonly btf?: Uint8Array
  readonly license?: string
  /** What takes part in the object with it, exported or not: programs that a map holds. */
  readonly also?: readonly SpecContribution[]
}

/** A value that takes part in an object: `{ [CONTRIBUTION]: … }`, a property, a getter or a method without arguments. */
export interface SpecContribution {
  readonly [CONTRIBUTION]: Contribution | (() => Contribution)
}

export function isContribution(value: unknown): value is SpecContribution {
  return (typeof value === 'object' || typeof value === 'function') && value !== null && CONTRIBUTION in value
}

/** The contribution of a value. */
export function contributionOf(value: SpecContribution): Contribution {
  const found = value[CONTRIBUTION]
  return typeof found === 'function' ? found.call(value) : found
}

export interface CollectOptions {
  /** Wins over what contributions say; "GPL" when nobody says any. */
  readonly license?: string
  /** The object's name, default "program". */
  readonly name?: string
}

/**
 * The object that a module's exports make together, in the order of its exports (a module's namespace is sorted by name).
 * Arrays of contributions are looked into.
 * @throws UsageError `module.no-program` when nothing exported is a program or a map; `module.license` when two
 * contributions ask for different licenses; what {@link linkObjects} throws for two different things of one name
 */
export function collectObject(moduleExports: object, options: CollectOptions = {}): ObjectSpec {
  const seen = new Set<unknown>()
  const parts: Contribution[] = []
  const visit = (value: unknown): void => {
    if (seen.has(value)) return
    seen.add(value)
    if (Array.isArray(value)) for (const item of value) visit(item)
    else if (isContribution(value)) {
      const part = contributionOf(value)
      parts.push(part)
      for (const more of part.also ?? []) visit(more)
    }
  }
  for (const key of Object.keys(moduleExports)) visit((moduleExports as Record<string, unknown>)[key])
  const name = options.name ?? 'program'
  if (parts.length === 0)
    throw new UsageError('module.no-program', `${name}: the module exports no program`, {
      details: ['export the value that a program constructor such as xdp(…) returns'],
    })
  const licenses = new Set(parts.flatMap(({ license }) => (license === undefined ? [] : [license])))
  if (options.license === undefined && licenses.size > 1)
    throw new UsageError(
      'module.license',
      `${name}: programs of one object must share one license: ${[...licenses].join(', ')}`,
    )
  const license = options.license ?? [...licenses][0] ?? 'GPL'
  return linkObjects(
    parts.map((part) => ({
      name,
      littleEndian: true,
      license,
      programs: part.programs,
      functions: part.functions ?? [],
      maps: part.maps,
      variables: part.variables ?? [],
      externs: part.externs ?? [],
      btf: part.btf,
    })),
    { name, license, oneModule: true },
  )
}
