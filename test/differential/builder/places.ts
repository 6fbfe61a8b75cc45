import {
  array,
  type Bool,
  be16,
  be32,
  be64,
  bits,
  bool,
  bytes,
  checksumFold,
  fn,
  globals,
  type Int,
  map,
  ref,
  struct,
  u8,
  u16,
  u32,
  u64,
  type XdpBody,
} from 'typebpf'
import { type IntId, wrap } from './language.ts'

/**
 * What generated programs do with memory: bit fields, network order, truth values, bytes, packets at running offsets,
 * hash maps with struct keys, globals and atomic operations. Each row is written twice: with the builder, and as what it means.
 */
type U64 = Int<'u64'>

const Inner = struct('inner', { low: u16, wide: be32 }, { packed: true })
const Places = struct('places', {
  three: bits(u8, 3),
  five: bits(u8, 5),
  twenty: bits(u32, 20),
  twelve: bits(u32, 12),
  n16: be16,
  n32: be32,
  n64: be64,
  yes: bool,
  no: bool,
  text: bytes(11),
  other: bytes(11),
  inner: Inner,
  list: array(u16, 5),
})
const Key = struct('fuzz_key', { a: u32, b: u16 })
const entries = map.hash('entries', { key: Key, value: u64, maxEntries: 64 })
const Shared = struct('shared', { count: u32, last: u64, note: bytes(5) })
const shared = map.array('shared', { value: Shared, maxEntries: 2 })
const state = globals('fuzz', { g32: u32, g64: u64 })
/** The verifier looks at a global function by itself. */
const bounded = fn(
  'bounded',
  { list: ref(Inner, 'read'), by: u32 },
  u64,
  (b, { list, by }) => {
    const it = list.orReturn(u64(7))
    return b.select(by.lt(100), it.low.to(u64).add(by.to(u64)), it.wide.to(u64))
  },
  { global: true },
)

const BITS = ['three', 'five', 'twenty', 'twelve'] as const
const WIDTHS = [3, 5, 20, 12] as const
const WIRES = ['n16', 'n32', 'n64'] as const
const WIRE_BITS = [16, 32, 64] as const
const FLAGS = ['yes', 'no'] as const
const TEXTS = ['text', 'other'] as const

/** The memory of a program that is being written. */
export function places(b: XdpBody) {
  return { b, it: b.local(Places) }
}
type Memory = ReturnType<typeof places>

/** The same memory as it is while a program is evaluated. */
export interface State {
  readonly packet: Uint8Array
  readonly bits: bigint[]
  readonly wires: bigint[]
  readonly flags: boolean[]
  readonly texts: Uint8Array[]
  readonly inner: { low: bigint; wide: bigint }
  readonly list: bigint[]
  readonly kept: Kept
}
/** What stays from run to run. */
export interface Kept {
  readonly entries: Map<string, bigint>
  readonly shared: { count: bigint; last: bigint; note: Uint8Array }[]
  g32: bigint
  g64: bigint
}
export const kept = (): Kept => ({
  entries: new Map(),
  shared: [0, 1].map(() => ({ count: 0n, last: 0n, note: new Uint8Array(5) })),
  g32: 0n,
  g64: 0n,
})
export const state0 = (packet: Uint8Array, kept: Kept): State => ({
  packet: packet.slice(),
  bits: [0n, 0n, 0n, 0n],
  wires: [0n, 0n, 0n],
  flags: [false, false],
  texts: [new Uint8Array(11), new Uint8Array(11)],
  inner: { low: 0n, wide: 0n },
  list: [0n, 0n, 0n, 0n, 0n],
  kept,
})

interface Read {
  readonly type: IntId
  readonly build: (m: Memory, n: number, a: U64) => unknown
  readonly evaluate: (s: State, n: number, a: bigint) => bigint
}
interface Test {
  readonly build: (m: Memory, n: number, a: U64) => Bool
  readonly evaluate: (s: State, n: number, a: bigint) => boolean
}
interface Write {
  readonly build: (m: Memory, n: number, a: U64, c: U64) => void
  readonly evaluate: (s: State, n: number, a: bigint, c: bigint) => void
}

