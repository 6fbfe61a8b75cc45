import { here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { be16, be32, i64, ipv6, mac, struct, u8, u16, u32, union } from '../types/types.ts'
import { Int } from '../values/int.ts'
import { placeOf } from '../values/place.ts'
import type { StructView } from '../values/views.ts'
import { helper } from './helper-calls.ts'

/** struct bpf_fib_lookup (include/uapi/linux/bpf.h): what is asked for, and the answer. Make one with `b.local(FibLookup, {…})`. */
export const FibLookup = struct('bpf_fib_lookup', {
  /** AF_INET 2, AF_INET6 10. */
  family: u8,
  l4Protocol: u8,
  sport: be16,
  dport: be16,
  /** In: the packet's length to be held against the MTU, or 0. Out: the MTU. */
  length: u16,
  /** In: where the packet came in. Out: where it goes out. */
  ifindex: u32,
  /** In: IPv4 type of service, IPv6 flow label. Out: the route's metric. */
  tos: u32,
  src: union('fib_src', { ip4: be32, ip6: ipv6 }),
  dst: union('fib_dst', { ip4: be32, ip6: ipv6 }),
  vlan: union('fib_vlan', { tag: struct('fib_tag', { protocol: be16, tci: be16 }), table: u32 }),
  /** Out: this interface's address. */
  smac: mac,
  /** Out: the next hop's address. */
  dmac: mac,
})
/** Flags of a look-up: BPF_FIB_LOOKUP_*. */
export const FIB = { direct: 1, output: 2, skipNeigh: 4, table: 8, src: 16, mark: 32 } as const

export function fibLookup(
  context: Operand,
  params: StructView<typeof FibLookup.fields, 'shared'>,
  flags: number,
): Int<'i64'> {
  const fn = here('b.fibLookup')
  const { emitter } = fn
  const place = placeOf(params)
  const args = [context, emitter.address(place.base, place.offset), constant(FibLookup.size), constant(flags)]
  const raw = emitter.call(helper('fib_lookup'), args)
  emitter.touch(place.region)
  return new Int(i64, raw, fn)
}
