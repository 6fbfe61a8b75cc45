import { InputError } from '../../errors/index.ts'

/** A token of one line of assembly. */
export interface Token {
  readonly kind: 'name' | 'number' | 'mark' | 'end'
  readonly text: string
  /** Counts from 1. */
  readonly column: number
}

const MARKS =
  '<<=|s>>=|>>=|s>=|s<=|s>|s<|s\\/=|s%=|\\+=|-=|\\*=|\\/=|\\|=|&=|%=|\\^=|==|!=|>=|<=|[-+*\\/%&|^=<>()\\[\\],:#!@"]'
const TOKEN = new RegExp(
  `[ \\t\\r]*(?:(0[xX][0-9a-fA-F]+(?![\\w.])|[0-9]+(?![\\w.]))|(s(?:>>=|>=|<=|>|<|\\/=|%=))|([A-Za-z_.$?][\\w.$?]*|[0-9][\\w.$?]*)|(${MARKS}))`,
  'y',
)

/** What stands behind the instruction and is not one: `#`, `//` and `;` start a remark, `/* … *\/` is one. */
export function withoutComment(line: string): string {
  let text = line
  for (let open = text.indexOf('/*'); open >= 0; open = text.indexOf('/*', open)) {
    const close = text.indexOf('*/', open + 2)
    if (close < 0) break
    text = `${text.slice(0, open)}${' '.repeat(close + 2 - open)}${text.slice(close + 2)}`
    open = close + 2
  }
  const semicolon = text.indexOf(';')
  if (semicolon >= 0) text = text.slice(0, semicolon)
  const slashes = text.indexOf('//')
  if (slashes >= 0) text = text.slice(0, slashes)
  if (text.includes('#')) {
    const hash = /(?:^|[ \t])#/.exec(text)
    if (hash !== null) text = text.slice(0, hash.index)
  }
  return text
}

/** A place in assembly text, for errors. */
export interface TextPlace {
  readonly file: string
  /** Counts from 1. */
  readonly line: number
  readonly text: string
}

/** An error with file, line, column, the line itself and a caret below the column. */
export function syntaxError(place: TextPlace, column: number, message: string): InputError {
  const caret = `${place.text.slice(0, column - 1).replace(/[^\t]/g, ' ')}^`
  return new InputError('asm.syntax', `${place.file}:${place.line}:${column}: ${message}`, {
    details: [place.text, caret],
  })
}

/** Splits a line (without its comment) into tokens. */
export function tokenize(text: string, place: TextPlace, from = 0): Token[] {
  const tokens: Token[] = []
  TOKEN.lastIndex = from
  let end = from
  for (;;) {
    TOKEN.lastIndex = end
    const match = TOKEN.exec(text)
    if (match === null) break
    const word = match[1] ?? match[2] ?? match[3] ?? match[4]
    const kind = match[1] !== undefined ? 'number' : match[3] !== undefined ? 'name' : 'mark'
    end = TOKEN.lastIndex
    tokens.push({ kind, text: word, column: end - word.length + 1 })
  }
  const rest = text.slice(end).trimEnd()
  if (rest.trim() !== '') {
    const column = end + 1 + (rest.length - rest.trimStart().length)
    throw syntaxError(place, column, `${JSON.stringify(text[column - 1])} means nothing here`)
  }
  tokens.push({ kind: 'end', text: '', column: Math.min(text.trimEnd().length, place.text.length) + 1 })
  return tokens
}