const bitsOf = ({ it }: Memory, n: number) => it[BITS[n % 4]] as unknown as Int<'u32'> & { set(v: Int<'u32'>): void }
const keyOf = (a: U64) => ({ a: a.and(3).to(u32), b: a.shr(8).and(1).to(u16) })
const keyText = (a: bigint): string => `${a & 3n},${(a >> 8n) & 1n}`
const low32 = (value: bigint): bigint => value & 0xffff_ffffn
const fold = (sum: bigint): bigint => {
  let rest = sum
  while (rest > 0xffffn) rest = (rest & 0xffffn) + (rest >> 16n)
  return rest ^ 0xffffn
}
const bigEndian = (packet: Uint8Array, at: number, size: number): bigint => {
  let out = 0n
  for (let i = 0; i < size; i++) out = (out << 8n) | BigInt(packet[at + i])
  return out
}

export const READS: Record<string, Read> = {
  bits: {
    type: 'u32',
    build: (m, n) => bitsOf(m, n).to(u32),
    evaluate: (s, n) => s.bits[n % 4],
  },
  wire: {
    type: 'u64',
    build: ({ it }, n) => it[WIRES[n % 3]].to(u64),
    evaluate: (s, n) => s.wires[n % 3],
  },
  byte: {
    type: 'u8',
    build: ({ it }, n) => it.text.at(n % 11),
    evaluate: (s, n) => BigInt(s.texts[0][n % 11]),
  },
  nested: {
    type: 'u64',
    build: ({ it }) => it.inner.low.to(u64).shl(32).or(it.inner.wide.to(u64)),
    evaluate: (s) => (s.inner.low << 32n) | s.inner.wide,
  },
  /** An array at a running index: missing past its end. */
  element: {
    type: 'u16',
    build: ({ b, it }, _n, a) => {
      const found = b.let(u16, 0xeeee)
      it.list.at(a.and(7)).match((value) => found.set(value))
      return found.get()
    },
    evaluate: (s, _n, a) => s.list[Number(a & 7n)] ?? 0xeeeen,
  },
  /** The packet at a running offset: missing past its end. */
  packet: {
    type: 'u32',
    build: ({ b }, _n, a) => {
      const found = b.let(u32, 1)
      b.packet.at(a.and(63).to(u32), be32).match((value) => found.set(value.to(u32)))
      return found.get()
    },
    evaluate: (s, _n, a) => (Number(a & 63n) + 4 <= s.packet.length ? bigEndian(s.packet, Number(a & 63n), 4) : 1n),
  },
  cursor: {
    type: 'u16',
    build: ({ b }, n, a) => {
      const cursor = b.packet.cursor(n)
      const found = b.let(u16, 2)
      cursor.skip(a.and(31).to(u32))
      cursor.take(u8).match((first) => {
        cursor.peek(u8).match((second) => found.set(first.to(u16).shl(8).or(second.to(u16))))
      })
      return found.get()
    },
    evaluate: (s, n, a) => {
      const at = n + Number(a & 31n)
      return at + 2 <= s.packet.length ? bigEndian(s.packet, at, 2) : 2n
    },
  },
  log2: {
    type: 'u32',
    build: ({ b }, _n, a) => b.log2(a),
    evaluate: (_s, _n, a) => (a === 0n ? 0n : BigInt(a.toString(2).length - 1)),
  },
  checksum: {
    type: 'u16',
    build: (_m, _n, a) => checksumFold(a).raw(),
    evaluate: (_s, _n, a) => fold(a),
  },
  fetchAdd: {
    type: 'u32',
    build: (_m, _n, a) => state.g32.fetchAdd(a.to(u32)),
    evaluate: (s, _n, a) => {
      const before = s.kept.g32
      s.kept.g32 = wrap('u32', before + a)
      return before
    },
  },
  exchange: {
    type: 'u64',
    build: (_m, _n, a) => state.g64.exchange(a),
    evaluate: (s, _n, a) => {
      const before = s.kept.g64
      s.kept.g64 = a
      return before
    },
  },
  compareExchange: {
    type: 'u32',
    build: (_m, n, a) => state.g32.compareExchange(n, a.to(u32)),
    evaluate: (s, n, a) => {
      const before = s.kept.g32
      if (before === BigInt(n)) s.kept.g32 = low32(a)
      return before
    },
  },
  entry: {
    type: 'u64',
    build: ({ b }, _n, a) => {
      const found = b.let(u64, 0xdeadn)
      entries.lookup(keyOf(a)).match((value) => found.set(value))
      return found.get()
    },
    evaluate: (s, _n, a) => s.kept.entries.get(keyText(a)) ?? 0xdeadn,
  },
  global: {
    type: 'u64',
    build: ({ it }, _n, a) => bounded({ list: it.inner, by: a.to(u32) }),
    evaluate: (s, _n, a) => (low32(a) < 100n ? s.inner.low + low32(a) : s.inner.wide),
  },
  /** Memory outside the stack. */
  scratch: {
    type: 'u64',
    build: ({ b }, n, a) => {
      const found = b.let(u64, 0)
      b.scratch(Shared).match((memory) => {
        memory.last.set(a)
        memory.count.set(n)
        found.set(memory.last.add(memory.count.to(u64)))
      })
      return found.get()
    },
    evaluate: (_s, n, a) => wrap('u64', a + BigInt(n)),
  },
}

