/** The least BTF that functions called by pointer need: `int ()` for each, static but for the first, and func_info. */
export function functionsBtf(starts: readonly number[]): { readonly btf: Uint8Array; readonly funcInfo: Uint8Array } {
  const names = starts.map((_, i) => (i === 0 ? 'fuzz' : `f${i}`))
  const strings = `\0int\0${names.join('\0')}\0`
  const words: number[] = [
    // 1: INT int, 32 bits, signed
    1,
    1 << 24,
    4,
    (1 << 24) | 32,
    // 2: FUNC_PROTO () -> int
    0,
    13 << 24,
    1,
  ]
  let at = 5
  names.forEach((name, i) => {
    words.push(at, (12 << 24) | (i === 0 ? 1 : 0), 2)
    at += name.length + 1
  })
  const bytes = new Uint8Array(24 + words.length * 4 + strings.length)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 0xeb9f, true)
  bytes[2] = 1
  view.setUint32(4, 24, true)
  view.setUint32(12, words.length * 4, true)
  view.setUint32(16, words.length * 4, true)
  view.setUint32(20, strings.length, true)
  words.forEach((word, i) => {
    view.setUint32(24 + i * 4, word, true)
  })
  bytes.set(new TextEncoder().encode(strings), 24 + words.length * 4)
  const funcInfo = new Uint8Array(starts.length * 8)
  const info = new DataView(funcInfo.buffer)
  starts.forEach((start, i) => {
    info.setUint32(i * 8, start, true)
    info.setUint32(i * 8 + 4, 3 + i, true)
  })
  return { btf: bytes, funcInfo }
}
