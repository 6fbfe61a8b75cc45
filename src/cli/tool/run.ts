import { UsageError } from '../../errors/index.ts'
import { toolBundle } from './bundle.ts'
import { type LoadedTool, runLoaded, type ToolInfo } from './loaded.ts'

interface ToolRow extends ToolInfo {
  readonly topic: keyof typeof TOPICS
  readonly load: () => Promise<Pick<LoadedTool, 'tool'>>
}

/** Headings of the list. */
const TOPICS = {
  events: 'Events as they happen',
  counts: 'Counts and histograms',
  stacks: 'Stacks',
  network: 'Packets and connections, filtered, spread or limited',
} as const

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

/** The list of tools by topic, as text or JSON. */
export async function listTools(json: boolean): Promise<void> {
  const rows = await tools()
  if (json) {
    const list = rows.map(({ name, topic, summary, kernel }) => ({ name, topic, summary, kernel }))
    process.stdout.write(`${JSON.stringify(list)}\n`)
    return
  }
  const width = Math.max(...rows.map(({ name }) => name.length))
  const lines = Object.entries(TOPICS).flatMap(([topic, heading]) => [
    heading,
    ...rows
      .filter((row) => row.topic === topic)
      .map(({ name, summary, kernel }) => `  ${name.padEnd(width)}  ${summary} (Linux ${kernel})`),
    '',
  ])
  process.stdout.write(`${lines.join('\n')}\ntypebpf tool NAME --help says more of one.\n`)
}
