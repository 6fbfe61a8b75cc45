import type { Command } from 'commander'
import { Btf } from '../btf/index.ts'
import { NegativeError, UsageError } from '../errors/index.ts'
import type { MapSpec } from '../spec/index.ts'
import {
  btfBytes,
  createRawMap,
  errnoName,
  fdInfo,
  type MapInfo,
  mapInfo,
  type OwnedFd,
  objectIds,
  openById,
  pin,
  RawMap,
  realSys,
  type Sys,
} from '../syscall/index.ts'
import { MAP_TYPES, mapTypeName, mapTypeNumber, programTypeName } from '../uapi/index.ts'
import { btfValue } from './objects/btf-value.ts'
import { type Holder, holders } from './objects/holders.ts'
import { type Json, toJson } from './objects/json.ts'
import { hexList, hexText, type OutputOptions, printJson, wantsJson, withOutput } from './objects/options.ts'
import { fullWord, select, selectOne } from './objects/select.ts'

const typeText = (type: number): string | number => mapTypeName(type) ?? type
const MAPS_IN_MAPS: ReadonlySet<number> = new Set([MAP_TYPES.array_of_maps, MAP_TYPES.hash_of_maps])

interface Row {
  readonly info: MapInfo
  readonly name: string
  readonly fd: ReadonlyMap<string, string>
  readonly holders: readonly Holder[]
}

function rowOf(sys: Sys, fd: OwnedFd, found: ReadonlyMap<number, readonly Holder[]>): Row {
  const info = mapInfo(sys, fd.fd)
  const others = (found.get(info.id) ?? []).filter(({ pid }) => pid !== process.pid)
  return { info, name: info.name, fd: fdInfo(fd.fd), holders: others }
}

function rowJson({ info, name, fd, holders }: Row): Json {
  const owner = fd.get('owner_prog_type')
  const jited = fd.get('owner_jited')
  return {
    id: info.id,
    type: typeText(info.type),
    name: name === '' ? undefined : name,
    flags: info.map_flags,
    bytes_key: info.key_size,
    bytes_value: info.value_size,
    max_entries: info.max_entries,
    bytes_memlock: Number(fd.get('memlock') ?? 0),
    owner_prog_type: owner === undefined ? undefined : (programTypeName(Number(owner)) ?? Number(owner)),
    owner_jited: jited === undefined ? undefined : jited !== '0',
    frozen: Number(fd.get('frozen') ?? 0),
    btf_id: info.btf_id > 0 ? info.btf_id : undefined,
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  }
}

function rowText({ info, name, fd, holders }: Row): string {
  const type = mapTypeName(info.type) ?? `type ${info.type}`
  let out = `${info.id}: ${type}  ${name === '' ? '' : `name ${name}  `}flags 0x${info.map_flags.toString(16)}\n`
  out += `\tkey ${info.key_size}B  value ${info.value_size}B  max_entries ${info.max_entries}  memlock ${fd.get('memlock') ?? 0}B`
  const owner = fd.get('owner_prog_type')
  if (owner !== undefined)
    out += `\n\towner_prog_type ${programTypeName(Number(owner)) ?? owner}  owner${fd.get('owner_jited') === '0' ? ' not' : ''} jited`
  const frozen = fd.get('frozen') === '1'
  if (info.btf_id > 0 || frozen) out += '\n\t'
  if (info.btf_id > 0) out += `btf_id ${info.btf_id}`
  if (frozen) out += `${info.btf_id > 0 ? '  ' : ''}frozen`
  if (holders.length > 0) out += `\n\tpids ${holders.map(({ pid, comm }) => `${comm}(${pid})`).join(', ')}`
  return `${out}\n`
}

function show(words: readonly string[], options: OutputOptions): void {
  const sys = realSys()
  const found = holders().map_id
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds, rest } = select(sys, 'map', words)
    if (rest.length > 0)
      throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
    for (const owned of fds) {
      using fd = owned
      rows.push(rowOf(sys, fd, found))
    }
  } else
    for (const id of objectIds(sys, 'map')) {
      using fd = openById(sys, 'map', id)
      if (fd !== undefined) rows.push(rowOf(sys, fd, found))
    }
  if (wantsJson(options))
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), options)
  else for (const row of rows) process.stdout.write(rowText(row))
}

