/**
 * Hostile objects and BTF: valid files with fields changed where it hurts. Everything comes from one seed, so that a
 * failure is a number.
 */
export type Random = () => number

/** A small generator of numbers in [0, 1) (mulberry32). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

const pick = <T>(random: Random, list: readonly T[]): T => list[Math.floor(random() * list.length)]
const below = (random: Random, limit: number): number => Math.floor(random() * limit)

/** Numbers at which sizes, offsets and counts go wrong. */
const EDGES = [
  0, 1, 2, 3, 7, 8, 15, 16, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff0, 0xffffffff,
]

interface Part {
  readonly name: string
  readonly headerAt: number
  readonly type: number
  readonly offset: number
  readonly size: number
}

function parts(view: DataView, le: boolean): Part[] {
  const shoff = Number(view.getBigUint64(40, le))
  const count = view.getUint16(60, le)
  const namesAt = Number(view.getBigUint64(shoff + 64 * view.getUint16(62, le) + 24, le))
  return Array.from({ length: count }, (_, i) => {
    const headerAt = shoff + 64 * i
    let name = ''
    for (let at = namesAt + view.getUint32(headerAt, le); view.getUint8(at) !== 0; at++)
      name += String.fromCharCode(view.getUint8(at))
    return {
      name,
      headerAt,
      type: view.getUint32(headerAt + 4, le),
      offset: Number(view.getBigUint64(headerAt + 24, le)),
      size: Number(view.getBigUint64(headerAt + 32, le)),
    }
  }).filter(({ offset, size, type }) => type === 8 || offset + size <= view.byteLength)
}

function poke(view: DataView, random: Random, at: number, width: 1 | 2 | 4 | 8, le: boolean): void {
  if (at < 0 || at + width > view.byteLength) return
  const old = width === 1 ? view.getUint8(at) : width === 2 ? view.getUint16(at, le) : view.getUint32(at, le)
  const choices = [
    pick(random, EDGES),
    old + 1,
    old - 1,
    old ^ (1 << below(random, 8 * Math.min(4, width))),
    below(random, 256),
    old + 8,
  ]
  const value = pick(random, choices) >>> 0
  if (width === 1) view.setUint8(at, value)
  else if (width === 2) view.setUint16(at, value, le)
  else if (width === 4) view.setUint32(at, value, le)
  else view.setBigUint64(at, random() < 0.2 ? 0xffffffffffffff00n + BigInt(value & 0xff) : BigInt(value), le)
}

/** The mutations by name: what they change is what readers must not trust. */
const MUTATIONS: Readonly<Record<string, (view: DataView, le: boolean, random: Random, all: readonly Part[]) => void>> =
  {
    elfHeader(view, le, random) {
      const [at, width] = pick(random, [
        [16, 2],
        [18, 2],
        [32, 8],
        [40, 8],
        [52, 2],
        [54, 2],
        [56, 2],
        [58, 2],
        [60, 2],
        [62, 2],
        [4, 1],
        [5, 1],
      ] as const)
      poke(view, random, at, width, le)
    },
    sectionHeader(view, le, random, all) {
      const { headerAt } = pick(random, all)
      const [at, width] = pick(random, [
        [0, 4],
        [4, 4],
        [8, 8],
        [24, 8],
        [32, 8],
        [40, 4],
        [44, 4],
        [48, 8],
        [56, 8],
      ] as const)
      poke(view, random, headerAt + at, width, le)
    },
    symbol(view, le, random, all) {
      const table = all.find(({ type }) => type === 2)
      if (table === undefined) return
      const [at, width] = pick(random, [
        [0, 4],
        [4, 1],
        [5, 1],
        [6, 2],
        [8, 8],
        [16, 8],
      ] as const)
      poke(view, random, table.offset + 24 * below(random, Math.max(1, table.size / 24)) + at, width, le)
    },
    relocation(view, le, random, all) {
      const tables = all.filter(({ type }) => type === 9)
      if (tables.length === 0) return
      const table = pick(random, tables)
      const [at, width] = pick(random, [
        [0, 8],
        [8, 4],
        [12, 4],
      ] as const)
      poke(view, random, table.offset + 16 * below(random, Math.max(1, table.size / 16)) + at, width, le)
    },
    btfHeader(view, le, random, all) {
      const part = pick(
        random,
        all.filter(({ name }) => name === '.BTF' || name === '.BTF.ext'),
      )
      if (part !== undefined)
        poke(
          view,
          random,
          part.offset + pick(random, [0, 2, 3, 4, 8, 12, 16, 20, 24, 28]),
          pick(random, [1, 4] as const),
          le,
        )
    },
    btfWord(view, le, random, all) {
      const part = all.find(({ name }) => name === '.BTF')
      if (part !== undefined) poke(view, random, part.offset + 24 + 4 * below(random, (part.size - 24) / 4), 4, le)
    },
    /** A reference of one type to another: cycles, void, ids past the end. */
    btfReference(view, le, random, all) {
      const part = all.find(({ name }) => name === '.BTF')
      if (part === undefined) return
      const types = view.getUint32(part.offset + 12, le)
      const at = part.offset + 24 + 4 * below(random, types / 4)
      if (at + 4 <= view.byteLength) view.setUint32(at, below(random, 40), le)
    },
    extWord(view, le, random, all) {
      const part = all.find(({ name }) => name === '.BTF.ext')
      if (part !== undefined && part.size > 24)
        poke(view, random, part.offset + 24 + 4 * below(random, (part.size - 24) / 4), 4, le)
    },
    code(view, le, random, all) {
      const code = all.filter(({ name, type }) => type === 1 && !name.startsWith('.BTF') && name !== 'license')
      const part = pick(random, code)
      if (part !== undefined && part.size > 0)
        poke(view, random, part.offset + below(random, part.size), pick(random, [1, 2, 4] as const), le)
    },
    anyByte(view, _le, random) {
      view.setUint8(below(random, view.byteLength), below(random, 256))
    },
  }

export const MUTATION_NAMES = Object.keys(MUTATIONS)

/** One hostile variant of a valid object: up to four mutations, sometimes cut off. */
export function mutate(object: Uint8Array, random: Random): Uint8Array {
  const bytes = Uint8Array.from(object)
  const view = new DataView(bytes.buffer)
  const le = bytes[5] === 1
  const all = parts(view, le)
  for (let n = 1 + below(random, 4); n > 0; n--) MUTATIONS[pick(random, MUTATION_NAMES)](view, le, random, all)
  return random() < 0.05 ? bytes.subarray(0, below(random, bytes.length)) : bytes
}
