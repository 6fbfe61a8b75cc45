import { ERRNO, type ProgramType, programTypeName } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import { RingMap } from '../maps/index.ts'
import { SHADOW } from '../memory.ts'
import type { HelperTable } from './table.ts'

/** What a dynptr is over: a socket buffer's packet, an XDP frame's, or plain memory (a map's value, a ring's record). */
const KINDS = { memory: 0, skb: 1, xdp: 2 } as const

/** The emulator's struct bpf_dynptr: address, size with the read-only bit on top, kind. */
interface Dynptr {
  readonly at: number
  readonly data: number
  readonly size: number
  readonly readOnly: boolean
  readonly kind: number
}
const BYTES = 16
const READ_ONLY = 0x8000_0000
/** BPF_F_RECOMPUTE_CSUM and BPF_F_INVALIDATE_HASH. */
const STORE_FLAGS = 3n
/** The largest size of a dynptr: 24 bits. */
const MAX_SIZE = (1 << 24) - 1

function put(m: Machine, at: number, data: number, size: number, kind: number = KINDS.memory): void {
  const { view } = m.memory
  view.setUint32(at, data, true)
  view.setUint32(at + 4, size >>> 0, true)
  view.setBigUint64(at + 8, BigInt(kind), true)
}

export function dynptrAt(m: Machine, register: number): Dynptr {
  const at = m.readable(register, BYTES)
  const data = m.memory.view.getUint32(at, true)
  const size = m.memory.view.getUint32(at + 4, true)
  const kind = m.memory.view.getUint32(at + 8, true)
  return { at, data, size: size & (READ_ONLY - 1), readOnly: size >= READ_ONLY, kind }
}

/** Address of a range of a dynptr, or a negative errno. */
function range(pointer: Dynptr, offset: number, size: number): number {
  if (pointer.data === 0) return -ERRNO.EINVAL
  return size > pointer.size || offset > pointer.size - size ? -ERRNO.E2BIG : pointer.data + offset
}

/** A read-only dynptr over bytes of its own, until it is given back. */
export function localDynptr(m: Machine, bytes: Uint8Array): { readonly at: number; release(): void } {
  const { memory } = m
  const data = memory.allocate(bytes.length, SHADOW.read)
  const at = memory.allocate(BYTES, SHADOW.readWrite)
  if (data === 0 || at === 0) m.fail('unsupported', "a sample does not fit the emulator's memory")
  memory.u8.set(bytes, data)
  put(m, at, data, (bytes.length | READ_ONLY) >>> 0)
  return {
    at,
    release() {
      memory.release(data, bytes.length)
      memory.release(at, BYTES)
    },
  }
}

function ringOf(m: Machine, register: number): RingMap {
  const map = m.map(register)
  return map instanceof RingMap ? map : m.fail('invalid-argument', `R${register}: map ${map.name} is no ring`)
}

function finish(m: Machine, discard: boolean): number {
  const pointer = dynptrAt(m, 1)
  if (pointer.data !== 0)
    for (const map of m.maps)
      if (map instanceof RingMap && map.holds(pointer.data)) {
        map.finish(pointer.data, discard)
        break
      }
  put(m, pointer.at, 0, 0)
  return 0
}

/** Narrows a dynptr. */
export function adjustDynptr(m: Machine): number {
  const pointer = dynptrAt(m, 1)
  const start = m.low(2)
  const end = m.low(3)
  if (pointer.data === 0 || start > end) return -ERRNO.EINVAL
  if (start > pointer.size || end > pointer.size) return -ERRNO.ERANGE
  put(m, pointer.at, pointer.data + start, (end - start) | (pointer.readOnly ? READ_ONLY : 0), pointer.kind)
  return 0
}

/** A second dynptr over the same bytes. */
export function cloneDynptr(m: Machine): number {
  const pointer = dynptrAt(m, 1)
  const to = m.writable(2, BYTES)
  m.memory.u8.copyWithin(to, pointer.at, pointer.at + BYTES)
  return pointer.data === 0 ? -ERRNO.EINVAL : 0
}

/** Copies between dynptrs, which may overlap. */
export function copyDynptr(m: Machine): number {
  const [to, from] = [dynptrAt(m, 1), dynptrAt(m, 3)]
  const size = m.low(5)
  const target = to.readOnly ? -ERRNO.EINVAL : range(to, m.low(2), size)
  const source = range(from, m.low(4), size)
  if (target < 0 && source < 0) return -ERRNO.E2BIG
  if (target < 0 || source < 0) return Math.min(target, source)
  m.memory.u8.copyWithin(target, source, source + size)
  return 0
}

