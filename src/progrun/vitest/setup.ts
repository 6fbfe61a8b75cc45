// Loaded before test files by `typebpf test`: matchers, and the backend and kernel in every failure.
import { release } from 'node:os'
import { beforeEach } from 'vitest'
import './index.ts'
import { kernelUnavailable } from '../backend/available.ts'

const chosen = process.env['TYPEBPF_BACKEND'] || 'auto'
const kernel = kernelUnavailable().length === 0 ? `kernel ${release()}` : `no bpf(2) here (kernel ${release()})`

beforeEach(({ task, onTestFailed }) => {
  onTestFailed(() => {
    const opened = (task.meta as { backend?: string }).backend
    const label = `[${opened ?? `backend ${chosen}`}; ${kernel}]`
    for (const error of task.result?.errors ?? [])
      if (!error.message.includes(label)) error.message = `${error.message}\n${label}`
  })
})
