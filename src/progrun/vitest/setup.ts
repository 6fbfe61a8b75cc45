// Loaded before test files by `typebpf test`: matchers, and backend, kernel and both sides of a difference in every failure.
import { beforeEach } from 'vitest'
import { explainFailure } from './explain.ts'
import './index.ts'

beforeEach(({ task, onTestFailed }) => {
  onTestFailed(() => explainFailure(task))
})