/** A map that the words name, with what its types are. */
interface OpenMap {
  readonly map: RawMap
  readonly info: MapInfo
  readonly btf?: Btf
  readonly rest: readonly string[]
  [Symbol.dispose](): void
}

function openMap(words: readonly string[]): OpenMap {
  const sys = realSys()
  const { fd, rest } = selectOne(sys, 'map', words)
  const info = mapInfo(sys, fd.fd)
  const map = new RawMap(sys, fd.release(), {
    name: info.name,
    type: info.type,
    keySize: info.key_size,
    valueSize: info.value_size,
    maxEntries: info.max_entries,
    flags: info.map_flags,
  })
  let btf: Btf | undefined
  if (info.btf_id > 0 && info.btf_value_type_id > 0) {
    using types = openById(sys, 'btf', info.btf_id)
    if (types !== undefined) btf = new Btf(btfBytes(sys, types.fd), { what: `BTF ${info.btf_id}` })
  }
  return { map, info, btf, rest, [Symbol.dispose]: () => map.close() }
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** The values of all CPUs, or the one value. */
function values({ map }: OpenMap, value: Uint8Array): Uint8Array[] {
  const step = map.exchangedSize / map.cpus
  return Array.from({ length: map.cpus }, (_, cpu) => value.subarray(cpu * step, cpu * step + map.shape.valueSize))
}

/** Key and value by their types. */
function typed(open: OpenMap, btf: Btf, key: Uint8Array | undefined, value: Uint8Array, plain: boolean): Json {
  const { info, map } = open
  const one = (bytes: Uint8Array): Json => btfValue(btf, info.btf_value_type_id, viewOf(bytes), plain)
  return {
    key:
      info.btf_key_type_id > 0 && key !== undefined
        ? btfValue(btf, info.btf_key_type_id, viewOf(key), plain)
        : undefined,
    ...(map.cpus === 1
      ? { value: one(value) }
      : { values: values(open, value).map((bytes, cpu) => ({ cpu, value: one(bytes) })) }),
  }
}

function entryJson(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array): Json {
  const { map, btf, info } = open
  const formatted = btf === undefined ? undefined : typed(open, btf, key, value, false)
  const named = key === undefined ? {} : { key: hexList(key) }
  if (map.cpus > 1)
    return { ...named, values: values(open, value).map((bytes, cpu) => ({ cpu, value: hexList(bytes) })), formatted }
  const inner = MAPS_IN_MAPS.has(info.type) ? viewOf(value).getUint32(0, true) : undefined
  return { ...named, value: hexList(value), inner_map_id: inner, formatted }
}

function entryText(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array): string {
  const { map, info } = open
  const size = map.shape.valueSize
  if (map.cpus > 1) {
    let out = key === undefined || key.length === 0 ? '' : `key:\n${hexText(key)}\n`
    values(open, value).forEach((bytes, cpu) => {
      out += `value (CPU ${String(cpu).padStart(2, '0')}):${size > 16 ? '\n' : ' '}${hexText(bytes)}\n`
    })
    return out
  }
  const keySize = key?.length ?? 0
  const broken = keySize > 16 || size > 16
  let out = ''
  if (keySize > 0)
    out += `key:${broken ? '\n' : ' '}${hexText(key as Uint8Array)}${keySize + size <= 24 && !broken ? '  ' : '\n'}`
  if (MAPS_IN_MAPS.has(info.type)) out += `inner_map_id:${broken ? '\n' : ' '}${viewOf(value).getUint32(0, true)} `
  else if (size > 0) out += `value:${broken ? '\n' : ' '}${hexText(value)}`
  return `${out}\n`
}

function* entriesOf({ map }: OpenMap): Generator<[key: Uint8Array, value: Uint8Array | undefined]> {
  for (const key of map.keys()) yield [key, map.lookup(key)]
}

function dump(words: readonly string[], options: OutputOptions): void {
  const sys = realSys()
  const { fds, rest } = select(sys, 'map', words)
  for (const fd of fds) fd.close()
  if (rest.length > 0)
    throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
  using open = openMap(words)
  const { btf } = open
  if (wantsJson(options)) {
    const rows: Json[] = []
    for (const [key, value] of entriesOf(open)) {
      if (value !== undefined) rows.push(entryJson(open, key, value))
      else if (!isReferenceMap(open.info.type))
        rows.push({ key: hexList(key), value: { error: 'No such file or directory' } })
    }
    printJson(rows, options)
    return
  }
  if (btf !== undefined) {
    const rows: Json[] = []
    for (const [key, value] of entriesOf(open)) if (value !== undefined) rows.push(typed(open, btf, key, value, true))
    process.stdout.write(`${toJson(rows, true)}\n`)
    return
  }
  let count = 0
  for (const [key, value] of entriesOf(open)) {
    if (value !== undefined) {
      process.stdout.write(entryText(open, key, value))
      count++
    } else if (!isReferenceMap(open.info.type)) process.stdout.write(`key: ${hexText(key)}  value: <no entry>\n`)
  }
  process.stdout.write(`Found ${count} element${count === 1 ? '' : 's'}\n`)
}

/** Maps of programs and maps: an empty slot is no entry. */
const isReferenceMap = (type: number): boolean => MAPS_IN_MAPS.has(type) || type === MAP_TYPES.prog_array

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
    const word = fullWord(rest[0], ['key', 'value', 'any', 'exist', 'noexist'])
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
      flags = { any: 0, noexist: 1, exist: 2 }[word]
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

function lookup(words: readonly string[], options: OutputOptions): void {
  using open = openMap(words)
  const { key } = parseElement(open, open.rest, false)
  const value = open.map.lookup(key)
  if (value === undefined)
    throw new NegativeError('map.no-entry', `map ${open.info.id} has no entry for key ${hexText(key)}`)
  printEntry(open, key, value, options)
}

function printEntry(open: OpenMap, key: Uint8Array | undefined, value: Uint8Array, options: OutputOptions): void {
  if (wantsJson(options)) printJson(entryJson(open, key, value), options)
  else if (open.btf !== undefined) process.stdout.write(`${toJson(typed(open, open.btf, key, value, true), true)}\n`)
  else process.stdout.write(entryText(open, key, value))
}

function written(open: OpenMap, result: number, what: string): void {
  if (result < 0) throw new NegativeError('map.update', `map ${open.info.id}: ${what}: ${errnoName(-result)}`)
}

function update(words: readonly string[]): void {
  using open = openMap(words)
  const { key, value, flags } = parseElement(open, open.rest, true)
  written(open, open.map.tryUpdate(key, value as Uint8Array, flags), 'update')
}

function remove(words: readonly string[]): void {
  using open = openMap(words)
  const { key } = parseElement(open, open.rest, false)
  if (!open.map.delete(key))
    throw new NegativeError('map.no-entry', `map ${open.info.id} has no entry for key ${hexText(key)}`)
}

function getnext(words: readonly string[], options: OutputOptions): void {
  using open = openMap(words)
  const key = open.rest.length === 0 ? undefined : parseElement(open, open.rest, false).key
  const next = open.map.nextKey(key)
  if (next === undefined) throw new NegativeError('map.no-next', `map ${open.info.id}: no key follows`)
  if (wantsJson(options)) printJson({ key: key === undefined ? null : hexList(key), next_key: hexList(next) }, options)
  else
    process.stdout.write(
      `${key === undefined ? 'key: None\n' : `key:\n${hexText(key)}\n`}next key:\n${hexText(next)}\n`,
    )
}

function take(remove: boolean): (words: readonly string[], options: OutputOptions) => void {
  return (words, options) => {
    using open = openMap(words)
    const value = remove ? open.map.lookupAndDelete(new Uint8Array()) : open.map.lookup(new Uint8Array())
    if (value === undefined) {
      if (wantsJson(options)) printJson({}, options)
      else process.stdout.write('Error: empty map\n')
      return
    }
    printEntry(open, undefined, value, options)
  }
}

function push(words: readonly string[]): void {
  using open = openMap(words)
  const { value, flags } = parseElement(open, open.rest, true)
  written(open, open.map.tryUpdate(new Uint8Array(), value as Uint8Array, flags), 'push')
}

const CREATE = ['type', 'key', 'value', 'entries', 'name', 'flags'] as const

function create(words: readonly string[]): void {
  const [path, ...rest] = words
  const given: Partial<Record<(typeof CREATE)[number], string>> = {}
  for (let i = 0; i < rest.length; i += 2) {
    const word = fullWord(rest[i], CREATE) as (typeof CREATE)[number] | undefined
    if (word === undefined)
      throw new UsageError('cli.words', `expected ${CREATE.join(', ')}, got ${JSON.stringify(rest[i])}`)
    if (rest[i + 1] === undefined) throw new UsageError('cli.words', `'${word}' needs a value`)
    given[word] = rest[i + 1]
  }
  const type = mapTypeNumber(given.type ?? '')
  if (type === undefined)
    throw new UsageError(
      'cli.map-type',
      `${given.type === undefined ? 'a type is needed' : `${JSON.stringify(given.type)} is no map type`}: one of ${Object.keys(MAP_TYPES).slice(1).join(', ')}`,
    )
  const number = (word: (typeof CREATE)[number]): number => {
    const value = Number(given[word] ?? 0)
    if (!Number.isInteger(value) || value < 0 || value > 0xffffffff)
      throw new UsageError('cli.number', `${word}: ${JSON.stringify(given[word])} is no number from 0 to 2^32-1`)
    return value
  }
  const spec: MapSpec = {
    name: given.name ?? '',
    type,
    keySize: number('key'),
    valueSize: number('value'),
    maxEntries: number('entries'),
    flags: number('flags'),
  }
  const sys = realSys()
  using map = createRawMap(sys, spec)
  pin(sys, map.fd, path)
}

const HANDLE = 'id ID | name NAME | pinned PATH'

interface Row3 {
  readonly name: string
  readonly description: string
  readonly words: string
  readonly alias?: string
  readonly action: (words: readonly string[], options: OutputOptions) => void
}

const ACTIONS: readonly Row3[] = [
  { name: 'dump', description: 'all entries, by their BTF types where the map has them', words: HANDLE, action: dump },
  { name: 'lookup', description: 'the entry of a key', words: `${HANDLE}, then: key DATA`, action: lookup },
  {
    name: 'update',
    description: 'write an entry',
    words: `${HANDLE}, then: key DATA value VALUE [any|exist|noexist]`,
    action: update,
  },
  { name: 'delete', description: 'delete an entry', words: `${HANDLE}, then: key DATA`, action: remove },
  {
    name: 'getnext',
    description: 'the key after a key, or the first',
    words: `${HANDLE}, then: [key DATA]`,
    action: getnext,
  },
  { name: 'peek', description: 'the next value of a queue or stack, left there', words: HANDLE, action: take(false) },
  { name: 'pop', description: 'take the next value of a stack', words: HANDLE, alias: 'dequeue', action: take(true) },
  {
    name: 'push',
    description: 'add a value to a stack or queue',
    words: `${HANDLE}, then: value VALUE`,
    alias: 'enqueue',
    action: push,
  },
]

export function register(program: Command): void {
  const map = program.command('map').description('show, read and change the maps in the kernel')
  withOutput(map.command('show').alias('list'))
    .description('list all maps, or those that the words name')
    .argument('[map...]', HANDLE)
    .action(show)
  for (const { name, description, words, alias, action } of ACTIONS) {
    const command = withOutput(map.command(name)).description(description).argument('<map...>', words).action(action)
    if (alias !== undefined) command.alias(alias)
  }
  map
    .command('create')
    .description('create a map and pin it')
    .argument('<path...>', 'PATH type TYPE key BYTES value BYTES entries N [name NAME] [flags N]')
    .action(create)
  map
    .command('freeze')
    .description('make a map read-only for user space')
    .argument('<map...>', HANDLE)
    .action((words: string[]) => {
      using open = openMap(words)
      open.map.freeze()
    })
  map
    .command('pin')
    .description('pin a map to a path of a BPF file system')
    .argument('<map...>', `${HANDLE}, then the path`)
    .action((words: string[]) => {
      using open = openMap(words)
      if (open.rest.length !== 1) throw new UsageError('cli.words', 'one path is needed behind the map')
      pin(open.map.sys, open.map.fd, open.rest[0])
    })
}
