import { UsageError } from 'typebpf'
import { parseAddress, settingLines } from '../lib/network.ts'

export type Protocol = 'tcp' | 'udp'

/** Where the packets of a service can go. */
export interface BackendSettings {
  /** IPv4. */
  readonly address: string
  readonly port: number
  /** The interface it is behind; default: what the neighbour table says. */
  readonly device?: string
  /** Its hardware address; default: what the neighbour table says. */
  readonly mac?: string
}
/** A virtual address and what is behind it. */
export interface ServiceSettings {
  readonly address: string
  readonly port: number
  readonly protocol: Protocol
  readonly backends: readonly BackendSettings[]
}

const ENDPOINT = /^(\d{1,3}(?:\.\d{1,3}){3}):(\d{1,5})(?:\/(tcp|udp))?$/
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i

function endpoint(text: string): { address: string; port: number; protocol: Protocol } {
  const [, address, port, protocol] = ENDPOINT.exec(text) ?? []
  if (address === undefined || Number(port) < 1 || Number(port) > 65_535)
    throw new UsageError(
      'services.endpoint',
      `${JSON.stringify(text)} is no IPv4 address and port such as 192.0.2.1:80`,
    )
  parseAddress(address)
  return { address, port: Number(port), protocol: protocol === 'udp' ? 'udp' : 'tcp' }
}

/**
 * Lines `service ADDRESS:PORT[/tcp|/udp]` and, below each, `backend ADDRESS:PORT [dev INTERFACE] [mac MAC]`; # begins a comment.
 * @throws UsageError `services.line` with the line's number
 */
export function parseServices(text: string, what: string): ServiceSettings[] {
  const services: (Omit<ServiceSettings, 'backends'> & { backends: BackendSettings[] })[] = []
  for (const { number, words } of settingLines(text)) {
    const wrong = (message: string, cause?: unknown): UsageError =>
      new UsageError('services.line', `${what}:${number}: ${message}`, {
        cause,
        details: ['a line is: service ADDRESS:PORT[/tcp|/udp] or backend ADDRESS:PORT [dev INTERFACE] [mac MAC]'],
      })
    const [kind, place, ...rest] = words
    let at: ReturnType<typeof endpoint>
    try {
      at = endpoint(place ?? '')
    } catch (cause) {
      throw wrong((cause as Error).message, cause)
    }
    if (kind === 'service' && rest.length === 0) {
      if (
        services.some(
          ({ address, port, protocol }) => address === at.address && port === at.port && protocol === at.protocol,
        )
      )
        throw wrong(`${place} is already there`)
      services.push({ ...at, backends: [] })
      continue
    }
    const service = services.at(-1)
    if (kind !== 'backend') throw wrong(JSON.stringify(words.join(' ')))
    if (service === undefined) throw wrong('a backend before the first service')
    const named = new Map<string, string>()
    for (let i = 0; i < rest.length; i += 2) named.set(rest[i], rest[i + 1] ?? '')
    const { dev: device, mac, ...others } = Object.fromEntries(named)
    if (Object.keys(others).length > 0) throw wrong(`${Object.keys(others)[0]} is neither dev nor mac`)
    if (mac !== undefined && !MAC.test(mac)) throw wrong(`${mac} is no hardware address`)
    if (device === '') throw wrong('dev without an interface')
    service.backends.push({ address: at.address, port: at.port, device, mac })
  }
  const empty = services.find(({ backends }) => backends.length === 0)
  if (empty !== undefined)
    throw new UsageError('services.empty', `${what}: ${empty.address}:${empty.port} has no backend`)
  if (services.length === 0) throw new UsageError('services.empty', `${what}: there is no service in it`)
  return services
}
