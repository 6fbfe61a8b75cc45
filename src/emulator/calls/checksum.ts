import { ERRNO } from '../../uapi/index.ts'
import type { Machine } from '../machine.ts'
import type { HelperTable } from './table.ts'

/** Ones' complement addition of 32-bit sums. */
export function addSums(a: number, b: number): number {
  const sum = (a >>> 0) + (b >>> 0)
  return sum > 0xffff_ffff ? (sum + 1) >>> 0 : sum
}

/**
 * The unfolded internet checksum of bytes on top of `seed`: little-endian 64-bit words added with end-around carry, then folded
 * to 32 bits, so that the representation (0 or all ones) is the one of a 64-bit kernel.
 */
export function partialSum(bytes: Uint8Array, seed: number): number {
  let low = seed >>> 0
  let high = 0
  const word = (at: number): number => {
    let value = 0
    for (let i = 3; i >= 0; i--) value = value * 256 + (bytes[at + i] ?? 0)
    return value
  }
  for (let at = 0; at < bytes.length; at += 8) {
    low += word(at)
    high += word(at + 4)
    if (low > 0xffff_ffff) {
      low -= 0x1_0000_0000
      high++
    }
    if (high > 0xffff_ffff) {
      high -= 0x1_0000_0000
      low++
      if (low > 0xffff_ffff) {
        low -= 0x1_0000_0000
        high++
      }
    }
  }
  return addSums(low, high)
}

/** A 32-bit sum as 16 bits, not complemented. */
export function foldSum(sum: number): number {
  let folded = (sum & 0xffff) + (sum >>> 16)
  folded = (folded & 0xffff) + (folded >>> 16)
  return folded & 0xffff
}

const complement = (sum: number): number => ~sum >>> 0
const finish = (sum: number): number => ~foldSum(sum) & 0xffff

/** The checksum field after a value covered by it changed. */
export function replace(field: number, from: number, to: number): number {
  const without = addSums(complement(field), complement(from))
  return finish(addSums(without, to))
}
function replaceByDifference(field: number, difference: number): number {
  return finish(addSums(difference, complement(field)))
}
function replace16(field: number, from: number, to: number): number {
  const add16 = (a: number, b: number): number => {
    const sum = a + b
    return (sum + (sum > 0xffff ? 1 : 0)) & 0xffff
  }
  return ~add16(add16(~field & 0xffff, ~from & 0xffff), to) & 0xffff
}

/** Address of `size` packet bytes at an offset from the data, 0 when the packet has none there. */
export function packetAt(m: Machine, offset: number, size: number): number {
  const { packet } = m.run
  if (packet === undefined) return m.fail('invalid-argument', 'R1 is no context with a packet')
  const at = packet.data + offset
  return offset < 0 || size < 0 || at + size > packet.dataEnd ? 0 : at
}

const FIELD_MASK = 0xf
const F_PSEUDO_HEADER = 0x10
const F_MARK_MANGLED_0 = 0x20
const F_MARK_ENFORCE = 0x40
const F_IPV6 = 0x80

export const CHECKSUM_CALLS: HelperTable = {
  csum_diff: (m) => {
    const fromSize = m.low(2)
    const toSize = m.low(4)
    if (((fromSize | toSize) & 3) !== 0) return -ERRNO.EINVAL
    const seed = m.low(5)
    const from = fromSize === 0 ? new Uint8Array() : m.memory.bytes(m.readable(1, fromSize), fromSize)
    const to = toSize === 0 ? new Uint8Array() : m.memory.bytes(m.readable(3, toSize), toSize)
    if (fromSize > 0 && toSize > 0) return foldSum(addSums(partialSum(to, seed), complement(partialSum(from, 0))))
    if (toSize > 0) return foldSum(partialSum(to, seed))
    if (fromSize > 0) return foldSum(complement(partialSum(from, complement(seed))))
    return foldSum(seed)
  },
  // without CHECKSUM_COMPLETE there is nothing to update
  csum_update: () => -ERRNO.ENOTSUPP,
  csum_level: (m) => {
    const level = m.get64(2)
    if (level > 3n) return -ERRNO.EINVAL
    return level === 0n ? -ERRNO.EACCES : 0
  },
  l3_csum_replace: (m) => {
    const offset = m.low(2)
    const flags = m.get64(5)
    if ((flags & ~BigInt(FIELD_MASK)) !== 0n) return -ERRNO.EINVAL
    if (offset > 0xffff || (offset & 1) !== 0) return -ERRNO.EFAULT
    const at = packetAt(m, offset, 2)
    if (at === 0) return -ERRNO.EFAULT
    const { view } = m.memory
    const field = view.getUint16(at, true)
    switch (Number(flags)) {
      case 0:
        if (m.get64(3) !== 0n) return -ERRNO.EINVAL
        view.setUint16(at, replaceByDifference(field, m.low(4)), true)
        return 0
      case 2:
        view.setUint16(at, replace16(field, m.low(3) & 0xffff, m.low(4) & 0xffff), true)
        return 0
      case 4:
        view.setUint16(at, replace(field, m.low(3), m.low(4)), true)
        return 0
      default:
        return -ERRNO.EINVAL
    }
  },
  l4_csum_replace: (m) => {
    const offset = m.low(2)
    const flags = m.get64(5)
    const known = BigInt(FIELD_MASK | F_PSEUDO_HEADER | F_MARK_MANGLED_0 | F_MARK_ENFORCE | F_IPV6)
    if ((flags & ~known) !== 0n) return -ERRNO.EINVAL
    if (offset > 0xffff || (offset & 1) !== 0) return -ERRNO.EFAULT
    const at = packetAt(m, offset, 2)
    if (at === 0) return -ERRNO.EFAULT
    const { view } = m.memory
    const field = view.getUint16(at, true)
    const bits = Number(flags)
    const mangled = (bits & F_MARK_MANGLED_0) !== 0
    if (mangled && (bits & F_MARK_ENFORCE) === 0 && field === 0) return 0
    let changed: number
    switch (bits & FIELD_MASK) {
      case 0:
        if (m.get64(3) !== 0n) return -ERRNO.EINVAL
        changed = replaceByDifference(field, m.low(4))
        break
      case 2:
        changed = replace(field, m.low(3) & 0xffff, m.low(4) & 0xffff)
        break
      case 4:
        changed = replace(field, m.low(3), m.low(4))
        break
      default:
        return -ERRNO.EINVAL
    }
    view.setUint16(at, mangled && changed === 0 ? 0xffff : changed, true)
    return 0
  },
}
