import { UsageError } from '../../errors/index.ts'

/** The six bytes of `aa:bb:cc:dd:ee:ff`. @throws UsageError `packet.address` */
export function macToBytes(text: string): Uint8Array {
  const parts = text.split(/[:-]/)
  if (parts.length !== 6 || parts.some((part) => !/^[0-9a-fA-F]{1,2}$/.test(part)))
    throw new UsageError(
      'packet.address',
      `${JSON.stringify(text)} is no MAC address (six hex bytes, 02:00:00:00:00:01)`,
    )
  return Uint8Array.from(parts, (part) => Number.parseInt(part, 16))
}

export function bytesToMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

/** The four bytes of a dotted address. @throws UsageError `packet.address` */
export function ipv4ToBytes(text: string): Uint8Array {
  const parts = text.split('.')
  if (parts.length !== 4 || parts.some((part) => !/^\d{1,3}$/.test(part) || Number(part) > 255))
    throw new UsageError('packet.address', `${JSON.stringify(text)} is no IPv4 address (10.0.0.1)`)
  return Uint8Array.from(parts, Number)
}

export function bytesToIpv4(bytes: Uint8Array): string {
  return Array.from(bytes).join('.')
}

function groups(text: string): number[] | undefined {
  if (text === '') return []
  const out: number[] = []
  const parts = text.split(':')
  for (const [index, part] of parts.entries()) {
    if (part.includes('.')) {
      if (index !== parts.length - 1 || !/^\d{1,3}(\.\d{1,3}){3}$/.test(part)) return undefined
      const v4 = ipv4ToBytes(part)
      out.push((v4[0] << 8) | v4[1], (v4[2] << 8) | v4[3])
    } else if (/^[0-9a-fA-F]{1,4}$/.test(part)) out.push(Number.parseInt(part, 16))
    else return undefined
  }
  return out
}

/** The sixteen bytes of an IPv6 address; `::` and a dotted tail are understood. @throws UsageError `packet.address` */
export function ipv6ToBytes(text: string): Uint8Array {
  const halves = text.split('::')
  const left = groups(halves[0])
  const right = halves.length === 2 ? groups(halves[1]) : []
  const count = (left?.length ?? 0) + (right?.length ?? 0)
  const fits = halves.length === 1 ? count === 8 : halves.length === 2 && count <= 7
  if (left === undefined || right === undefined || !fits)
    throw new UsageError('packet.address', `${JSON.stringify(text)} is no IPv6 address (2001:db8::1)`)
  const all = [...left, ...Array.from({ length: 8 - count }, () => 0), ...right]
  return Uint8Array.from(all.flatMap((group) => [group >> 8, group & 255]))
}

/** The canonical text of RFC 5952: lower case, the longest run of two or more zero groups as `::`. */
export function bytesToIpv6(bytes: Uint8Array): string {
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1])
  let best = -1
  let bestLength = 1
  for (let at = 0; at < 8; ) {
    let end = at
    while (end < 8 && words[end] === 0) end++
    if (end - at > bestLength) {
      best = at
      bestLength = end - at
    }
    at = end + 1
  }
  const hex = (list: number[]): string => list.map((word) => word.toString(16)).join(':')
  return best < 0 ? hex(words) : `${hex(words.slice(0, best))}::${hex(words.slice(best + bestLength))}`
}
