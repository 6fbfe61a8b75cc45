/**
 * Coverage of BPF code by source line and branch, from emulator runs, without changing the program: apart from V8's coverage,
 * which counts a builder's line as run when it only built.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { FileCoverage } from './files.ts'
import { toHtml, toIstanbul, toLcov } from './formats.ts'

export {
  type BranchCoverage,
  type CoverageSummary,
  coverageByFile,
  type FileCoverage,
  type LineCoverage,
  summarize,
} from './files.ts'
export { toHtml, toIstanbul, toLcov } from './formats.ts'
export { CoverageRecorder, type ProgramCoverage, readCoverage } from './recorder.ts'

/** Writes lcov.info, index.html and coverage-final.json into a folder. */
export function writeCoverage(folder: string, files: readonly FileCoverage[]): void {
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'lcov.info'), toLcov(files))
  writeFileSync(join(folder, 'index.html'), toHtml(files))
  writeFileSync(join(folder, 'coverage-final.json'), `${JSON.stringify(toIstanbul(files))}\n`)
}
