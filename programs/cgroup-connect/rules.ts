import { UsageError } from 'typebpf'
import { type Prefix, parsePrefix, settingLines } from '../lib/network.ts'

/** Where a cgroup may connect to. Port 0: any. */
export interface Destination {
  readonly prefix: Prefix
  readonly port: number
  readonly text: string
}

/** `10.0.0.0/8`, `192.0.2.1:443`, `10.0.0.0/8:53`, `2001:db8::/32`, `[2001:db8::1]:443`, `[2001:db8::]/32:443`. @throws UsageError `usage.*` */
export function parseDestination(text: string): Destination {
  const bracketed = /^\[([^\]]*)\](\/\d+)?(?::(\d+))?$/.exec(text)
  const plain = /^([^:/]*)(\/\d+)?(?::(\d+))?$/.exec(text)
  const [address, length = '', port] = (bracketed ?? plain ?? ['', text]).slice(1)
  const number = port === undefined ? 0 : Number(port)
  if (port !== undefined && (number < 1 || number > 65_535))
    throw new UsageError('usage.port', `${JSON.stringify(text)}: a port is 1 to 65535`)
  const prefix = parsePrefix(`${address}${length}`)
  const shown = prefix.family === 6 && number !== 0 ? prefix.text.replace(/^[^/]*/, '[$&]') : prefix.text
  return { prefix, port: number, text: number === 0 ? shown : `${shown}:${number}` }
}

/** One destination a line; # begins a comment. @throws UsageError `rules.line` with the line's number */
export function parseDestinations(text: string, what: string): Destination[] {
  return settingLines(text).map(({ number, words }) => {
    const wrong = (message: string, cause?: unknown): UsageError =>
      new UsageError('rules.line', `${what}:${number}: ${message}`, {
        cause,
        details: ['a line is: ADDRESS[/LENGTH][:PORT]'],
      })
    if (words.length !== 1) throw wrong(JSON.stringify(words.join(' ')))
    try {
      return parseDestination(words[0])
    } catch (cause) {
      throw wrong((cause as Error).message, cause)
    }
  })
}
