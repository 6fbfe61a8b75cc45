import { type Js, UsageError } from 'typebpf'
import { attachCgroup, type BpfMap } from 'typebpf/kernel'
import type { AttachType } from 'typebpf/uapi'
import { constants, Session } from '../lib/index.ts'
import { addressNumber, quad, quadText } from '../lib/network.ts'
import * as program from './cgroup-connect.bpf.ts'
import type { Destination } from './rules.ts'

/** A connection that was refused (or would have been). */
export interface Refusal {
  readonly pid: number
  readonly uid: number
  readonly comm: string
  readonly address: string
  readonly port: number
  /** `tcp`, `udp`, or the protocol's number. */
  readonly protocol: string
}
export interface RuleHits {
  readonly rule: string
  readonly connections: bigint
}
export interface GuardOptions {
  /** A folder of a cgroup2 file system. */
  readonly cgroup: string
  readonly allow: readonly Destination[]
  /** Report only. */
  readonly dryRun?: boolean
}

const HOOKS: readonly (readonly [{ readonly name: string }, AttachType])[] = [
  [program.connect4, 'cgroup_inet4_connect'],
  [program.connect6, 'cgroup_inet6_connect'],
  [program.sendmsg4, 'cgroup_udp4_sendmsg'],
  [program.sendmsg6, 'cgroup_udp6_sendmsg'],
]
const PROTOCOLS: Readonly<Record<number, string>> = { 6: 'tcp', 17: 'udp', 132: 'sctp' }
const PORT_BITS = 32
const ROOM = program.allowed4.spec.maxEntries / 2

/** An allow list for what a cgroup connects to. It can be changed at any time; closing it detaches. */
export class ConnectGuard implements Disposable {
  readonly #session: Session
  readonly #allowed = new Map<string, Destination>()

  /** @throws SystemError `tool.privilege` and others; UsageError `link.cgroup` */
  constructor({ cgroup, allow, dryRun }: GuardOptions) {
    this.#session = new Session(program, {
      name: 'cgroup-connect',
      needs: ['bpf', 'net_admin'],
      attachAll: false,
      constants: [constants(program.options, { dryRun: dryRun ?? false })],
    })
    try {
      this.replace(allow)
      for (const [definition, type] of HOOKS)
        this.#session.keep(attachCgroup(this.#session.program(definition), { cgroup, type }))
    } catch (error) {
      this.close()
      throw error
    }
  }

  /** The map of a destination's family and its key there. */
  #entry({ prefix, port }: Destination): { get(): bigint | undefined; add(): void; delete(): boolean } {
    const on = <K>(map: BpfMap<K, bigint>, address: unknown) => {
      const key = { prefixLength: PORT_BITS + prefix.length, port: port * 65_536, address } as K
      return { get: () => map.get(key), add: () => map.set(key, 0n), delete: () => map.delete(key) }
    }
    return prefix.family === 4
      ? on(this.#session.map(program.allowed4), addressNumber(prefix.bytes))
      : on(this.#session.map(program.allowed6), quad(prefix.bytes))
  }

  add(destination: Destination): boolean {
    if (this.#allowed.has(destination.text)) return false
    this.#entry(destination).add()
    this.#allowed.set(destination.text, destination)
    return true
  }
  remove({ text }: Destination): boolean {
    const there = this.#allowed.get(text)
    if (there === undefined) return false
    this.#allowed.delete(text)
    return this.#entry(there).delete()
  }
  /** From now on these; what stays keeps its count. */
  replace(allow: readonly Destination[]): void {
    for (const family of [4, 6] as const) {
      const count = allow.filter(({ prefix }) => prefix.family === family).length
      if (count > ROOM) throw new UsageError('rules.many', `${count} rules are too many, there is room for ${ROOM}`)
    }
    const wanted = new Set(allow.map(({ text }) => text))
    for (const destination of allow) this.add(destination)
    for (const destination of [...this.#allowed.values()]) if (!wanted.has(destination.text)) this.remove(destination)
  }

  hits(): RuleHits[] {
    return [...this.#allowed.values()].map((each) => ({ rule: each.text, connections: this.#entry(each).get() ?? 0n }))
  }
  /** Refused connections as they come, until `signal` aborts. */
  async *refusals(signal?: AbortSignal): AsyncGenerator<Refusal> {
    for await (const event of this.#session.events(program.denied, signal)) yield refusal(event)
  }

  close(): void {
    this.#session.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

function refusal({ pid, uid, comm, address, port, protocol }: Js<typeof program.Denied>): Refusal {
  return { pid, uid, comm, address: quadText(address), port, protocol: PROTOCOLS[protocol] ?? String(protocol) }
}