export const TESTS: Record<string, Test> = {
  flag: {
    build: ({ it }, n) => it[FLAGS[n % 2]],
    evaluate: (s, n) => s.flags[n % 2],
  },
  textEqual: {
    build: ({ it }) => it.text.eq(it.other),
    evaluate: (s) => s.texts[0].every((byte, i) => byte === s.texts[1][i]),
  },
  textIs: {
    build: ({ it }) => it.text.ne('a'),
    evaluate: (s) => s.texts[0].some((byte, i) => byte !== (i === 0 ? 97 : 0)),
  },
  wireEqual: {
    build: ({ it }, n, a) => it.n16.eq(a.to(u16).to(be16)).or(it.n32.oneOf(n, 77)),
    evaluate: (s, n, a) => s.wires[0] === (a & 0xffffn) || s.wires[1] === BigInt(n) || s.wires[1] === 77n,
  },
  wireBits: {
    build: ({ it }, n) => it.n64.hasBits(n).not(),
    evaluate: (s, n) => (s.wires[2] & BigInt(n)) === 0n,
  },
  oneOf: {
    build: (_m, n, a) => a.to(u8).oneOf(1, n, 3, 60),
    evaluate: (_s, n, a) => [1n, BigInt(n), 3n, 60n].includes(a & 0xffn),
  },
  has: {
    build: (_m, _n, a) => entries.has(keyOf(a)),
    evaluate: (s, _n, a) => s.kept.entries.has(keyText(a)),
  },
}

