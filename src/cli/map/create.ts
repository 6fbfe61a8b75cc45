import { UnsupportedError, UsageError } from '../../errors/index.ts'
import type { MapSpec } from '../../spec/index.ts'
import { createRawMap, type OwnedFd, realSys } from '../../syscall/index.ts'
import { MAP_TYPES, mapTypeNumber } from '../../uapi/index.ts'
import { pinAt } from '../objects/bpffs.ts'
import { fullWord, selectOne } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'

const WORDS = ['type', 'name', 'key', 'value', 'entries', 'flags', 'dev', 'offload_dev', 'inner_map'] as const
const NUMBERS = ['key', 'value', 'entries', 'flags'] as const

interface Given {
  type?: number
  name?: string
  inner?: OwnedFd
  readonly numbers: Partial<Record<(typeof NUMBERS)[number], number>>
}

function number(word: string, text: string): number {
  const value = /^(0x[0-9a-f]+|\d+)$/i.test(text) ? Number(text) : Number.NaN
  if (!(value <= 0xffffffff))
    throw new UsageError('cli.number', `${word}: ${JSON.stringify(text)} is no number from 0 to 2^32-1`)
  return value
}

function parse(words: readonly string[]): Given {
  const given: Given = { numbers: {} }
  for (let rest = words; rest.length > 0; ) {
    const word = fullWord(rest[0], WORDS)
    if (word === undefined)
      throw new UsageError('cli.words', `expected ${WORDS.join(', ')}, got ${JSON.stringify(rest[0])}`)
    const text = rest[1]
    if (text === undefined) throw new UsageError('cli.words', `'${word}' needs a value`)
    if (word === 'inner_map') {
      const { fd, rest: left } = selectOne(realSys(), 'map', rest.slice(1))
      given.inner?.close()
      given.inner = fd
      rest = left
      continue
    }
    rest = rest.slice(2)
    if (word === 'type') {
      given.type = mapTypeNumber(text)
      if (given.type === undefined)
        throw new UsageError(
          'cli.map-type',
          `${JSON.stringify(text)} is no map type: one of ${Object.keys(MAP_TYPES).slice(1).join(', ')}`,
        )
    } else if (word === 'name') given.name = text
    else if (word === 'dev' || word === 'offload_dev')
      throw new UnsupportedError('map.device', `'${word}': maps are not made for a device here`)
    else {
      const key = NUMBERS.find((name) => name === word)
      if (key !== undefined) given.numbers[key] = number(word, text)
    }
  }
  return given
}

/** `map create PATH type TYPE key BYTES value BYTES entries N name NAME …`. */
export function create(words: readonly string[], { nomount }: Context): void {
  const [path, ...rest] = words
  if (path === undefined) throw new UsageError('cli.words', 'a path to pin the map to is needed')
  const { type, name, inner, numbers } = parse(rest)
  try {
    if (type === undefined) throw new UsageError('cli.map-type', 'which type of map? type TYPE')
    if (name === undefined) throw new UsageError('cli.words', 'the map needs a name: name NAME')
    const spec: MapSpec = {
      name,
      type,
      keySize: numbers.key ?? 0,
      valueSize: numbers.value ?? 0,
      maxEntries: numbers.entries ?? 0,
      flags: numbers.flags ?? 0,
    }
    const sys = realSys()
    using map = createRawMap(sys, spec, inner === undefined ? {} : { innerMapFd: inner.fd })
    pinAt(sys, map, path, { nomount })
  } finally {
    inner?.close()
  }
}
