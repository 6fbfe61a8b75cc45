import { FLAGS } from './arguments.ts'
import { legendOf, type Noun, type Verb } from './noun.ts'

const options = (): string =>
  FLAGS.map((flag) => {
    const value = 'value' in flag ? ` ${flag.value}` : ''
    return `  ${`-${flag.short}, --${flag.long}${value}`.padEnd(23)} ${flag.summary}\n`
  }).join('')

const line = (noun: Noun, verb: Verb): string =>
  `  typebpf ${noun.name} ${verb.alias === undefined ? verb.name : `{ ${verb.name} | ${verb.alias} }`} ${verb.words}`.trimEnd()

const legend = (verbs: readonly Verb[]): string => {
  const rows = legendOf(verbs.map(({ words }) => words).join(' '))
  return rows.length === 0 ? '' : `\n${rows.map(([word, meaning]) => `  ${word}: ${meaning}\n`).join('')}`
}

/** `typebpf prog --help`. */
export function nounHelp(noun: Noun): string {
  const lines = noun.verbs.map((verb) => `${line(noun, verb)}\n      ${verb.summary}\n`)
  return `${noun.summary}\n\n${lines.join('')}${legend(noun.verbs)}\nOptions, anywhere on the line:\n${options()}`
}

/** `typebpf prog show --help`. */
export function verbHelp(noun: Noun, verb: Verb): string {
  return `${verb.summary}\n\n${line(noun, verb)}\n${legend([verb])}\nOptions, anywhere on the line:\n${options()}`
}
