/** A number or text that is written as it stands: what bpftool prints in plain mode (`0x1f`) is not always JSON. */
export class Raw {
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
}

export type Json =
  | string
  | number
  | bigint
  | boolean
  | null
  | undefined
  | Raw
  | readonly Json[]
  | { readonly [key: string]: Json }

/**
 * JSON as bpftool writes it: bigint as plain digits, `undefined` members left out; `pretty` puts every member on a line
 * of its own, four spaces a level, elements of arrays on the line they begin on.
 */
export function toJson(value: Json, pretty = false): string {
  const out: string[] = []
  const line = (depth: number): void => {
    if (pretty) out.push(`\n${'    '.repeat(depth)}`)
  }
  const write = (item: Json, depth: number): void => {
    if (item instanceof Raw) out.push(item.text)
    else if (typeof item === 'bigint') out.push(item.toString())
    else if (Array.isArray(item)) {
      out.push('[')
      item.forEach((element: Json, index) => {
        if (index > 0) out.push(',')
        write(element, depth + 1)
      })
      if (item.length > 0) line(depth)
      out.push(']')
    } else if (item !== null && typeof item === 'object') {
      out.push('{')
      let first = true
      for (const [key, member] of Object.entries(item as { readonly [key: string]: Json })) {
        if (member === undefined) continue
        if (!first) out.push(',')
        first = false
        line(depth + 1)
        out.push(`${JSON.stringify(key)}:${pretty ? ' ' : ''}`)
        write(member, depth + 1)
      }
      if (!first) line(depth)
      out.push('}')
    } else out.push(JSON.stringify(item ?? null))
  }
  write(value, 0)
  return out.join('')
}

const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^{}[\],:"]+/g

/** JSON on one line, as {@link toJson} writes it, put on lines as its `pretty` does. */
export function prettyJson(text: string): string {
  const out: string[] = []
  const open: string[] = []
  let before = ''
  for (const [token] of text.matchAll(TOKEN)) {
    if (token === '}' || token === ']') {
      open.pop()
      if (before !== '{' && before !== '[') out.push(`\n${'    '.repeat(open.length)}`)
    } else if (open.at(-1) === '{' && (before === '{' || before === ',')) out.push(`\n${'    '.repeat(open.length)}`)
    out.push(token === ':' ? ': ' : token)
    if (token === '{' || token === '[') open.push(token)
    before = token
  }
  return out.join('')
}
