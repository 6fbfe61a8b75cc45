import { mapTypeNumber } from '../../uapi/index.ts'
import { syntaxError, type TextPlace } from './lexer.ts'

/** A map that a `.map` directive defines; sizes in bytes. */
export interface TextMap {
  readonly name: string
  /** enum bpf_map_type. */
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
}

/** Sections that hold no instructions, where the directive does not say. */
export const DATA_SECTION = /^(\.data|\.bss|\.rodata|\.maps|\.BTF|\.debug|\.llvm|license$|version$|maps$)/
/** Directives that hold data. */
export const DATA_DIRECTIVES = new Set([
  '.byte',
  '.short',
  '.long',
  '.quad',
  '.2byte',
  '.4byte',
  '.8byte',
  '.zero',
  '.ascii',
  '.asciz',
  '.string',
  '.comm',
  '.uleb128',
  '.sleb128',
])
/** Directives that say nothing about instructions. */
export const IGNORED = new Set([
  '.p2align',
  '.align',
  '.balign',
  '.file',
  '.ident',
  '.size',
  '.local',
  '.hidden',
  '.weak',
  '.addrsig',
  '.addrsig_sym',
])

const MAP_ATTRIBUTES = ['type', 'key', 'value', 'entries', 'flags']

/** `.map NAME type=hash key=4 value=8 entries=16`. */
export function mapDirective(rest: string, place: TextPlace): TextMap {
  const [name, ...attributes] = rest.split(/[\s,]+/).filter((word) => word !== '')
  const column = (word: string): number => place.text.indexOf(word) + 1
  if (name === undefined || !/^[\w.$]+$/.test(name))
    throw syntaxError(place, column('.map'), 'expected .map NAME type=… key=… value=… entries=…')
  const given = new Map<string, string>()
  for (const attribute of attributes) {
    const [key, value] = attribute.split('=', 2)
    if (value === undefined || value === '' || !MAP_ATTRIBUTES.includes(key))
      throw syntaxError(
        place,
        column(attribute),
        `expected ${MAP_ATTRIBUTES.map((word) => `${word}=…`).join(', ')}, found ${JSON.stringify(attribute)}`,
      )
    given.set(key, value)
  }
  const number = (key: string, otherwise: number): number => {
    const text = given.get(key)
    if (text === undefined) return otherwise
    const value = /^(0x[0-9a-fA-F]+|\d+)$/.test(text) ? Number(text) : Number.NaN
    if (!(value <= 0xffffffff)) throw syntaxError(place, column(`${key}=`), `${key}=${text} is no 32-bit number`)
    return value
  }
  const typeText = given.get('type') ?? 'hash'
  const type = mapTypeNumber(/^\d+$/.test(typeText) ? Number(typeText) : typeText)
  if (type === undefined) throw syntaxError(place, column('type='), `${typeText} is no map type`)
  return {
    name,
    type,
    keySize: number('key', 4),
    valueSize: number('value', 8),
    maxEntries: number('entries', 1),
    flags: number('flags', 0),
  }
}
