/** 64-bit arithmetic on pairs of 32-bit words: `w[d]` is the low half, `w[d + 1]` the high one. For what the interpreter does not do in line. */

export function multiply(w: Int32Array, d: number, s: number): void {
  const a = w[d]
  const b = w[s]
  const a0 = a & 0xffff
  const a1 = a >>> 16
  const b0 = b & 0xffff
  const b1 = b >>> 16
  // each sum stays below 2^32, exact in a double
  const t = a1 * b0 + ((a0 * b0) >>> 16)
  const u = a0 * b1 + (t & 0xffff)
  const high = a1 * b1 + (t >>> 16) + (u >>> 16)
  w[d + 1] = (high + Math.imul(a, w[s + 1]) + Math.imul(w[d + 1], b)) | 0
  w[d] = Math.imul(a, b)
}

const B32 = 32n

function signed(w: Int32Array, at: number): bigint {
  return (BigInt(w[at + 1]) << B32) | BigInt(w[at] >>> 0)
}
function unsigned(w: Int32Array, at: number): bigint {
  return (BigInt(w[at + 1] >>> 0) << B32) | BigInt(w[at] >>> 0)
}
function put(w: Int32Array, at: number, value: bigint): void {
  w[at] = Number(BigInt.asIntN(32, value))
  w[at + 1] = Number(BigInt.asIntN(32, value >> B32))
}

/** Unsigned division: by zero it is 0 (RFC 9669 section 4.1). */
export function divide(w: Int32Array, d: number, s: number): void {
  if (w[d + 1] >>> 0 < 0x200000 && w[s + 1] >>> 0 < 0x200000) {
    const by = (w[s + 1] >>> 0) * 0x1_0000_0000 + (w[s] >>> 0)
    const value = (w[d + 1] >>> 0) * 0x1_0000_0000 + (w[d] >>> 0)
    // both below 2^53: the rounded quotient may be one too large
    let quotient = by === 0 ? 0 : Math.floor(value / by)
    if (by !== 0 && value % by !== value - quotient * by) quotient = (value - (value % by)) / by
    w[d] = quotient | 0
    w[d + 1] = (quotient / 0x1_0000_0000) | 0
    return
  }
  const by = unsigned(w, s)
  put(w, d, by === 0n ? 0n : unsigned(w, d) / by)
}

/** Unsigned remainder: by zero the value stays. */
export function modulo(w: Int32Array, d: number, s: number): void {
  if (w[d + 1] >>> 0 < 0x200000 && w[s + 1] >>> 0 < 0x200000) {
    const by = (w[s + 1] >>> 0) * 0x1_0000_0000 + (w[s] >>> 0)
    if (by === 0) return
    const rest = ((w[d + 1] >>> 0) * 0x1_0000_0000 + (w[d] >>> 0)) % by
    w[d] = rest | 0
    w[d + 1] = (rest / 0x1_0000_0000) | 0
    return
  }
  const by = unsigned(w, s)
  if (by !== 0n) put(w, d, unsigned(w, d) % by)
}

export function divideSigned(w: Int32Array, d: number, s: number): void {
  const by = signed(w, s)
  put(w, d, by === 0n ? 0n : signed(w, d) / by)
}

export function moduloSigned(w: Int32Array, d: number, s: number): void {
  const by = signed(w, s)
  if (by !== 0n) put(w, d, signed(w, d) % by)
}

export function shiftLeft(w: Int32Array, d: number, s: number): void {
  const by = w[s] & 63
  if (by === 0) return
  if (by >= 32) {
    w[d + 1] = w[d] << (by - 32)
    w[d] = 0
  } else {
    w[d + 1] = (w[d + 1] << by) | (w[d] >>> (32 - by))
    w[d] <<= by
  }
}

export function shiftRight(w: Int32Array, d: number, s: number): void {
  const by = w[s] & 63
  if (by === 0) return
  if (by >= 32) {
    w[d] = w[d + 1] >>> (by - 32)
    w[d + 1] = 0
  } else {
    w[d] = (w[d] >>> by) | (w[d + 1] << (32 - by))
    w[d + 1] >>>= by
  }
}

export function shiftRightSigned(w: Int32Array, d: number, s: number): void {
  const by = w[s] & 63
  if (by === 0) return
  if (by >= 32) {
    w[d] = w[d + 1] >> (by - 32)
    w[d + 1] >>= 31
  } else {
    w[d] = (w[d] >>> by) | (w[d + 1] << (32 - by))
    w[d + 1] >>= by
  }
}

export function divide32Signed(value: number, by: number): number {
  return by === 0 ? 0 : (value / by) | 0
}

function swap32(value: number): number {
  return ((value & 0xff) << 24) | ((value & 0xff00) << 8) | ((value >>> 8) & 0xff00) | (value >>> 24)
}

/** Keeps the low `bits` bits (to little endian on a little-endian machine), zero-extended. */
export function truncate(w: Int32Array, d: number, bits: number): void {
  if (bits === 64) return
  w[d + 1] = 0
  if (bits === 16) w[d] &= 0xffff
}

/** Reverses the bytes of the low `bits` bits, zero-extended. */
export function swapBytes(w: Int32Array, d: number, bits: number): void {
  if (bits === 64) {
    const low = w[d]
    w[d] = swap32(w[d + 1])
    w[d + 1] = swap32(low)
    return
  }
  w[d] = bits === 16 ? swap32(w[d]) >>> 16 : swap32(w[d])
  w[d + 1] = 0
}

/**
 * One atomic operation on memory at `address` (checked before): `imm` as in ATOMIC, r0 at word `r0` for compare-and-exchange.
 * Emulated programs run alone, so plain steps are atomic.
 */
export function atomic(
  w: Int32Array,
  view: DataView,
  address: number,
  s: number,
  r0: number,
  imm: number,
  wide: boolean,
): void {
  const low = view.getInt32(address, true)
  const high = wide ? view.getInt32(address + 4, true) : 0
  const operandLow = w[s]
  const operandHigh = w[s + 1]
  const store = (newLow: number, newHigh: number): void => {
    view.setInt32(address, newLow, true)
    if (wide) view.setInt32(address + 4, newHigh, true)
  }
  let into = (imm & 1) !== 0 ? s : -1
  switch (imm & 0xf0) {
    case 0x00: {
      const sum = (low + operandLow) | 0
      store(sum, (high + operandHigh + (sum >>> 0 < low >>> 0 ? 1 : 0)) | 0)
      break
    }
    case 0x40:
      store(low | operandLow, high | operandHigh)
      break
    case 0x50:
      store(low & operandLow, high & operandHigh)
      break
    case 0xa0:
      store(low ^ operandLow, high ^ operandHigh)
      break
    case 0xe0:
      store(operandLow, operandHigh)
      break
    default:
      if (low === w[r0] && (!wide || high === w[r0 + 1])) store(operandLow, operandHigh)
      into = r0
  }
  if (into >= 0) {
    w[into] = low
    w[into + 1] = high
  }
}
