import type { Machine } from '../machine.ts'
import type { RunState } from '../run-state.ts'
import { setField } from './index.ts'
import type { ContextRow } from './tables.ts'
import { SK_BUFF } from './tables.ts'

const ETH_P_IP = 0x0800
const ETH_P_IPV6 = 0x86dd
const AF_INET = 2
const AF_INET6 = 10
/** The loopback device's address and broadcast address are zeros: nothing is PACKET_BROADCAST there. */
const PACKET = { host: 0, multicast: 2, otherHost: 3 } as const

/** The fields that the kernel derives from the frame when a test run makes an skb of it on the loopback device. */
export function fillSkb(m: Machine, row: ContextRow, run: RunState, given: ReadonlySet<string>): void {
  const { packet, ctx } = run
  if (packet === undefined) return
  const { memory } = m
  const set = (name: string, value: number): void => {
    if (!given.has(name)) setField(m, SK_BUFF, ctx, name, value)
  }
  const frame = memory.bytes(packet.data, packet.dataEnd - packet.data)
  run.extra.set('mac', packet.data)
  if (frame.length < 14) return
  const type = (frame[12] << 8) | frame[13]
  const zero = frame.subarray(0, 6).every((byte) => byte === 0)
  set('pkt_type', zero ? PACKET.host : (frame[0] & 1) !== 0 ? PACKET.multicast : PACKET.otherHost)
  // below 0x600 it is a length: 802.2 or Novell's raw 802.3
  const protocol = type >= 0x600 ? type : frame[14] === 0xff && frame[15] === 0xff ? 1 : 4
  set('protocol', ((protocol & 0xff) << 8) | (protocol >> 8))
  set('ifindex', 1)
  set('wire_len', frame.length - (row.packet === 'l2' ? 0 : 14))
  if (type === ETH_P_IP && frame.length >= 34) {
    set('family', AF_INET)
    set('local_ip4', memory.view.getUint32(packet.data + 26, true))
    set('remote_ip4', memory.view.getUint32(packet.data + 30, true))
  } else if (type === ETH_P_IPV6 && frame.length >= 54) {
    set('family', AF_INET6)
    for (let i = 0; i < 4; i++) {
      set(`local_ip6_${i}`, memory.view.getUint32(packet.data + 22 + 4 * i, true))
      set(`remote_ip6_${i}`, memory.view.getUint32(packet.data + 38 + 4 * i, true))
    }
  }
  if (row.packet !== 'l2') {
    packet.data += 14
    packet.meta = packet.data
  }
}
