import { InputError } from '../errors/index.ts'
import {
  attachTypeNumber,
  MAP_FLAGS,
  MAP_TYPES,
  type MapFlag,
  mapTypeNumber,
  PROGRAM_FLAGS,
  type ProgramFlag,
  programTypeNumber,
} from '../uapi/index.ts'
import type { ImageRelocation, ProgramImage } from './image.ts'
import type { MapSpec } from './map.ts'

/** One request of `verify --batch` and `load --batch` (docs/contracts.md): a program and how to ask about it. */
export interface BatchRequest {
  readonly id: unknown
  readonly image: ProgramImage
  /** Kernel profile that was asked for; only `verify` looks at it. */
  readonly kernel?: string
  /** Log level bits, when a log was asked for. */
  readonly logLevel?: number
}

type Json = Readonly<Record<string, unknown>>

const MAX_INSNS = 1_000_001
const MAX_MAPS = 4096
const MAX_ATTACHED = 8
const U32 = 0xffff_ffff

function fail(where: string, what: string): never {
  throw new InputError('batch.request', `${where}: ${what}`)
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function text(value: unknown, where: string): string {
  return typeof value === 'string' ? value : fail(where, 'a string is needed')
}

function integer(value: unknown, where: string, minimum = 0, maximum = U32): number {
  return typeof value === 'number' && Number.isInteger(value) && value >= minimum && value <= maximum
    ? value
    : fail(where, `a whole number from ${minimum} to ${maximum} is needed`)
}

function list(value: unknown, where: string, maximum: number): readonly unknown[] {
  if (!Array.isArray(value)) return fail(where, 'an array is needed')
  return value.length <= maximum ? value : fail(where, `more than ${maximum} elements`)
}

const NIBBLE = new Int8Array(128).fill(-1)
for (let digit = 0; digit < 16; digit++) {
  const character = digit.toString(16)
  NIBBLE[character.charCodeAt(0)] = digit
  NIBBLE[character.toUpperCase().charCodeAt(0)] = digit
}

/** Bytes of hex without separators: the hot path of a batch. */
function hex(value: unknown, where: string): Uint8Array {
  const digits = text(value, where)
  if (digits.length % 2 !== 0) fail(where, 'an even number of hex digits is needed')
  const bytes = new Uint8Array(digits.length / 2)
  for (let i = 0; i < bytes.length; i++) {
    const high = NIBBLE[digits.charCodeAt(2 * i)] ?? -1
    const low = NIBBLE[digits.charCodeAt(2 * i + 1)] ?? -1
    if (high < 0 || low < 0) fail(where, `digits ${2 * i} and ${2 * i + 1} are not hex`)
    bytes[i] = (high << 4) | low
  }
  return bytes
}

function named(value: unknown, where: string, number: (name: string) => number | undefined): number {
  if (typeof value === 'number') return integer(value, where)
  return number(text(value, where)) ?? fail(where, `${JSON.stringify(value)} is not known`)
}

function flagBits<F extends string>(value: unknown, where: string, table: Readonly<Record<F, number>>): number {
  if (typeof value === 'number') return integer(value, where)
  let bits = 0
  for (const flag of list(value, where, 32)) {
    if (typeof flag === 'number') bits |= integer(flag, where)
    else {
      const name = text(flag, where)
      if (!Object.hasOwn(table, name)) fail(where, `${JSON.stringify(name)} is not a flag`)
      bits |= table[name as F]
    }
  }
  return bits >>> 0
}

function bigintOf(value: unknown, where: string): bigint {
  if (typeof value === 'string' && /^(0x[0-9a-fA-F]{1,16}|\d{1,20})$/.test(value)) return BigInt(value)
  return BigInt(integer(value, where, 0, Number.MAX_SAFE_INTEGER))
}

const HOLDS_INDICES: ReadonlySet<number> = new Set([
  MAP_TYPES.array_of_maps,
  MAP_TYPES.hash_of_maps,
  MAP_TYPES.prog_array,
])

function parseMaps(value: unknown): MapSpec[] {
  const rows = list(value, 'maps', MAX_MAPS).map((row, index) =>
    isObject(row) ? row : fail(`maps[${index}]`, 'an object is needed'),
  )
  const given = rows.map((row, index) =>
    row['name'] === undefined ? `map${index}` : text(row['name'], `maps[${index}].name`),
  )
  // Slots name their targets, so names are made unique.
  const taken = new Set<string>()
  const names = given.map((name, index) => {
    const unique = taken.has(name) ? `${name}.${index}` : name
    taken.add(unique)
    return unique
  })
  const specs: (MapSpec | undefined)[] = rows.map(() => undefined)
  const build = (index: number, path: readonly number[]): MapSpec => {
    const done = specs[index]
    if (done !== undefined) return done
    if (path.includes(index)) fail(`maps[${index}].inner`, 'a map cannot be its own template')
    const row = rows[index]
    const at = `maps[${index}]`
    const type = named(row['type'], `${at}.type`, mapTypeNumber)
    const innerIndex = row['inner'] === undefined ? undefined : integer(row['inner'], `${at}.inner`, 0, rows.length - 1)
    const pairs = list(row['contents'] ?? [], `${at}.contents`, 1_000_000).map((pair, i) => {
      const where = `${at}.contents[${i}]`
      const [key, content] = list(pair, where, 2)
      const keyBytes = hex(key, where)
      if (!HOLDS_INDICES.has(type)) return [keyBytes, hex(content, where)] as const
      const bytes = typeof content === 'number' ? undefined : hex(content, where)
      const target =
        bytes === undefined
          ? integer(content, where, 0, rows.length - 1)
          : bytes.length === 4
            ? new DataView(bytes.buffer).getUint32(0, true)
            : fail(where, 'an index has four bytes')
      return [
        keyBytes,
        type === MAP_TYPES.prog_array ? String(target) : (names[target] ?? fail(where, `there is no map ${target}`)),
      ] as const
    })
    const contents = pairs.filter((pair): pair is readonly [Uint8Array, Uint8Array] => typeof pair[1] !== 'string')
    const slots = pairs.filter((pair): pair is readonly [Uint8Array, string] => typeof pair[1] === 'string')
    const optional = (name: string): number | undefined =>
      row[name] === undefined ? undefined : integer(row[name], `${at}.${name}`)
    const spec: MapSpec = {
      name: names[index],
      type,
      keySize: integer(row['keySize'] ?? 0, `${at}.keySize`),
      valueSize: integer(row['valueSize'] ?? 0, `${at}.valueSize`),
      maxEntries: integer(row['maxEntries'] ?? 0, `${at}.maxEntries`),
      flags: row['flags'] === undefined ? 0 : flagBits<MapFlag>(row['flags'], `${at}.flags`, MAP_FLAGS),
      mapExtra: row['mapExtra'] === undefined ? undefined : bigintOf(row['mapExtra'], `${at}.mapExtra`),
      numaNode: optional('numaNode'),
      btfKeyTypeId: optional('btfKeyTypeId'),
      btfValueTypeId: optional('btfValueTypeId'),
      inner: innerIndex === undefined ? undefined : build(innerIndex, [...path, index]),
      frozen: row['frozen'] === true,
      contents,
      slots,
    }
    specs[index] = spec
    return spec
  }
  return rows.map((_, index) => build(index, []))
}

function parseRelocations(value: unknown, maps: number, slots: number): ImageRelocation[] {
  return list(value, 'relocations', MAX_INSNS).map((row, index) => {
    const at = `relocations[${index}]`
    if (!isObject(row)) return fail(at, 'an object is needed')
    const kind = row['kind'] ?? 'fd'
    if (kind !== 'fd' && kind !== 'value') return fail(`${at}.kind`, '"fd" or "value" is needed')
    return {
      insn: integer(row['insn'], `${at}.insn`, 0, Math.max(slots - 1, 0)),
      map: integer(row['map'], `${at}.map`, 0, Math.max(maps - 1, 0)),
      kind,
      offset: row['offset'] === undefined ? undefined : integer(row['offset'], `${at}.offset`, -0x8000_0000),
    }
  })
}

function parseAttachTo(value: unknown, depth: number): ProgramImage['attachTo'] {
  if (!isObject(value)) return fail('attachTo', 'an object is needed')
  if (depth >= MAX_ATTACHED) fail('attachTo', `more than ${MAX_ATTACHED} programs attached to one another`)
  const name = text(value['name'], 'attachTo.name')
  return {
    name,
    ...(value['module'] === undefined ? {} : { module: text(value['module'], 'attachTo.module') }),
    ...(value['program'] === undefined ? {} : { program: parseRequest(value['program'], depth + 1).image }),
  }
}

/** The `id` of a request, as far as it can be read; null otherwise. */
export function batchRequestId(request: unknown): unknown {
  return isObject(request) ? (request['id'] ?? null) : null
}

/**
 * One parsed JSON request as a program.
 * @throws InputError `batch.request` that names the field
 */
export function parseBatchRequest(request: unknown): BatchRequest {
  return parseRequest(request, 0)
}

function parseRequest(request: unknown, depth: number): BatchRequest {
  if (!isObject(request)) return fail('request', 'an object is needed')
  const insns = hex(request['insns'], 'insns')
  if (insns.length % 8 !== 0) fail('insns', 'eight bytes an instruction are needed')
  const slots = insns.length / 8
  if (slots > MAX_INSNS * 4) fail('insns', 'too long')
  const maps = request['maps'] === undefined ? [] : parseMaps(request['maps'])
  const bytes = (name: string): Uint8Array | undefined =>
    request[name] === undefined ? undefined : hex(request[name], name)
  const image: ProgramImage = {
    name: request['name'] === undefined ? '' : text(request['name'], 'name'),
    type: named(request['type'], 'type', programTypeNumber),
    expectedAttachType:
      request['attachType'] === undefined ? 0 : named(request['attachType'], 'attachType', attachTypeNumber),
    insns,
    license: request['license'] === undefined ? 'GPL' : text(request['license'], 'license'),
    flags: request['flags'] === undefined ? 0 : flagBits<ProgramFlag>(request['flags'], 'flags', PROGRAM_FLAGS),
    maps,
    relocations:
      request['relocations'] === undefined ? [] : parseRelocations(request['relocations'], maps.length, slots),
    btf: bytes('btf'),
    funcInfo: bytes('funcInfo'),
    lineInfo: bytes('lineInfo'),
    attachTo: request['attachTo'] === undefined ? undefined : parseAttachTo(request['attachTo'], depth),
    attachBtfId: request['attachBtfId'] === undefined ? undefined : integer(request['attachBtfId'], 'attachBtfId'),
    fdArray:
      request['fdArray'] === undefined
        ? undefined
        : list(request['fdArray'], 'fdArray', 256).map((module, index) => text(module, `fdArray[${index}]`)),
  }
  return {
    id: request['id'] ?? null,
    image,
    kernel: request['kernel'] === undefined ? undefined : text(request['kernel'], 'kernel'),
    logLevel: request['logLevel'] === undefined ? undefined : integer(request['logLevel'], 'logLevel', 0, 7),
  }
}
