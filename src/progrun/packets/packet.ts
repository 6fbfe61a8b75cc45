import { ByteReader, bytesToHex } from '../../bytes/index.ts'
import { InputError } from '../../errors/index.ts'
import { dns } from './dns.ts'
import type { Codec, DecodedLayer, DecodeStep, Layer, LayerFields, Protocol } from './layer.ts'
import { concat, EMPTY } from './layer.ts'
import { arp, ethernet, vlan } from './link.ts'
import { ipv4, ipv6, ipv6Extension, ipv6Fragment } from './network.ts'
import { icmp, icmpv6, sctp, tcp, udp } from './transport.ts'
import { geneve, gre, vxlan } from './tunnel.ts'

const payload: Codec<'payload'> = {
  encode: (fields) => fields.data ?? EMPTY,
  decode: (reader) => ({ fields: { data: reader.take(reader.remaining).slice() } }),
}
const trailer: Codec<'trailer'> = {
  encode: (fields) => fields.data ?? EMPTY,
  decode: (reader) => ({ fields: { data: reader.take(reader.remaining).slice(), after: 0 } }),
}

const CODECS: { readonly [K in Protocol]: Codec<K> } = {
  ethernet,
  vlan,
  arp,
  ipv4,
  ipv6,
  ipv6Extension,
  ipv6Fragment,
  icmp,
  icmpv6,
  tcp,
  udp,
  sctp,
  gre,
  vxlan,
  geneve,
  dns,
  payload,
  trailer,
}

function codecOf<K extends Protocol>(protocol: K): Codec<K> {
  return CODECS[protocol]
}

const LIMITING = new Set<Protocol>(['ipv4', 'ipv6', 'arp', 'udp'])

/**
 * The bytes of a packet, outermost header first. Lengths, checksums, ethertypes and protocol numbers that are not given are
 * filled in from the neighbours.
 * @throws UsageError for an address or option that cannot be written
 */
export function buildPacket(layers: readonly Layer[]): Uint8Array {
  const trailers = new Map<number, Uint8Array[]>()
  const headers: Layer[] = []
  const indexes: number[] = []
  for (const [index, layer] of layers.entries()) {
    if (layer.protocol !== 'trailer') {
      headers.push(layer)
      indexes.push(index)
      continue
    }
    const after =
      layer.fields.after ??
      Math.max(
        0,
        headers.findIndex(({ protocol }) => LIMITING.has(protocol)),
      )
    trailers.set(after, [...(trailers.get(after) ?? []), layer.fields.data ?? EMPTY])
  }
  let bytes: Uint8Array = EMPTY
  for (let i = headers.length - 1; i >= 0; i--) {
    const { protocol, fields } = headers[i]
    const context = { next: headers[i + 1], afterNext: headers[i + 2], payload: bytes, outer: headers.slice(0, i) }
    const header = (CODECS[protocol] as Codec<Protocol>).encode(fields as Partial<LayerFields[Protocol]>, context)
    bytes = concat(header, bytes, ...(trailers.get(indexes[i]) ?? []))
  }
  return bytes
}

export interface DecodeOptions {
  /** What the packet starts with. Default ethernet. */
  readonly first?: 'ethernet' | 'ipv4' | 'ipv6'
}

/**
 * The headers of a packet, outermost first. Any bytes give an answer: a header that is cut short or makes no sense becomes a
 * `payload` layer whose `problems` say why. `buildPacket(decodePacket(bytes))` gives the same bytes again.
 */
export function decodePacket(input: Uint8Array, options: DecodeOptions = {}): DecodedLayer[] {
  // a Buffer's slice() shares memory, a Uint8Array's copies
  const bytes = new Uint8Array(input.buffer, input.byteOffset, input.byteLength)
  const layers: DecodedLayer[] = []
  const trailers: { readonly at: number; readonly end: number; readonly after: number }[] = []
  let end = bytes.length
  let offset = 0
  let next: Protocol | undefined = options.first ?? 'ethernet'
  const push = (protocol: Protocol, at: number, length: number, step: DecodeStep<Protocol>): void => {
    const layer = { protocol, offset: at, length, fields: step.fields, problems: step.problems ?? [] }
    layers.push(layer as DecodedLayer)
  }
  while (offset < end || (layers.length === 0 && next !== undefined)) {
    const reader = new ByteReader(bytes.subarray(0, end), { littleEndian: false, what: next ?? 'payload', offset })
    const wanted: Protocol = layers.length >= 32 || next === undefined ? 'payload' : next
    let step: DecodeStep<Protocol>
    try {
      step = (codecOf(wanted) as Codec<Protocol>).decode(reader, layers)
    } catch (error) {
      if (!(error instanceof InputError)) throw error
      const problem =
        error.code === 'bytes.truncated' ? `${wanted} header cut short: ${end - offset} bytes are there` : error.message
      push('payload', offset, end - offset, { fields: { data: bytes.slice(offset, end) }, problems: [problem] })
      break
    }
    const headerEnd = reader.offset
    push(wanted, offset, headerEnd - offset, step)
    const limit = step.payloadLength === undefined ? end : headerEnd + step.payloadLength
    if (limit < end) trailers.push({ at: limit, end, after: layers.length - 1 })
    end = limit
    offset = headerEnd
    next = step.next
    if (wanted === 'payload') break
  }
  for (const { at, end: to, after } of trailers.reverse())
    push('trailer', at, to - at, { fields: { data: bytes.slice(at, to), after } })
  return layers
}

/** The first layer of a protocol, with its type. */
export function layerOf<K extends Protocol>(layers: readonly DecodedLayer[], protocol: K): DecodedLayer<K> | undefined {
  const found: unknown = layers.find((layer) => layer.protocol === protocol)
  return found as DecodedLayer<K> | undefined
}

/** A field as text: bytes as hex, lists and records as compact JSON. */
export function formatField(value: unknown): string {
  if (value instanceof Uint8Array) return value.length === 0 ? '(empty)' : bytesToHex(value)
  if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value.join('+') || '(none)'
  if (typeof value === 'object')
    return JSON.stringify(value, (_, item: unknown) => (item instanceof Uint8Array ? bytesToHex(item) : item))
  return String(value)
}
