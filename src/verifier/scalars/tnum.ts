/**
 * Tristate numbers (Documentation/bpf/verifier.rst): which bits of a value are known. Pure functions over BigInts, 64 bits
 * wide; the result of the two-valued ones is in {@link result}. Sound and, but for `mul`, the best there is.
 */
const M64 = 0xffffffffffffffffn
const M32 = 0xffffffffn

/** Value and mask of the last operation; unknown bits are 0 in the value. */
export const result: { value: bigint; mask: bigint } = { value: 0n, mask: 0n }

function give(value: bigint, mask: bigint): void {
  result.value = value
  result.mask = mask
}

export function add(av: bigint, am: bigint, bv: bigint, bm: bigint): void {
  const sm = am + bm
  const sv = (av + bv) & M64
  const mu = (((sm + sv) & M64) ^ sv) | am | bm
  give(sv & ~mu & M64, mu)
}

export function sub(av: bigint, am: bigint, bv: bigint, bm: bigint): void {
  const dv = (av - bv) & M64
  const mu = (((dv + am) & M64) ^ ((dv - bm) & M64)) | am | bm
  give(dv & ~mu & M64, mu)
}

function union(av: bigint, am: bigint, bv: bigint, bm: bigint): void {
  const mu = (av ^ bv) | am | bm
  give(av & bv & ~mu & M64, mu)
}

/** Long multiplication; an unknown bit of `a` joins both outcomes (6.18's algorithm). */
export function mul(av: bigint, am: bigint, bv: bigint, bm: bigint): void {
  let accValue = 0n
  let accMask = 0n
  while (av !== 0n || am !== 0n) {
    if ((av & 1n) !== 0n) {
      add(accValue, accMask, bv, bm)
      accValue = result.value
      accMask = result.mask
    } else if ((am & 1n) !== 0n) {
      add(accValue, accMask, bv, bm)
      union(accValue, accMask, result.value, result.mask)
      accValue = result.value
      accMask = result.mask
    }
    av >>= 1n
    am >>= 1n
    bv = (bv << 1n) & M64
    bm = (bm << 1n) & M64
  }
  give(accValue, accMask)
}

export function shiftLeft(v: bigint, m: bigint, by: bigint): void {
  give((v << by) & M64, (m << by) & M64)
}

export function shiftRight(v: bigint, m: bigint, by: bigint): void {
  give(v >> by, m >> by)
}

export function shiftRightSigned(v: bigint, m: bigint, by: bigint, bits: 32 | 64): void {
  const wide = bits === 32 ? M32 : M64
  give((BigInt.asIntN(bits, v) >> by) & wide, (BigInt.asIntN(bits, m) >> by) & wide)
}

/** The bits that all values from `min` to `max` share. */
export function range(min: bigint, max: bigint): void {
  const chi = min ^ max
  const bits = chi === 0n ? 0 : chi.toString(2).length
  if (bits > 63) {
    give(0n, M64)
    return
  }
  const delta = (1n << BigInt(bits)) - 1n
  give(min & ~delta & M64, delta)
}

/** A value that fits both may exist. */
export function overlap(av: bigint, am: bigint, bv: bigint, bm: bigint): boolean {
  return ((av ^ bv) & ~am & ~bm & M64) === 0n
}

/** As logs print it: decimal when small, else hexadecimal; `(value; mask)` when not constant. */
export function tnumText(value: bigint, mask: bigint): string {
  if (mask === 0n) return unsignedText(value)
  return `(${hexText(value)}; ${hexText(mask)})`
}

/** The kernel's `%#llx`. */
export function hexText(value: bigint): string {
  return `0x${BigInt.asUintN(64, value).toString(16)}`
}

export function unsignedText(value: bigint): string {
  return value <= 0xffffn ? value.toString() : hexText(value)
}

export function signedText(value: bigint): string {
  return value >= -0x8000n && value <= 0x7fffn ? value.toString() : hexText(value)
}
