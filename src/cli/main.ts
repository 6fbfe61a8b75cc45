import { Command, CommanderError } from 'commander'
import { EXIT } from '../errors/index.ts'
import { COMMANDS, type CommandRow, GROUPS } from './commands.ts'
import { wordsMain } from './words/main.ts'
import { NOUNS } from './words/nouns.ts'
import { debugStack, failureOf, failureText } from './words/report.ts'
import { packageVersion } from './words/version.ts'

const JSON_FLAGS = new Set(['-j', '--json', '-p', '--pretty'])

/** Flags that stand before the subcommand move to the end, so that `typebpf -j verify x` equals `typebpf verify x -j`. */
function normalize(argv: readonly string[]): string[] {
  let first = 0
  while (first < argv.length && JSON_FLAGS.has(argv[first])) first++
  if (first === 0 || first === argv.length) return [...argv]
  const rest = argv.slice(first)
  const end = rest.indexOf('--')
  return end < 0
    ? [...rest, ...argv.slice(0, first)]
    : [...rest.slice(0, end), ...argv.slice(0, first), ...rest.slice(end)]
}

/** The command that a word means: its name, or the only one that it begins. */
function findCommand(word: string | undefined): CommandRow | undefined {
  if (word === undefined || word === '') return undefined
  const exact = COMMANDS.find(({ name }) => name === word)
  if (exact !== undefined) return exact
  const begun = COMMANDS.filter(({ name }) => name.startsWith(word))
  return begun.length === 1 ? begun[0] : undefined
}

/** The same for the subcommands of a command (`gen skel`). */
function wholeSubcommand(program: Command, argv: readonly string[]): string[] {
  const [first, word, ...rest] = argv
  const children = program.commands[0]?.commands.map((child) => child.name()) ?? []
  if (word === undefined || children.includes(word) || word.startsWith('-')) return [...argv]
  const begun = children.filter((name) => name.startsWith(word))
  return begun.length === 1 ? [first, begun[0], ...rest] : [...argv]
}

/** One readable line for people, an object for scripts. A stack trace only with TYPEBPF_DEBUG=1. */
function report(error: unknown, json: boolean): number {
  const failure = failureOf(error)
  const { code, message, details, exitCode } = failure
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message, details } })}\n`)
  else process.stderr.write(failureText(failure))
  debugStack(error)
  return exitCode
}

/** Runs one command line; the answer is the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const inWords = await wordsMain(args)
  if (inWords !== undefined) return inWords
  const argv = normalize(args)
  const json = argv.some((arg) => arg === '-j' || arg === '--json')
  const program = new Command('typebpf')
    .description('Write, verify, test, load and inspect Linux BPF programs from TypeScript.')
    .version(packageVersion())
    .addHelpCommand(
      new Command('help').argument('[command]').description('show the help of a command').helpGroup(GROUPS.other),
    )
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text.replace(/^error: /, 'typebpf: ')) })
  const row = findCommand(argv[0])
  try {
    if (row !== undefined) {
      ;(await row.load()).register(program)
      argv[0] = row.name
    } else if (argv[0] === 'help' && argv[1] !== undefined) {
      if (NOUNS.some(({ name }) => name === argv[1])) return await main([...argv.slice(1), '--help'])
      const helped = findCommand(argv[1])
      if (helped !== undefined) return await main([helped.name, '--help'])
    } else {
      const nouns = NOUNS.map(({ name, summary }) => ({ name, summary, group: GROUPS.objects }))
      const inOrder = Object.values(GROUPS).flatMap((group) =>
        [...COMMANDS, ...nouns].filter((row) => row.group === group),
      )
      for (const { name, summary, group } of inOrder) program.command(name).description(summary).helpGroup(group)
    }
    // exitOverride is not inherited by commands that exist already
    const guard = (command: Command): void => {
      command.exitOverride()
      command.configureOutput(program.configureOutput())
      command.commands.forEach(guard)
    }
    guard(program)
    if (argv.length === 0) {
      program.outputHelp()
      return EXIT.usage
    }
    await program.parseAsync(row === undefined ? argv : wholeSubcommand(program, argv), { from: 'user' })
    return Number(process.exitCode ?? EXIT.ok)
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return EXIT.ok
      if (json) process.stdout.write(`${JSON.stringify({ error: { code: error.code, message: error.message } })}\n`)
      return EXIT.usage
    }
    return report(error, json)
  }
}
