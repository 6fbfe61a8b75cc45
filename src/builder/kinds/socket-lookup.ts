import { type FunctionContext, here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { materialize } from '../maps/keys.ts'
import { be16, be32, ipv6, struct } from '../types/types.ts'
import type { LikeWire } from '../values/int.ts'
import { holdingObject } from '../values/kptr.ts'
import { type Socket, socketAt } from '../values/socket.ts'
import type { InitOf } from '../values/views.ts'
import { helper } from './helper-calls.ts'

/** struct bpf_sock_tuple (include/uapi/linux/bpf.h). */
const Tuple4 = struct('tuple4', { saddr: be32, daddr: be32, sport: be16, dport: be16 })
const Tuple6 = struct('tuple6', { saddr: ipv6, daddr: ipv6, sport: be16, dport: be16 })

/** Addresses and ports of a socket as a packet to it has them: the source is the other side. */
export type SocketTuple = {
  readonly sport: LikeWire<'be16'>
  readonly dport: LikeWire<'be16'>
} & (
  | { readonly saddr: LikeWire<'be32'>; readonly daddr: LikeWire<'be32'> }
  | { readonly saddr6: InitOf<typeof ipv6>; readonly daddr6: InitOf<typeof ipv6> }
)

/** BPF_F_CURRENT_NETNS */
const CURRENT_NETNS = -1

export function withSocket(
  context: Operand,
  name: 'sk_lookup_tcp' | 'sk_lookup_udp' | 'skc_lookup_tcp',
  tuple: SocketTuple,
  found: (socket: Socket) => void,
  missing?: () => void,
): void {
  const fn = here('a socket look-up')
  const { emitter } = fn
  const { sport, dport } = tuple
  const [type, value] =
    'saddr6' in tuple
      ? ([Tuple6, { saddr: tuple.saddr6, daddr: tuple.daddr6, sport, dport }] as const)
      : ([Tuple4, { saddr: tuple.saddr, daddr: tuple.daddr, sport, dport }] as const)
  const from = materialize(fn, type, value, 'socket tuple')
  const args = [context, from, constant(type.size), constant(CURRENT_NETNS), constant(0)]
  const socket = emitter.call(helper(name), args, { pure: true })
  holdingSocket(fn, socket, found, missing)
}

/** Runs `found` with a socket that was acquired; it is released on every path. */
export function holdingSocket(
  fn: FunctionContext,
  socket: Operand,
  found: (socket: Socket) => void,
  missing?: () => void,
): void {
  const release = (): void => {
    fn.emitter.call(helper('sk_release'), [socket], { result: false, pure: true })
  }
  holdingObject(fn, socket, release, () => found(socketAt(fn, socket)), missing)
}
