import { BpfError, InputError, UsageError } from '../../errors/index.ts'
import { toJson } from '../objects/json.ts'
import { readInput } from '../read-input.ts'
import type { Action, Context, Noun } from './noun.ts'
import { print } from './output.ts'
import { failureOf } from './report.ts'
import { findNoun, runNoun } from './run.ts'

/** A command of a batch file and the line that it begins on. */
interface Line {
  readonly number: number
  readonly words: readonly string[]
}

/** Words between blanks; quotes of either kind hold blanks together. */
function split(text: string, number: number): string[] {
  const words: string[] = []
  const pattern = /\s*(?:'([^']*)'|"([^"]*)"|(['"])|(\S+))/gy
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    if (match[3] !== undefined) throw new InputError('batch.quote', `line ${number}: a quote is not closed`)
    words.push(match[1] ?? match[2] ?? match[4])
  }
  return words
}

/** The commands of a batch file. @throws InputError `batch.quote`, `batch.continuation` with the line's number */
export function parseBatch(text: string): Line[] {
  const lines = text.split('\n')
  const commands: Line[] = []
  for (let i = 0; i < lines.length; i++) {
    const number = i + 1
    let line = (lines[i] as string).replace(/#.*$/, '')
    while (line.endsWith('\\')) {
      if (i + 1 >= lines.length || (i + 2 === lines.length && lines[i + 1] === ''))
        throw new InputError('batch.continuation', `line ${i + 1}: the line that it continues on is missing`)
      line = `${line.slice(0, -1)} ${(lines[++i] as string).replace(/#.*$/, '')}`
    }
    const words = split(line, number)
    if (words.length > 0) commands.push({ number, words })
  }
  return commands
}

/** The failure of one line, with its number. */
class LineError extends BpfError {
  override readonly name = 'LineError'
  override readonly exitCode
  constructor(number: number, cause: unknown) {
    const { code, message, details, exitCode } = failureOf(cause)
    super(code, `line ${number}: ${message}`, { details, cause })
    this.exitCode = exitCode
  }
}

/** `typebpf batch file FILE` with commands of these nouns. The first command that fails ends it. */
export const batch =
  (nouns: readonly Noun[]): Action =>
  (words, context) =>
    runBatch(nouns, words, context)

async function runBatch(nouns: readonly Noun[], words: readonly string[], context: Context): Promise<number> {
  if (words.length !== 1) throw new UsageError('batch.words', 'batch file needs one path (or - for standard input)')
  const json = context.json === true
  const commands = parseBatch(new TextDecoder().decode(readInput(words[0])))
  let code = 0
  let done = 0
  if (json) print('[')
  for (const { number, words: line } of commands) {
    if (json) print(`${done > 0 ? ',' : ''}{"command":${toJson(line)},"output":`)
    try {
      const noun = findNoun(nouns, line[0])
      if (noun === undefined || noun.name === 'batch')
        throw new UsageError('batch.command', `${JSON.stringify(line[0])} cannot run in a batch`)
      code = await runNoun(noun, line.slice(1), context)
    } catch (error) {
      const failure = new LineError(number, error)
      if (!json) throw failure
      const { message, details } = failure
      print(`${toJson({ error: message, code: failure.code, details })}`)
      code = failure.exitCode
    }
    if (json) print('}')
    if (code !== 0) break
    done++
  }
  if (json) print(']\n')
  else if (code === 0) print(`processed ${done} commands\n`)
  return code
}
