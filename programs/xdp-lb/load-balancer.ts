import { readFileSync } from 'node:fs'
import { UsageError } from 'typebpf'
import { attachXdp, interfaceIndex, type XdpOptions } from 'typebpf/kernel'
import { Session } from '../lib/index.ts'
import { addressNumber, type Counted, interfaceMac, parseAddress, total } from '../lib/network.ts'
import { maglev } from './maglev.ts'
import type { BackendSettings, Protocol, ServiceSettings } from './services.ts'
import * as program from './xdp-lb.bpf.ts'

const PROTOCOL: Readonly<Record<Protocol, number>> = { tcp: 6, udp: 17 }

/** A backend at work: packets that went to it and came from it. */
export interface BackendCount {
  readonly service: string
  readonly backend: string
  readonly to: Counted
  readonly from: Counted
}
export interface LoadBalancerOptions {
  /** Interfaces that clients come in by. Those of the backends are found by themselves. */
  readonly clients: readonly string[]
  readonly services: readonly ServiceSettings[]
  readonly mode?: XdpOptions['mode']
}

interface Numbered {
  readonly number: number
  readonly service: string
  readonly name: string
}

const nameOf = ({ address, port, protocol }: ServiceSettings): string => `${address}:${port}/${protocol}`

const keyOf = (service: ServiceSettings, { address, port }: BackendSettings): string =>
  `${nameOf(service)} ${address}:${port}`

/** What the kernel's neighbour table says about an address. */
function neighbour(address: string): { readonly mac: string; readonly device: string } | undefined {
  for (const line of readFileSync('/proc/net/arp', 'utf8').split('\n')) {
    const [ip, , , mac, , device] = line.trim().split(/\s+/)
    if (ip === address && mac !== '00:00:00:00:00:00') return { mac, device }
  }
  return undefined
}

/** Spreads connections over backends. Services change while packets run; closing it detaches. */
export class LoadBalancer implements Disposable {
  readonly #session: Session
  readonly #mode: XdpOptions['mode']
  readonly #attached = new Set<string>()
  readonly #backends = new Map<string, Numbered>()
  readonly #services = new Map<string, ServiceSettings>()
  readonly #free: number[] = []
  #next = 0
  /** Which half of the table is in use: the other one is written, then services move over. */
  #upper = false

  /** @throws SystemError `tool.privilege` and others; UsageError `link.interface`, `lb.neighbour` */
  constructor({ clients, services, mode }: LoadBalancerOptions) {
    this.#session = new Session(program, { name: 'xdp-lb', needs: ['bpf', 'net_admin'], attachAll: false })
    this.#mode = mode
    try {
      this.replace(services)
      for (const name of clients) this.#attach(name)
    } catch (error) {
      this.close()
      throw error
    }
  }

