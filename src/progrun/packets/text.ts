import { bytesToHex } from '../../bytes/index.ts'
import type { DecodedLayer } from './layer.ts'
import { decodePacket, formatField } from './packet.ts'

/** Offset, sixteen bytes in hex and as text on each line. */
export function hexdump(bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += 16) {
    const row = bytes.subarray(at, at + 16)
    const hex = `${bytesToHex(row.subarray(0, 8), ' ').padEnd(23)}  ${bytesToHex(row.subarray(8), ' ').padEnd(23)}`
    const ascii = Array.from(row, (byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(4, '0')}  ${hex}  ${ascii}`)
  }
  return lines.join('\n')
}

function endpoints(layer: DecodedLayer): string {
  switch (layer.protocol) {
    case 'ethernet':
    case 'ipv4':
    case 'ipv6':
      return ` ${layer.fields.src} > ${layer.fields.dst}`
    case 'tcp':
      return ` ${layer.fields.srcPort} > ${layer.fields.dstPort} [${layer.fields.flags.join('+')}]`
    case 'udp':
    case 'sctp':
      return ` ${layer.fields.srcPort} > ${layer.fields.dstPort}`
    case 'vlan':
    case 'vxlan':
    case 'geneve':
      return ` ${layer.protocol === 'vlan' ? layer.fields.id : layer.fields.vni}`
    case 'arp':
      return ` ${layer.fields.operation === 1 ? 'who has' : 'reply'} ${layer.fields.targetIp} from ${layer.fields.senderIp}`
    case 'icmp':
    case 'icmpv6':
      return ` type ${layer.fields.type} code ${layer.fields.code}`
    case 'dns':
      return ` ${layer.fields.questions.map(({ name }) => name).join(', ')}`
    case 'payload':
    case 'trailer':
      return ` ${layer.fields.data.length} B`
    default:
      return ''
  }
}

/** A packet on one line: `ethernet a > b / ipv4 10.0.0.1 > 10.0.0.2 / tcp 40000 > 80 [SYN]`. */
export function describePacket(bytes: Uint8Array): string {
  const layers = decodePacket(bytes)
  return layers
    .map((layer) => `${layer.protocol}${endpoints(layer)}${layer.problems.length > 0 ? ' !' : ''}`)
    .join(' / ')
}

/** Fields that people know in hex, with their digits. */
const HEX: Readonly<Record<string, number>> = { etherType: 4, checksum: 4 }

function fieldText(name: string, value: unknown): string {
  const digits = HEX[name]
  return digits !== undefined && typeof value === 'number'
    ? `0x${value.toString(16).padStart(digits, '0')}`
    : formatField(value)
}

/** Every field of every header, a line each: stable text for snapshots. */
export function formatPacket(bytes: Uint8Array): string {
  const lines: string[] = []
  for (const layer of decodePacket(bytes)) {
    lines.push(`${layer.protocol} (${layer.length} B at ${layer.offset})`)
    for (const [name, value] of Object.entries(layer.fields)) lines.push(`  ${name}: ${fieldText(name, value)}`)
    for (const problem of layer.problems) lines.push(`  ! ${problem}`)
  }
  return lines.join('\n')
}

/** A difference between two packets: a field by its path, or bytes that no field explains. */
export interface PacketDifference {
  /** `ipv4.ttl`, `tcp[1].flags` (the second TCP header), `bytes 60..63`. */
  readonly path: string
  readonly actual: string
  readonly expected: string
}

function fieldMap(bytes: Uint8Array): Map<string, string> {
  const out = new Map<string, string>()
  const seen = new Map<string, number>()
  for (const layer of decodePacket(bytes)) {
    const times = seen.get(layer.protocol) ?? 0
    seen.set(layer.protocol, times + 1)
    const prefix = times === 0 ? layer.protocol : `${layer.protocol}[${times}]`
    for (const [name, value] of Object.entries(layer.fields)) out.set(`${prefix}.${name}`, fieldText(name, value))
  }
  return out
}

/** What is different between two packets, field by field; empty exactly when the bytes are equal. */
export function diffPackets(actual: Uint8Array, expected: Uint8Array): PacketDifference[] {
  const left = fieldMap(actual)
  const right = fieldMap(expected)
  const out: PacketDifference[] = []
  for (const path of new Set([...right.keys(), ...left.keys()])) {
    const a = left.get(path) ?? '(absent)'
    const e = right.get(path) ?? '(absent)'
    if (a !== e) out.push({ path, actual: a, expected: e })
  }
  if (out.length === 0) {
    const length = Math.max(actual.length, expected.length)
    let first = 0
    while (first < length && actual[first] === expected[first]) first++
    if (first < length)
      out.push({
        path: `bytes ${first}..${length - 1}`,
        actual: bytesToHex(actual.subarray(first)) || '(absent)',
        expected: bytesToHex(expected.subarray(first)) || '(absent)',
      })
  }
  return out
}
