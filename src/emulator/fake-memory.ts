import type { Machine } from './machine.ts'

/** Where `size` bytes at a 64-bit address are, when the program's memory or the fake kernel's has them. */
export function findMemory(m: Machine, address: bigint, size: number): number | undefined {
  const foreign = m.findForeign(address, size)
  if (foreign !== undefined) return foreign.linear
  if (address < 4096n || address + BigInt(size) > BigInt(m.memory.size)) return undefined
  const at = Number(address)
  for (let i = 0; i < size; i++) if (m.memory.u8[at + i + m.memory.size] === 0) return undefined
  return at
}
