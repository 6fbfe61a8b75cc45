import { readFileSync } from 'node:fs'

/** A line of a schema of docs/json.md. */
export interface Field {
  readonly key: string
  readonly types: readonly string[]
  readonly optional: boolean
  /** Not in bpftool 7.1. */
  readonly added: boolean
  readonly fields: readonly Field[]
}

function parseLines(lines: readonly string[], at: number, indent: number): [fields: Field[], next: number] {
  const fields: Field[] = []
  while (at < lines.length) {
    const line = lines[at]
    const depth = line.length - line.trimStart().length
    if (depth < indent) break
    const match = /^(\+?)([\w*]+)(\??): (\S+)$/.exec(line.trim())
    if (match === null || depth !== indent) throw new Error(`no schema line: ${JSON.stringify(line)}`)
    const [children, next] = parseLines(lines, at + 1, indent + 2)
    fields.push({
      key: match[2],
      types: match[4].split('|'),
      optional: match[3] === '?',
      added: match[1] === '+',
      fields: children,
    })
    at = next
  }
  return [fields, at]
}

/** The schemas of docs/json.md by command. */
export function schemas(): Map<string, readonly Field[]> {
  const text = readFileSync(new URL('../../docs/json.md', import.meta.url), 'utf8')
  const found = new Map<string, readonly Field[]>()
  for (const [, name, body] of text.matchAll(/^```schema (.+)\n([\s\S]*?)^```$/gm))
    found.set(name, parseLines(body.trimEnd().split('\n'), 0, 0)[0])
  return found
}

function matches(value: unknown, type: string, fields: readonly Field[], place: string, faults: string[]): boolean {
  if (type.startsWith('[')) {
    if (!Array.isArray(value)) return false
    const element = type.slice(1, -1)
    return value.every((item, i) => matches(item, element, fields, `${place}[${i}]`, faults))
  }
  switch (type) {
    case 'value':
      return true
    case 'null':
      return value === null
    case 'integer':
      return Number.isInteger(value)
    case '{}':
      if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
      faults.push(...check(value, fields, place))
      return true
    default:
      return typeof value === type
  }
}

/** What of an object is not as the schema says. */
export function check(value: object, fields: readonly Field[], place = ''): string[] {
  const faults: string[] = []
  const any = fields.find(({ key }) => key === '*')
  for (const key of Object.keys(value))
    if (any === undefined && !fields.some((field) => field.key === key))
      faults.push(`${place}.${key} is not documented`)
  for (const { key, types, optional, fields: inner } of fields) {
    if (key === '*') continue
    const own = (value as Record<string, unknown>)[key]
    if (own === undefined) {
      if (!optional) faults.push(`${place}.${key} is missing`)
    } else if (!types.some((type) => matches(own, type, inner, `${place}.${key}`, faults)))
      faults.push(`${place}.${key} is no ${types.join(' or ')}: ${JSON.stringify(own).slice(0, 80)}`)
  }
  return faults
}

/** An object without what bpftool 7.1 lacks. */
export function withoutAdded(value: unknown, fields: readonly Field[]): unknown {
  if (Array.isArray(value)) return value.map((item) => withoutAdded(item, fields))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, own]) => {
      const field = fields.find((row) => row.key === key)
      if (field?.added === true) return []
      return [[key, field === undefined || field.fields.length === 0 ? own : withoutAdded(own, field.fields)]]
    }),
  )
}
