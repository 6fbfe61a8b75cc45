import { UsageError } from 'typebpf'
import { type Prefix, parsePrefix, settingLines } from '../lib/network.ts'

export type Action = 'allow' | 'deny'

/** What happens to packets from a prefix. The longest prefix that fits decides. */
export interface Rule {
  readonly action: Action
  readonly prefix: Prefix
}
export interface RuleSet {
  readonly rules: readonly Rule[]
  /** What happens to IP packets that no rule is about. */
  readonly otherwise: Action
}

export const isAction = (word: string): word is Action => word === 'allow' || word === 'deny'

/**
 * Lines `allow PREFIX`, `deny PREFIX` and `default allow|deny`; # begins a comment. A prefix that stands twice with different
 * actions is an error.
 * @throws UsageError `rules.line` with the line's number
 */
export function parseRules(text: string, what: string): RuleSet {
  const rules = new Map<string, Rule>()
  let otherwise: Action = 'allow'
  for (const { number, words } of settingLines(text)) {
    const wrong = (message: string, cause?: unknown): UsageError =>
      new UsageError('rules.line', `${what}:${number}: ${message}`, {
        cause,
        details: ['a line is: allow PREFIX, deny PREFIX or default allow|deny'],
      })
    const [first, second, ...more] = words
    if (second === undefined || more.length > 0) throw wrong(JSON.stringify(words.join(' ')))
    if (first === 'default') {
      if (!isAction(second)) throw wrong(`default ${second}`)
      otherwise = second
      continue
    }
    if (!isAction(first)) throw wrong(`${JSON.stringify(first)} is neither allow nor deny`)
    let prefix: Prefix
    try {
      prefix = parsePrefix(second)
    } catch (cause) {
      throw wrong((cause as Error).message, cause)
    }
    const other = rules.get(prefix.text)
    if (other !== undefined && other.action !== first) throw wrong(`${prefix.text} is already ${other.action}`)
    rules.set(prefix.text, { action: first, prefix })
  }
  return { rules: [...rules.values()], otherwise }
}
