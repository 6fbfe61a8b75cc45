import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The CPU that this process may run on when it is only one. */
export function onlyCpu(): number | undefined {
  const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  return /^\d+$/.test(list) ? Number(list) : undefined
}

/**
 * Runs this very command again on one CPU, where taskset is there, and ends with its exit code: a test run's program is
 * then always on the CPU whose per-CPU values are looked at.
 */
export function runPinned(): void {
  if (onlyCpu() !== undefined || process.env['TYPEBPF_UNPINNED'] !== undefined) return
  const again = [process.execPath, ...process.execArgv, ...process.argv.slice(1)]
  const env = { ...process.env, TYPEBPF_UNPINNED: '1' }
  const { status, error } = spawnSync('taskset', ['-c', '0', ...again], { stdio: 'inherit', env })
  if (error === undefined) process.exit(status ?? 1)
}
