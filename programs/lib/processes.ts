import { readdirSync, readFileSync } from 'node:fs'
import { SystemError, UsageError } from 'typebpf'

/** @throws SystemError `tool.process` when there is no such process */
export function requireProcess(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    readdirSync(`/proc/${pid}`)
  } catch (cause) {
    throw new SystemError('tool.process', `there is no process ${pid}`, { cause, details: ['see which run: ps -e'] })
  }
}

/** The number of a user, by number or name. @throws UsageError `usage.user` when there is none of that name */
export function userId(text: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff) return Number(text)
  const line = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .find((row) => row.startsWith(`${text}:`))
  if (text === '' || line === undefined)
    throw new UsageError('usage.user', `there is no user ${JSON.stringify(text)}`, {
      details: ['name one by its number, or as /etc/passwd does'],
    })
  return Number(line.split(':')[2])
}
