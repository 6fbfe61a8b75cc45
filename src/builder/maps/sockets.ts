import { here } from '../context.ts'
import { constant, type Operand } from '../ir/ops.ts'
import { helper } from '../kinds/helper-calls.ts'
import type { SkMsgBody, SkSkbBody } from '../kinds/network.ts'
import { holdingSocket } from '../kinds/socket-lookup.ts'
import { i64, type Type, u32 } from '../types/types.ts'
import { Int, type Like, operandOf } from '../values/int.ts'
import { CONTEXT } from '../values/place.ts'
import type { Socket } from '../values/socket.ts'
import type { InitOf } from '../values/views.ts'
import { MapDefinition, type MapOptions } from './definition.ts'
import type { WithContext } from './handles.ts'
import { materialize } from './keys.ts'

/** Helpers by kind of map: redirect a message, redirect data, put a socket in. */
const HELPERS = {
  sockmap: { message: 'msg_redirect_map', data: 'sk_redirect_map', update: 'sock_map_update' },
  sockhash: { message: 'msg_redirect_hash', data: 'sk_redirect_hash', update: 'sock_hash_update' },
} as const

/** Sockets by index (sockmap) or key (sockhash): data goes from one to the other inside the kernel. */
export class SocketMap<
  K extends Type,
  T extends 'sockmap' | 'sockhash' = 'sockmap' | 'sockhash',
> extends MapDefinition {
  declare readonly keyType: K
  readonly kind: T
  constructor(kind: T, name: string, key: K, maxEntries: number, options: MapOptions) {
    super(kind, name, { key, valueSize: 4, maxEntries }, options)
    this.kind = kind
  }
  /** Sends the message (sk_msg) or data (sk_skb) to the socket at the key, to its `ingress` side or out: the answer is the verdict. */
  redirect(b: SkMsgBody | SkSkbBody, key: InitOf<K>, options: { readonly ingress?: boolean } = {}): Int<'u32'> {
    const { fn, handle } = this.use('redirect')
    const isMessage = 'corkBytes' in b
    const name = HELPERS[this.kind][isMessage ? 'message' : 'data']
    const at = this.#key(key)
    const raw = fn.emitter.call(helper(name), [b[CONTEXT](), handle, at, constant(options.ingress ? 1 : 0)])
    return new Int(u32, fn.emitter.zext(32, raw), fn)
  }
  /** Puts the socket of a sock_ops event in. 0 or a negative errno. */
  insert(b: WithContext, key: InitOf<K>): Int<'i64'> {
    const { fn, handle } = this.use('insert')
    const at = materialize(fn, this.keyType, key, `key of ${this.name}`)
    return new Int(i64, fn.emitter.call(helper(HELPERS[this.kind].update), [b[CONTEXT](), handle, at, constant(0)]), fn)
  }
  /** Runs `found` with the socket of an entry; its reference is given back on every path. Linux 5.9. */
  withSocket(key: InitOf<K>, found: (socket: Socket) => void, missing?: () => void): void {
    const { fn, handle } = this.use('withSocket')
    const at = materialize(fn, this.keyType, key, `key of ${this.name}`)
    const socket = fn.emitter.call(helper('map_lookup_elem'), [handle, at], { pure: true })
    holdingSocket(fn, socket, found, missing)
  }
  #key(key: InitOf<K>): Operand {
    const fn = here('a key')
    if (this.kind === 'sockmap') return operandOf(fn, u32, key as Like<'u32'>)
    return materialize(fn, this.keyType, key, `key of ${this.name}`)
  }
}

/** Sockets of reuseport groups by index (Linux 4.19). */
export class ReuseportArray extends MapDefinition {
  constructor(name: string, options: MapOptions & { readonly maxEntries: number }) {
    super('reuseport_sockarray', name, { key: u32, valueSize: 4, maxEntries: options.maxEntries }, options)
  }
  /** Chooses the socket at an index for the packet. 0 or a negative errno. */
  select(b: WithContext, index: InitOf<typeof u32>): Int<'i64'> {
    const { fn, handle } = this.use('select')
    const at = materialize(fn, u32, index, `key of ${this.name}`)
    return new Int(i64, fn.emitter.call(helper('sk_select_reuseport'), [b[CONTEXT](), handle, at, constant(0)]), fn)
  }
}
