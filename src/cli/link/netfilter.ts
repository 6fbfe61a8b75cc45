import type { Json } from '../objects/json.ts'
import type { FullLinkInfo } from './info.ts'

/** Protocol families (NFPROTO_*) as the tools name them. */
const FAMILIES: Readonly<Record<number, string>> = { 1: 'inet', 2: 'ip', 3: 'arp', 5: 'netdev', 7: 'bridge', 10: 'ip6' }
const ARP = 3
const INET_HOOKS = ['prerouting', 'input', 'forward', 'output', 'postrouting']
const ARP_HOOKS = ['input', 'output']

const fields = (info: FullLinkInfo) => ({
  pf: info.u32(16),
  hook: info.u32(20),
  prio: info.u32(24) | 0,
  flags: info.u32(28),
})

export const netfilterJson = (info: FullLinkInfo): { readonly [key: string]: Json } => fields(info)

export function netfilterText(info: FullLinkInfo): string {
  const { pf, hook, prio, flags } = fields(info)
  const family = FAMILIES[pf]
  const name = family === undefined || family === 'netdev' ? undefined : (pf === ARP ? ARP_HOOKS : INET_HOOKS)[hook]
  return `\n\t${family ?? `pf: ${pf}`}${name === undefined ? `, hook ${hook},` : ` ${name}`} prio ${prio}${flags === 0 ? '' : ` flags 0x${flags.toString(16)}`}`
}

/** The order in which netfilter runs them. */
export function compareNetfilter(a: FullLinkInfo, b: FullLinkInfo): number {
  const [x, y] = [fields(a), fields(b)]
  return x.pf - y.pf || x.hook - y.hook || x.prio - y.prio || x.flags - y.flags
}
