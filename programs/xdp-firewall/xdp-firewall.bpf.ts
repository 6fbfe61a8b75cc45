import { be16, be32, bytes, globals, ipv6, mac, map, struct, u8, u16, u32, u64, type View, xdp } from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Vlan = struct('vlan_hdr', { tci: be16, proto: be16 })
const Ipv4 = struct('iphdr', { start: bytes(12), src: be32, dst: be32 })
const Ipv6 = struct('ipv6hdr', { flow: bytes(4), length: be16, nextHeader: u8, hopLimit: u8, src: ipv6, dst: ipv6 })
const ETH_P = { ipv4: 0x0800, ipv6: 0x86dd, vlan: 0x8100, qinq: 0x88a8 }

/** The counters that belong to no rule; rules have the numbers from `firstRule` on. */
export const COUNTER = { noRule: 0, otherProtocol: 1, unreadable: 2, firstRule: 3 }

/** What happens to packets from a prefix: an XDP return code, and where they are counted. */
export const Rule = struct('rule', { verdict: u32, counter: u32 })
export const rules4 = map.lpmTrie('rules4', { address: be32, value: Rule, maxEntries: 16_384 })
export const rules6 = map.lpmTrie('rules6', { address: ipv6, value: Rule, maxEntries: 16_384 })

/** One for each CPU, so that no packet waits for another CPU's. */
export const Counter = struct('counter', { packets: u64, bytes: u64 })
export const counters = map.percpuArray('counters', { value: Counter, maxEntries: 16_384 })

/** What happens to IP packets that no rule is about; it can be changed while packets run. */
export const settings = globals('settings', { otherwise: u32 }, { otherwise: 2 })

/** Passes or drops packets by the longest prefix of their source address. What is not IP passes. */
export const xdpFirewall = xdp('xdp_firewall', (b) => {
  const counter = b.let(u32, COUNTER.unreadable)
  const verdict = b.let(u32, b.DROP.value)
  const follow = (rule: View<typeof Rule, 'shared'>) => {
    counter.set(rule.counter)
    verdict.set(rule.verdict)
  }
  const noRule = () => {
    counter.set(COUNTER.noRule)
    verdict.set(settings.otherwise)
  }

  const cursor = b.packet.cursor()
  cursor.take(Eth).match((eth) => {
    const type = b.let(u16, eth.proto.to(u16))
    for (let tag = 0; tag < 2; tag++)
      b.if(type.get().oneOf(ETH_P.vlan, ETH_P.qinq), () =>
        cursor.take(Vlan).match((vlan) => type.set(vlan.proto.to(u16))),
      )
    b.switch(
      type.get(),
      [
        [
          ETH_P.ipv4,
          () =>
            cursor.take(Ipv4).match((ip) => rules4.lookup({ prefixLength: 32, data: ip.src }).match(follow, noRule)),
        ],
        [
          ETH_P.ipv6,
          () =>
            cursor.take(Ipv6).match((ip) => rules6.lookup({ prefixLength: 128, data: ip.src }).match(follow, noRule)),
        ],
        [[ETH_P.vlan, ETH_P.qinq], () => {}], // a third tag, or a frame that ends inside a tag: unreadable
      ],
      () => {
        counter.set(COUNTER.otherProtocol)
        verdict.set(b.PASS.value)
      },
    )
  })

  counters.lookup(counter.get()).match((c) => {
    c.packets.set(c.packets.add(1))
    c.bytes.set(c.bytes.add(b.packet.length().to(u64)))
  })
  return verdict.get()
})
