/**
 * What the guest is asked about: sites (LSM hooks, kernel functions, functions of generated programs, targets that fit
 * nothing), a shape of program for each, real objects changed, and the ordinary campaign's own programs.
 */

import type { Generator } from '../../verifier/program.ts'
import { imageOf } from '../../verifier/program.ts'
import { functionSites, oddSites } from './functions.ts'
import { hookSites } from './hooks.ts'
import { objectFamily } from './objects.ts'
import { extensionSites, tracerSites } from './programs.ts'
import { type Shape, shapesFor } from './shapes.ts'
import { imageAt, type Kernel, type ProbeFamily, type SiteMaker } from './site.ts'

function family(name: string, sites: SiteMaker, shapes: readonly Shape[]): ProbeFamily {
  return {
    name,
    generate(random, index) {
      const site = sites(random, index)
      const shape = random.weighted(shapes.map((row) => [row.weight, row] as const))
      return { what: `${site.what}: ${shape.name}`, image: imageAt(site, shape.write(random, site, index)) }
    },
  }
}

function ordinary(generator: Generator): ProbeFamily {
  return {
    name: generator.name,
    generate: (random) => ({ what: generator.name, image: imageOf(generator.generate(random)) }),
  }
}

export interface FamilyOptions {
  /** Folder of objects. */
  readonly objects?: string
  /** The ordinary campaign's generators: imported after the kernel is known. */
  readonly ordinary: readonly Generator[]
  /** Names of families or of ordinary generators, `ordinary` for all of those; absent: all families. */
  readonly only?: readonly string[]
}

/** @throws Error for a name that none has */
export function familiesFor(kernel: Kernel, options: FamilyOptions): ProbeFamily[] {
  const shapes = shapesFor(kernel, options.ordinary)
  const own = [
    family('hooks', hookSites(kernel), shapes),
    family('functions', functionSites(kernel), shapes),
    family('extensions', extensionSites, shapes),
    family('tracers', tracerSites, shapes),
    family(
      'odd-targets',
      oddSites(kernel),
      shapes.filter(({ name }) => name === 'result'),
    ),
    ...(options.objects === undefined ? [] : [objectFamily(options.objects, kernel)]),
  ]
  // targets that fit nothing are worth fewer questions
  if (options.only === undefined) return [...own.filter(({ name }) => name !== 'odd-targets'), ...own]
  const others = options.ordinary.map(ordinary)
  return options.only.flatMap((name) => {
    const chosen = name === 'ordinary' ? others : [...own, ...others].filter((row) => row.name === name)
    if (chosen.length === 0)
      throw new Error(`no generator ${name}: ordinary, ${[...own, ...others].map((row) => row.name).join(', ')}`)
    return chosen
  })
}
