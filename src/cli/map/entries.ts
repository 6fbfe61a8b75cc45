import { EXIT, NegativeError, UsageError } from '../../errors/index.ts'
import { errnoName, realSys } from '../../syscall/index.ts'
import { MAP_TYPES, UPDATE_FLAGS } from '../../uapi/index.ts'
import { toJson } from '../objects/json.ts'
import { hexList, hexText, printJson } from '../objects/options.ts'
import { fullWord, selectOne } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { entryJson, entryText, isReferenceMap, type OpenMap, openMap, typed, viewOf } from './values.ts'

/** Numbers as bpftool takes them: `1 2 0x0f`, or `hex 01 02 0f`. */
function parseBytes(
  words: readonly string[],
  count: number,
  what: string,
): { bytes: Uint8Array; rest: readonly string[] } {
  const hex = words[0] === 'hex'
  const list = hex ? words.slice(1) : words
  const bytes = new Uint8Array(count)
  for (let i = 0; i < count; i++) {
    const word = list[i]
    if (word === undefined) throw new UsageError('cli.bytes', `${what}: ${count} bytes are needed, ${i} were given`)
    const value = hex
      ? /^(0x)?[0-9a-f]{1,2}$/i.test(word)
        ? Number.parseInt(word, 16)
        : Number.NaN
      : /^(0x[0-9a-f]+|\d+)$/i.test(word)
        ? Number(word)
        : Number.NaN
    if (!(value >= 0 && value <= 255))
      throw new UsageError(
        'cli.bytes',
        `${what}: ${JSON.stringify(word)} is no byte (0 to 255${hex ? ' in hex' : ', or hex 0a 0b …'})`,
      )
    bytes[i] = value
  }
  return { bytes, rest: list.slice(count) }
}

interface Element {
  readonly key: Uint8Array
  readonly value?: Uint8Array
  readonly flags: number
}

/** `key DATA [value DATA|id of an object] [any|exist|noexist]` behind the map. */
function parseElement(open: OpenMap, words: readonly string[], wantValue: boolean): Element {
  const { map, info } = open
  const { keySize, valueSize } = map.shape
  let key = new Uint8Array(keySize)
  let hasKey = keySize === 0
  let value: Uint8Array | undefined
  let flags = 0
  let rest = words
  while (rest.length > 0) {
    const word = fullWord(rest[0], ['key', 'value', 'any', 'noexist', 'exist'])
    if (word === 'key') {
      const parsed = parseBytes(rest.slice(1), keySize, 'key')
      key = new Uint8Array(parsed.bytes)
      hasKey = true
      rest = parsed.rest
    } else if (word === 'value' && wantValue) {
      if (isReferenceMap(info.type)) {
        const { fd, rest: left } = selectOne(
          map.sys,
          info.type === MAP_TYPES.prog_array ? 'program' : 'map',
          rest.slice(1),
        )
        value = new Uint8Array(4)
        viewOf(value).setUint32(0, fd.fd, true)
        rest = left
      } else {
        const parsed = parseBytes(rest.slice(1), valueSize, 'value')
        value = parsed.bytes
        rest = parsed.rest
      }
    } else if (word === 'any' || word === 'exist' || word === 'noexist') {
      flags = UPDATE_FLAGS[word]
      rest = rest.slice(1)
    } else
      throw new UsageError(
        'cli.words',
        `expected key${wantValue ? ', value, any, exist or noexist' : ''}, got ${JSON.stringify(rest[0])}`,
      )
  }
  if (!hasKey) throw new UsageError('cli.words', `a key of ${keySize} bytes is needed: key DATA`)
  if (wantValue && value === undefined)
    throw new UsageError('cli.words', `a value of ${valueSize} bytes is needed: value DATA`)
  return { key, value, flags }
}

/** `map lookup MAP key DATA`. Not found: said on standard output and by the exit code, `null` in JSON. */
export function lookup(words: readonly string[], context: Context): number {
  using open = openMap(realSys(), words)
  const { key } = parseElement(open, open.rest, false)
  const value = open.map.lookup(key)
  if (value === undefined) {
    print(context.json === true ? 'null\n' : `key:\n${hexText(key)}\n\nNot found\n`)
    return EXIT.no
  }
  printEntry(open, key, value, context)
  return EXIT.ok
}

function printEntry(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array, context: Context): void {
  if (context.json === true) printJson(entryJson(open, key, value), context)
  else if (open.btf !== undefined) print(`${toJson(typed(open, open.btf, key, value, true), true)}\n`)
  else print(entryText(open, key, value))
}

function write(open: OpenMap, element: Element, what: string): void {
  const result = open.map.tryUpdate(element.key, element.value ?? new Uint8Array(), element.flags)
  if (result < 0) throw new NegativeError('map.update', `map ${open.info.id}: ${what}: ${errnoName(-result)}`)
}

/** `map update MAP key DATA value VALUE [any|exist|noexist]`. */
export function update(words: readonly string[]): void {
  using open = openMap(realSys(), words)
  write(open, parseElement(open, open.rest, true), 'update')
}

/** `map push|enqueue MAP value VALUE`. */
export function push(words: readonly string[]): void {
  using open = openMap(realSys(), words)
  write(open, parseElement(open, open.rest, true), 'push')
}

/** `map delete MAP key DATA`. */
export function remove(words: readonly string[]): void {
  using open = openMap(realSys(), words)
  const { key } = parseElement(open, open.rest, false)
  if (!open.map.delete(key))
    throw new NegativeError('map.no-entry', `map ${open.info.id} has no entry for key ${hexText(key)}`)
}

/** `map getnext MAP [key DATA]`. */
export function getnext(words: readonly string[], context: Context): void {
  using open = openMap(realSys(), words)
  const key = open.rest.length === 0 ? undefined : parseElement(open, open.rest, false).key
  const next = open.map.nextKey(key)
  if (next === undefined) throw new NegativeError('map.no-next', `map ${open.info.id}: no key follows`)
  if (context.json === true)
    printJson({ key: key === undefined ? null : hexList(key), next_key: hexList(next) }, context)
  else print(`${key === undefined ? 'key: None\n' : `key:\n${hexText(key)}\n`}next key:\n${hexText(next)}\n`)
}

function take(words: readonly string[], context: Context, remove: boolean): number {
  using open = openMap(realSys(), words)
  const value = remove ? open.map.lookupAndDelete(new Uint8Array()) : open.map.lookup(new Uint8Array())
  if (value !== undefined) printEntry(open, new Uint8Array(), value, context)
  else if (open.info.type === MAP_TYPES.bloom_filter) {
    // asked whether it has a value of zeros: it gives none back
    print(context.json === true ? 'null\n' : 'key:\n\n\nNot found\n')
    return EXIT.no
  } else if (context.json === true) printJson({}, context)
  else print('Error: empty map\n')
  return EXIT.ok
}

/** `map peek MAP`. */
export const peek = (words: readonly string[], context: Context): number => take(words, context, false)
/** `map pop|dequeue MAP`. */
export const pop = (words: readonly string[], context: Context): number => take(words, context, true)

/** `map freeze MAP`. */
export function freeze(words: readonly string[]): void {
  using open = openMap(realSys(), words)
  if (open.rest.length > 0)
    throw new UsageError('cli.words', `nothing is expected behind the map: ${open.rest.join(' ')}`)
  open.map.freeze()
}
