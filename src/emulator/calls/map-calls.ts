import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { HandleMap, RingMap } from '../maps/index.ts'
import { FUNCTION_HIGH } from '../program.ts'
import type { HelperTable } from './table.ts'

/** Flags as a number; the few bits that matter, -1 when there are others. */
function flagsOf(m: Machine, register: number): number {
  return m.high(register) === 0 && m.int(register) >= 0 ? m.int(register) : -1
}

/** Calls a callback of the running program; answers its r0 as a number (low half, signed). */
export function callBack(m: Machine, register: number, args: readonly (number | bigint)[]): number {
  const slot = m.low(register)
  const index = m.high(register) - FUNCTION_HIGH
  const program = m.programs[index]
  if (program === undefined) m.fail('invalid-argument', `R${register} is no function of the program`)
  return callSlot(m, index, slot, args)
}

export function callSlot(m: Machine, index: number, slot: number, args: readonly (number | bigint)[]): number {
  args.forEach((arg, i) => {
    if (typeof arg === 'bigint') m.set64(i + 1, arg)
    else m.set(i + 1, arg)
  })
  const { program, pc } = m
  m.frame++
  m.invoke(m.programs[index], slot)
  m.closeFrame(m.frame)
  m.frame--
  m.program = program
  m.pc = pc
  return m.int(0)
}

const MAX_LOOPS = 8 * 1024 * 1024

/** Maps, loops over them, tail calls. */
export const MAP_CALLS: HelperTable = {
  map_lookup_elem: (m) => {
    const map = m.map(1)
    return map.lookup(m.readable(2, map.spec.keySize))
  },
  map_update_elem: (m) => {
    const map = m.map(1)
    const key = m.readable(2, map.spec.keySize)
    return map.update(key, m.readable(3, map.spec.valueSize), flagsOf(m, 4))
  },
  map_delete_elem: (m) => {
    const map = m.map(1)
    return map.remove(m.readable(2, map.spec.keySize))
  },
  map_push_elem: (m) => {
    const map = m.map(1)
    return map.push(m.readable(2, map.spec.valueSize), flagsOf(m, 3))
  },
  map_pop_elem: (m) => {
    const map = m.map(1)
    return map.pop(m.writable(2, map.spec.valueSize))
  },
  map_peek_elem: (m) => {
    const map = m.map(1)
    // a bloom filter reads the value, a queue writes it
    return map.peek(
      map.typeName === 'bloom_filter' ? m.readable(2, map.spec.valueSize) : m.writable(2, map.spec.valueSize),
    )
  },
  map_lookup_percpu_elem: (m) => {
    const map = m.map(1)
    return map.lookupCpu(m.readable(2, map.spec.keySize), m.low(3))
  },
  for_each_map_elem: (m) => {
    const map = m.map(1)
    if (m.get64(4) !== 0n) return -ERRNO.EINVAL
    const each = map.each()
    if (each === undefined) return -ERRNO.EINVAL
    const callback = [m.int(2), m.high(2)]
    const context = m.get64(3)
    let count = 0
    for (const [key, value] of each) {
      count++
      const answer = callSlot(m, callback[1] - FUNCTION_HIGH, callback[0], [map.handle, key, value, context])
      if (answer !== 0) break
    }
    return count
  },
  loop: (m) => {
    const times = m.low(1)
    if (m.get64(4) !== 0n) return -ERRNO.EINVAL
    if (times > MAX_LOOPS) return -ERRNO.E2BIG
    const slot = m.low(2)
    const index = m.high(2) - FUNCTION_HIGH
    const context = m.get64(3)
    if (m.programs[index] === undefined) m.fail('invalid-argument', 'R2 is no function of the program')
    for (let i = 0; i < times; i++) if (callSlot(m, index, slot, [i, context]) !== 0) return i + 1
    return times
  },
  ringbuf_output: (m) => {
    const size = m.size(3)
    return ring(m, 1).output(m.readable(2, size), size, m.get64(4))
  },
  ringbuf_reserve: (m) => ring(m, 1).reserve(m.size(2), m.get64(3)),
  ringbuf_submit: (m) => finish(m, false),
  ringbuf_discard: (m) => finish(m, true),
  ringbuf_query: (m) => ring(m, 1).query(m.low(2)),
}

function ring(m: Machine, register: number): RingMap {
  const map = m.map(register)
  if (map instanceof RingMap) return map
  return m.fail('invalid-argument', `R${register}: map ${map.name} is no ring`)
}

function finish(m: Machine, discard: boolean): number {
  const address = m.low(1)
  for (const map of m.maps)
    if (map instanceof RingMap && map.holds(address)) {
      map.finish(address, discard)
      return 0
    }
  return m.fail('invalid-argument', `R1 is no reserved ring record: 0x${m.get64(1).toString(16)}`)
}

/** The program that a tail call goes to, undefined when the call falls through. */
export function tailTarget(m: Machine): number | undefined {
  const map = m.map(2)
  if (!(map instanceof HandleMap)) return m.fail('invalid-argument', `R2: map ${map.name} is no program array`)
  const index = m.low(3)
  if (index >= map.spec.maxEntries || m.run.tailCalls >= 33) return undefined
  m.run.tailCalls++
  const target = map.targetAt(index)
  return target === undefined || m.programs[target] === undefined ? undefined : target
}
