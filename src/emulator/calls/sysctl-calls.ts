import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import type { HelperTable } from './table.ts'

const encoder = new TextEncoder()
/** BPF_F_SYSCTL_BASE_NAME: without the folders. */
const BASE_NAME = 1n
const MAX_VALUE = 4095

/** Copies a value into the buffer of r2 and r3: its length, or E2BIG and as much as fits. */
function give(m: Machine, value: string | undefined): number {
  const size = m.low(3)
  const to = m.writable(2, size)
  const { u8 } = m.memory
  u8.fill(0, to, to + size)
  if (value === undefined || value === '' || size === 0) return -ERRNO.EINVAL
  const bytes = encoder.encode(value)
  if (bytes.length < size) {
    u8.set(bytes, to)
    return bytes.length
  }
  u8.set(bytes.subarray(0, size - 1), to)
  return -ERRNO.E2BIG
}

/** cgroup/sysctl programs (Linux 5.2): name and values come from the test's environment. */
export const SYSCTL_CALLS: HelperTable = {
  sysctl_get_name: (m) => {
    const { name } = m.environment.sysctl
    return give(m, (m.get64(4) & BASE_NAME) !== 0n ? name.slice(name.lastIndexOf('/') + 1) : name)
  },
  sysctl_get_current_value: (m) => give(m, m.environment.sysctl.value),
  sysctl_get_new_value: (m) => {
    const writes = m.memory.view.getUint32(m.run.ctx, true) !== 0
    return give(m, writes ? m.environment.sysctl.newValue : undefined)
  },
  sysctl_set_new_value: (m) => {
    const size = m.low(3)
    const from = m.readable(2, size)
    const writes = m.memory.view.getUint32(m.run.ctx, true) !== 0
    if (!writes || size === 0 || m.environment.sysctl.newValue === undefined) return -ERRNO.EINVAL
    if (size > MAX_VALUE) return -ERRNO.E2BIG
    m.environment.sysctl.newValue = new TextDecoder().decode(m.memory.u8.slice(from, from + size)).replace(/\0.*$/s, '')
    return 0
  },
}
