import { readFileSync, unwatchFile, watchFile } from 'node:fs'
import { type Fields, type GlobalData, type Globals, type Js, layoutOf, type StructType, UsageError } from 'typebpf'
import { interfaceIndex, type Sys } from 'typebpf/kernel'
import { decode, encode, ipv4, ipv6, type Layout, mac } from 'typebpf/layout'
import type { Session } from './session.ts'

/** Addresses that begin alike. `bytes`: 4 or 16, in network order, zero behind the prefix. */
export interface Prefix {
  readonly family: 4 | 6
  readonly bytes: Uint8Array
  /** Bits. */
  readonly length: number
  /** `192.0.2.0/24`; without the length where it is a single address. */
  readonly text: string
}

/** An address as bytes: four or sixteen. @throws UsageError `usage.address` */
export function parseAddress(text: string): Uint8Array {
  try {
    return text.includes(':') ? encode(ipv6, text, 'little') : encode(ipv4, text, 'little')
  } catch (cause) {
    throw new UsageError('usage.address', `${JSON.stringify(text)} is no IPv4 or IPv6 address`, { cause })
  }
}
export function addressText(bytes: Uint8Array): string {
  return bytes.length === 4 ? decode(ipv4, bytes, 'little') : decode(ipv6, bytes, 'little')
}
/** The number that a `be32` field has for four bytes. */
export const addressNumber = (bytes: Uint8Array): number =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(0)

/** `10.0.0.0/8`, `2001:db8::/32`, or one address. @throws UsageError `usage.address`, `usage.prefix` */
export function parsePrefix(text: string): Prefix {
  const [address, bits, more] = text.split('/')
  const bytes = Uint8Array.from(parseAddress(address))
  const most = bytes.length * 8
  const length = bits === undefined ? most : Number(bits)
  if (more !== undefined || (bits !== undefined && !/^\d{1,3}$/.test(bits)) || length > most)
    throw new UsageError('usage.prefix', `${JSON.stringify(text)}: a prefix ends in / and 0 to ${most}`)
  for (let bit = length; bit < most; bit++) bytes[bit >> 3] &= ~(0x80 >> (bit & 7))
  const short = addressText(bytes)
  return { family: most === 32 ? 4 : 6, bytes, length, text: length === most ? short : `${short}/${length}` }
}

/** A line of a file of settings, as words; empty lines and what follows a # are left out. */
export interface Line {
  readonly number: number
  readonly words: readonly string[]
}
export function settingLines(text: string): Line[] {
  return text
    .split('\n')
    .map((line, i) => ({ number: i + 1, words: line.replace(/#.*/, '').split(/\s+/).filter(Boolean) }))
    .filter(({ words }) => words.length > 0)
}

/** The text of a file of settings. @throws UsageError `usage.file` */
export function readSettings(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    throw new UsageError('usage.file', `${path} cannot be read: ${(cause as Error).message}`, { cause })
  }
}

/** Calls `changed` when a file has new contents, or on SIGHUP; until `signal` aborts. */
export function watchSettings(path: string, signal: AbortSignal, changed: () => void): void {
  const listener = (now: { mtimeMs: number }, before: { mtimeMs: number }): void => {
    if (now.mtimeMs !== before.mtimeMs && now.mtimeMs !== 0) changed()
  }
  watchFile(path, { interval: 250 }, listener)
  process.on('SIGHUP', changed)
  const stop = (): void => {
    unwatchFile(path, listener)
    process.off('SIGHUP', changed)
  }
  if (signal.aborted) stop()
  else signal.addEventListener('abort', stop, { once: true })
}

/** Calls `tick` every so many seconds (never when undefined) and resolves when `signal` aborts. */
export function until(signal: AbortSignal, seconds: number | undefined, tick: () => void): Promise<void> {
  return new Promise((resolve) => {
    const timer = setInterval(tick, seconds === undefined ? 2 ** 31 - 1 : seconds * 1000)
    const stop = (): void => {
      clearInterval(timer)
      resolve()
    }
    if (signal.aborted) stop()
    else signal.addEventListener('abort', stop, { once: true })
  })
}

/** Sets variables that programs declare with `globals(…)`; those that are absent keep their value. Programs see it at once. */
export function setGlobals<F extends Fields>(
  session: Session,
  definition: Globals<F, 'shared'>,
  values: Partial<Js<StructType<F>>>,
): void {
  const { type, spec } = definition as unknown as GlobalData<F>
  const raw = session.loaded.maps.get(spec.name)
  if (raw === undefined) throw new UsageError('tool.map', `no loaded program uses the variables ${spec.name}`)
  const layout = layoutOf(type) as Layout<Js<StructType<F>>>
  const bytes = encode(layout, { ...session.globals(definition), ...values }, 'little')
  raw.update(new Uint8Array(4), bytes)
}

export interface Counted {
  readonly packets: bigint
  readonly bytes: bigint
}
/** Adds up the counters of all CPUs. */
export const total = (values: readonly Counted[] | undefined): Counted => ({
  packets: (values ?? []).reduce((sum, { packets }) => sum + packets, 0n),
  bytes: (values ?? []).reduce((sum, { bytes }) => sum + bytes, 0n),
})

/** The hardware address of an interface in this process's network namespace. @throws UsageError `link.interface` */
export function interfaceMac(sys: Sys, name: string): string {
  interfaceIndex(sys, name)
  // struct ifreq: the name, then a struct sockaddr with the address behind its family
  using request = sys.alloc(40)
  request.bytes.set(new TextEncoder().encode(name))
  const socket = sys.call('socket', AF_INET, SOCK_DGRAM, 0)
  const result = sys.call('ioctl', socket, SIOCGIFHWADDR, request.address)
  sys.call('close', socket)
  if (result < 0) throw new UsageError('link.interface', `${name} has no hardware address`)
  return decode(mac, request.bytes.subarray(18, 24), 'little')
}
const [AF_INET, SOCK_DGRAM, SIOCGIFHWADDR] = [2, 2, 0x8927]

/** An IPv6 address as programs keep it in four numbers. */
export interface Quad {
  readonly a: number
  readonly b: number
  readonly c: number
  readonly d: number
}
export function quad(bytes: Uint8Array): Quad {
  const [a, b, c, d] = [0, 4, 8, 12].map((at) => addressNumber(bytes.subarray(at, at + 4)))
  return { a, b, c, d }
}
/** The text of such an address; mapped ones (::ffff:192.0.2.1) are shown as the IPv4 address. */
export function quadText({ a, b, c, d }: Quad): string {
  const bytes = new Uint8Array(16)
  const view = new DataView(bytes.buffer)
  for (const [i, word] of [a, b, c, d].entries()) view.setUint32(4 * i, word)
  return addressText(a === 0 && b === 0 && c === 0xffff ? bytes.subarray(12) : bytes)
}
