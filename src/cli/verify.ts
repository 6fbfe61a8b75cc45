import { readFileSync } from 'node:fs'
import type { Command } from 'commander'
import { UsageError } from '../errors/index.ts'
import { type LinkProgramOptions, linkProgram, type ProgramImage } from '../spec/index.ts'
import { programTypeNumber } from '../uapi/index.ts'
import { runBatch } from './batch-lines.ts'
import { loadInput } from './load-input.ts'
import { comparisonMarkdown, comparisonTable, differences, parseBase, worse } from './verify/compare.ts'
import { explanation, hottest, statistics } from './verify/print.ts'
import { answerRow, kernelVersions, needsKernel, readBtf, type VerifyRow, verifyProgram } from './verify/rows.ts'

interface Options {
  readonly program?: string
  readonly type?: string
  readonly kernel: string
  readonly btf?: string
  readonly target?: string
  readonly logLevel?: string
  readonly stats?: boolean
  readonly topLines?: string
  readonly compare?: string
  readonly markdown?: boolean
  readonly maxInsns?: string
  readonly maxStack?: string
  readonly batch?: boolean
  readonly json?: boolean
}

const DEFAULT_KERNEL = '6.18'
const LOG_BYTES = 16 * 1024 * 1024

function wholeNumber(text: string | undefined, option: string, maximum: number): number | undefined {
  if (text === undefined) return undefined
  const value = Number(text)
  if (!/^\d+$/.test(text) || value > maximum)
    throw new UsageError(
      'usage.number',
      `--${option}: a whole number from 0 to ${maximum} is needed, not ${JSON.stringify(text)}`,
    )
  return value
}

/** The end of a log that is too long for one line of JSON. */
function cut(log: string | undefined): { log?: string; logTruncated?: true } {
  if (log === undefined) return {}
  return log.length <= LOG_BYTES ? { log } : { log: log.slice(-LOG_BYTES), logTruncated: true }
}

/** `verify --batch`: one program a line, the model's answer a line. */
async function verifyBatch(btf: string | undefined): Promise<void> {
  const running = (await import('../syscall/prog/kernel-btf.ts')).kernelBtf
  const kernelBtf = btf === undefined ? () => running() : readBtf(readFileSync(btf), btf)
  await runBatch(({ image, kernel, logLevel }) => {
    kernelVersions(kernel ?? DEFAULT_KERNEL)
    const { verdict, code, message, insn, processed, states, timeUs, log } = answerRow(image, {
      kernel: kernel ?? DEFAULT_KERNEL,
      logLevel,
      kernelBtf,
    })
    return { verdict, code, message, insn, processed, states, timeUs, ...cut(log) }
  })
}

async function linkOptions(path: string | undefined, needed: boolean): Promise<LinkProgramOptions> {
  if (path !== undefined) return { kernelBtf: readBtf(readFileSync(path), path) }
  if (!needed) return {}
  const { kernelBtf } = await import('../syscall/prog/kernel-btf.ts')
  const btf = kernelBtf()
  return btf === undefined ? {} : { kernelBtf: btf }
}

/** The program that `--target FILE[:PROGRAM]` names. */
async function targetImage(text: string | undefined, btf: string | undefined): Promise<ProgramImage | undefined> {
  if (text === undefined) return undefined
  const [, path, name] = /^(.*?)(?::([^:/]+))?$/.exec(text) ?? ['', text]
  const object = await loadInput(path)
  const only = object.programs.length === 1 ? object.programs[0].name : undefined
  if (name === undefined && only === undefined)
    throw new UsageError('verify.target', `${path} has ${object.programs.length} programs: --target ${path}:PROGRAM`)
  return linkProgram(object, name ?? only ?? '', await linkOptions(btf, needsKernel(object)))
}

/** Bytes of stack of "64+32". */
function stackBytes(depth: string | undefined): number {
  return (depth ?? '0').split('+').reduce((sum, part) => sum + Number(part), 0)
}

/** Lines that say which budget is broken. */
function overBudget(rows: readonly VerifyRow[], insns: number | undefined, stack: number | undefined): string[] {
  return rows.flatMap((row) => [
    ...(insns !== undefined && row.processed > insns
      ? [`${row.program}: ${row.processed} instructions processed, the budget is ${insns}`]
      : []),
    ...(stack !== undefined && stackBytes(row.stackDepth) > stack
      ? [`${row.program}: ${row.stackDepth} bytes of stack, the budget is ${stack}`]
      : []),
  ])
}

