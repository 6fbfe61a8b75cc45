import { parseArgs } from 'node:util'
import { EXIT, UsageError } from '../../errors/index.ts'
import { print, printToDescriptor } from '../words/output.ts'
import { debugStack, failureOf, failureText } from '../words/report.ts'
import { type OptionRow, readOptions, toolHelp } from './options.ts'

/** What this folder knows of `programs/`: src imports nothing from there, its modules are found by their place. */
export interface ToolShape {
  readonly arguments?: readonly (readonly [name: string, description: string])[]
  readonly options: readonly OptionRow[]
  readonly examples?: readonly string[]
}
/** A tool's row of the list. */
export interface ToolInfo {
  readonly name: string
  readonly summary: string
  readonly kernel: string
}
/** A tool and what runs it. */
export interface LoadedTool {
  readonly tool: ToolShape
  readonly runTool: (
    tool: ToolShape,
    options: { values: Readonly<Record<string, unknown>>; json: boolean; durationSeconds?: number },
  ) => Promise<void>
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
 * Runs a tool with its arguments: the answer is the exit code.
 * @throws UsageError `usage.*`; what the tool throws
 */
export async function runLoaded(
  info: ToolInfo,
  { tool, runTool }: LoadedTool,
  args: readonly string[],
  json: boolean,
): Promise<number> {
  const known = readOptions(tool.options)
  let parsed: { values: Record<string, unknown>; positionals: string[] }
  try {
    const { options } = known
    parsed = parseArgs({ args: [...args], options, allowPositionals: true, strict: true })
  } catch (cause) {
    const message = (cause as Error).message.split(/[.\n]/)[0]
    throw new UsageError('usage.option', message.replace(/^U/, 'u').replace(/^O/, 'o'), {
      cause,
      details: [`see typebpf tool ${info.name} --help`],
    })
  }
  const { help, duration, json: asJson, ...own } = parsed.values
  if (help === true) {
    print(toolHelp(info, tool, known.rows))
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

/** The exit code of `run`; an error as one readable line, or as JSON. */
export async function reported(args: readonly string[], run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (error) {
    const failure = failureOf(error)
    const { code, message, details, exitCode } = failure
    if (args.includes('--json') || args.includes('-j'))
      print(`${JSON.stringify({ error: { code, message, details } })}\n`)
    else process.stderr.write(failureText(failure))
    debugStack(error)
    return exitCode
  }
}

/** `typebpf tool NAME ARGS` of a bundle: the answer is the exit code. */
export function loadedMain(info: ToolInfo, loaded: LoadedTool, args: readonly string[], json = false): Promise<number> {
  printToDescriptor()
  return reported(json ? ['--json'] : args, () => runLoaded(info, loaded, args, json))
}
