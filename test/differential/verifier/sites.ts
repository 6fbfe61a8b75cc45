import { readdirSync, readFileSync } from 'node:fs'

/** A place in the model that refuses programs: its file and line, and what its words look like. */
export interface RejectSite {
  readonly place: string
  readonly text: string
  readonly pattern: RegExp
}

const FOLDER = new URL('../../../src/verifier/', import.meta.url)

function patternOf(template: string): RegExp {
  const words = template.split(/\$\{(?:[^{}]|\{[^{}]*\})*\}/)
  return new RegExp(words.map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.*'))
}

/** Every `reject` call of the model whose words stand in the call itself. */
export function rejectSites(): RejectSite[] {
  return readdirSync(FOLDER)
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => {
      const source = readFileSync(new URL(name, FOLDER), 'utf8')
      return [...source.matchAll(/reject\(\s*(?:`((?:[^`\\]|\\.)*)`|'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)].map(
        (match) => {
          const text = (match[1] ?? match[2] ?? match[3]).replace(/\\n/g, '\n').split('\n').at(-1) ?? ''
          const line = source.slice(0, match.index).split('\n').length
          return { place: `${name}:${line}`, text, pattern: patternOf(text) }
        },
      )
    })
}

/** The sites that none of the model's messages came from. */
export function unreachedSites(messages: Iterable<string>): RejectSite[] {
  let left = rejectSites()
  for (const message of messages) left = left.filter(({ pattern }) => !pattern.test(message))
  return left
}
