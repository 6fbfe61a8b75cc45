import type { Bucket } from 'typebpf'

const STARS = 40

/** A power-of-two or linear histogram as bcc draws it: one line a slot, up to the last that has something. Empty: nothing. */
export function drawHistogram(buckets: readonly Bucket[], unit: string): string[] {
  const last = buckets.findLastIndex(({ count }) => count > 0n)
  if (last < 0) return []
  const shown = buckets.slice(0, last + 1)
  const wide = shown[last].min > 0xffff_ffffn
  const digits = wide ? 20 : 10
  const stars = wide ? STARS / 2 : STARS
  const most = shown.reduce((max, { count }) => (count > max ? count : max), 0n)
  const header = `${' '.repeat(wide ? 15 : 5)}${unit.padEnd(wide ? 29 : 19)} : count     distribution`
  return [
    header,
    ...shown.map(({ min, max, count }) => {
      const bar = '*'.repeat(Number((BigInt(stars) * count) / most))
      return `${String(min).padStart(digits)} -> ${String(max).padEnd(digits)} : ${String(count).padEnd(8)} |${bar.padEnd(stars)}|`
    }),
  ]
}

/** The same as data. */
export function histogramRows(buckets: readonly Bucket[]): { min: bigint; max: bigint; count: bigint }[] {
  return buckets.filter(({ count }) => count > 0n).map(({ min, max, count }) => ({ min, max, count }))
}
