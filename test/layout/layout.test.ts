import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder } from '../../src/btf/index.ts'
import {
  addLayout,
  array,
  be16,
  be32,
  bits,
  bool,
  bytes,
  chars,
  decode,
  encode,
  enumeration,
  i16,
  i64,
  ipv4,
  ipv6,
  layoutFromBtf,
  mac,
  struct,
  u8,
  u16,
  u32,
  u64,
  union,
} from '../../src/layout/index.ts'

const Inner = struct('inner', { flag: bool, count: u16 })
const Event = struct('event', {
  pid: u32,
  at: u64,
  name: chars(16),
  port: be16,
  inner: Inner,
  list: array(u32, 3),
  low: bits(u32, 3),
  high: bits(u32, 29),
  delta: i64,
})

describe('struct layout', () => {
  test('places members as C does', () => {
    expect(Event.fields.map(({ name, offset }) => [name, offset])).toEqual([
      ['pid', 0],
      ['at', 8],
      ['name', 16],
      ['port', 32],
      ['inner', 34],
      ['list', 40],
      ['low', 52],
      ['high', 52],
      ['delta', 56],
    ])
    expect([Event.size, Event.align]).toEqual([64, 8])
  })

  test('packs without padding when asked', () => {
    const ethernet = struct('ethhdr', { dst: mac, src: mac, proto: be16 }, { packed: true })
    expect([ethernet.size, ethernet.align]).toEqual([14, 1])
  })

  test('starts a new storage unit for a bit field that would cross one', () => {
    const s = struct('s', { a: bits(u8, 5), b: bits(u8, 5), c: u8 })
    expect(s.fields.map(({ bitOffset, offset }) => [bitOffset, offset])).toEqual([
      [0, 0],
      [8, 1],
      [undefined, 2],
    ])
  })

  test('places bit fields from the low end in little endian and from the high end in big endian', () => {
    const s = struct('s', { version: bits(u8, 4), length: bits(u8, 4) })
    expect(encode(s, { version: 4, length: 5 }, 'little')).toEqual(Uint8Array.of(0x54))
    expect(encode(s, { version: 4, length: 5 }, 'big')).toEqual(Uint8Array.of(0x45))
  })
})

describe('codec', () => {
  test('network-order fields ignore the byte order of the machine', () => {
    expect(encode(be32, 0x01020304, 'little')).toEqual(Uint8Array.of(1, 2, 3, 4))
    expect(encode(u32, 0x01020304, 'little')).toEqual(Uint8Array.of(4, 3, 2, 1))
    expect(encode(u32, 0x01020304, 'big')).toEqual(Uint8Array.of(1, 2, 3, 4))
  })

  test('decode(encode(value)) is the value in both byte orders', () => {
    const value = fc.record({
      pid: fc.nat(0xffffffff),
      at: fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
      name: fc.stringMatching(/^[a-z]{0,15}$/),
      port: fc.nat(0xffff),
      inner: fc.record({ flag: fc.boolean(), count: fc.nat(0xffff) }),
      list: fc.tuple(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.nat(0xffffffff)).map((list) => [...list]),
      low: fc.nat(7),
      high: fc.nat(2 ** 29 - 1),
      delta: fc.bigInt({ min: -(1n << 63n), max: (1n << 63n) - 1n }),
    })
    fc.assert(
      fc.property(value, fc.constantFrom('little' as const, 'big' as const), (v, order) => {
        expect(decode(Event, encode(Event, v, order), order)).toEqual(v)
      }),
    )
  })

  test('reads and writes addresses as text', () => {
    expect(encode(ipv4, '192.0.2.1')).toEqual(Uint8Array.of(192, 0, 2, 1))
    expect(decode(mac, Uint8Array.of(2, 0, 0, 0, 0, 0xa))).toBe('02:00:00:00:00:0a')
    for (const text of ['::', '::1', '2001:db8::1', 'fe80::1:0:0:2', '1:2:3:4:5:6:7:8'])
      expect(decode(ipv6, encode(ipv6, text))).toBe(text)
    expect(decode(ipv6, encode(ipv6, '::ffff:192.0.2.1'))).toBe('::ffff:c000:201')
    for (const text of ['', ':', '1::2::3', '1:2:3', 'g::', '1:2:3:4:5:6:7:8:9', '::1.2.3.400'])
      expect(() => encode(ipv6, text), text).toThrow(/IPv6/)
  })

  test('names the path of a value that does not fit', () => {
    const s = struct('s', { list: array(struct('p', { x: u8 }), 2) })
    expect(() => encode(s, { list: [{ x: 1 }, { x: 256 }] })).toThrow(
      /s\.list\[1\]\.x: 256 is not an integer from 0 to 255/,
    )
    expect(() => encode(i16, 40000)).toThrow(/40000/)
    expect(() => encode(chars(4), 'four')).toThrow(/at most 3 bytes/)
    expect(() => encode(bits(u8, 3), 1)).not.toThrow()
    expect(() => encode(struct('b', { x: bits(u8, 3) }), { x: 8 })).toThrow(/3 bits/)
  })

  test('refuses bytes that are too short', () => {
    expect(() => decode(Event, new Uint8Array(63))).toThrow(/63 bytes, it takes 64/)
  })

  test('a union reads every member and writes one', () => {
    const u = union('u', { word: u32, raw: bytes(4) })
    expect(decode(u, Uint8Array.of(1, 2, 3, 4))).toEqual({ word: 0x04030201, raw: Uint8Array.of(1, 2, 3, 4) })
    expect(encode(u, { word: 1 })).toEqual(Uint8Array.of(1, 0, 0, 0))
  })
})

describe('BTF of layouts', () => {
  const Color = enumeration('color', { RED: 0, BLUE: 7 }, u32)
  const All = struct('all', { event: Event, color: Color, address: mac, from: ipv4, raw: bytes(5) })

  test('a layout made from its own BTF places and reads the same', () => {
    const builder = new BtfBuilder()
    const id = addLayout(builder, All)
    const again = layoutFromBtf(new Btf(builder.toBytes()), id)
    expect(again.size).toBe(All.size)
    const input = Uint8Array.from({ length: All.size }, (_, i) => (i * 37) & 0xff)
    const a = decode(All, input)
    const b = decode(again, input) as typeof a
    expect(b.event).toEqual(a.event)
    expect(b.color).toBe(a.color)
  })

  test('equal layouts are one BTF type', () => {
    const builder = new BtfBuilder()
    const id = addLayout(builder, Event)
    const count = builder.typeCount
    expect(addLayout(builder, Event)).toBe(id)
    expect(builder.typeCount).toBe(count)
  })
})
