/** The ones' complement sum of 16-bit big-endian words (RFC 1071), folded but not inverted; an odd tail counts as its high byte. */
export function onesSum(bytes: Uint8Array, start = 0): number {
  let sum = start
  const even = bytes.length & ~1
  for (let i = 0; i < even; i += 2) sum += (bytes[i] << 8) | bytes[i + 1]
  if (even !== bytes.length) sum += bytes[even] << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + Math.floor(sum / 0x10000)
  return sum
}

/** The Internet checksum of IPv4 headers, TCP, UDP, ICMP. */
export function internetChecksum(...parts: readonly Uint8Array[]): number {
  let sum = 0
  for (const part of parts) sum = onesSum(part, sum)
  return ~sum & 0xffff
}

const CRC32C = Array.from({ length: 256 }, (_, index) => {
  let value = index
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1
  return value >>> 0
})

/** CRC-32C (Castagnoli), SCTP's checksum (RFC 9260 appendix A), as the number whose little-endian bytes go on the wire. */
export function crc32c(bytes: Uint8Array): number {
  let value = 0xffffffff
  for (let i = 0; i < bytes.length; i++) value = CRC32C[(value ^ bytes[i]) & 255] ^ (value >>> 8)
  return ~value >>> 0
}
