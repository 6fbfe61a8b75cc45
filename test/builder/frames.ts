/** Deterministic packets for comparisons: all protocols that the programs look at, cut short and damaged now and then. */
export function frames(count: number, seed = 1): Uint8Array[] {
  let state = seed
  const random = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 0x1_0000_0000) * below)
  }
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]
  return Array.from({ length: count }, () => {
    const packet = new Uint8Array(64 + random(80))
    for (let i = 0; i < packet.length; i++) packet[i] = random(256)
    const view = new DataView(packet.buffer)
    const type = pick([0x0800, 0x0800, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x0806])
    view.setUint16(12, type)
    if (type === 0x0800) {
      packet[14] = 0x45
      packet[23] = pick([1, 6, 6, 17, 17, 47])
      if (random(2) === 0) view.setUint32(26, 0x0a000000 + random(4))
      if (packet[23] === 17 && random(2) === 0) view.setUint16(pick([34, 36]), 53)
      if (packet[23] === 6) {
        let at = 54
        while (at + 4 < packet.length && random(5) !== 0) {
          const kind = pick([1, 2, 3, 4, 8, 0])
          packet[at] = kind
          if (kind > 1) packet[at + 1] = pick([2, 3, 4, 10, 1])
          at += kind === 1 ? 1 : 4
        }
        packet[47] = pick([2, 0x12, 0x10])
      }
      if (packet[23] === 1) packet[34] = pick([8, 0])
    }
    if (type === 0x86dd) {
      packet[20] = pick([6, 17, 0, 43, 60])
      for (let at = 54; at + 8 < packet.length; at += 8) {
        packet[at] = pick([0, 43, 60, 6, 17])
        packet[at + 1] = random(2)
      }
    }
    if (type === 0x8100 || type === 0x88a8) view.setUint16(14, pick([5, 10, 100, 4000, 4001, 0x3064]))
    return packet
  })
}
