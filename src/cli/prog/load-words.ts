import { UnsupportedError, UsageError } from '../../errors/index.ts'
import type { RawMap, Sys } from '../../syscall/index.ts'
import { attachTypeNumber, matchSectionName, programTypeNumber } from '../../uapi/index.ts'
import { mapOf } from '../objects/live-map.ts'
import { fullWord, selectOne } from '../objects/select.ts'

/** A map that takes the place of one of the object's. */
export interface Replacement {
  /** The place of the object's map among all its maps, or its name. */
  readonly target: number | string
  readonly map: RawMap
}

/** `OBJ PATH` and what follows. */
export interface LoadWords {
  readonly file: string
  readonly path: string
  /** For all programs, in place of what their sections say. */
  readonly type?: { readonly type: number; readonly expectedAttachType: number }
  readonly replacements: readonly Replacement[]
  readonly pinMaps?: string
  readonly autoAttach: boolean
}

/** A type as a section name tells it (`xdp`, `cgroup/connect4`, `tracepoint/`). */
function parseType(text: string): LoadWords['type'] {
  const match = matchSectionName(text) ?? matchSectionName(`${text}/`)
  const type = match?.section.type ?? text
  const number = typeof type === 'string' ? programTypeNumber(type) : type
  if (number === undefined)
    throw new UsageError(
      'cli.type',
      `${JSON.stringify(text)} is no program type: a section name such as xdp or cgroup/skb`,
    )
  const attach = match?.section.attachType
  return {
    type: number,
    expectedAttachType: attach === undefined || attach === null ? 0 : (attachTypeNumber(attach) ?? 0),
  }
}

const WORDS = ['type', 'map', 'dev', 'offload_dev', 'xdpmeta_dev', 'pinmaps', 'autoattach'] as const

/** @throws UsageError for words that fit nothing; maps that were opened are closed then */
export function parseLoadWords(sys: Sys, words: readonly string[]): LoadWords {
  const [file, path, ...tail] = words
  if (file === undefined || path === undefined)
    throw new UsageError('cli.words', 'an object and a path to pin to are needed: OBJ PATH')
  const replacements: Replacement[] = []
  let out: Omit<LoadWords, 'replacements'> = { file, path, autoAttach: false }
  let rest: readonly string[] = tail
  const value = (what: string): string => {
    const word = rest[1]
    if (word === undefined) throw new UsageError('cli.words', `'${what}' needs a value`)
    rest = rest.slice(2)
    return word
  }
  try {
    while (rest.length > 0) {
      const word = fullWord(rest[0], WORDS)
      switch (word) {
        case 'type':
          if (out.type !== undefined) throw new UsageError('cli.words', 'the type is given twice')
          out = { ...out, type: parseType(value('type')) }
          break
        case 'map': {
          const way = fullWord(rest[1] ?? '', ['idx', 'name'])
          const target = rest[2]
          if (way === undefined || target === undefined)
            throw new UsageError('cli.words', "behind 'map': idx INDEX or name NAME, then the map to use")
          if (way === 'idx' && !/^\d+$/.test(target))
            throw new UsageError('cli.words', `${JSON.stringify(target)} is no index of a map`)
          const { fd, rest: left } = selectOne(sys, 'map', rest.slice(3))
          replacements.push({ target: way === 'idx' ? Number(target) : target, map: mapOf(sys, fd) })
          rest = left
          break
        }
        case 'pinmaps':
          out = { ...out, pinMaps: value('pinmaps') }
          break
        case 'autoattach':
          out = { ...out, autoAttach: true }
          rest = rest.slice(1)
          break
        case 'dev':
        case 'offload_dev':
        case 'xdpmeta_dev':
          throw new UnsupportedError('load.device', `'${word}': programs are not loaded for a device here`)
        default:
          throw new UsageError('cli.words', `expected ${WORDS.join(', ')}, got ${JSON.stringify(rest[0])}`)
      }
    }
  } catch (error) {
    for (const { map } of replacements) map.close()
    throw error
  }
  return { ...out, replacements }
}
