import type { Command } from 'commander'
import { EXIT, SystemError, UsageError } from '../errors/index.ts'

interface Options {
  readonly backend: string
  readonly coverage?: boolean
  readonly coverageFolder: string
  readonly junit?: string
  readonly name?: string
  readonly kernel?: string
  readonly json?: boolean
}

const BACKENDS = ['auto', 'emulator', 'kernel', 'both'] as const

async function test(files: readonly string[], options: Options): Promise<void> {
  const backend = BACKENDS.find((name) => name === options.backend)
  if (backend === undefined)
    throw new UsageError('usage.backend', `--backend ${options.backend}: ${BACKENDS.join(', ')} are possible`)
  if (options.kernel !== undefined)
    throw new UsageError('usage.unsupported', '--kernel: other kernels are not there yet, tests run on this one')
  if (backend === 'kernel' || backend === 'both') {
    const { kernelUnavailable } = await import('../progrun/index.ts')
    const missing = kernelUnavailable()
    if (missing.length > 0)
      throw new SystemError('progrun.no-kernel', `--backend ${backend} needs bpf(2)`, { details: missing })
  }
  const { runTests } = await import('../progrun/vitest/run-tests.ts')
  const folder = options.coverage === true ? options.coverageFolder : undefined
  const {
    passed,
    tests,
    coverage,
    withoutLines = [],
  } = await runTests({
    files,
    backend,
    quiet: options.json === true,
    ...(folder === undefined ? {} : { coverage: folder }),
    ...(options.junit === undefined ? {} : { junit: options.junit }),
    ...(options.name === undefined ? {} : { namePattern: options.name }),
  })
  if (options.json === true) process.stdout.write(`${JSON.stringify({ passed, backend, tests, coverage })}\n`)
  else if (coverage !== undefined) {
    const { lines, linesHit, linesDead, branches, branchesHit } = coverage
    const dead = linesDead === 0 ? '' : `, ${linesDead} lines proved dead`
    process.stdout.write(
      `BPF coverage: ${linesHit} of ${lines} lines, ${branchesHit} of ${branches} branches${dead} → ${folder}/index.html\n`,
    )
    if (withoutLines.length > 0)
      process.stdout.write(`not in it, for want of line information (clang -g): ${withoutLines.join(', ')}\n`)
  }
  process.exitCode = passed ? EXIT.ok : EXIT.no
}

export function register(program: Command): void {
  program
    .command('test')
    .description(
      'run your BPF tests with vitest: in the emulator, in the kernel, or in both with every difference reported',
    )
    .argument('[files...]', 'test files, or parts of their names; default: all')
    .option(
      '--backend <name>',
      'auto, emulator, kernel or both: what harness() takes where a test does not say',
      'auto',
    )
    .option('--coverage', 'lines and branches of BPF code, as lcov, HTML and istanbul JSON')
    .option('--coverage-folder <folder>', 'where to write them', 'coverage-bpf')
    .option('--junit <file>', 'write a JUnit report')
    .option('-t, --name <pattern>', 'only tests whose name matches')
    .option('--kernel <list>', 'other kernels in virtual machines (not there yet)')
    .option('-j, --json', 'print JSON: each test with its state, backend and errors')
    .action(test)
}
