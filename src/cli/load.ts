import { release } from 'node:os'
import type { Command } from 'commander'
import { EXIT, UsageError } from '../errors/index.ts'
import { createJudge, type LoadedObject, type LoadedProgram, loadObject, pin, realSys } from '../syscall/index.ts'
import { programTypeName } from '../uapi/index.ts'
import { runBatch } from './batch-lines.ts'
import { loadInput } from './load-input.ts'

interface LoadOptions {
  readonly program?: string
  readonly pin?: string
  readonly batch?: boolean
  readonly json?: boolean
  readonly logLevel?: string
}

/** `load --batch`: JSON Lines in, the running kernel's verdicts out. */
async function loadBatch(): Promise<void> {
  const judge = createJudge()
  await runBatch(({ image, logLevel }) => judge.judge(image, { logLevel }))
}

/** The last instruction that a log names. */
function lastInsn(log: string): number | undefined {
  let insn: number | undefined
  for (const match of log.matchAll(/^(\d+): \([0-9a-f]{2}\)/gm)) insn = Number(match[1])
  return insn
}

function rowOf(file: string, { spec, image, result, error }: LoadedProgram, withLog: boolean): object {
  const insn = result.verdict === 'reject' ? lastInsn(result.log) : undefined
  return {
    object: file,
    section: spec.section,
    program: spec.name,
    type: programTypeName(spec.type) ?? spec.type,
    verdict: result.verdict,
    ...(error === undefined ? {} : { code: error.code }),
    ...(result.errno === 0 ? {} : { errno: result.errno }),
    ...(result.message === undefined ? {} : { message: result.message }),
    ...(insn === undefined ? {} : { insn }),
    ...(insn === undefined || image?.sources?.get(insn) === undefined ? {} : { source: image.sources.get(insn) }),
    processed: result.statistics.processed,
    states: result.statistics.totalStates,
    timeUs: result.statistics.timeUs,
    kernel: release(),
    ...(withLog ? { log: result.log } : {}),
  }
}

/** Programs at DIR/NAME, maps at DIR/maps/NAME. */
function pinAll(loaded: LoadedObject, folder: string): void {
  for (const { spec, result } of loaded.programs)
    if (result.program !== undefined) pin(realSys(), result.program.fd, `${folder}/${spec.name}`)
  for (const [name, map] of loaded.maps) pin(realSys(), map.fd, `${folder}/maps/${name.replaceAll('.', '_')}`)
}

async function loadFile(file: string, options: LoadOptions): Promise<number> {
  const level = options.logLevel === undefined ? undefined : Number(options.logLevel)
  if (level !== undefined && !(Number.isInteger(level) && level >= 0 && level <= 7))
    throw new UsageError('usage.log-level', '--log-level takes a number from 0 to 7')
  const object = await loadInput(file)
  using loaded = loadObject(realSys(), object, {
    programs: options.program === undefined ? undefined : [options.program],
    logLevel: level ?? 1,
  })
  if (options.pin !== undefined) pinAll(loaded, options.pin)
  if (options.json === true) {
    const rows = loaded.programs.map((program) => rowOf(file, program, level !== undefined))
    process.stdout.write(`${JSON.stringify(rows)}\n`)
  } else {
    for (const { spec, result } of loaded.programs) {
      const { processed, timeUs } = result.statistics
      const numbers = processed === undefined ? '' : `  ${processed} instructions  ${timeUs ?? 0} us`
      process.stdout.write(`${result.verdict.padEnd(8)}${spec.name}  (${spec.section})${numbers}\n`)
      if (result.message !== undefined) process.stdout.write(`        ${result.message}\n`)
      if (level !== undefined) process.stdout.write(result.log)
    }
  }
  const verdicts = loaded.programs.map(({ result }) => result.verdict)
  if (verdicts.includes('reject')) return EXIT.no
  if (loaded.programs.some(({ error }) => error?.exitCode === EXIT.usage)) return EXIT.usage
  return verdicts.every((verdict) => verdict === 'accept') ? EXIT.ok : EXIT.system
}

export function register(program: Command): void {
  program
    .command('load')
    .description('load programs into the running kernel and say what its verifier answers')
    .argument('[file]', 'BPF object (.o) or TypeScript module')
    .option('--program <name>', 'only this program')
    .option('--pin <dir>', 'pin what was loaded below this directory of a BPF file system')
    .option('--log-level <bits>', "the kernel's log level, 0 to 7; prints the log")
    .option('--batch', 'read one JSON request a line on standard input, answer one a line')
    .option('-j, --json', 'print JSON')
    .action(async (file: string | undefined, options: LoadOptions) => {
      if (options.batch === true) return await loadBatch()
      if (file === undefined) throw new UsageError('usage.file', 'an object or a module is needed (or --batch)')
      process.exitCode = await loadFile(file, options)
    })
}
