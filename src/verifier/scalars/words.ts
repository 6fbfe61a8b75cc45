/** The order of 64-bit numbers that are pairs of 32-bit words, high and low. */

/** The ends of a signed word. */
export const INT_MIN = -0x80000000
export const INT_MAX = 0x7fffffff

/** a < b, unsigned. */
export function ultu(ah: number, al: number, bh: number, bl: number): boolean {
  return ah === bh ? al >>> 0 < bl >>> 0 : ah >>> 0 < bh >>> 0
}

/** a < b, signed. */
export function slt(ah: number, al: number, bh: number, bl: number): boolean {
  return ah === bh ? al >>> 0 < bl >>> 0 : ah < bh
}
