import { be16, be32, bytes, ipv6, mac, map, struct, u8, u16, u32, u64, xdp } from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Vlan = struct('vlan_hdr', { tci: be16, proto: be16 })
const Ipv4 = struct('iphdr', {
  versionIhl: u8,
  tos: u8,
  length: be16,
  id: be16,
  fragment: be16,
  ttl: u8,
  protocol: u8,
  checksum: be16,
  src: be32,
  dst: be32,
})
const Ipv6 = struct('ipv6hdr', { flow: bytes(4), length: be16, nextHeader: u8, hopLimit: u8, src: ipv6, dst: ipv6 })

const ETH_P = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd }

/** What `counts` is keyed by: 0 to 255 is the IP protocol, the rest has numbers of its own. */
export const KEYS = { arp: 256, other: 257, truncated: 258 }

export const Counter = struct('counter', { packets: u64, bytes: u64 })

/** Packets and bytes by IP protocol (or one of {@link KEYS}). */
export const counts = map.hash('counts', { key: u32, value: Counter, maxEntries: 512 })

/** Source addresses that are dropped, with how many packets each lost. */
export const denied = map.hash('denied', { key: be32, value: u64, maxEntries: 64 })

/** Counts packets and bytes by IP protocol, drops what comes from a denied IPv4 source. */
export const xdpCount = xdp('xdp_count', (b) => {
  const length = b.packet.length()
  const key = b.let(u32, KEYS.truncated)
  const verdict = b.let(u32, b.PASS.value)

  const cursor = b.packet.cursor()
  cursor.take(Eth).match((eth) => {
    const proto = b.let(u16, eth.proto.raw())
    b.if(eth.proto.eq(ETH_P.vlan), () => {
      cursor.take(Vlan).match((vlan) => proto.set(vlan.proto.raw()))
    })
    const type = proto.get().as(be16)

    b.if(
      type.eq(ETH_P.ipv4),
      () => {
        cursor.take(Ipv4).match((ip) => {
          key.set(ip.protocol.to(u32))
          denied.lookup(ip.src).match((dropped) => {
            dropped.atomicAdd(1)
            verdict.set(b.DROP.value)
          })
        })
      },
      () => {
        b.if(
          type.eq(ETH_P.ipv6),
          () => {
            cursor.take(Ipv6).match((ip) => key.set(ip.nextHeader.to(u32)))
          },
          () => {
            key.set(KEYS.other)
            b.if(type.eq(ETH_P.arp), () => key.set(KEYS.arp))
          },
        )
      },
    )
  })

  const counter = counts.getOrInit(key.get()).orReturn(verdict.get())
  counter.packets.atomicAdd(1)
  counter.bytes.atomicAdd(length.to(u64))
  return verdict.get()
})
