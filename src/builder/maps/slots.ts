/** One slot of a histogram: how many values from `min` to `max`, both included. */
export interface Bucket {
  readonly min: bigint
  readonly max: bigint
  readonly count: bigint
}
/** How values became slots. `step` absent: slot i counts from 2^i to 2^(i+1) - 1. */
export interface Slots {
  readonly slots: number
  readonly step?: number | undefined
  readonly from: number
}

const MAX = (1n << 64n) - 1n

/** The slots with their limits, from the counts that user space read; empty ones at both ends are left out unless `all`. */
export function decodeSlots(
  { slots, step, from }: Slots,
  counts: Iterable<number | bigint>,
  { all = false }: { readonly all?: boolean } = {},
): Bucket[] {
  const list = [...counts].slice(0, slots).map(BigInt)
  const buckets = list.map((count, i): Bucket => {
    const isLast = i === slots - 1
    if (step === undefined)
      return { min: i === 0 ? 0n : 1n << BigInt(i), max: isLast ? MAX : (2n << BigInt(i)) - 1n, count }
    const min = BigInt(from + i * step)
    return { min: i === 0 ? 0n : min, max: isLast ? MAX : min + BigInt(step) - 1n, count }
  })
  if (all) return buckets
  const first = buckets.findIndex(({ count }) => count > 0n)
  return first < 0 ? [] : buckets.slice(first, buckets.findLastIndex(({ count }) => count > 0n) + 1)
}
