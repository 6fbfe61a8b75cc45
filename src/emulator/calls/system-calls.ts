import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { PerfArrayMap } from '../maps/index.ts'
import { formatText, textBytes } from './format.ts'
import type { HelperTable } from './table.ts'

/** Times, random numbers, the current task and CPU, printing, texts. */
export const SYSTEM_CALLS: HelperTable = {
  ktime_get_ns: (m) => m.environment.nowNs,
  ktime_get_boot_ns: (m) => m.environment.nowNs,
  ktime_get_coarse_ns: (m) => m.environment.nowNs,
  ktime_get_tai_ns: (m) => m.environment.nowNs + m.environment.epochNs + 37_000_000_000n,
  jiffies64: (m) => (m.environment.nowNs * m.environment.jiffiesHz) / 1_000_000_000n,
  get_prandom_u32: (m) => m.environment.random() & 0xffff_ffffn,
  get_smp_processor_id: (m) => m.environment.cpu,
  get_numa_node_id: (m) => m.environment.numaNode,
  get_current_pid_tgid: (m) => (BigInt(m.environment.task.tgid) << 32n) | BigInt(m.environment.task.pid),
  get_current_uid_gid: (m) => (BigInt(m.environment.task.gid) << 32n) | BigInt(m.environment.task.uid),
  get_current_cgroup_id: (m) => m.environment.task.cgroupId,
  get_current_ancestor_cgroup_id: (m) => m.environment.cgroupAncestors[m.int(1)] ?? 0n,
  get_current_comm: (m) => {
    const size = m.low(2)
    const at = m.writable(1, size)
    if (size === 0) return -ERRNO.EINVAL
    const bytes = new TextEncoder().encode(m.environment.task.comm).subarray(0, Math.min(15, size - 1))
    m.memory.u8.fill(0, at, at + size)
    m.memory.u8.set(bytes, at)
    return 0
  },
  get_ns_current_pid_tgid: (m) => {
    if (m.low(4) !== 8) return -ERRNO.EINVAL
    const at = m.writable(3, 8)
    m.memory.view.setUint32(at, m.environment.task.pid, true)
    m.memory.view.setUint32(at + 4, m.environment.task.tgid, true)
    return 0
  },
  trace_printk: (m) => {
    const size = m.low(2)
    const format = m.text(m.readable(1, size), size)
    return print(m, format, [m.get64(3), m.get64(4), m.get64(5)])
  },
  trace_vprintk: (m) => {
    const size = m.low(2)
    const format = m.text(m.readable(1, size), size)
    const bytes = m.low(4)
    if (bytes % 8 !== 0 || bytes > 96) return -ERRNO.EINVAL
    return print(m, format, words(m, bytes === 0 ? 0 : m.readable(3, bytes), bytes))
  },
  snprintf: (m) => {
    const size = m.low(2)
    const bytes = m.low(5)
    if (bytes % 8 !== 0 || bytes > 96) return -ERRNO.EINVAL
    const at = size === 0 ? 0 : m.writable(1, size)
    const format = m.text(m.readable(3, 1), 4096)
    const text = formatText(m, format, words(m, bytes === 0 ? 0 : m.readable(4, bytes), bytes))
    if (typeof text === 'number') return text
    const encoded = textBytes(text)
    if (size > 0) {
      m.memory.u8.set(encoded.subarray(0, size - 1), at)
      m.memory.u8[at + Math.min(encoded.length, size - 1)] = 0
    }
    return encoded.length + 1
  },
  strtol: (m) => parseNumber(m, true),
  strtoul: (m) => parseNumber(m, false),
  strncmp: (m) => {
    const size = m.low(2)
    const { u8 } = m.memory
    const a = m.readable(1, size)
    const b = m.readable(3, 1)
    for (let i = 0; i < size; i++) {
      const difference = u8[a + i] - m.byteAt(b + i)
      if (difference !== 0) return difference < 0 ? -1 : 1
      if (u8[a + i] === 0) break
    }
    return 0
  },
  perf_event_output: (m) => {
    const size = m.size(5)
    const map = m.map(2)
    if (!(map instanceof PerfArrayMap)) return m.fail('invalid-argument', `R2: map ${map.name} is no perf event array`)
    const at = m.readable(4, size)
    const { u8 } = m.memory
    const flags = m.get64(3)
    const { packet } = m.run
    // BPF_F_CTXLEN_MASK: so many bytes of the packet behind the record
    const more = Number((flags >> 32n) & 0xfffffn)
    if (more === 0 || packet === undefined) return map.output(flags, u8.slice(at, at + size))
    if (more > packet.dataEnd - packet.data) return -ERRNO.EFAULT
    const record = new Uint8Array(size + more)
    record.set(u8.subarray(at, at + size))
    record.set(u8.subarray(packet.data, packet.data + more), size)
    return map.output(flags & ~(0xfffffn << 32n), record)
  },
  perf_event_read: (m) => {
    const map = m.map(1)
    const low = m.low(2)
    if (!(map instanceof PerfArrayMap)) return m.fail('invalid-argument', `R1: map ${map.name} is no perf event array`)
    return map.counters.get(low === 0xffff_ffff ? m.environment.cpu : low) ?? -ERRNO.ENOENT
  },
  send_signal: (m) => signal(m),
  send_signal_thread: (m) => signal(m),
  spin_lock: (m) => {
    const lock = m.low(1)
    if (m.run.extra.has('lock')) m.fail('deadlock', 'a spin lock is taken while another one is held')
    m.run.extra.set('lock', lock)
    m.run.references.set(lock, { id: lock, kind: 'spin lock', insn: m.pc })
    return 0
  },
  spin_unlock: (m) => {
    const lock = m.low(1)
    if (m.run.extra.get('lock') !== lock) m.fail('invalid-argument', 'the spin lock that is released is not held')
    m.run.extra.delete('lock')
    m.run.references.delete(lock)
    return 0
  },
  this_cpu_ptr: (m) => m.get64(1),
  per_cpu_ptr: (m) => (m.low(2) < m.environment.cpus ? m.get64(1) : 0),
}

