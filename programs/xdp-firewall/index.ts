import { UsageError } from 'typebpf'
import type { Arguments, Column, Tool } from '../lib/index.ts'
import { parsePrefix, readSettings, until, watchSettings } from '../lib/network.ts'
import { Firewall, type RuleCount } from './firewall.ts'
import { type Action, parseRules, type RuleSet } from './rules.ts'

export { type Prefix, parsePrefix } from '../lib/network.ts'
export { Firewall, type RuleCount } from './firewall.ts'
export { type Action, parseRules, type Rule, type RuleSet } from './rules.ts'

const COLUMNS: readonly Column<RuleCount>[] = [
  { title: 'SOURCE', width: 24, value: ({ rule }) => rule },
  { title: 'ACTION', width: 6, value: ({ action }) => action },
  { title: 'PACKETS', width: 12, align: 'right', value: ({ packets }) => packets },
  { title: 'BYTES', width: 15, align: 'right', value: ({ bytes }) => bytes },
]

/** The rules of the command line and of the file; what stands in the file wins. */
function ruleSet(args: Arguments): RuleSet {
  const otherwise: Action = args.choice('default', ['allow', 'deny']) ?? 'allow'
  const listed = (action: Action): string =>
    (args.text(action) ?? '')
      .split(',')
      .filter(Boolean)
      .map((prefix) => `${action} ${parsePrefix(prefix.trim()).text}\n`)
      .join('')
  const own = `default ${otherwise}\n${listed('allow')}${listed('deny')}`
  const path = args.text('rules')
  if (path === undefined) return parseRules(own, 'the command line')
  const fromFile = parseRules(readSettings(path), path)
  const named = new Set(fromFile.rules.map(({ prefix }) => prefix.text))
  const more = parseRules(own, 'the command line').rules.filter(({ prefix }) => !named.has(prefix.text))
  return { rules: [...more, ...fromFile.rules], otherwise: fromFile.otherwise }
}

export const tool: Tool = {
  arguments: [['<interface>', 'the interface whose incoming packets are filtered']],
  options: [
    ['-r, --rules <file>', 'lines "allow PREFIX", "deny PREFIX", "default allow|deny"; read again when it changes'],
    ['--deny <prefixes>', 'sources to drop: 10.0.0.0/8,2001:db8::/32'],
    ['--allow <prefixes>', 'sources to let through'],
    ['--default <action>', 'allow or deny: packets that no rule is about (default: allow)'],
    ['-i, --interval <seconds>', 'print the counters every so many seconds'],
    ['--mode <mode>', 'native or generic (default: native where the driver has it)'],
  ],
  examples: [
    'xdp-firewall eth0 --deny 192.0.2.0/24,2001:db8::/32',
    'xdp-firewall eth0 --rules rules.txt --interval 10',
  ],
  async run({ args, out, signal }) {
    const name = args.text('interface') ?? ''
    const interval = args.number('interval', { min: 0.1, max: 86_400 })
    const path = args.text('rules')
    const rules = ruleSet(args)
    using firewall = new Firewall({ interface: name, mode: args.choice('mode', ['native', 'generic']), ...rules })
    out.note(`Filtering ${name} by ${rules.rules.length} rules... Hit Ctrl-C to end.`)
    if (path !== undefined)
      watchSettings(path, signal, () => {
        try {
          const { added, removed } = firewall.replace(ruleSet(args))
          out.note(`${path}: ${added} rules added or changed, ${removed} removed`)
        } catch (error) {
          if (!(error instanceof UsageError)) throw error
          out.note(`${error.message}; the rules stay as they are`)
        }
      })
    const print = (): void => {
      for (const count of firewall.counts()) out.row(COLUMNS, count)
    }
    await until(signal, interval, () => {
      print()
      out.text()
    })
    print()
  },
}
