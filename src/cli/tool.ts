import { Command } from 'commander'
import { UsageError } from '../errors/index.ts'

/** What this file knows of `programs/tools.ts`: src imports nothing from programs, the module is found by its place. */
interface Manifest {
  readonly TOOLS: readonly {
    readonly name: string
    readonly summary: string
    readonly kernel: string
    readonly load: () => Promise<{ readonly tool: ToolShape }>
  }[]
  readonly runTool: (
    tool: ToolShape,
    options: { values: Readonly<Record<string, unknown>>; json: boolean; durationSeconds?: number },
  ) => Promise<void>
}
interface ToolShape {
  readonly arguments?: readonly (readonly [name: string, description: string])[]
  readonly options: readonly (readonly [flags: string, description: string])[]
  readonly examples?: readonly string[]
}

async function manifest(): Promise<Manifest> {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const url = new URL(`../../programs/tools.${extension}`, import.meta.url)
  return (await import(url.href)) as Manifest
}

function list({ TOOLS }: Manifest, json: boolean): void {
  if (json) {
    const rows = TOOLS.map(({ name, summary, kernel }) => ({ name, summary, kernel }))
    process.stdout.write(`${JSON.stringify(rows)}\n`)
    return
  }
  const width = Math.max(...TOOLS.map(({ name }) => name.length))
  for (const { name, summary, kernel } of TOOLS)
    process.stdout.write(`${name.padEnd(width)}  ${summary} (Linux ${kernel})\n`)
}

function seconds(text: string): number {
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value <= 2_000_000))
    throw new UsageError('usage.duration', `--duration takes seconds, not ${JSON.stringify(text)}`)
  return value
}

/** A command line of one tool, from its tables. */
function commandOf(name: string, summary: string, kernel: string, tool: ToolShape): Command {
  const command = new Command(`typebpf tool ${name}`).description(summary).exitOverride()
  for (const [argument, description] of tool.arguments ?? []) command.argument(argument, description)
  for (const [flags, description] of tool.options) command.option(flags, description)
  // a tool's own -d (a disk, a delimiter) goes before
  const short = tool.options.some(([flags]) => flags.startsWith('-d,')) ? '' : '-d, '
  command
    .option(`${short}--duration <seconds>`, 'end after so many seconds')
    .option('-j, --json', 'a line of JSON for each event or interval')
  const examples = (tool.examples ?? []).map((line) => `  typebpf tool ${line}\n`).join('')
  const text = examples === '' ? '' : `\nExamples:\n${examples}`
  command.addHelpText('after', `${text}\nNeeds Linux ${kernel} or newer.`)
  return command.configureOutput({ writeErr: (line) => process.stderr.write(line.replace(/^error: /, 'typebpf: ')) })
}

async function run(name: string | undefined, rest: readonly string[], options: { list?: boolean; json?: boolean }) {
  const found = await manifest()
  if (name === undefined || options.list === true) {
    list(found, options.json === true)
    return
  }
  const row = found.TOOLS.find((tool) => tool.name === name)
  if (row === undefined)
    throw new UsageError('tool.unknown', `there is no tool ${JSON.stringify(name)}`, {
      details: [`there are: ${found.TOOLS.map((tool) => tool.name).join(', ')}`],
    })
  const { tool } = await row.load()
  const command = commandOf(row.name, row.summary, row.kernel, tool)
  command.action(async () => {
    const named = Object.fromEntries(
      command.registeredArguments.map((argument, i) => [argument.name(), command.processedArgs[i]]),
    )
    const { duration, json, ...values } = command.opts<{ duration?: string; json?: boolean }>()
    const durationSeconds = duration === undefined ? undefined : seconds(duration)
    await found.runTool(tool, {
      values: { ...named, ...values },
      json: json === true || options.json === true,
      durationSeconds,
    })
  })
  await command.parseAsync([...rest], { from: 'user' })
}

export function register(program: Command): void {
  program.enablePositionalOptions()
  program
    .command('tool')
    .description('run a ready tool: hello, execsnoop, opensnoop, biolatency …')
    .argument('[name]', 'the tool; without it all are listed')
    .argument('[args...]', "the tool's own options and arguments: see typebpf tool NAME --help")
    .option('-l, --list', 'list the tools')
    .option('-j, --json', 'JSON: the list as an array')
    .passThroughOptions()
    .allowUnknownOption()
    .action(run)
}
