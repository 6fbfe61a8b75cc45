import type { Fault } from './faults.ts'

/** Something a program sent out: a ring or perf record, a redirect's clone, a signal. Plain data. */
export interface EmittedEvent {
  readonly kind: 'ringbuf' | 'perf' | 'clone' | 'signal' | 'seq'
  /** The map's name, or the helper's where there is no map. */
  readonly map: string
  readonly data: Uint8Array
  readonly cpu?: number
  readonly ifindex?: number
}

/** Where a redirect helper sent the packet. */
export interface RedirectTarget {
  readonly ifindex?: number
  readonly map?: string
  readonly key?: number
  readonly flags: bigint
}

/** What bpf_skb_set_tunnel_key and _opt put to a packet. */
export interface TunnelMetadata {
  /** struct bpf_tunnel_key. */
  readonly key: Uint8Array
  readonly ipv6: boolean
  readonly options: Uint8Array
}

/** The packet of a run: addresses in linear memory. */
export interface PacketState {
  /** Where the buffer starts and ends. */
  readonly start: number
  readonly end: number
  meta: number
  data: number
  dataEnd: number
}

/** An open resource that must be given back before exit. */
export interface HeldReference {
  readonly id: number
  readonly kind: string
  readonly insn: number
}

/** What one run collects. */
export interface RunState {
  readonly packet: PacketState | undefined
  /** Address of the context; 0 when the program type has none. */
  ctx: number
  /** The kind of context, from its table: `xdp_md`, `__sk_buff`, … */
  readonly contextKind: string
  readonly findings: Fault[]
  readonly events: EmittedEvent[]
  readonly printk: string[]
  redirect: RedirectTarget | undefined
  /** Tunnel metadata of the packet. */
  tunnel: TunnelMetadata | undefined
  tailCalls: number
  readonly references: Map<number, HeldReference>
  /** Called by helpers after they moved the packet: makes it visible at its new place and updates the context. */
  moved: () => void
  /** Values that helpers keep for the run (skb fields without a context field, the fake socket …). */
  readonly extra: Map<string, number>
}

/** @param before the run before, whose emptied tables are used again */
export function newRunState(contextKind: string, packet: PacketState | undefined, before?: RunState): RunState {
  if (before !== undefined && before.references.size > 0) before.references.clear()
  if (before !== undefined && before.extra.size > 0) before.extra.clear()
  return {
    packet,
    ctx: 0,
    contextKind,
    findings: [],
    events: [],
    printk: [],
    redirect: undefined,
    tunnel: undefined,
    tailCalls: 0,
    references: before?.references ?? new Map(),
    moved: before?.moved ?? (() => {}),
    extra: before?.extra ?? new Map(),
  }
}
