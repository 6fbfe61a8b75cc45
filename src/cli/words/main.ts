import { EXIT, UsageError } from '../../errors/index.ts'
import { toJson } from '../objects/json.ts'
import { type Arguments, contextOf, parseArguments } from './arguments.ts'
import type { Noun } from './noun.ts'
import { NOUNS } from './nouns.ts'
import { print } from './output.ts'
import { debugStack, failureOf, failureText } from './report.ts'
import { findNoun, findVerb, isHelp, runNoun } from './run.ts'

/** An error to stderr, or as JSON on stdout: `error` is the message, as in bpftool; code and details are ours. */
function report(error: unknown, { flags }: Arguments): number {
  const failure = failureOf(error)
  const { message, code, details, exitCode } = failure
  if (flags.has('json') || flags.has('pretty'))
    print(`${toJson({ error: message, code, details }, flags.has('pretty'))}\n`)
  else process.stderr.write(failureText(failure))
  debugStack(error)
  return exitCode
}

async function run(noun: Noun, args: Arguments): Promise<number> {
  const { words, flags, unknown } = args
  const rest = words.slice(1)
  if (flags.has('help') || (isHelp(rest[0]) && findVerb(noun, rest[0]) === undefined)) {
    const { nounHelp, verbHelp } = await import('./help.ts')
    const verb = flags.has('help') && rest[0] !== undefined ? findVerb(noun, rest[0]) : undefined
    print(verb === undefined ? nounHelp(noun) : verbHelp(noun, verb))
    return EXIT.ok
  }
  if (unknown !== undefined)
    throw new UsageError(
      'cli.option',
      `there is no option ${JSON.stringify(unknown)} (typebpf ${noun.name} --help shows all)`,
    )
  return await runNoun(noun, rest, contextOf(args))
}

/**
 * Runs a line of bpftool's grammar (`prog show id 5 -j`, `m s`); the answer is the exit code, undefined for a line that
 * names another command.
 */
export async function wordsMain(argv: readonly string[]): Promise<number | undefined> {
  // other commands have options of their own: what is wrong with those here is not wrong there
  let args: Arguments
  try {
    args = parseArguments(argv)
  } catch (error) {
    args = { words: argv.filter((word) => !word.startsWith('-')), flags: new Set() }
    if (findNoun(NOUNS, args.words[0] ?? '') === undefined) return undefined
    return report(error, args)
  }
  const first = args.words[0]
  const noun =
    first === undefined ? (args.flags.has('version') ? findNoun(NOUNS, 'version') : undefined) : findNoun(NOUNS, first)
  if (noun === undefined) return undefined
  try {
    return await run(noun, args)
  } catch (error) {
    return report(error, args)
  }
}
