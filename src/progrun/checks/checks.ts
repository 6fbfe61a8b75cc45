import { AssertionError } from 'node:assert'
import { bytesToHex } from '../../bytes/index.ts'
import type { RunResult } from '../harness/result.ts'
import type { TestMap } from '../harness/test-map.ts'
import { keyText, valueText } from '../harness/value-text.ts'
import { verdictName, verdictValue } from '../harness/verdicts.ts'
import { buildPacket, diffPackets, hexdump, type Layer } from '../packets/index.ts'

/** The answer of a check: `message` says what was expected and what came, with the backend's name. */
export interface Check {
  readonly pass: boolean
  readonly message: string
  readonly actual?: unknown
  readonly expected?: unknown
}

/** Throws an AssertionError when a check did not pass: for node:test and plain scripts. */
export function assertCheck(check: Check): void {
  if (!check.pass)
    throw new AssertionError({
      message: check.message,
      actual: check.actual,
      expected: check.expected,
      operator: 'check',
    })
}

/** The run returned this verdict (by name) or number. */
export function checkReturn(result: RunResult, expected: string | number): Check {
  const wanted = typeof expected === 'number' ? expected | 0 : verdictValue(result.type, expected)
  const shown = result.verdict ?? String(result.returnValue)
  const pass = wanted !== undefined && result.returnValue === wanted
  const unknown = wanted === undefined ? ` (${result.type} programs have no return value of that name)` : ''
  const name = typeof expected === 'number' ? (verdictName(result.type, expected) ?? expected) : expected
  return {
    pass,
    message: `${result.program} returned ${shown} on ${result.backend}, expected ${pass ? 'another value' : name}${unknown}`,
    actual: shown,
    expected: String(name),
  }
}

/** Two packets are equal; otherwise every field that differs is named. */
export function checkPacket(
  actual: Uint8Array | RunResult | undefined,
  expected: Uint8Array | readonly Layer[],
): Check {
  const wanted = expected instanceof Uint8Array ? expected : buildPacket(expected)
  const isBytes = actual === undefined || actual instanceof Uint8Array
  const bytes = isBytes ? actual : actual.packet
  const where = isBytes ? '' : ` (${actual.program} on ${actual.backend})`
  if (bytes === undefined) return { pass: false, message: `there is no packet${where}`, expected: hexdump(wanted) }
  const differences = diffPackets(bytes, wanted)
  const lines = differences.map(({ path, actual: a, expected: e }) => `  ${path}: ${a}, expected ${e}`)
  return {
    pass: differences.length === 0,
    message:
      differences.length === 0
        ? `the packets are equal${where}`
        : [
            `the packets differ in ${differences.length} field${differences.length === 1 ? '' : 's'}${where}:`,
            ...lines,
          ].join('\n'),
    actual: Object.fromEntries(differences.map(({ path, actual: a }) => [path, a])),
    expected: Object.fromEntries(differences.map(({ path, expected: e }) => [path, e])),
  }
}