/** Fills a range of a dynptr with one byte. */
export function fillDynptr(m: Machine): number {
  const pointer = dynptrAt(m, 1)
  const size = m.low(3)
  if (pointer.readOnly) return -ERRNO.EINVAL
  const at = pointer.data === 0 ? -ERRNO.E2BIG : range(pointer, m.low(2), size)
  if (at < 0) return at
  m.memory.u8.fill(m.low(4), at, at + size)
  return 0
}

/** A dynptr over the packet of the context in r1: bpf_dynptr_from_xdp and _from_skb. */
export function packetDynptr(m: Machine): number {
  const at = m.writable(3, BYTES)
  const { packet } = m.run
  if (m.get64(2) !== 0n || packet === undefined) {
    put(m, at, 0, 0)
    return -ERRNO.EINVAL
  }
  const type = programTypeName(m.program.image.type) ?? ''
  const readOnly = READ_ONLY_PACKETS.has(type) ? READ_ONLY : 0
  const kind = m.run.contextKind === 'xdp_md' ? KINDS.xdp : KINDS.skb
  put(m, at, packet.data, (packet.dataEnd - packet.data) | readOnly, kind)
  return 0
}

/** Programs whose packet dynptrs are read-only, as their packet pointers are. */
const READ_ONLY_PACKETS: ReadonlySet<string> = new Set<ProgramType>([
  'socket_filter',
  'cgroup_skb',
  'flow_dissector',
  'lwt_in',
  'lwt_out',
  'lwt_seg6local',
  'sk_reuseport',
])

/** bpf_dynptr_slice: where the bytes are (nothing is ever copied here), 0 outside. */
export function sliceDynptr(m: Machine, write: boolean): number {
  const pointer = dynptrAt(m, 1)
  if (write && pointer.readOnly) return 0
  const at = range(pointer, m.low(2), m.low(4))
  return Math.max(at, 0)
}

export const DYNPTR_CALLS: HelperTable = {
  dynptr_from_mem: (m) => {
    const size = m.low(2)
    const at = m.writable(4, BYTES)
    if (size > MAX_SIZE) {
      put(m, at, 0, 0)
      return -ERRNO.E2BIG
    }
    if (m.get64(3) !== 0n) {
      put(m, at, 0, 0)
      return -ERRNO.EINVAL
    }
    put(m, at, m.writable(1, size), size)
    return 0
  },
  dynptr_read: (m) => {
    const size = m.low(2)
    const to = m.writable(1, size)
    const pointer = dynptrAt(m, 3)
    if (pointer.data === 0 || m.get64(5) !== 0n) return -ERRNO.EINVAL
    const from = range(pointer, m.low(4), size)
    if (from < 0) return from
    m.memory.u8.copyWithin(to, from, from + size)
    return 0
  },
  dynptr_write: (m) => {
    const pointer = dynptrAt(m, 1)
    const size = m.low(4)
    const from = m.readable(3, size)
    if (pointer.data === 0 || pointer.readOnly) return -ERRNO.EINVAL
    const to = range(pointer, m.low(2), size)
    if (to < 0) return to
    if ((m.get64(5) & ~(pointer.kind === KINDS.skb ? STORE_FLAGS : 0n)) !== 0n) return -ERRNO.EINVAL
    m.memory.u8.copyWithin(to, from, from + size)
    return 0
  },
  dynptr_data: (m) => {
    const pointer = dynptrAt(m, 1)
    // a packet's bytes are had through slices only
    if (pointer.readOnly || pointer.kind !== KINDS.memory) return 0
    const at = range(pointer, m.low(2), m.low(3))
    return Math.max(at, 0)
  },
  ringbuf_reserve_dynptr: (m) => {
    const at = m.writable(4, BYTES)
    const size = m.low(2)
    const ring = ringOf(m, 1)
    put(m, at, 0, 0)
    if (m.get64(3) !== 0n) return -ERRNO.EINVAL
    if (size > MAX_SIZE) return -ERRNO.E2BIG
    const data = ring.reserve(size, 0n)
    if (data === 0) return -ERRNO.EINVAL
    put(m, at, data, size)
    return 0
  },
  ringbuf_submit_dynptr: (m) => finish(m, false),
  ringbuf_discard_dynptr: (m) => finish(m, true),
}
