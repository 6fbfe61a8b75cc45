import { mapSpec } from '../images.ts'
import type { Case } from './assemble.ts'

const one = (
  calls: string,
  type: Case['type'],
  text: string,
  answer: number | bigint,
  rest: Partial<Case> = {},
): Case => ({
  calls,
  type,
  text: `r6 = r1\n${text}\nexit`,
  answer,
  run: { packet: Uint8Array.of(1, 2, 3, 4) },
  own: true,
  ...rest,
})
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
const SOCKETS = [mapSpec('sockmap', { valueSize: 4 })]
const HASH = [mapSpec('sockhash', { valueSize: 4 })]
const fill: Case['before'] = (emulator) => {
  emulator.map('m').set(u32(2), u32(1))
}
const target: Case['look'] = ({ redirect }) => redirect?.key
/** Conversions of a socket that is not of that kind, look-ups that find nothing. */
const nothing = (name: string, type: Case['type'] = 'sched_cls'): Case =>
  one(name, type, `r1 = 0\ncall ${name}`, 0, { run: type === 'sched_cls' ? { packet: new Uint8Array(60) } : {} })
const lookUp = (name: string): Case => ({
  calls: name,
  type: 'sched_cls',
  // a tuple of ports that nobody listens on
  text: `*(u64 *)(r10 - 16) = 0\n*(u32 *)(r10 - 8) = 0\nfp r2 -16\nr3 = 12\nr4 = -1\nr5 = 0\ncall ${name}\nif r0 == 0 goto out\nr1 = r0\ncall sk_release\nr0 = 1\nout:\nexit`,
  answer: 0,
})

/** Sockets, messages, cgroup sockets. */
export const SOCKET_CASES: readonly Case[] = [
  one('sk_redirect_map', 'sk_skb', 'map r2\nr3 = 2\nr4 = 0\ncall sk_redirect_map', 1, {
    maps: SOCKETS,
    before: fill,
    look: target,
    seen: 2,
  }),
  one('sk_redirect_map', 'sk_skb', 'map r2\nr3 = 1\nr4 = 0\ncall sk_redirect_map', 0, { maps: SOCKETS, before: fill }),
  one('sk_redirect_hash', 'sk_skb', '*(u32 *)(r10 - 4) = 2\nmap r2\nfp r3 -4\nr4 = 0\ncall sk_redirect_hash', 1, {
    maps: HASH,
    before: fill,
    look: target,
    seen: 2,
  }),
  one('msg_redirect_map', 'sk_msg', 'map r2\nr3 = 2\nr4 = 1\ncall msg_redirect_map', 1, {
    maps: SOCKETS,
    before: fill,
    look: target,
    seen: 2,
  }),
  one('msg_redirect_hash', 'sk_msg', '*(u32 *)(r10 - 4) = 2\nmap r2\nfp r3 -4\nr4 = 2\ncall msg_redirect_hash', 0, {
    maps: HASH,
    before: fill,
  }),
  one(
    'msg_apply_bytes msg_cork_bytes',
    'sk_msg',
    'r2 = 4\ncall msg_apply_bytes\nr7 = r0\nr1 = r6\nr2 = 9\ncall msg_cork_bytes\nr0 += r7',
    0,
  ),
  one(
    'msg_pull_data',
    'sk_msg',
    'r2 = 0\nr3 = 4\nr4 = 0\ncall msg_pull_data\nr7 = r0\nr1 = r6\nr2 = 0\nr3 = 5\nr4 = 0\ncall msg_pull_data\nr0 += r7',
    -22,
  ),
  one(
    'msg_push_data msg_pop_data',
    'sk_msg',
    'r2 = 1\nr3 = 2\nr4 = 0\ncall msg_push_data\nr1 = r6\nr2 = 5\nr3 = 1\nr4 = 0\ncall msg_pop_data\nr0 = *(u32 *)(r6 + 68)',
    5,
    {
      look: ({ packet }) => [...(packet ?? [])],
      seen: [1, 0, 0, 2, 3],
    },
  ),
  one(
    'sk_select_reuseport',
    'sk_reuseport',
    '*(u32 *)(r10 - 4) = 2\nmap r2\nfp r3 -4\nr4 = 0\ncall sk_select_reuseport',
    -2,
    {
      maps: [mapSpec('reuseport_sockarray')],
    },
  ),
  one(
    'sk_assign',
    'sk_lookup',
    'r2 = 0\nr3 = 8\ncall sk_assign\nr7 = r0\nr1 = r6\nr2 = 0\nr3 = 0\ncall sk_assign\nr0 += r7\nr0 += 23\nr0 &= 1',
    1,
    {
      run: { ctx: skLookup() },
      own: false,
    },
  ),
  one('sock_ops_cb_flags_set', 'sock_ops', 'r2 = 1\ncall sock_ops_cb_flags_set', 0, { run: {} }),
  lookUp('sk_lookup_tcp'),
  lookUp('sk_lookup_udp'),
  lookUp('skc_lookup_tcp'),
  nothing('sk_release'),
  nothing('sk_fullsock'),
  nothing('tcp_sock'),
  nothing('get_listener_sock'),
  nothing('skc_to_tcp_sock'),
  nothing('skc_to_tcp6_sock'),
  nothing('skc_to_tcp_timewait_sock'),
  nothing('skc_to_tcp_request_sock'),
  nothing('skc_to_udp6_sock'),
  nothing('skc_to_unix_sock', 'tracing'),
  nothing('skc_to_mptcp_sock', 'tracing'),
  nothing('sock_from_file', 'tracing'),
  one(
    'sk_cgroup_id sk_ancestor_cgroup_id',
    'cgroup_skb',
    'call sk_cgroup_id\nr7 = r0\nr1 = r6\nr2 = 0\ncall sk_ancestor_cgroup_id\nr0 += r7',
    2,
    {
      run: { packet: new Uint8Array(60) },
    },
  ),
]

/** struct bpf_sk_lookup as a test run takes it: AF_INET, TCP. */
function skLookup(): Uint8Array {
  const bytes = new Uint8Array(72)
  const view = new DataView(bytes.buffer)
  view.setUint32(8, 2, true)
  view.setUint32(12, 6, true)
  view.setUint32(16, 0x0100007f, true)
  view.setUint32(40, 0x0100007f, true)
  view.setUint32(60, 80, true)
  return bytes
}
