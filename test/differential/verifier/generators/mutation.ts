import type { MapSpec } from '../../../../src/spec/index.ts'
import { MAP_TYPES } from '../../../../src/uapi/index.ts'
import { decodeSlots } from '../code.ts'
import { type CorpusRow, corpusImage, corpusRows } from '../corpora.ts'
import type { Generated, Generator } from '../program.ts'
import type { Random } from '../random.ts'
import { damage } from './damage.ts'

/** Larger programs cost too much for thousands of variants. */
const LARGEST = 1500
let programs: Generated[] | undefined

/** Maps that cannot be made from the object alone. */
function unmakeable({ type, slots, inner }: MapSpec): boolean {
  const needsInner = type === MAP_TYPES.array_of_maps || type === MAP_TYPES.hash_of_maps
  return type === MAP_TYPES.struct_ops || (slots?.length ?? 0) > 0 || (needsInner && inner === undefined)
}

function load(): Generated[] {
  let rows: CorpusRow[]
  try {
    rows = corpusRows()
  } catch {
    return []
  }
  const result: Generated[] = []
  for (const row of rows) {
    if (row.verdict !== 'ACCEPT' || row.insns > LARGEST || (row.processed ?? 0) > 5000) continue
    try {
      const image = corpusImage(row)
      if (image.maps.some(unmakeable)) continue
      result.push({
        type: image.type,
        attachType: image.expectedAttachType,
        flags: image.flags,
        license: image.license,
        slots: decodeSlots(image.insns),
        relocations: image.relocations,
        maps: image.maps,
        extra: { btf: image.btf, funcInfo: image.funcInfo, attachTo: image.attachTo, fdArray: image.fdArray },
      })
    } catch {
      // What does not link here is the corpora runner's business.
    }
  }
  return result
}

/** Real programs of the corpora, changed in one or two places; undefined where the corpora are not there. */
export function mutationGenerator(): Generator | undefined {
  programs ??= load()
  if (programs.length === 0) return undefined
  const real = programs
  return {
    name: 'mutations',
    generate: (random: Random) => {
      const program = random.pick(real)
      return random.chance(0.05) ? program : damage(random, program)
    },
  }
}
