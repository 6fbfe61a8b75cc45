import { EXIT, UsageError } from '../../errors/index.ts'
import type { Action, Context, Noun, Verb } from './noun.ts'
import { print } from './output.ts'

/** The noun that a word means: its name, or the first one that it begins. */
export function findNoun(nouns: readonly Noun[], word: string): Noun | undefined {
  return (
    nouns.find(({ name }) => name === word) ??
    (word === '' ? undefined : nouns.find(({ name }) => name.startsWith(word)))
  )
}

/** The verb that a word means: its name, or the first one that it begins. */
export function findVerb(noun: Noun, word: string): Verb | undefined {
  const named = ({ name, alias }: Verb): boolean => name === word || alias === word
  const begun = ({ name, alias }: Verb): boolean => name.startsWith(word) || alias?.startsWith(word) === true
  return noun.verbs.find(named) ?? (word === '' ? undefined : noun.verbs.find(begun))
}

/** True of a word that asks for help. */
export const isHelp = (word: string | undefined): boolean =>
  word !== undefined && word.length > 0 && 'help'.startsWith(word)

/**
 * Runs `noun verb words…`; the answer is the exit code.
 * @throws UsageError `cli.verb`, and what the verb throws
 */
export async function runNoun(noun: Noun, words: readonly string[], context: Context): Promise<number> {
  const verb = words.length === 0 ? noun.verbs[0] : findVerb(noun, words[0])
  if (verb === undefined) {
    if (isHelp(words[0])) {
      print((await import('./help.ts')).nounHelp(noun))
      return EXIT.ok
    }
    const names = noun.verbs.map(({ name }) => name).join(', ')
    throw new UsageError('cli.verb', `${noun.name}: ${JSON.stringify(words[0])} is none of ${names}`)
  }
  const action: Action = await verb.load()
  const code = await action(words.slice(1), context)
  if (verb.silent === true && context.json === true) print('null\n')
  return typeof code === 'number' ? code : EXIT.ok
}