function equal(a: unknown, b: unknown): boolean {
  // people write 3 where a 64-bit value is 3n
  if (typeof a === 'bigint' && typeof b === 'number') return a === BigInt(b)
  if (typeof a === 'number' && typeof b === 'bigint') return BigInt(a) === b
  if (a instanceof Uint8Array && b instanceof Uint8Array) return bytesToHex(a) === bytesToHex(b)
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((item, i) => equal(item, b[i]))
  if (typeof a === 'object' && typeof b === 'object' && a !== null && b !== null)
    return Object.keys(b).every((key) =>
      equal((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
    )
  return a === b
}

/** Entries to expect of a map: pairs, or an object whose keys are the keys' text; `undefined`: there must be none. */
export type MapState<K = unknown, V = unknown> =
  | readonly (readonly [key: K, value: Partial<V> | undefined])[]
  | Readonly<Record<string, unknown>>

/** The map has these entries; of struct values only the given members are looked at. `exact`: and no others. */
export function checkMapState<K, V>(
  map: TestMap<K, V>,
  expected: MapState<K, V>,
  options: { readonly exact?: boolean } = {},
): Check {
  // elements of an array that are zero are always there
  const rest = new Map<string, unknown>(
    options.exact === true ? map.filled().map(([key, value]) => [keyText(key), value]) : [],
  )
  const rows = Array.isArray(expected)
    ? (expected as readonly (readonly [unknown, unknown])[]).map(([given, value]) => {
        const key = map.normalKey(given)
        return { key: keyText(key), value, found: map.get(key) as unknown }
      })
    : Object.entries(expected as Readonly<Record<string, unknown>>).map(([key, value]) => ({
        key,
        value,
        found: map.entries().find(([each]) => keyText(each) === key)?.[1] as unknown,
      }))
  const actual: Record<string, unknown> = {}
  const wanted: Record<string, unknown> = {}
  const lines: string[] = []
  for (const { key, value, found } of rows) {
    rest.delete(key)
    const normal = value === undefined ? undefined : map.normalValue(value)
    if (found !== undefined) actual[key] = found
    if (normal !== undefined) wanted[key] = normal
    if (normal === undefined ? found !== undefined : !equal(found, normal))
      lines.push(
        `  [${key}]: ${found === undefined ? '(absent)' : valueText(found)}, expected ${normal === undefined ? '(absent)' : valueText(normal)}`,
      )
  }
  for (const [key, value] of rest) {
    actual[key] = value
    lines.push(`  [${key}]: ${valueText(value)}, expected (absent)`)
  }
  const there = lines.length > 0 && rows.some(({ found }) => found === undefined) ? map.filled() : []
  if (there.length > 0 && there.length <= 16) lines.push(`  it has ${there.map(([key]) => keyText(key)).join(', ')}`)
  return {
    pass: lines.length === 0,
    message:
      lines.length === 0
        ? `map ${map.name} has the expected entries`
        : [`map ${map.name} is different:`, ...lines].join('\n'),
    actual,
    expected: wanted,
  }
}

/** The run sent at least one such event: of this map, with these bytes, or for which the function holds. */
export type EventPattern =
  | string
  | Uint8Array
  | {
      readonly map?: string
      readonly data?: Uint8Array
      readonly count?: number
      readonly where?: (data: Uint8Array) => boolean
    }

export function checkEmit(result: RunResult, pattern: EventPattern): Check {
  const wanted =
    typeof pattern === 'string' ? { map: pattern } : pattern instanceof Uint8Array ? { data: pattern } : pattern
  const found = result.events.filter(
    ({ map, data }) =>
      (wanted.map === undefined || wanted.map === map) &&
      (wanted.data === undefined || bytesToHex(wanted.data) === bytesToHex(data)) &&
      (wanted.where === undefined || wanted.where(data)),
  )
  const pass = wanted.count === undefined ? found.length > 0 : found.length === wanted.count
  const all = result.events.map(({ map, data }) => `${map}: ${bytesToHex(data)}`).join(', ') || 'none'
  return {
    pass,
    message: `${result.program} on ${result.backend} sent ${found.length} matching events (all: ${all})`,
    actual: found.length,
    expected: wanted.count ?? 'at least 1',
  }
}

/**
 * The run took at most so many instructions, which the emulator counts, and nanoseconds, which the kernel measures: where only
 * the emulator ran, time is not looked at, so that the same test holds on any machine.
 */
export function checkWithin(result: RunResult, limit: { readonly instructions?: number; readonly ns?: number }): Check {
  const over: string[] = []
  if (limit.instructions !== undefined) {
    if (result.instructions === undefined)
      over.push('instructions are counted in the emulator only, and it did not run')
    else if (result.instructions > limit.instructions)
      over.push(`${result.instructions} instructions, the limit is ${limit.instructions}`)
  }
  const timeNs = result.runs.find(({ backend }) => backend === 'kernel')?.durationNs
  if (limit.ns !== undefined && timeNs !== undefined && timeNs > limit.ns)
    over.push(`${timeNs} ns, the limit is ${limit.ns}`)
  return {
    pass: over.length === 0,
    message:
      over.length === 0
        ? `${result.program} on ${result.backend} stayed within its limits`
        : `${result.program} on ${result.backend}: ${over.join('; ')}`,
    actual: { instructions: result.instructions, ...(timeNs === undefined ? {} : { ns: timeNs }) },
    expected: limit,
  }
}