async function verifyFiles(paths: readonly string[], options: Options): Promise<void> {
  const kernels = kernelVersions(options.kernel)
  const logLevel = wholeNumber(options.logLevel, 'log-level', 7)
  const topLines = wholeNumber(options.topLines, 'top-lines', 10_000)
  const type = options.type === undefined ? undefined : programTypeNumber(options.type)
  if (options.type !== undefined && type === undefined)
    throw new UsageError('verify.type', `there is no program type ${JSON.stringify(options.type)}`)
  const maxInsns = wholeNumber(options.maxInsns, 'max-insns', 1_000_000)
  const maxStack = wholeNumber(options.maxStack, 'max-stack', 512)
  const target = await targetImage(options.target, options.btf)
  const rows: VerifyRow[] = []
  for (const path of paths) {
    const object = await loadInput(path)
    const link = await linkOptions(options.btf, needsKernel(object))
    const names = options.program === undefined ? object.programs.map(({ name }) => name) : [options.program]
    for (const name of names)
      for (const kernel of kernels)
        rows.push(
          verifyProgram(
            object,
            name,
            path,
            { kernel, logLevel, topLines, type, target, kernelBtf: link.kernelBtf },
            link,
          ),
        )
  }
  const base =
    options.compare === undefined ? undefined : parseBase(readFileSync(options.compare, 'utf8'), options.compare)
  const changes = base === undefined ? undefined : differences(base, rows)
  const broken = overBudget(rows, maxInsns, maxStack)
  const refused = rows.some(({ verdict }) => verdict !== 'accept')
  const failed = broken.length > 0 || (changes === undefined ? refused : worse(changes))
  if (options.json === true) process.stdout.write(`${JSON.stringify(rows)}\n`)
  else {
    const parts: string[] = []
    if (options.stats === true) parts.push(statistics(rows))
    else if (changes === undefined) parts.push(rows.map(explanation).join('\n'))
    if (changes !== undefined)
      parts.push(options.markdown === true ? comparisonMarkdown(changes) : comparisonTable(changes))
    if (logLevel !== undefined) for (const row of rows) if (row.log !== undefined) parts.push(row.log.trimEnd())
    if (topLines !== undefined) parts.push(hottest(rows))
    process.stdout.write(`${parts.filter((part) => part !== '').join('\n\n')}\n`)
  }
  for (const line of broken) process.stderr.write(`typebpf: ${line}\n`)
  if (failed) process.exitCode = 1
}

export function register(program: Command): void {
  program
    .command('verify')
    .description("say without a kernel whether the kernel's verifier will take programs, and why not")
    .argument('[file...]', 'BPF objects (.o) or TypeScript modules')
    .option('--program <name>', 'only this program')
    .option('--type <type>', 'program type where the section name does not tell it')
    .option('--kernel <versions>', 'kernel profiles, separated by commas', DEFAULT_KERNEL)
    .option('--btf <file>', "the target kernel's BTF (default: the running kernel's where it is needed)")
    .option('--target <file:program>', 'the program that extensions (freplace) extend, or that fentry and fexit trace')
    .option('--log-level <bits>', "also print the log: the kernel's bit mask, 0 to 7")
    .option('--stats', "a table of veristat's columns instead of explanations")
    .option('--top-lines <n>', 'the n source lines that were walked most')
    .option('--compare <base>', 'hold against an earlier `verify --json`')
    .option('--markdown', 'the comparison as Markdown')
    .option('--max-insns <n>', 'exit 1 when a program takes more processed instructions')
    .option('--max-stack <bytes>', 'exit 1 when a program takes more stack')
    .option('--batch', 'read one JSON request a line on standard input, answer one a line')
    .option('-j, --json', 'print JSON')
    .action(async (files: string[], options: Options) => {
      if (options.batch === true) return await verifyBatch(options.btf)
      if (files.length === 0) throw new UsageError('usage.file', 'an object or a module is needed (or --batch)')
      await verifyFiles(files, options)
    })
}
