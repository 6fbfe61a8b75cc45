import { SystemError } from '../errors/index.ts'
import { errnoName, type Sys } from '../syscall/index.ts'

/** Capabilities that decide about bpf(2), by their bits (include/uapi/linux/capability.h). */
export const BPF_CAPABILITIES = {
  CAP_SYS_ADMIN: 21,
  CAP_BPF: 39,
  CAP_NET_ADMIN: 12,
  CAP_PERFMON: 38,
} as const

const VERSION_3 = 0x20080522
const HEADER_BYTES = 8
/** Effective, permitted and inheritable, 32 bits each: low halves, then high halves. */
const HALF_BYTES = 12

/** Takes the capabilities that decide about bpf(2) from this thread for good. @throws SystemError `sys.capset` */
export function dropBpfCapabilities(sys: Sys): void {
  using block = sys.alloc(HEADER_BYTES + 2 * HALF_BYTES)
  const { view, address } = block
  view.setUint32(0, VERSION_3, true)
  const check = (what: string, result: number): void => {
    if (result < 0) throw new SystemError('sys.capset', `${what}: ${errnoName(-result)}`, { errno: -result })
  }
  check('capget', sys.call('capget', address, address + HEADER_BYTES))
  for (const bit of Object.values(BPF_CAPABILITIES)) {
    const effective = HEADER_BYTES + (bit >> 5) * HALF_BYTES
    view.setUint32(effective, (view.getUint32(effective, true) & ~(1 << (bit & 31))) >>> 0, true)
  }
  check('capset', sys.call('capset', address, address + HEADER_BYTES))
}
