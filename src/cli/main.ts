import { readFileSync } from 'node:fs'
import { Command, CommanderError } from 'commander'
import { BpfError, EXIT } from '../errors/index.ts'
import { COMMANDS } from './commands.ts'

const JSON_FLAGS = new Set(['-j', '--json', '-p', '--pretty'])

function version(): string {
  for (const up of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(up, import.meta.url), 'utf8')
      return (JSON.parse(text) as { version: string }).version
    } catch {
      // the package file is one level higher from dist/src/cli
    }
  }
  return 'unknown'
}

/** Flags that stand before the subcommand move to the end, so that `typebpf -j prog show` equals `typebpf prog show -j`. */
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

/** One readable line for people, an object for scripts. A stack trace only with TYPEBPF_DEBUG=1. */
function report(error: unknown, json: boolean): number {
  const known = error instanceof BpfError
  const message = error instanceof Error ? error.message : String(error)
  if (json) {
    const body = { error: { code: known ? error.code : 'internal', message, details: known ? error.details : [] } }
    process.stdout.write(`${JSON.stringify(body)}\n`)
  } else {
    process.stderr.write(`typebpf: ${message}\n`)
    if (known) for (const line of error.details) process.stderr.write(`  ${line}\n`)
  }
  if (process.env['TYPEBPF_DEBUG'] === '1' && error instanceof Error) process.stderr.write(`${error.stack}\n`)
  return known ? error.exitCode : EXIT.usage
}

/** Runs one command line; the answer is the exit code. */
export async function main(args: readonly string[]): Promise<number> {
  const argv = normalize(args)
  const json = argv.some((arg) => arg === '-j' || arg === '--json')
  const program = new Command('typebpf')
    .description('Write, verify, test, load and inspect Linux BPF programs from TypeScript.')
    .version(version())
    .helpCommand('help [command]', 'show the help of a command')
    .exitOverride()
    .configureOutput({ writeErr: (text) => process.stderr.write(text.replace(/^error: /, 'typebpf: ')) })
  const wanted = argv[0]
  const row = COMMANDS.find(({ name }) => name === wanted)
  try {
    if (row !== undefined) {
      ;(await row.load()).register(program)
    } else if (wanted === 'help' && argv[1] !== undefined && COMMANDS.some(({ name }) => name === argv[1])) {
      return await main([argv[1], '--help'])
    } else {
      for (const { name, summary } of COMMANDS) program.command(name).description(summary)
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
    await program.parseAsync(argv, { from: 'user' })
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
