import { ERRNO } from '../../uapi/index.ts'
import { findMemory } from '../fake-memory.ts'
import type { Machine } from '../machine.ts'
import type { HelperTable } from './table.ts'

/** The end of user addresses, and where the kernel's begin: 48-bit addresses, as x86-64 and arm64 have them. */
const USER_END = 1n << 47n
const KERNEL_START = 0xffff_8000_0000_0000n

/** What reading at an address of the kernel fails with: one that can be none is refused without a try. */
export function kernelFault(address: bigint): number {
  return address >= KERNEL_START ? ERRNO.EFAULT : ERRNO.ERANGE
}
/** bpf_probe_read of old decides by the address whose memory it means. */
function eitherFault(address: bigint): number {
  return address < USER_END ? ERRNO.EFAULT : kernelFault(address)
}

function probe(m: Machine, errno: number): number {
  const size = m.low(2)
  const to = m.writable(1, size)
  const from = findMemory(m, m.get64(3), size)
  if (from === undefined) {
    m.memory.u8.fill(0, to, to + size)
    return -errno
  }
  m.memory.u8.copyWithin(to, from, from + size)
  return 0
}

function probeText(m: Machine, errno: number): number {
  const size = m.low(2)
  const to = m.writable(1, size)
  if (size === 0) return 0
  const { u8 } = m.memory
  const address = m.get64(3)
  let length = 0
  while (length < size) {
    const from = findMemory(m, address + BigInt(length), 1)
    if (from === undefined) {
      u8.fill(0, to, to + size)
      return -errno
    }
    u8[to + length] = u8[from]
    length++
    if (u8[from] === 0) return length
  }
  u8[to + size - 1] = 0
  return size
}

/** Memory of the kernel and of user space: the fake pieces that a test gives, and the program's own. */
export const PROBE_CALLS: HelperTable = {
  probe_read: (m) => probe(m, eitherFault(m.get64(3))),
  probe_read_kernel: (m) => probe(m, kernelFault(m.get64(3))),
  probe_read_user: (m) => probe(m, ERRNO.EFAULT),
  copy_from_user: (m) => probe(m, ERRNO.EFAULT),
  probe_read_str: (m) => probeText(m, eitherFault(m.get64(3))),
  probe_read_kernel_str: (m) => probeText(m, kernelFault(m.get64(3))),
  probe_read_user_str: (m) => probeText(m, ERRNO.EFAULT),
  probe_write_user: (m) => {
    const size = m.low(3)
    const from = m.readable(2, size)
    const found = m.findForeign(m.get64(1), size)
    if (found === undefined) return -ERRNO.EFAULT
    m.memory.u8.copyWithin(found.linear, from, from + size)
    return 0
  },
}
