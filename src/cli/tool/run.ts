import { UsageError } from '../../errors/index.ts'
import { toolBundle } from './bundle.ts'
import { type LoadedTool, runLoaded, type ToolInfo } from './loaded.ts'

interface ToolRow extends ToolInfo {
  readonly load: () => Promise<Pick<LoadedTool, 'tool'>>
}

const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
const PROGRAMS = new URL('../../../programs/', import.meta.url)
const place = (path: string): string => new URL(`${path}.${EXTENSION}`, PROGRAMS).href

/** Every tool there is. */
export async function tools(): Promise<readonly ToolRow[]> {
  const { TOOLS } = (await import(place('tools'))) as { TOOLS: readonly ToolRow[] }
  return TOOLS
}

/**
 * `typebpf tool NAME …`: the answer is the exit code.
 * @throws UsageError `tool.unknown`, `usage.*`; what the tool throws
 */
export async function runNamedTool(name: string, args: readonly string[], json: boolean): Promise<number> {
  const bundle = toolBundle(PROGRAMS, name)
  if (bundle !== undefined) return bundle.main(args, json)
  const rows = await tools()
  const row = rows.find((tool) => tool.name === name)
  if (row === undefined)
    throw new UsageError('tool.unknown', `there is no tool ${JSON.stringify(name)}`, {
      details: [`there are: ${rows.map((tool) => tool.name).join(', ')}`],
    })
  const [{ tool }, { runTool }] = await Promise.all([
    row.load(),
    import(place('lib/run-tool')) as Promise<Pick<LoadedTool, 'runTool'>>,
  ])
  return runLoaded(row, { tool, runTool }, args, json)
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
