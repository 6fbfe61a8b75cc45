import { Command } from 'commander'
import { UsageError } from '../errors/index.ts'
import { COMMANDS } from './commands.ts'
import { FLAGS } from './words/arguments.ts'
import { legendOf, type Noun, type Verb } from './words/noun.ts'
import { NOUNS } from './words/nouns.ts'

/** One command's words, as completion needs them. */
interface Node {
  /** The words from the program's name on: "", "prog", "prog dump". */
  readonly path: string
  readonly children: readonly { readonly name: string; readonly summary: string }[]
  readonly options: readonly { readonly flags: readonly string[]; readonly summary: string }[]
}

function walk(command: Command, path: string): Node[] {
  const children = command.commands.map((child) => ({ name: child.name(), summary: child.description() }))
  const options = command.options.map((option) => ({
    flags: [option.short, option.long].filter((flag) => flag !== undefined && flag !== null),
    summary: option.description,
  }))
  const own: Node = { path, children, options: [...options, { flags: ['-h', '--help'], summary: 'show the help' }] }
  return [own, ...command.commands.flatMap((child) => walk(child, `${path} ${child.name()}`.trim()))]
}

const GLOBAL: Node['options'] = FLAGS.map(({ short, long, summary }) => ({
  flags: [`-${short}`, `--${long}`],
  summary,
}))

/** The small words of a usage line: what is typed as it stands (`id`, `pinned`, `xlated`). */
function keywords(usage: string): string[] {
  return [...new Set(usage.match(/(?<![A-Za-z_])[a-z][a-z0-9_]*(?![A-Za-z_])/g) ?? [])]
}

/** A verb's usage with what its capital words stand for: choices in braces only, the rest is prose. */
const usage = ({ words }: Verb): string =>
  [words, ...legendOf(words).map(([, meaning]) => /^\{.*?\}/.exec(meaning)?.[0] ?? '')].join(' ')

function nounNodes({ name: noun, verbs }: Noun): Node[] {
  const names = (verb: Verb): string[] => (verb.alias === undefined ? [verb.name] : [verb.name, verb.alias])
  const children = verbs.flatMap((verb) => names(verb).map((name) => ({ name, summary: verb.summary })))
  const own: Node = { path: noun, children, options: GLOBAL }
  return [
    own,
    ...verbs.flatMap((verb) =>
      names(verb).map((name) => ({
        path: `${noun} ${name}`,
        children: keywords(usage(verb)).map((word) => ({ name: word, summary: `${noun} ${name}` })),
        options: GLOBAL,
      })),
    ),
  ]
}

async function tree(): Promise<Node[]> {
  const nodes: Node[] = NOUNS.flatMap(nounNodes)
  for (const row of COMMANDS) {
    const program = new Command('typebpf')
    ;(await row.load()).register(program)
    for (const command of program.commands) nodes.push(...walk(command, command.name()))
  }
  const children = [...NOUNS, ...COMMANDS].map(({ name, summary }) => ({ name, summary }))
  return [{ path: '', children, options: [{ flags: ['--version'], summary: 'show the version' }] }, ...nodes]
}

const words = (node: Node): string[] => [
  ...node.children.map(({ name }) => name),
  ...node.options.flatMap(({ flags }) => flags),
]

function bash(nodes: readonly Node[]): string {
  const cases = nodes.map((node) => `    "${node.path}") words="${words(node).join(' ')}" ;;`).join('\n')
  return `# bash completion of typebpf: source <(typebpf completion bash)
_typebpf() {
  local current=\${COMP_WORDS[COMP_CWORD]} path="" words="" word i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    [[ $word == -* ]] && continue
    case "\${path:+$path }$word" in
${nodes
  .filter((node) => node.path !== '')
  .map((node) => `      "${node.path}") path="${node.path}" ;;`)
  .join('\n')}
    esac
  done
  case "$path" in
${cases}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${#COMPREPLY[@]} -eq 0 && $current != -* ]] && COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _typebpf typebpf
`
}

const quoted = (text: string): string => text.replaceAll("'", "'\\''")

function zsh(nodes: readonly Node[]): string {
  const describe = (node: Node): string =>
    [
      ...node.children.map(({ name, summary }) => `'${name}:${quoted(summary).replaceAll(':', '\\:')}'`),
      ...node.options.flatMap(({ flags, summary }) =>
        flags.map((flag) => `'${flag}:${quoted(summary).replaceAll(':', '\\:')}'`),
      ),
    ].join(' ')
  return `#compdef typebpf
# zsh completion of typebpf: typebpf completion zsh > "\${fpath[1]}/_typebpf"
_typebpf() {
  local place="" word
  local -a found
  for word in "\${words[@]:1:$((CURRENT - 2))}"; do
    [[ $word == -* ]] && continue
    case "\${place:+$place }$word" in
${nodes
  .filter((node) => node.path !== '')
  .map((node) => `      '${node.path}') place='${node.path}' ;;`)
  .join('\n')}
    esac
  done
  case "$place" in
${nodes.map((node) => `    '${node.path}') found=(${describe(node)}) ;;`).join('\n')}
  esac
  _describe 'typebpf' found
  _files
}
compdef _typebpf typebpf
`
}

function fish(nodes: readonly Node[]): string {
  const places = nodes.filter(({ path }) => path !== '').map(({ path }) => `'${path}'`)
  const lines = [
    '# fish completion of typebpf: typebpf completion fish > ~/.config/fish/completions/typebpf.fish',
    `set -g __typebpf_places ${places.join(' ')}`,
    'function __typebpf_at',
    '  set -l place ""',
    '  for word in (commandline -opc)[2..-1]',
    "    string match -q -- '-*' $word; and continue",
    '    set -l next (string trim -- "$place $word")',
    '    contains -- $next $__typebpf_places; and set place $next',
    '  end',
    '  test "$place" = "$argv[1]"',
    'end',
  ]
  for (const node of nodes) {
    const when = ` -n '__typebpf_at "${node.path}"'`
    for (const { name, summary } of node.children)
      lines.push(`complete -c typebpf${when} -f -a '${name}' -d '${quoted(summary)}'`)
    for (const { flags, summary } of node.options) {
      const forms = flags
        .map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
        .join(' ')
      lines.push(`complete -c typebpf${when} ${forms} -d '${quoted(summary)}'`)
    }
  }
  return `${lines.join('\n')}\n`
}

const SHELLS: Readonly<Record<string, (nodes: readonly Node[]) => string>> = { bash, zsh, fish }

/** The completion script of a shell. @throws UsageError for another shell. */
export async function completionScript(shell: string): Promise<string> {
  const write = Object.hasOwn(SHELLS, shell) ? SHELLS[shell] : undefined
  if (write === undefined)
    throw new UsageError(
      'cli.shell',
      `no completion for ${JSON.stringify(shell)}: one of ${Object.keys(SHELLS).join(', ')}`,
    )
  return write(await tree())
}

export function register(program: Command): void {
  program
    .command('completion')
    .description('print a completion script for bash, zsh or fish')
    .argument('<bash|zsh|fish>', 'the shell')
    .action(async (shell: string) => {
      process.stdout.write(await completionScript(shell))
    })
}
