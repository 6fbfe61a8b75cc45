import { UsageError } from 'typebpf'
import type { Column, Tool } from '../lib/index.ts'
import { readSettings, until, watchSettings } from '../lib/network.ts'
import { type BackendCount, LoadBalancer } from './load-balancer.ts'
import { parseServices } from './services.ts'

export { type BackendCount, LoadBalancer, type LoadBalancerOptions } from './load-balancer.ts'
export { type BackendSettings, parseServices, type ServiceSettings } from './services.ts'

const COLUMNS: readonly Column<BackendCount>[] = [
  { title: 'SERVICE', width: 25, value: ({ service }) => service },
  { title: 'BACKEND', width: 21, value: ({ backend }) => backend },
  { title: 'PACKETS', width: 11, align: 'right', value: ({ to }) => to.packets },
  { title: 'BYTES', width: 13, align: 'right', value: ({ to }) => to.bytes },
  { title: 'ANSWERS', width: 11, align: 'right', value: ({ from }) => from.packets },
  { title: 'BYTES', width: 13, align: 'right', value: ({ from }) => from.bytes },
]

export const tool: Tool = {
  arguments: [
    ['<services>', 'a file with lines "service ADDRESS:PORT[/tcp|/udp]" and "backend ADDRESS:PORT [dev IF] [mac MAC]"'],
    ['<interface...>', 'the interfaces that clients come in by'],
  ],
  options: [
    ['-i, --interval <seconds>', 'print the counters every so many seconds'],
    ['--mode <mode>', 'native or generic (default: native where the driver has it)'],
  ],
  examples: ['xdp-lb services.txt eth0', 'xdp-lb services.txt eth0 eth1 --interval 10'],
  async run({ args, out, signal }) {
    const path = args.text('services') ?? ''
    const interval = args.number('interval', { min: 0.1, max: 86_400 })
    const mode = args.choice('mode', ['native', 'generic'])
    const services = parseServices(readSettings(path), path)
    using balancer = new LoadBalancer({ clients: args.list('interface'), services, mode })
    out.note(`Balancing ${services.length} services... Hit Ctrl-C to end.`)
    watchSettings(path, signal, () => {
      try {
        balancer.replace(parseServices(readSettings(path), path))
        out.note(`${path}: read again`)
      } catch (error) {
        if (!(error instanceof UsageError)) throw error
        out.note(`${error.message}; the services stay as they are`)
      }
    })
    const print = (): void => {
      for (const count of balancer.counts()) out.row(COLUMNS, count)
    }
    await until(signal, interval, () => {
      print()
      out.text()
    })
    print()
    out.note(`${balancer.connections} connections`)
  },
}
