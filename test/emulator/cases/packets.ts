import { mapSpec } from '../images.ts'
import { type Case, packet } from './assemble.ts'

const tc = (calls: string, text: string, answer: number | bigint, rest: Partial<Case> = {}): Case => ({
  calls,
  type: 'sched_cls',
  text: `r6 = r1\n${text}\nexit`,
  answer,
  ...rest,
})
const xdp = (calls: string, text: string, answer: number | bigint, rest: Partial<Case> = {}): Case => ({
  ...tc(calls, text, answer, rest),
  type: 'xdp',
})
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
/** The packet with some bytes changed. */
const frame = (changes: Readonly<Record<number, number>>): Uint8Array => {
  const bytes = packet()
  for (const [at, byte] of Object.entries(changes)) bytes[Number(at)] = byte
  return bytes
}
const length: Case['look'] = ({ packet: out }) => out?.length

/** Packets of XDP, tc and lightweight tunnels. */
export const PACKET_CASES: readonly Case[] = [
  xdp(
    'xdp_adjust_head',
    'r2 = 14\ncall xdp_adjust_head\nr7 = r0\nr1 = r6\nr2 = -300\ncall xdp_adjust_head\nr0 += r7',
    -22,
    {
      look: length,
      seen: 50,
    },
  ),
  xdp(
    'xdp_adjust_tail',
    'r2 = -60\ncall xdp_adjust_tail\nr7 = r0\nr1 = r6\nr2 = 8\ncall xdp_adjust_tail\nr0 += r7',
    -22,
    {
      look: length,
      seen: 72,
    },
  ),
  xdp(
    'xdp_adjust_meta',
    'r2 = -8\ncall xdp_adjust_meta\nr7 = r0\nr1 = r6\nr2 = -3\ncall xdp_adjust_meta\nr0 += r7',
    -13,
    {
      look: ({ metadata }) => metadata?.length,
      seen: 8,
    },
  ),
  xdp('xdp_get_buff_len', 'call xdp_get_buff_len', 64),
  xdp(
    'xdp_load_bytes xdp_store_bytes',
    'r2 = 12\nfp r3 -8\nr4 = 2\ncall xdp_load_bytes\nr7 = *(u16 *)(r10 - 8)\nr1 = r6\nr2 = 63\nfp r3 -8\nr4 = 1\ncall xdp_store_bytes\nr7 += r0\nr1 = r6\nr2 = 63\nfp r3 -8\nr4 = 2\ncall xdp_store_bytes\nr0 += r7',
    8 - 22,
    { look: ({ packet: out }) => out?.[63], seen: 8 },
  ),
  xdp(
    'check_mtu',
    '*(u32 *)(r10 - 4) = 0\nr2 = 0\nfp r3 -4\nr4 = 70000\nr5 = 0\ncall check_mtu\nr1 = *(u32 *)(r10 - 4)\nr0 <<= 32\nr0 |= r1',
    (1n << 32n) | 65_536n,
    {},
  ),
  xdp('redirect', 'r1 = 7\nr2 = 0\ncall redirect\nr7 = r0\nr1 = 7\nr2 = 1\ncall redirect\nr0 <<= 8\nr0 |= r7', 4, {
    look: ({ redirect }) => redirect?.ifindex,
    seen: 7,
  }),
  xdp('redirect_map', 'map r1\nr2 = 1\nr3 = 2\ncall redirect_map', 2, { maps: [mapSpec('devmap', { valueSize: 4 })] }),
  tc('redirect_neigh', 'r1 = 7\nr2 = 0\nr3 = 0\nr4 = 0\ncall redirect_neigh', 7, {}),
  tc('redirect_peer', 'r1 = 7\nr2 = 1\ncall redirect_peer', 2),
  tc('clone_redirect', 'r2 = 9\nr3 = 0\ncall clone_redirect', 0, {
    own: true,
    look: ({ events }) => events.map(({ kind, ifindex, data }) => [kind, ifindex, data.length]),
    seen: [['clone', 9, 64]],
  }),
  tc('clone_redirect', 'r2 = 9\nr3 = 2\ncall clone_redirect', -22),
  xdp(
    'fib_lookup',
    '*(u64 *)(r10 - 64) = 2\n*(u32 *)(r10 - 32) = 0x0200000a\nfp r2 -64\nr3 = 64\nr4 = 0\ncall fib_lookup\nr1 = *(u8 *)(r10 - 6)\nr0 <<= 8\nr0 |= r1',
    5,
    {
      own: true,
      before: (emulator) => {
        const mac = (last: number): Uint8Array => Uint8Array.of(last, 0, 0, 0, 0, last)
        emulator.environment.routes = [{ prefix: '10.0.0.0/8', ifindex: 3, smac: mac(4), dmac: mac(5) }]
      },
    },
  ),
  tc('csum_diff', '*(u64 *)(r10 - 8) = 0x1234\nr1 = 0\nr2 = 0\nfp r3 -8\nr4 = 8\nr5 = 0xff\ncall csum_diff', 0x1333),
  tc('csum_update', 'r2 = 1\ncall csum_update', -524),
  tc('csum_level', 'r2 = 0\ncall csum_level\nr7 = r0\nr1 = r6\nr2 = 9\ncall csum_level\nr0 += r7', -13 - 22),
  tc(
    'l3_csum_replace',
    'r2 = 24\nr3 = 0x40\nr4 = 0x3f\nr5 = 2\ncall l3_csum_replace\nr7 = r0\nr1 = r6\nr2 = 25\nr3 = 0\nr4 = 0\nr5 = 2\ncall l3_csum_replace\nr0 += r7',
    -14,
    {
      look: ({ packet: out }) => [...(out ?? [])].slice(24, 26),
      seen: [0x67, 0xb7],
    },
  ),
  tc(
    'l4_csum_replace',
    'r2 = 40\nr3 = 0x0100000a\nr4 = 0x0500000a\nr5 = 0x14\ncall l4_csum_replace\nr7 = r0\nr1 = r6\nr2 = 40\nr3 = 1\nr4 = 2\nr5 = 3\ncall l4_csum_replace\nr0 += r7',
    -22,
    {
      look: ({ packet: out }) => [...(out ?? [])].slice(40, 42),
      seen: [0xff, 0xfb],
    },
  ),
  tc(
    'skb_load_bytes',
    'r2 = 12\nfp r3 -8\nr4 = 2\ncall skb_load_bytes\nr7 = *(u16 *)(r10 - 8)\nr1 = r6\nr2 = 63\nfp r3 -8\nr4 = 2\ncall skb_load_bytes\nr0 += r7',
    8 - 14,
  ),
  tc(
    'skb_load_bytes_relative',
    'r2 = 12\nfp r3 -8\nr4 = 4\nr5 = 1\ncall skb_load_bytes_relative\nr0 = *(u32 *)(r10 - 8)',
    0x0100000a,
  ),
  tc(
    'skb_store_bytes',
    '*(u32 *)(r10 - 4) = 5\nr2 = 60\nfp r3 -4\nr4 = 4\nr5 = 1\ncall skb_store_bytes\nr7 = r0\nr1 = r6\nr2 = 60\nfp r3 -4\nr4 = 4\nr5 = 4\ncall skb_store_bytes\nr0 += r7',
    -22,
    {
      look: ({ packet: out }) => out?.[60],
      seen: 5,
    },
  ),
  tc('skb_pull_data', 'r2 = 64\ncall skb_pull_data\nr7 = r0\nr1 = r6\nr2 = 65\ncall skb_pull_data\nr0 += r7', -12),
  tc(
    'skb_change_type',
    'r2 = 0\ncall skb_change_type\nr7 = *(u32 *)(r6 + 4)\nr1 = r6\nr2 = 9\ncall skb_change_type\nr0 += r7',
    -22,
  ),
  tc(
    'skb_change_tail',
    'r2 = 80\nr3 = 0\ncall skb_change_tail\nr7 = *(u32 *)(r6 + 0)\nr1 = r6\nr2 = 5\nr3 = 0\ncall skb_change_tail\nr0 += r7',
    80 - 22,
    {
      look: length,
      seen: 80,
    },
  ),
  tc('skb_change_head', 'r2 = 10\nr3 = 0\ncall skb_change_head\nr0 = *(u32 *)(r6 + 0)', 74),
  tc(
    'skb_adjust_room',
    'r2 = 8\nr3 = 0\nr4 = 0\ncall skb_adjust_room\nr7 = *(u32 *)(r6 + 0)\nr1 = r6\nr2 = 5000\nr3 = 0\nr4 = 0\ncall skb_adjust_room\nr0 += r7',
    72 - 14,
  ),
  // what was encapsulated keeps its length
  tc(
    'skb_adjust_room skb_change_tail',
    'r2 = 40\nr3 = 1\nr4 = 4\ncall skb_adjust_room\nr7 = r0\nr1 = r6\nr2 = 60\nr3 = 0\ncall skb_change_tail\nr0 += r7',
    -524,
  ),
  // an outer IPv6 and UDP header around IPv4, once; then the outer header is taken off again
  tc(
    'skb_adjust_room',
    'r2 = 48\nr3 = 1\nr4 = 0x14\ncall skb_adjust_room\nr7 = *(u32 *)(r6 + 16)\nr1 = r6\nr2 = 48\nr3 = 1\nr4 = 0x14\ncall skb_adjust_room\nr7 += r0\nr1 = r6\nr2 = -48\nr3 = 1\nr4 = 0x80\ncall skb_adjust_room\nr7 += r0\nr0 = *(u32 *)(r6 + 16)\nr7 <<= 8\nr0 += r7',
    (0xdd86 - 114) * 256 + 8,
    { look: length, seen: 64 },
  ),
  tc(
    'skb_change_proto',
    'r2 = 0xdd86\nr3 = 0\ncall skb_change_proto\nr7 = *(u32 *)(r6 + 0)\nr1 = r6\nr2 = 1\nr3 = 0\ncall skb_change_proto\nr0 += r7',
    84 - 524,
  ),
  tc(
    'skb_vlan_push skb_vlan_pop',
    'r2 = 0x0081\nr3 = 5\ncall skb_vlan_push\nr7 = *(u32 *)(r6 + 24)\nr1 = r6\ncall skb_vlan_pop\nr1 = *(u32 *)(r6 + 20)\nr7 <<= 4\nr0 += r7\nr0 += r1',
    5 << 4,
  ),
  tc(
    'get_hash_recalc set_hash set_hash_invalid',
    'r2 = 77\ncall set_hash\nr1 = r6\ncall get_hash_recalc\nr7 = r0\nr1 = r6\ncall set_hash_invalid\nr0 = r7',
    77,
  ),
  tc('get_route_realm', 'call get_route_realm', 0),
  tc('skb_ecn_set_ce', 'call skb_ecn_set_ce\nr0 &= 1', 1, {
    type: 'cgroup_skb',
    run: { packet: frame({ 15: 2 }) },
    look: ({ packet: out }) => out?.[15],
    seen: 3,
  }),
  tc('skb_set_tstamp', 'r2 = 0x1234\nr3 = 1\ncall skb_set_tstamp\nr0 = *(u64 *)(r6 + 152)', 0x1234, {}),
  tc(
    'skb_set_tunnel_key skb_get_tunnel_key',
    '*(u64 *)(r10 - 48) = 7\n*(u64 *)(r10 - 40) = 0\n*(u64 *)(r10 - 32) = 0\n*(u64 *)(r10 - 24) = 0\n*(u64 *)(r10 - 16) = 0\n*(u64 *)(r10 - 8) = 0\nr1 = r6\nfp r2 -48\nr3 = 44\nr4 = 0\ncall skb_set_tunnel_key\nr7 = r0\n*(u32 *)(r10 - 48) = 0\nr1 = r6\nfp r2 -48\nr3 = 44\nr4 = 0\ncall skb_get_tunnel_key\nr7 += r0\nr0 = *(u32 *)(r10 - 48)\nr0 += r7',
    7,
    {},
  ),
  tc(
    'skb_set_tunnel_opt skb_get_tunnel_opt',
    '*(u64 *)(r10 - 8) = 1\nr1 = r6\nfp r2 -8\nr3 = 8\ncall skb_set_tunnel_opt\nr7 = r0\nr1 = r6\nfp r2 -8\nr3 = 8\ncall skb_get_tunnel_opt\nr0 += r7',
    -22 - 2,
  ),
  tc('skb_cgroup_id', 'call skb_cgroup_id', 1, { own: true }),
  tc('skb_ancestor_cgroup_id', 'r2 = 0\ncall skb_ancestor_cgroup_id', 1, { own: true }),
  tc(
    'skb_under_cgroup',
    'map r2\nr3 = 0\ncall skb_under_cgroup\nr7 = r0\nr1 = r6\nmap r2\nr3 = 4\ncall skb_under_cgroup\nr0 += r7',
    -11 - 7,
    {
      maps: [mapSpec('cgroup_array', { valueSize: 4 })],
    },
  ),
  tc(
    'skb_under_cgroup',
    'map r2\nr3 = 0\ncall skb_under_cgroup\nr7 = r0\nr1 = r6\nmap r2\nr3 = 1\ncall skb_under_cgroup\nr0 <<= 4\nr0 |= r7',
    1,
    {
      own: true,
      maps: [mapSpec('cgroup_array', { valueSize: 4 })],
      before: (emulator) => {
        for (const [key, cgroup] of [
          [0, 1],
          [1, 99],
        ])
          emulator.map('m').set(u32(key), u32(cgroup))
      },
    },
  ),
  tc('skb_cgroup_classid', 'call skb_cgroup_classid', 0),
  tc('get_socket_cookie', 'call get_socket_cookie', 0, { own: true }),
  tc('get_socket_uid', 'call get_socket_uid', 65_534, { own: true }),
]
