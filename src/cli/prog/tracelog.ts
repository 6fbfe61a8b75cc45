import { createReadStream } from 'node:fs'
import { SystemError, UsageError } from '../../errors/index.ts'
import { tracefs } from '../../syscall/index.ts'
import { toJson } from '../objects/json.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

/** `prog tracelog`: lines as trace_pipe gives them, until the reader goes or Ctrl-C; in JSON one array of them. */
export async function tracelog(words: readonly string[], { json }: Context): Promise<void> {
  if (words.length > 0)
    throw new UsageError('cli.words', `nothing is expected behind prog tracelog: ${words.join(' ')}`)
  const path = `${tracefs()}/trace_pipe`
  const stop = new AbortController()
  const end = (): void => stop.abort()
  process.once('SIGINT', end)
  process.once('SIGTERM', end)
  if (json === true) print('[')
  let first = true
  try {
    let rest = ''
    for await (const chunk of createReadStream(path, { encoding: 'utf8', signal: stop.signal })) {
      if (json !== true) {
        print(String(chunk))
        continue
      }
      const lines = (rest + String(chunk)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        print(`${first ? '' : ','}${toJson(`${line}\n`)}`)
        first = false
      }
    }
  } catch (cause) {
    if (!stop.signal.aborted)
      throw new SystemError('tracelog.open', `${path}: ${(cause as Error).message}`, {
        cause,
        details: ['it needs root, and one reader takes the lines from another'],
      })
  } finally {
    process.off('SIGINT', end)
    process.off('SIGTERM', end)
    if (json === true) print(']\n')
  }
}
