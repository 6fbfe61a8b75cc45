import { writeFileSync } from 'node:fs'
import type { Command } from 'commander'
import { type Btf, dumpC, dumpJson, dumpRaw, dumpTypeScript } from '../btf/index.ts'
import { NegativeError, UsageError } from '../errors/index.ts'
import { KERNEL_BTF, loadBtf } from './btf-input.ts'

const FORMATS = ['raw', 'c', 'ts'] as const
type Format = (typeof FORMATS)[number]

interface Options {
  readonly json?: boolean
  readonly pretty?: boolean
  readonly base?: string
  readonly output?: string
}

/** Words after the file, as bpftool takes them: `format FORMAT`, `root NAME` or `root ID` (again for more). */
function parseWords(words: readonly string[]): { format: Format; roots: string[] } {
  let format: Format = 'raw'
  const roots: string[] = []
  for (let i = 0; i < words.length; i += 2) {
    const [word, value] = [words[i], words[i + 1]]
    if (value === undefined) throw new UsageError('usage', `btf dump: ${word} needs a value`)
    if (word === 'format') {
      const known = FORMATS.find((name) => name === value)
      if (known === undefined)
        throw new UsageError('usage', `btf dump: the format is raw, c or ts, not ${JSON.stringify(value)}`)
      format = known
    } else if (word === 'root') roots.push(value)
    else throw new UsageError('usage', `btf dump: ${JSON.stringify(word)} is neither format nor root`)
  }
  return { format, roots }
}

function rootIds(btf: Btf, roots: readonly string[]): number[] | undefined {
  if (roots.length === 0) return undefined
  return roots.flatMap((root) => {
    if (/^\d+$/.test(root)) {
      if (!btf.has(Number(root))) throw new NegativeError('btf.not-found', `${btf.what}: there is no type [${root}]`)
      return [Number(root)]
    }
    const [, kind, name] = /^(?:(struct|union|enum|typedef|func|var)\s+)?(\S+)$/.exec(root) ?? [
      undefined,
      undefined,
      root,
    ]
    const ids = btf.idsByName(name).filter((id) => kind === undefined || btf.kind(id).startsWith(kind))
    if (ids.length === 0) throw new NegativeError('btf.not-found', `${btf.what}: no type is called ${root}`)
    return [...ids]
  })
}

function dump(path: string, words: readonly string[], options: Options): void {
  const { format, roots } = parseWords(words)
  const btf = loadBtf(path, options.base)
  const ids = rootIds(btf, roots)
  let text: string
  if (format === 'c') text = dumpC(btf, ids)
  else if (format === 'ts') text = dumpTypeScript(btf, ids)
  else if (options.json) text = `${dumpJson(btf, ids)}\n`
  else text = dumpRaw(btf, ids)
  if (options.output === undefined) process.stdout.write(text)
  else writeFileSync(options.output, text)
}

/** `typebpf btf dump file FILE [format raw|c|ts] [root NAME]…`, `typebpf btf dump kernel …`. */
export function register(program: Command): void {
  const btf = program.command('btf').description('look into BTF type information')
  const dumper = btf
    .command('dump')
    .description('print types as bpftool does, as a C header or as TypeScript definitions')
  const common = (command: Command): Command =>
    command
      .option('-j, --json', "bpftool's JSON (format raw)")
      .option('--base <file>', 'the BTF that this one continues')
      .option('-o, --output <file>', 'write to a file')
  common(dumper.command('file <file> [words...]').description('format raw|c|ts, root NAME|ID')).action(
    (file: string, words: string[], options: Options) => dump(file, words, options),
  )
  common(dumper.command('kernel [words...]').description("the running kernel's BTF")).action(
    (words: string[], options: Options) => dump(KERNEL_BTF, words, options),
  )
}
