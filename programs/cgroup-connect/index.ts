import { UsageError } from 'typebpf'
import type { Arguments, Column, Tool } from '../lib/index.ts'
import { readSettings, watchSettings } from '../lib/network.ts'
import { CommandCgroup } from './cgroup.ts'
import { ConnectGuard, type Refusal, type RuleHits } from './guard.ts'
import { type Destination, parseDestination, parseDestinations } from './rules.ts'

export { ConnectGuard, type GuardOptions, type Refusal, type RuleHits } from './guard.ts'
export { type Destination, parseDestination, parseDestinations } from './rules.ts'

const REFUSALS: readonly Column<Refusal>[] = [
  { title: 'PID', width: 7, value: ({ pid }) => pid },
  { title: 'UID', width: 6, value: ({ uid }) => uid },
  { title: 'COMM', width: 16, value: ({ comm }) => comm },
  { title: 'PROTO', width: 5, value: ({ protocol }) => protocol },
  { title: 'ADDRESS', width: 24, value: ({ address }) => address },
  { title: 'PORT', width: 5, value: ({ port }) => port },
]
const HITS: readonly Column<RuleHits>[] = [
  { title: 'ALLOWED', width: 30, value: ({ rule }) => rule },
  { title: 'CONNECTIONS', width: 11, align: 'right', value: ({ connections }) => connections },
]

function destinations(args: Arguments): Destination[] {
  const listed = (args.text('allow') ?? '').split(',').filter(Boolean)
  const path = args.text('rules')
  const fromFile = path === undefined ? [] : parseDestinations(readSettings(path), path)
  return [...listed.map((text) => parseDestination(text.trim())), ...fromFile]
}

export const tool: Tool = {
  arguments: [['[command...]', 'run this in a cgroup of its own; write -- before it']],
  options: [
    ['-a, --allow <destinations>', 'where it may connect to: 10.0.0.0/8,192.0.2.1:443,[2001:db8::1]:443'],
    ['-r, --rules <file>', 'a destination a line; read again when it changes'],
    ['--cgroup <path>', 'a cgroup that is there already, instead of a command'],
    ['--dry-run', 'only report what would be refused'],
  ],
  examples: [
    'cgroup-connect --allow 127.0.0.0/8,192.0.2.10:443 -- npm test',
    'cgroup-connect --cgroup /sys/fs/cgroup/system.slice/app.service --rules app.txt --dry-run',
  ],
  async run({ args, out, signal }) {
    const command = args.list('command')
    const path = args.text('rules')
    const there = args.text('cgroup')
    if ((there === undefined) === (command.length === 0))
      throw new UsageError('usage.cgroup', 'say either a command or --cgroup', {
        details: ['typebpf tool cgroup-connect --allow 192.0.2.1:443 -- COMMAND'],
      })
    const allow = destinations(args)
    using own = there === undefined ? new CommandCgroup() : undefined
    using guard = new ConnectGuard({ cgroup: there ?? own?.path ?? '', allow, dryRun: args.flag('dryRun') })
    const ended = new AbortController()
    signal.addEventListener('abort', () => ended.abort(), { once: true })
    if (path !== undefined)
      watchSettings(path, ended.signal, () => {
        try {
          guard.replace(destinations(args))
          out.note(`${path}: read again`)
        } catch (error) {
          if (!(error instanceof UsageError)) throw error
          out.note(`${error.message}; the rules stay as they are`)
        }
      })
    if (own === undefined) out.note(`Guarding ${there} with ${allow.length} rules... Hit Ctrl-C to end.`)
    else {
      const child = own.start(command)
      child.on('error', () => ended.abort())
      child.on('exit', (code, name) => {
        process.exitCode = code ?? (name === null ? 1 : 128)
        // what it did last is still on its way through the ring
        setImmediate(() => ended.abort())
      })
    }
    for await (const refusal of guard.refusals(ended.signal)) out.row(REFUSALS, refusal)
    out.text()
    out.head(HITS)
    for (const hits of guard.hits()) out.row(HITS, hits)
  },
}
