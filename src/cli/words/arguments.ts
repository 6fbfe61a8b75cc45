import { UsageError } from '../../errors/index.ts'
import type { Context } from './noun.ts'

interface Flag {
  readonly long: string
  readonly short?: string
  readonly summary: string
  /** The word behind it. */
  readonly value?: string
}

/** Options that stand anywhere on the line. */
export const FLAGS = [
  { long: 'json', short: 'j', summary: 'JSON with bpftool’s keys' },
  { long: 'pretty', short: 'p', summary: 'indented JSON' },
  { long: 'bpffs', short: 'f', summary: 'name the paths where objects are pinned' },
  { long: 'nomount', short: 'n', summary: 'never mount a BPF file system' },
  { long: 'debug', short: 'd', summary: 'show the verifier’s log and every bpf(2) command' },
  { long: 'base-btf', short: 'B', summary: 'the BTF that another one continues', value: 'FILE' },
  { long: 'output', short: 'o', summary: 'write to a file instead (btf dump)', value: 'FILE' },
  {
    long: 'mapcompat',
    short: 'm',
    summary: 'taken and without effect: unknown fields of old maps are always let pass',
  },
  { long: 'legacy', short: 'l', summary: 'taken and without effect' },
  { long: 'use-loader', short: 'L', summary: 'not there: programs are loaded directly' },
  { long: 'version', short: 'V', summary: 'show the version' },
  { long: 'help', short: 'h', summary: 'show the help' },
] as const satisfies readonly Flag[]
type FlagName = (typeof FLAGS)[number]['long']

export interface Arguments {
  readonly words: readonly string[]
  readonly flags: ReadonlySet<FlagName>
  readonly baseBtf?: string
  readonly output?: string
  /** What stands on the line and is no option of these. */
  readonly unknown?: string
}

/** Splits a command line as getopt does: options anywhere, short ones together (`-jp`), words behind `--`. */
export function parseArguments(argv: readonly string[]): Arguments {
  const words: string[] = []
  const flags = new Set<FlagName>()
  const values: { 'base-btf'?: string; output?: string } = {}
  let unknown: string | undefined
  const take = (flag: Flag & { long: FlagName }, value: string | undefined): void => {
    flags.add(flag.long)
    if (flag.value === undefined) return
    if (value === undefined) throw new UsageError('cli.option', `--${flag.long} needs a value: ${flag.value}`)
    if (flag.long === 'base-btf' || flag.long === 'output') values[flag.long] = value
  }
  for (let i = 0; i < argv.length; i++) {
    const word = argv[i]
    if (word === '--') {
      words.push(...argv.slice(i + 1))
      break
    }
    if (word.startsWith('--')) {
      const [name, value] = word.slice(2).split(/=(.*)/s, 2)
      const flag = FLAGS.find(({ long }) => long === (name === 'base' ? 'base-btf' : name))
      if (flag === undefined || (value !== undefined && !('value' in flag))) unknown ??= word
      else take(flag, 'value' in flag ? (value ?? argv[++i]) : undefined)
    } else if (word.startsWith('-') && word.length > 1) {
      for (let at = 1; at < word.length; at++) {
        const flag = FLAGS.find(({ short }) => short === word[at])
        if (flag === undefined) {
          unknown ??= word
          break
        }
        const rest = word.slice(at + 1)
        take(flag, 'value' in flag ? rest || argv[++i] : undefined)
        if ('value' in flag) break
      }
    } else words.push(word)
  }
  const { 'base-btf': baseBtf, output } = values
  return {
    words,
    flags,
    ...(baseBtf !== undefined && { baseBtf }),
    ...(output !== undefined && { output }),
    ...(unknown !== undefined && { unknown }),
  }
}

export const contextOf = ({ flags, baseBtf, output }: Arguments): Context => ({
  json: flags.has('json') || flags.has('pretty'),
  pretty: flags.has('pretty'),
  bpffs: flags.has('bpffs'),
  nomount: flags.has('nomount'),
  debug: flags.has('debug'),
  useLoader: flags.has('use-loader'),
  ...(baseBtf !== undefined && { baseBtf }),
  ...(output !== undefined && { output }),
})
