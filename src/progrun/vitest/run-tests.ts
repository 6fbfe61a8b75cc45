import { mkdtempSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { extname, join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type * as VitestNode from 'vitest/node'
import { UsageError } from '../../errors/index.ts'
import { type CoverageSummary, coverageByFile, readCoverage, summarize, writeCoverage } from '../coverage/index.ts'
import type { BackendChoice } from '../harness/harness.ts'

export interface RunTestsOptions {
  /** Files or parts of their names; none: all that vitest finds. */
  readonly files: readonly string[]
  readonly backend: BackendChoice
  /** Folder for lcov.info, index.html and coverage-final.json of BPF code. */
  readonly coverage?: string
  /** File for a JUnit report. */
  readonly junit?: string
  /** Only tests whose name matches. */
  readonly namePattern?: string
  /** Nothing is printed while tests run: {@link RunTestsAnswer.tests} says it all. */
  readonly quiet?: boolean
}

/** One test, as `typebpf test --json` prints it. */
export interface TestRow {
  readonly file: string
  readonly name: string
  readonly state: 'passed' | 'failed' | 'skipped' | 'pending'
  readonly durationMs?: number
  /** Where its harness ran, when it took one from the fixture `bpf`. */
  readonly backend?: string
  readonly errors?: readonly string[]
}

export interface RunTestsAnswer {
  readonly passed: boolean
  readonly tests: readonly TestRow[]
  /** Where coverage was asked for and a program ran in the emulator. */
  readonly coverage?: CoverageSummary
  /** Programs that ran without line information: they are in no report. */
  readonly withoutLines?: readonly string[]
}

/** vitest of the user's own project. */
async function loadVitest(folder: string): Promise<typeof VitestNode> {
  for (const from of [join(folder, 'package.json'), fileURLToPath(import.meta.url)]) {
    try {
      const path = createRequire(from).resolve('vitest/node')
      return (await import(pathToFileURL(path).href)) as typeof VitestNode
    } catch {
      // not there: the next place
    }
  }
  throw new UsageError('test.vitest', 'typebpf test runs vitest, and it is not installed here', {
    details: ['npm install --save-dev vitest'],
  })
}

function rowsOf(module: VitestNode.TestModule): TestRow[] {
  const file = module.relativeModuleId
  const rows = [...module.children.allTests()].map((test): TestRow => {
    const { state, errors } = test.result()
    const durationMs = test.diagnostic()?.duration
    const { backend } = test.meta() as { backend?: string }
    return {
      file,
      name: test.fullName,
      state,
      ...(durationMs === undefined ? {} : { durationMs }),
      ...(backend === undefined ? {} : { backend }),
      ...(errors === undefined || errors.length === 0 ? {} : { errors: errors.map(({ message }) => message) }),
    }
  })
  // a file that does not load has no tests
  const broken = module.errors().map(({ message }) => message)
  return broken.length === 0 ? rows : [{ file, name: '', state: 'failed', errors: broken }, ...rows]
}

/**
 * Runs the user's tests with vitest: in processes of their own (native code must not run in worker threads), with the
 * matchers loaded and the backend named in every failure.
 * @throws UsageError `test.vitest` without vitest
 */
export async function runTests(options: RunTestsOptions): Promise<RunTestsAnswer> {
  const folder = process.cwd()
  const vitest = await loadVitest(folder)
  const counted = options.coverage === undefined ? undefined : mkdtempSync(join(tmpdir(), 'typebpf-coverage-'))
  const own = fileURLToPath(import.meta.url)
  const setup = join(own, '..', `setup${extname(own)}`)
  process.env['TYPEBPF_BACKEND'] = options.backend
  if (counted !== undefined) process.env['TYPEBPF_COVERAGE'] = counted
  try {
    const running = await vitest.startVitest('test', [...options.files], {
      run: true,
      watch: false,
      pool: 'forks',
      setupFiles: [setup],
      passWithNoTests: false,
      env: {
        TYPEBPF_BACKEND: options.backend,
        ...(counted === undefined ? {} : { TYPEBPF_COVERAGE: counted }),
      },
      reporters: [
        // an object without methods reports nothing; an empty list would mean the default
        options.quiet === true ? {} : 'default',
        ...(options.junit === undefined ? [] : ['junit']),
        ...(process.env['GITHUB_ACTIONS'] === 'true' && options.quiet !== true ? ['github-actions'] : []),
      ],
      ...(options.junit === undefined ? {} : { outputFile: { junit: options.junit } }),
      ...(options.namePattern === undefined ? {} : { testNamePattern: options.namePattern }),
    })
    await running.close()
    const failed = running.state.getCountOfFailedTests() > 0 || running.state.getUnhandledErrors().length > 0
    const modules = running.state.getTestModules()
    const passed = !failed && modules.length > 0 && modules.every((module) => module.ok())
    const tests = modules.flatMap(rowsOf)
    if (counted === undefined || options.coverage === undefined) return { passed, tests }
    const recorder = readCoverage(counted)
    const files = coverageByFile(recorder)
    writeCoverage(resolve(folder, options.coverage), files)
    const bare = recorder.programs.filter(({ sources }) => sources.size === 0).map(({ program }) => program)
    return { passed, tests, coverage: summarize(files), withoutLines: [...new Set(bare)].sort() }
  } finally {
    if (counted !== undefined) rmSync(counted, { recursive: true, force: true })
  }
}
