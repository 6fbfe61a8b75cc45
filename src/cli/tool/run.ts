import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { EXIT, UsageError } from '../../errors/index.ts'
import { type OptionRow, readOptions, toolHelp } from './options.ts'

/** What this file knows of `programs/`: src imports nothing from there, its modules are found by their place. */
interface ToolShape {
  readonly arguments?: readonly (readonly [name: string, description: string])[]
  readonly options: readonly OptionRow[]
  readonly examples?: readonly string[]
}
interface ToolRow {
  readonly name: string
  readonly summary: string
  readonly kernel: string
  readonly load: () => Promise<{ readonly tool: ToolShape }>
}
type RunTool = (
  tool: ToolShape,
  options: { values: Readonly<Record<string, unknown>>; json: boolean; durationSeconds?: number },
) => Promise<void>

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const place = (path: string): URL => new URL(`../../../programs/${path}.${EXTENSION}`, import.meta.url)

/** Every tool there is. */
export async function tools(): Promise<readonly ToolRow[]> {
  const { TOOLS } = (await import(place('tools').href)) as { TOOLS: readonly ToolRow[] }
  return TOOLS
}

/** A tool and what runs it: in one file where the package was built so, which starts faster. */
async function loadTool(row: ToolRow): Promise<{ tool: ToolShape; runTool: RunTool }> {
  const bundle = place(`bundle/${row.name}`)
  if (existsSync(fileURLToPath(bundle))) return (await import(bundle.href)) as { tool: ToolShape; runTool: RunTool }
  const [{ tool }, { runTool }] = await Promise.all([
    row.load(),
    import(place('lib/run-tool').href) as Promise<{ runTool: RunTool }>,
  ])
  return { tool, runTool }
}

function seconds(text: string | undefined): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (text.trim() === '' || !(value > 0 && value <= 2_000_000))
    throw new UsageError('usage.duration', `--duration takes seconds, not ${JSON.stringify(text)}`)
  return value
}

/** Words behind the options, by the names that the tool gives them. */
function positionals(
  tool: ToolShape,
  words: readonly string[],
): Record<string, string | readonly string[] | undefined> {
  const named: Record<string, string | readonly string[] | undefined> = {}
  const rest = [...words]
  for (const [form] of tool.arguments ?? []) {
    const name = form.replace(/[<>[\].]/g, '')
    if (form.startsWith('<') && rest.length === 0)
      throw new UsageError('usage.argument', `the argument ${name} is missing`, { details: ['see --help'] })
    named[name] = form.includes('...') ? rest.splice(0) : rest.shift()
  }
  if (rest.length > 0)
    throw new UsageError('usage.argument', `${JSON.stringify(rest[0])} is one argument too many`, {
      details: ['see --help'],
    })
  return named
}

/**
 * `typebpf tool NAME …`: the answer is the exit code.
 * @throws UsageError `tool.unknown`, `usage.*`; what the tool throws
 */
export async function runNamedTool(name: string, args: readonly string[], json: boolean): Promise<number> {
  const rows = await tools()
  const row = rows.find((tool) => tool.name === name)
  if (row === undefined)
    throw new UsageError('tool.unknown', `there is no tool ${JSON.stringify(name)}`, {
      details: [`there are: ${rows.map((tool) => tool.name).join(', ')}`],
    })
  const { tool, runTool } = await loadTool(row)
  const known = readOptions(tool.options)
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    const { options } = known
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    const message = (cause as Error).message.split(/[.\n]/)[0]
    throw new UsageError('usage.option', message.replace(/^U/, 'u').replace(/^O/, 'o'), {
      cause,
      details: [`see typebpf tool ${name} --help`],
    })
  }
  const { help, duration, json: asJson, ...own } = parsed.values
  if (help === true) {
    process.stdout.write(toolHelp(row, tool, known.rows))
    return EXIT.ok
  }
  const values = Object.fromEntries(Object.entries(own).map(([key, value]) => [known.keys[key], value]))
  await runTool(tool, {
    values: { ...positionals(tool, parsed.positionals), ...values },
    json: json || asJson === true,
    durationSeconds: seconds(duration as string | undefined),
  })
  return Number(process.exitCode ?? EXIT.ok)
}

/** The list of tools, as text or JSON. */
export async function listTools(json: boolean): Promise<void> {
  const rows = await tools()
  if (json) {
    process.stdout.write(`${JSON.stringify(rows.map(({ name, summary, kernel }) => ({ name, summary, kernel })))}\n`)
    return
  }
  const width = Math.max(...rows.map(({ name }) => name.length))
  for (const { name, summary, kernel } of rows)
    process.stdout.write(`${name.padEnd(width)}  ${summary} (Linux ${kernel})\n`)
}
