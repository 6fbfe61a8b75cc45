/** Table sizes: primes. A table has a hundred entries for each backend where it can, so that shares differ by about 1 %. */
const SIZES = [251, 1021, 4093, 16_381] as const

/** FNV-1a, 32 bits. */
function hash(text: string, seed: number): number {
  let value = 0x811c9dc5 ^ seed
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return (value ^ (value >>> 15)) >>> 0
}

export const tableSize = (backends: number): number => SIZES.find((size) => size >= 100 * backends) ?? SIZES[3]

/**
 * Which backend each entry of a table belongs to, after Maglev (Eisenbud et al., NSDI 2016): every backend has an order of its
 * own of all entries, and they take turns at taking the next free one. A backend that goes away moves few entries of the others.
 * @returns indexes into `names`
 */
export function maglev(names: readonly string[], size: number = tableSize(names.length)): Uint32Array {
  const orders = names.map((name) => ({ at: hash(name, 1) % size, step: (hash(name, 2) % (size - 1)) + 1 }))
  const table = new Int32Array(size).fill(-1)
  for (let taken = 0; taken < size && orders.length > 0; )
    for (const [i, order] of orders.entries()) {
      while (table[order.at] !== -1) order.at = (order.at + order.step) % size
      table[order.at] = i
      if (++taken === size) break
    }
  return Uint32Array.from(table)
}
