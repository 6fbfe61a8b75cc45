import { UsageError } from 'typebpf'
import type { Column, Tool } from '../lib/index.ts'
import { until } from '../lib/network.ts'
import { type BucketCount, Shaper } from './shaper.ts'

export { type BucketCount, type Limit, Shaper, type ShaperOptions } from './shaper.ts'

const COLUMNS: readonly Column<BucketCount>[] = [
  { title: 'TO', width: 24, value: ({ host }) => host },
  { title: 'PACKETS', width: 11, align: 'right', value: ({ packets }) => packets },
  { title: 'BYTES', width: 14, align: 'right', value: ({ bytes }) => bytes },
  { title: 'DROPPED', width: 11, align: 'right', value: ({ droppedPackets }) => droppedPackets },
  { title: 'BYTES', width: 14, align: 'right', value: ({ droppedBytes }) => droppedBytes },
]
const THOUSANDS = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 } as const
const BINARY = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 } as const

/** A rate as tc(8) writes it: 10mbit, 1.5gbit, 800kbit. Bits a second. @throws UsageError `usage.rate` */
export function parseRate(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt]?)bit$/i.exec(text) ?? []
  if (number === undefined)
    throw new UsageError('usage.rate', `${JSON.stringify(text)} is no rate`, {
      details: ['write 800kbit, 10mbit, 1gbit'],
    })
  return Number(number) * THOUSANDS[unit.toLowerCase() as keyof typeof THOUSANDS]
}
/** A size as tc(8) writes it: 15000, 64k, 1mb. Bytes. @throws UsageError `usage.size` */
export function parseSize(text: string): number {
  const [, number, unit] = /^(\d+(?:\.\d+)?)([kmgt]?)b?$/i.exec(text) ?? []
  if (number === undefined)
    throw new UsageError('usage.size', `${JSON.stringify(text)} is no size`, { details: ['write 15000, 64k, 1mb'] })
  return Number(number) * BINARY[unit.toLowerCase() as keyof typeof BINARY]
}

export const tool: Tool = {
  arguments: [
    ['<interface>', 'the interface whose outgoing packets are limited'],
    ['<rate>', 'as tc writes it: 800kbit, 10mbit, 1gbit'],
  ],
  options: [
    [
      '-b, --burst <bytes>',
      'what may go at once after a pause: 64k (default: 10 ms of the rate, at least 15,000 bytes)',
    ],
    ['--per-host', 'a limit for each remote address instead of one for all'],
    ['--pace', 'delay packets instead of dropping them; needs: tc qdisc replace dev INTERFACE root fq'],
    ['-i, --interval <seconds>', 'print the counters every so many seconds'],
  ],
  examples: ['tc-shaper eth0 10mbit', 'tc-shaper eth0 1mbit --burst 64k --per-host --interval 5'],
  async run({ args, out, signal }) {
    const interval = args.number('interval', { min: 0.1, max: 86_400 })
    const rate = args.text('rate') ?? ''
    const burst = args.text('burst')
    using shaper = new Shaper({
      interface: args.text('interface') ?? '',
      rate: parseRate(rate),
      burst: burst === undefined ? undefined : parseSize(burst),
      perHost: args.flag('perHost'),
      pace: args.flag('pace'),
    })
    out.note(`Limiting ${args.text('interface')} to ${rate}... Hit Ctrl-C to end.`)
    const print = (): void => {
      for (const count of shaper.counts()) out.row(COLUMNS, count)
    }
    await until(signal, interval, () => {
      print()
      out.text()
    })
    out.head(COLUMNS)
    print()
  },
}
