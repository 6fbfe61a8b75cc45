import { UsageError } from '../../errors/index.ts'
import { PerfBuffer, realSys } from '../../syscall/index.ts'
import { MAP_TYPES } from '../../uapi/index.ts'
import { type Json, toJson } from '../objects/json.ts'
import { hexText } from '../objects/options.ts'
import { fullWord } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { openMap } from './values.ts'

const LOST = 2
const SAMPLE = 9
const PAGES = 16

function parsePlace(words: readonly string[]): { cpu: number; index: number } | undefined {
  const given: Partial<Record<'cpu' | 'index', number>> = {}
  for (let i = 0; i < words.length; i += 2) {
    const word = fullWord(words[i], ['cpu', 'index']) as 'cpu' | 'index' | undefined
    if (word === undefined) throw new UsageError('cli.words', `expected cpu or index, got ${JSON.stringify(words[i])}`)
    if (!/^\d+$/.test(words[i + 1] ?? '')) throw new UsageError('cli.number', `'${word}' needs a number`)
    given[word] = Number(words[i + 1])
  }
  const { cpu, index } = given
  if (cpu === undefined && index === undefined) return undefined
  if (cpu === undefined || index === undefined)
    throw new UsageError('cli.words', 'cpu and index are given together: cpu N index M')
  return { cpu, index }
}

/** `map event_pipe MAP [cpu N index M]`: events as they come, until Ctrl-C; in JSON one array of them. */
export async function eventPipe(words: readonly string[], { json }: Context): Promise<void> {
  using open = openMap(realSys(), words)
  if (open.info.type !== MAP_TYPES.perf_event_array)
    throw new UsageError('map.type', `map ${open.info.id} is no perf_event_array`)
  const place = parsePlace(open.rest)
  using buffer = new PerfBuffer(open.map, {
    pages: PAGES,
    times: true,
    ...(place !== undefined && { places: [place] }),
  })
  const stop = new AbortController()
  const end = (): void => stop.abort()
  for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.once(signal, end)
  let first = true
  const put = (event: Json): void => {
    print(`${first ? '' : ','}${toJson(event)}`)
    first = false
  }
  if (json === true) print('[')
  try {
    for await (const record of buffer.events({ signal: stop.signal })) {
      const { cpu } = record
      const index = place?.index ?? cpu
      if ('lost' in record) {
        if (json === true) put({ type: LOST, cpu, index, lost: { id: 0, count: record.lost } })
        else print(`lost ${record.lost} events\n`)
        continue
      }
      const { event, timeNs = 0n } = record
      if (json === true) put({ type: SAMPLE, cpu, index, timestamp: timeNs, data: [...event] })
      else
        print(
          `== @${timeNs / 1_000_000_000n}.${String(timeNs % 1_000_000_000n).padStart(9, '0')} CPU: ${cpu} index: ${index} =====\n${hexText(event)}\n`,
        )
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGHUP', 'SIGTERM'] as const) process.off(signal, end)
    if (json === true) print(']\n')
  }
}
