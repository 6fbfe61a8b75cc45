import { readdirSync } from 'node:fs'
import { SystemError } from 'typebpf'

/** @throws SystemError `tool.process` when there is no such process */
export function requireProcess(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    readdirSync(`/proc/${pid}`)
  } catch (cause) {
    throw new SystemError('tool.process', `there is no process ${pid}`, { cause, details: ['see which run: ps -e'] })
  }
}
