import { KEYS } from '../xdp-count.bpf.ts'

/** Names of what `counts` is keyed by: IP protocol numbers and the program's own. */
const NAMES: Readonly<Record<number, string>> = {
  0: 'IPv6 hop-by-hop',
  1: 'ICMP',
  2: 'IGMP',
  6: 'TCP',
  17: 'UDP',
  44: 'IPv6 fragment',
  47: 'GRE',
  58: 'ICMPv6',
  132: 'SCTP',
  [KEYS.arp]: 'ARP',
  [KEYS.other]: 'other',
  [KEYS.truncated]: 'cut short',
}

export function protocolName(key: number): string {
  return NAMES[key] ?? `protocol ${key}`
}
