/** One option of a tool: `['-p, --pid <pid>', 'only this process']`. */
export type OptionRow = readonly [flags: string, description: string]

interface ParseOption {
  readonly type: 'string' | 'boolean'
  readonly short?: string
  readonly multiple?: boolean
}
export interface KnownOptions {
  /** For util.parseArgs, by long name. */
  readonly options: Record<string, ParseOption>
  /** Long names as a tool reads them: print-uid is printUid. */
  readonly keys: Readonly<Record<string, string>>
  /** Those of the tool and those that every tool has. */
  readonly rows: readonly OptionRow[]
}

/** Options of a tool with those that every tool has. A tool's own short name (-d) goes before. */
export function readOptions(own: readonly OptionRow[]): KnownOptions {
  const taken = (short: string): boolean => own.some(([flags]) => flags.startsWith(`${short},`))
  const rows: OptionRow[] = [
    ...own,
    [`${taken('-d') ? '' : '-d, '}--duration <seconds>`, 'end after so many seconds'],
    [`${taken('-j') ? '' : '-j, '}--json`, 'a line of JSON for each event or interval'],
    [`${taken('-h') ? '' : '-h, '}--help`, 'show this'],
  ]
  const options: Record<string, ParseOption> = {}
  const keys: Record<string, string> = {}
  for (const [flags] of rows) {
    const match = /^(?:-(\w), )?--([\w-]+)(?: <([^>]+)>)?$/.exec(flags)
    if (match === null) throw new Error(`option ${flags}`)
    const [, short, long, value] = match
    options[long] = {
      type: value === undefined ? 'boolean' : 'string',
      ...(short === undefined ? {} : { short }),
      ...(value?.endsWith('...') === true ? { multiple: true } : {}),
    }
    keys[long] = long.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase())
  }
  return { options, keys, rows }
}

function columns(rows: readonly (readonly [string, string])[]): string {
  const width = Math.max(...rows.map(([left]) => left.length))
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}\n`).join('')
}

/** The help of a tool. */
export function toolHelp(
  row: { readonly name: string; readonly summary: string; readonly kernel: string },
  tool: { readonly arguments?: readonly (readonly [string, string])[]; readonly examples?: readonly string[] },
  options: readonly OptionRow[],
): string {
  const words = (tool.arguments ?? []).map(([form]) => ` ${form}`).join('')
  const aligned = options.map(([flags, text]) => [flags.startsWith('--') ? `    ${flags}` : flags, text] as const)
  return [
    `Usage: typebpf tool ${row.name} [options]${words}\n\n${row.summary}\n`,
    ...(words === '' ? [] : [`\nArguments:\n${columns(tool.arguments ?? [])}`]),
    `\nOptions:\n${columns(aligned)}`,
    ...((tool.examples ?? []).length === 0
      ? []
      : [`\nExamples:\n${(tool.examples ?? []).map((line) => `  typebpf tool ${line}\n`).join('')}`]),
    `\nNeeds Linux ${row.kernel} or newer.\n`,
  ].join('')
}