function words(m: Machine, at: number, bytes: number): bigint[] {
  return Array.from({ length: bytes / 8 }, (_, i) => m.memory.u64(at + 8 * i))
}

function print(m: Machine, format: string, args: readonly bigint[]): number {
  const text = formatText(m, format, args)
  if (typeof text === 'number') return text
  const bytes = textBytes(text)
  if (m.run.printk.length < 10_000) m.run.printk.push(new TextDecoder().decode(bytes).replace(/\n$/, ''))
  return bytes.length
}

function signal(m: Machine): number {
  const data = new Uint8Array(4)
  new DataView(data.buffer).setUint32(0, m.low(1), true)
  m.run.events.push({ kind: 'signal', map: 'send_signal', data })
  return 0
}

/** The kernel copies so much of a number's text. */
const NUMBER_BYTES = 63

/** bpf_strtol and bpf_strtoul: the number of bytes read, the value at r4 (0 on errors). */
function parseNumber(m: Machine, signed: boolean): number {
  const size = m.low(2)
  const text = String.fromCharCode(...m.memory.bytes(m.readable(1, size), size))
  const flags = m.get64(3)
  const to = m.writable(4, 8)
  m.memory.setU64(to, 0n)
  const base = Number(flags & 31n)
  if (![0, 8, 10, 16].includes(base) || (flags & ~31n) !== 0n || size === 0) return -ERRNO.EINVAL
  const start = /^[ \t\n\v\f\r\xa0]*-?/.exec(text)?.[0] ?? ''
  const negative = start.endsWith('-')
  const number = text.slice(start.length, start.length + NUMBER_BYTES)
  // a base that is given takes the prefix even where no digit follows
  const hex = (base === 16 && /^0x/i.test(number)) || (base === 0 && /^0x[0-9a-f]/i.test(number))
  const radix = base !== 0 ? base : hex ? 16 : number.startsWith('0') ? 8 : 10
  const digits = DIGITS[radix].exec(hex ? number.slice(2) : number)?.[0] ?? ''
  const magnitude = digits === '' ? 0n : BigInt(`${PREFIXES[radix]}${digits}`)
  if (magnitude > 0xffff_ffff_ffff_ffffn) return -ERRNO.ERANGE
  if (digits === '' || (negative && !signed)) return -ERRNO.EINVAL
  const value = negative ? -magnitude : magnitude
  if (signed && (value > 0x7fff_ffff_ffff_ffffn || value < -0x8000_0000_0000_0000n)) return -ERRNO.ERANGE
  m.memory.setU64(to, value)
  return start.length + (hex ? 2 : 0) + digits.length
}

const DIGITS: Readonly<Record<number, RegExp>> = { 8: /^[0-7]+/, 10: /^[0-9]+/, 16: /^[0-9a-f]+/i }
const PREFIXES: Readonly<Record<number, string>> = { 8: '0o', 10: '', 16: '0x' }
