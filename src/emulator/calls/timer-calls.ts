import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { FUNCTION_HIGH } from '../program.ts'
import type { Timer } from '../timer.ts'
import type { HelperTable } from './table.ts'

function timerAt(m: Machine, register: number): Timer | undefined {
  return m.timers.get(m.readable(register, 16))
}

const F_ABSOLUTE = 1n
const F_PIN = 2n

/** Timers of the virtual clock; they fire when the test advances it. */
export const TIMER_CALLS: HelperTable = {
  timer_init: (m) => {
    const address = m.writable(1, 16)
    const map = m.map(2)
    const clock = m.get64(3)
    if (clock !== 0n && clock !== 1n && clock !== 7n) return -ERRNO.EINVAL
    if (m.timers.has(address)) return -ERRNO.EBUSY
    m.timers.set(address, { address, map: map.index, callback: undefined, dueNs: undefined })
    return 0
  },
  timer_set_callback: (m) => {
    const timer = timerAt(m, 1)
    if (timer === undefined) return -ERRNO.EINVAL
    timer.callback = { program: m.high(2) - FUNCTION_HIGH, slot: m.low(2) }
    return 0
  },
  timer_start: (m) => {
    const timer = timerAt(m, 1)
    const flags = m.get64(3)
    if ((flags & ~(F_ABSOLUTE | F_PIN)) !== 0n || timer?.callback === undefined) return -ERRNO.EINVAL
    timer.dueNs = (flags & F_ABSOLUTE) !== 0n ? m.get64(2) : m.environment.nowNs + m.get64(2)
    return 0
  },
  timer_cancel: (m) => {
    const timer = timerAt(m, 1)
    if (timer === undefined) return -ERRNO.EINVAL
    const was = timer.dueNs !== undefined
    timer.dueNs = undefined
    return was ? 1 : 0
  },
}
