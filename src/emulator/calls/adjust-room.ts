import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import {
  ETH_P_IP,
  ETH_P_IPV6,
  field,
  headers,
  MAX_LENGTH,
  makeHeadroom,
  PROTOCOL,
  packetOf,
  pull,
  push,
  put,
} from './skb-headers.ts'

const IPV4_BYTES = 20
const IPV6_BYTES = 40
const ETHERNET_BYTES = 14

/** BPF_F_ADJ_ROOM_*: the top byte is the length of the inner link header. */
const FLAG = {
  fixedGso: 0x01,
  encapIpv4: 0x02,
  encapIpv6: 0x04,
  encapGre: 0x08,
  encapUdp: 0x10,
  noChecksumReset: 0x20,
  encapEthernet: 0x40,
  decapIpv4: 0x80,
  decapIpv6: 0x100,
} as const
const KNOWN = 0x1ff
const ENCAP_L3 = FLAG.encapIpv4 | FLAG.encapIpv6
const ENCAP_L4 = FLAG.encapGre | FLAG.encapUdp
const DECAP = FLAG.decapIpv4 | FLAG.decapIpv6
const SHRINKING = FLAG.fixedGso | FLAG.noChecksumReset | DECAP

/** What encapsulation asks for that cannot be: a negative errno, or 0. */
function refuseEncapsulation(m: Machine, flags: number, innerLink: number, size: number): number {
  if ((flags & ENCAP_L3) === ENCAP_L3 || (flags & ENCAP_L4) === ENCAP_L4) return -ERRNO.EINVAL
  if ((flags & FLAG.encapEthernet) !== 0 && innerLink < ETHERNET_BYTES) return -ERRNO.EINVAL
  if (m.run.extra.has('encapsulated')) return -ERRNO.EALREADY
  return innerLink > size ? -ERRNO.EINVAL : 0
}

function grow(m: Machine, at: number, size: number, flags: number, innerLink: number): number {
  if (!makeHeadroom(m, size)) return -ERRNO.ENOMEM
  const encapsulates = (flags & ENCAP_L3) !== 0
  if (encapsulates) {
    const refused = refuseEncapsulation(m, flags, innerLink, size)
    if (refused !== 0) return refused
  }
  push(m, at, size)
  if (!encapsulates) return 0
  m.run.extra.set('encapsulated', 1)
  const outer = (flags & FLAG.encapIpv6) !== 0
  if ((flags & ENCAP_L4) !== 0) m.run.extra.set('transport', headers(m).net + (outer ? IPV6_BYTES : IPV4_BYTES))
  put(m, 'protocol', outer ? ETH_P_IPV6 : ETH_P_IP)
  return 0
}

function shrink(m: Machine, at: number, size: number, flags: number): number {
  if ((flags & ~SHRINKING) !== 0) return -ERRNO.EINVAL
  pull(m, at, size)
  if ((flags & DECAP) !== 0) put(m, 'protocol', (flags & FLAG.decapIpv6) !== 0 ? ETH_P_IPV6 : ETH_P_IP)
  return 0
}

/** bpf_skb_adjust_room (Linux 4.13; encapsulation 5.2, decapsulation 6.3): room behind the link or the network header. */
export function adjustRoom(m: Machine): number {
  const packet = packetOf(m)
  const difference = m.int(2)
  const size = Math.abs(difference)
  const mode = m.low(3)
  const all = m.get64(4)
  const innerLink = Number(all >> 56n)
  const rest = all & 0xff_ffff_ffff_ffffn
  if ((rest & ~BigInt(KNOWN)) !== 0n) return -ERRNO.EINVAL
  const flags = Number(rest)
  if (size > 0xfff) return -ERRNO.EFAULT
  const protocol = field(m, PROTOCOL)
  if (protocol !== ETH_P_IP && protocol !== ETH_P_IPV6) return -ERRNO.ENOTSUPP
  if (mode > 1) return -ERRNO.ENOTSUPP
  const base = protocol === ETH_P_IP ? IPV4_BYTES : IPV6_BYTES
  let minimum = base
  if ((flags & DECAP) !== 0) {
    if (difference >= 0 || (flags & DECAP) === DECAP) return -ERRNO.EINVAL
    minimum = (flags & FLAG.decapIpv4) !== 0 ? IPV4_BYTES : IPV6_BYTES
  }
  const { mac, net } = headers(m)
  const at = net - mac + (mode === 0 ? base : 0)
  const length = packet.dataEnd - packet.data
  const current = length - (net - packet.data)
  if (difference < 0 && (size >= current || current - size < minimum)) return -ERRNO.ENOTSUPP
  if (difference >= 0 && length + size > MAX_LENGTH) return -ERRNO.ENOTSUPP
  const answer =
    difference < 0
      ? shrink(m, at, size, innerLink === 0 ? flags : flags | FLAG.encapEthernet)
      : grow(m, at, size, flags, innerLink)
  if (answer === 0) m.run.moved()
  return answer
}
