// A million frames through xdp-firewall: what it is told to drop is dropped, everything else arrives, all of it is counted.
import { eth, ipv4, ipv6, type Layer, packet, payload, udp, vlan } from 'typebpf/progrun'
import { Firewall } from '../../programs/xdp-firewall/firewall.ts'
import { parseRules } from '../../programs/xdp-firewall/rules.ts'
import { Netns, veth } from './netns.ts'
import { numbersFrom, pump, Station } from './traffic.ts'

const RULES = `
deny 10.2.0.0/16
allow 10.2.3.0/24
deny 10.2.3.4
deny 2001:db8:bad::/48
`
/** A frame of 64 bytes. */
export const frame = (...layers: readonly Layer[]): Uint8Array =>
  packet(...layers, payload(new Uint8Array(64 - packet(...layers).length)))
/** The same of IPv4 with these addresses. */
export const ipv4Frame = (link: Layer, addresses: { src: string; dst: string }, l4: Layer): Uint8Array =>
  frame(link, ipv4(addresses), l4)
/** Each kind: its frame, the row that counts it, and whether it comes through. */
const KINDS = [
  { what: 'no rule', rule: 'no rule', passes: true, frame: frame(eth(), ipv4({ src: '10.1.0.1' }), udp()) },
  { what: 'denied /16', rule: '10.2.0.0/16', passes: false, frame: frame(eth(), ipv4({ src: '10.2.0.1' }), udp()) },
  { what: 'allowed /24', rule: '10.2.3.0/24', passes: true, frame: frame(eth(), ipv4({ src: '10.2.3.5' }), udp()) },
  { what: 'denied /32', rule: '10.2.3.4', passes: false, frame: frame(eth(), ipv4({ src: '10.2.3.4' }), udp()) },
  { what: 'IPv6', rule: 'no rule', passes: true, frame: frame(eth(), ipv6({ src: '2001:db8::1' }), udp()) },
  {
    what: 'denied IPv6',
    rule: '2001:db8:bad::/48',
    passes: false,
    frame: frame(eth(), ipv6({ src: '2001:db8:bad::1' }), udp()),
  },
  {
    what: 'denied in a VLAN',
    rule: '10.2.0.0/16',
    passes: false,
    frame: frame(eth(), vlan({ id: 7 }), ipv4({ src: '10.2.9.9' }), udp()),
  },
  { what: 'not IP', rule: 'not IP', passes: true, frame: frame(eth({ etherType: 0x88b5 })) },
] as const

export interface FirewallRun {
  readonly sent: number
  readonly passed: number
  readonly dropped: number
  readonly arrived: number
  /** Everything that is not as it must be; empty when all is right. */
  readonly faults: readonly string[]
  readonly seconds: number
}

export function firewallRun(frames: number): FirewallRun {
  using outside = new Netns()
  using inside = new Netns()
  const [from, to] = veth(outside, 'outside', inside, 'inside')
  using firewall = inside.run(() => new Firewall({ interface: to.name, mode: 'native', ...parseRules(RULES, 'rules') }))
  using counter = new Station('count', to)
  using sender = new Station('send', from)
  const faults: string[] = []
  const counted = (): number => firewall.counts().reduce((sum, { packets }) => sum + Number(packets), 0)
  const packetsOf = (rule: string): number =>
    Number(firewall.counts().find((count) => count.rule === rule)?.packets ?? -1)
  const start = performance.now()
  let [sent, passed] = [0, 0]
  for (const [i, kind] of KINDS.entries()) {
    const share = Math.floor(frames / KINDS.length) + (i < frames % KINDS.length ? 1 : 0)
    const ruleBefore = packetsOf(kind.rule)
    const before = counter.arrived()
    sender.frame(kind.frame)
    // what passes must also be through the rest of the interface's way in
    pump(sender, share, () =>
      kind.passes ? Math.min(counted(), sent + counter.arrived().frames - before.frames) : counted(),
    )
    const after = counter.arrived()
    const arrived = after.frames - before.frames
    if (arrived !== (kind.passes ? share : 0)) faults.push(`${kind.what}: ${arrived} of ${share} frames arrived`)
    if (kind.passes && after.numbers - before.numbers !== numbersFrom(sent, share))
      faults.push(`${kind.what}: the frames that arrived are not those that were sent`)
    const ruled = packetsOf(kind.rule) - ruleBefore
    if (ruled !== share) faults.push(`${kind.what}: ${kind.rule} counted ${ruled} of ${share}`)
    sent += share
    if (kind.passes) passed += share
  }
  const seconds = (performance.now() - start) / 1000
  return { sent, passed, dropped: sent - passed, arrived: counter.arrived().frames, faults, seconds }
}