export const WRITES: Record<string, Write> = {
  bits: {
    build: (m, n, a) => {
      const field = bitsOf(m, n)
      field.set(a.and((1 << WIDTHS[n % 4]) - 1).to(field.type as unknown as typeof u32))
    },
    evaluate: (s, n, a) => {
      s.bits[n % 4] = a & BigInt((1 << WIDTHS[n % 4]) - 1)
    },
  },
  wire: {
    build: ({ it }, n, a) => {
      if (n % 3 === 0) it.n16.set(a.to(be16))
      else if (n % 3 === 1) it.n32.set(a.to(be32).and(0xffff00))
      else it.n64.set(a.to(be64))
    },
    evaluate: (s, n, a) => {
      const value = a & ((1n << BigInt(WIRE_BITS[n % 3])) - 1n)
      s.wires[n % 3] = n % 3 === 1 ? value & 0xffff00n : value
    },
  },
  flag: {
    build: ({ it }, n, a, c) => it[FLAGS[n % 2]].set(a.gt(c)),
    evaluate: (s, n, a, c) => {
      s.flags[n % 2] = a > c
    },
  },
  byte: {
    build: ({ it }, n, a) => it[TEXTS[n % 2]].at(n % 11).set(a.to(u8)),
    evaluate: (s, n, a) => {
      s.texts[n % 2][n % 11] = Number(a & 0xffn)
    },
  },
  copy: {
    build: ({ it }) => it.other.set(it.text),
    evaluate: (s) => s.texts[1].set(s.texts[0]),
  },
  swap: {
    build: ({ it }) => it.other.swap(it.text),
    evaluate: (s) => {
      const before = s.texts[1].slice()
      s.texts[1].set(s.texts[0])
      s.texts[0].set(before)
    },
  },
  literal: {
    build: ({ it }, n) => it.text.set(Uint8Array.of(97, n)),
    evaluate: (s, n) => s.texts[0].fill(0).set([97, n]),
  },
  nested: {
    build: ({ it }, n, a) => it.$set({ inner: { low: n, wide: a.to(be32) } }),
    evaluate: (s, n, a) => {
      s.inner.low = BigInt(n)
      s.inner.wide = low32(a)
    },
  },
  element: {
    build: ({ it }, _n, a, c) => it.list.at(a.and(7)).match((field) => field.set(c.to(u16))),
    evaluate: (s, _n, a, c) => {
      const i = Number(a & 7n)
      if (i < 5) s.list[i] = c & 0xffffn
    },
  },
  packet: {
    build: ({ b }, _n, a, c) =>
      b.packet.at(a.and(63).to(u32), struct('part', { x: be16, y: u8 }, { packed: true })).match((part) => {
        part.x.set(c.to(be16))
        part.y.set(part.y.add(1))
      }),
    evaluate: (s, _n, a, c) => {
      const at = Number(a & 63n)
      if (at + 3 > s.packet.length) return
      s.packet[at] = Number((c >> 8n) & 0xffn)
      s.packet[at + 1] = Number(c & 0xffn)
      s.packet[at + 2]++
    },
  },
  increment: {
    build: (_m, n, a) => entries.increment(keyOf(a), n),
    evaluate: ({ kept }, n, a) => {
      kept.entries.set(keyText(a), wrap('u64', (kept.entries.get(keyText(a)) ?? 0n) + BigInt(n)))
    },
  },
  put: {
    build: (_m, n, a, c) => void entries.set(keyOf(a), c, n % 2 === 0 ? 'any' : 'noexist'),
    evaluate: ({ kept }, n, a, c) => {
      if (n % 2 === 0 || !kept.entries.has(keyText(a))) kept.entries.set(keyText(a), c)
    },
  },
  delete: {
    build: (_m, _n, a) => void entries.delete(keyOf(a)),
    evaluate: ({ kept }, _n, a) => void kept.entries.delete(keyText(a)),
  },
  getOrInit: {
    build: (_m, _n, a, c) => entries.getOrInit(keyOf(a), c).match((value) => value.set(value.mul(3))),
    evaluate: ({ kept }, _n, a, c) => {
      kept.entries.set(keyText(a), wrap('u64', (kept.entries.get(keyText(a)) ?? c) * 3n))
    },
  },
  shared: {
    build: ({ it }, n, a) =>
      shared.lookup(n % 2).match((value) => {
        value.count.atomicXor(a.to(u32))
        it.list.at(3).set(value.count.to(u16))
        value.last.atomicAnd(a)
        value.last.atomicOr(n)
        value.note.at(n % 5).set(a.to(u8))
      }),
    evaluate: (s, n, a) => {
      const value = s.kept.shared[n % 2]
      value.count ^= low32(a)
      s.list[3] = value.count & 0xffffn
      value.last = (value.last & a) | BigInt(n)
      value.note[n % 5] = Number(a & 0xffn)
    },
  },
  sharedCopy: {
    build: ({ b, it }) => {
      const copy = b.local(Shared)
      shared.lookup(0).match((from) => copy.$copy(from))
      b.if(copy.note.at(1).gt(100), () => copy.$zero())
      it.list.at(4).set(copy.note.at(1).to(u16).add(copy.last.to(u16)))
      shared.lookup(1).match((to) => to.$copy(copy))
    },
    evaluate: (s) => {
      const [from, to] = s.kept.shared
      to.count = from.count
      to.last = from.last
      to.note.set(from.note)
      if (from.note[1] > 100) {
        to.count = 0n
        to.last = 0n
        to.note.fill(0)
      }
      s.list[4] = (BigInt(to.note[1]) + to.last) & 0xffffn
    },
  },
}

/** All of the memory, for the result: as numbers that are mixed. */
export function seen({ it }: Memory): Int<'u64'>[] {
  const part = (text: typeof it.text): Int<'u64'>[] => Array.from({ length: 11 }, (_, i) => text.at(i).to(u64))
  return [
    ...BITS.map((name) => (it[name] as unknown as Int<'u32'>).to(u64)),
    ...WIRES.map((name) => it[name].to(u64)),
    ...part(it.text),
    ...part(it.other),
    it.inner.low.to(u64),
    it.inner.wide.to(u64),
    ...Array.from({ length: 5 }, (_, i) => it.list.at(i).to(u64)),
    state.g32.to(u64),
    state.g64,
  ]
}
export function seenState(s: State): bigint[] {
  const bytesOf = (text: Uint8Array): bigint[] => [...text].map(BigInt)
  return [
    ...s.bits,
    ...s.wires,
    ...bytesOf(s.texts[0]),
    ...bytesOf(s.texts[1]),
    s.inner.low,
    s.inner.wide,
    ...s.list,
    s.kept.g32,
    s.kept.g64,
  ]
}
