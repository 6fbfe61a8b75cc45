/** What a program's type allows, as far as the kernel's verifier itself knows it. */

const READ_ONLY_PACKET: ReadonlySet<number> = new Set([8, 10, 11, 19, 21, 22])
const READ_WRITE_PACKET: ReadonlySet<number> = new Set([3, 4, 6, 12, 14, 16, 25])

/** Direct packet access (may_access_direct_pkt_data). */
export function accessesPacket(type: number, write: boolean): boolean {
  return READ_WRITE_PACKET.has(type) || (!write && READ_ONLY_PACKET.has(type))
}

const LD_ABS: ReadonlySet<number> = new Set([1, 3, 4])

/** LD_ABS and LD_IND (may_access_skb): socket filters, classifiers, actions. */
export function mayLoadAbsolute(type: number): boolean {
  return LD_ABS.has(type)
}

const TRACING: ReadonlySet<number> = new Set([2, 5, 7, 17, 24])

/** is_tracing_prog_type(). */
export function isTracing(type: number): boolean {
  return TRACING.has(type)
}
