// Frames through xdp-lb and their answers back: every checksum is looked at on both sides, in as many connections as ports.
import { eth, tcp, udp } from 'typebpf/progrun'
import { LoadBalancer } from '../../programs/xdp-lb/load-balancer.ts'
import { ipv4Frame } from './firewall-traffic.ts'
import { type End, Netns, veth } from './netns.ts'
import { numbersFrom, pump, Station } from './traffic.ts'

const VIP = '10.0.0.100'
const CLIENT = '10.7.0.1'
const PORTS = 10_000
const number = (address: string): number => address.split('.').reduce((all, part) => all * 256 + Number(part), 0)
const BACKENDS = ['10.1.0.2', '10.1.1.2', '10.1.2.2'] as const
const BACKEND_PORT = 8080
const CHECKSUM_AT = { udp: 40, tcp: 50 } as const

export interface BalancerRun {
  readonly sent: number
  /** Frames at each backend. */
  readonly backends: readonly number[]
  readonly answers: number
  readonly connections: number
  /** Everything that is not as it must be; empty when all is right. */
  readonly faults: readonly string[]
  readonly seconds: number
}

/** Things that end together, the last first. */
class Owned implements Disposable {
  readonly #all: Disposable[] = []
  own<T extends Disposable>(thing: T): T {
    this.#all.push(thing)
    return thing
  }
  [Symbol.dispose](): void {
    for (const thing of this.#all.reverse()) thing[Symbol.dispose]()
  }
}

/** Half of the frames are UDP, half TCP. */
export function balancerRun(frames: number): BalancerRun {
  using client = new Netns()
  using middle = new Netns()
  const [clientEnd, front] = veth(client, 'client', middle, 'front')
  using mine = new Owned()
  const behind = BACKENDS.map((_, i): readonly [End, End] => veth(mine.own(new Netns()), 'eth0', middle, `back${i}`))
  const backends = BACKENDS.map((address, i) => ({
    address,
    port: BACKEND_PORT,
    device: behind[i][1].name,
    mac: behind[i][0].mac,
  }))
  using balancer = middle.run(
    () =>
      new LoadBalancer({
        clients: [front.name],
        services: (['udp', 'tcp'] as const).map((protocol) => ({ address: VIP, port: 80, protocol, backends })),
        mode: 'native',
      }),
  )
  const stations = BACKENDS.map((address, i) => {
    const station = mine.own(new Station('answer', behind[i][0]))
    station.set({ expected_dst: number(address), expected_dest: BACKEND_PORT })
    return station
  })
  using receiver = new Station('receive', clientEnd)
  receiver.set({ expected_src: number(VIP), expected_source: 80 })
  using sender = new Station('send', clientEnd)

  const start = performance.now()
  const faults: string[] = []
  let sent = 0
  for (const protocol of ['udp', 'tcp'] as const) {
    const ports = { srcPort: 0, dstPort: 80 }
    const l4 = protocol === 'udp' ? udp(ports) : tcp(ports)
    sender.frame(ipv4Frame(eth({ src: clientEnd.mac, dst: front.mac }), { src: CLIENT, dst: VIP }, l4))
    sender.set({ sending_ports: PORTS, sending_checksumAt: CHECKSUM_AT[protocol] })
    const share = protocol === 'udp' ? Math.ceil(frames / 2) : Math.floor(frames / 2)
    pump(sender, share, () => receiver.arrived().frames)
    sent += share
  }
  const seconds = (performance.now() - start) / 1000
  const arrived = stations.map((station) => station.arrived())
  const back = receiver.arrived()
  const sum = (values: readonly number[]): number => values.reduce((all, each) => all + each, 0)
  const wrong = sum(arrived.map((each) => each.wrong))
  if (sum(arrived.map((each) => each.frames)) !== sent)
    faults.push(`backends: ${sum(arrived.map((each) => each.frames))} of ${sent}`)
  if (arrived.reduce((all, { numbers }) => all + numbers, 0n) !== numbersFrom(0, sent))
    faults.push('backends: other frames than those sent')
  if (wrong > 0) faults.push(`backends: ${wrong} frames with a wrong address, port or checksum`)
  if (back.frames !== sent) faults.push(`client: ${back.frames} of ${sent} answers`)
  if (back.numbers !== numbersFrom(0, sent)) faults.push('client: other answers than frames')
  if (back.wrong > 0) faults.push(`client: ${back.wrong} answers with a wrong address, port or checksum`)
  for (const [i, name] of BACKENDS.entries()) {
    const rows = balancer.counts().filter(({ backend }) => backend === `${name}:${BACKEND_PORT}`)
    const counted = sum(rows.map(({ to }) => Number(to.packets)))
    const answered = sum(rows.map(({ from }) => Number(from.packets)))
    if (counted !== arrived[i].frames || answered !== arrived[i].frames)
      faults.push(`${name}: the balancer counted ${counted} to and ${answered} from, ${arrived[i].frames} arrived`)
    if (arrived[i].frames < sent / 6) faults.push(`${name}: only ${arrived[i].frames} of ${sent}`)
  }
  return {
    sent,
    backends: arrived.map((each) => each.frames),
    answers: back.frames,
    connections: balancer.connections,
    faults,
    seconds,
  }
}