  #attach(name: string): number {
    const ifindex = interfaceIndex(this.#session.sys, name)
    if (this.#attached.has(name)) return ifindex
    const value = new Uint8Array(4)
    new DataView(value.buffer).setUint32(0, ifindex, true)
    this.#session.loaded.maps.get(program.devices.name)?.update(value, value)
    const handle = this.#session.program(program.xdpLb)
    this.#session.keep(attachXdp(handle, { interface: name, mode: this.#mode }))
    this.#attached.add(name)
    return ifindex
  }

  /** Where a backend is; asks the neighbour table for what is not said. */
  #place({ address, port, device, mac }: BackendSettings): { mac: string; ownMac: string; ifindex: number } {
    const known = device === undefined || mac === undefined ? neighbour(address) : undefined
    const by = device ?? known?.device
    const to = mac ?? known?.mac
    if (by === undefined || to === undefined)
      throw new UsageError('lb.neighbour', `${address} is not in the neighbour table`, {
        details: [`reach it once (ping ${address}), or say where it is: backend ${address}:${port} dev … mac …`],
      })
    return { mac: to, ownMac: interfaceMac(this.#session.sys, by), ifindex: this.#attach(by) }
  }

  /**
   * From now on these services. Connections stay with their backends; those of a backend that is gone are forgotten, their
   * next packet goes elsewhere.
   */
  replace(services: readonly ServiceSettings[]): void {
    const session = this.#session
    const places = services.map((service) => service.backends.map((backend) => this.#place(backend)))
    const known = new Set(this.#backends.keys())
    for (const service of services) for (const backend of service.backends) known.add(keyOf(service, backend))
    if (known.size > program.backends.spec.maxEntries)
      throw new UsageError('lb.many', `${known.size} backends, old and new together, are too many`)
    const half = program.table.spec.maxEntries / 2
    const tables = services.map((service) => maglev(service.backends.map(({ address, port }) => `${address}:${port}`)))
    if (
      services.length > program.services.spec.maxEntries ||
      tables.reduce((sum, { length }) => sum + length, 0) > half
    )
      throw new UsageError('lb.many', `${services.length} services with so many backends do not fit`)

    const wanted = new Set<string>()
    let first = this.#upper ? 0 : half
    const moves: (() => void)[] = []
    for (const [i, service] of services.entries()) {
      const numbers = service.backends.map((backend, j) => {
        const key = keyOf(service, backend)
        wanted.add(key)
        return this.#backend(key, service, backend, places[i][j])
      })
      const start = first
      session.map(program.table).setMany([...tables[i]].map((index, at) => [start + at, numbers[index]] as const))
      const { length: size } = tables[i]
      moves.push(() => session.map(program.services).set(this.#key(service), { first: start, size }))
      first += size
    }
    for (const move of moves) move()
    this.#upper = !this.#upper
    const names = new Set(services.map(nameOf))
    for (const [name, service] of this.#services)
      if (!names.has(name)) {
        session.map(program.services).delete(this.#key(service))
        this.#services.delete(name)
      }
    for (const service of services) this.#services.set(nameOf(service), service)
    this.#forget([...this.#backends].filter(([key]) => !wanted.has(key)))
  }

  #key({ address, port, protocol }: ServiceSettings): { addr: number; port: number; protocol: number } {
    return { addr: addressNumber(parseAddress(address)), port, protocol: PROTOCOL[protocol] }
  }

  #backend(
    key: string,
    service: ServiceSettings,
    backend: BackendSettings,
    place: { mac: string; ownMac: string; ifindex: number },
  ): number {
    const { address, port } = backend
    const number = this.#backends.get(key)?.number ?? this.#free.pop() ?? this.#next++
    this.#session
      .map(program.backends)
      .set(number, { ...place, addr: addressNumber(parseAddress(address)), port, pad: 0 })
    this.#backends.set(key, { number, service: nameOf(service), name: `${address}:${port}` })
    return number
  }

  #forget(gone: readonly (readonly [key: string, backend: Numbered])[]): void {
    if (gone.length === 0) return
    const numbers = new Set(gone.map(([, { number }]) => number))
    const flows = this.#session.map(program.flows)
    for (const [tuple, { counter }] of [...flows]) if (numbers.has(counter >>> 1)) flows.delete(tuple)
    const counters = this.#session.map(program.counters)
    for (const [key, { number }] of gone) {
      this.#backends.delete(key)
      for (const counter of [2 * number, 2 * number + 1]) counters.set(counter, { packets: 0n, bytes: 0n })
      this.#free.push(number)
    }
  }

  /** Connections that are remembered, each with its two directions. */
  get connections(): number {
    return Math.ceil([...this.#session.map(program.flows).keys()].length / 2)
  }

  counts(): BackendCount[] {
    const counters = this.#session.map(program.counters)
    return [...this.#backends.values()].map(({ number, service, name }) => ({
      service,
      backend: name,
      to: total(counters.getAll(2 * number)),
      from: total(counters.getAll(2 * number + 1)),
    }))
  }

  close(): void {
    this.#session.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}
