import { execFileSync } from 'node:child_process'
import { describe, expect } from 'vitest'
import { BtfBuilder } from '../../src/btf/index.ts'
import { struct, u8, u32, u64 } from '../../src/layout/index.ts'
import type { MapSpec } from '../../src/spec/index.ts'
import {
  createMap,
  createRawMap,
  loadBtf,
  mapInfo,
  openMap,
  possibleCpus,
  rawBytes,
  realSys,
} from '../../src/syscall/index.ts'
import { MAP_FLAGS, MAP_TYPES, type MapType } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

const bpfTest = testWith('bpf')
const spec = (type: MapType, rest: Partial<MapSpec> = {}): MapSpec => ({
  name: `test_${type}`.slice(0, 15),
  type: MAP_TYPES[type],
  keySize: 4,
  valueSize: 8,
  maxEntries: 64,
  flags: 0,
  ...rest,
})
const numbers = { key: u32, value: u64 }

describe('typed maps', () => {
  for (const type of ['hash', 'lru_hash'] as const)
    bpfTest(`${type}: get, set, has, delete, entries, clear`, () => {
      using map = createMap(realSys(), spec(type), numbers)
      expect(map.get(1)).toBeUndefined()
      map.set(1, 0xffff_ffff_ffff_ffffn)
      expect(map.get(1)).toBe(0xffff_ffff_ffff_ffffn)
      expect(() => map.set(1, 2n, { only: 'new' })).toThrow(/EEXIST/)
      expect(() => map.set(2, 2n, { only: 'existing' })).toThrow(/ENOENT/)
      map.setMany([
        [2, 20n],
        [3, 30n],
        [4, 40n],
      ])
      expect(new Map(map.entries())).toEqual(
        new Map([
          [1, 0xffff_ffff_ffff_ffffn],
          [2, 20n],
          [3, 30n],
          [4, 40n],
        ]),
      )
      expect(map.take(2)).toBe(20n)
      expect([map.has(2), map.has(3)]).toEqual([false, true])
      expect([map.delete(3), map.delete(3)]).toEqual([true, false])
      map.clear()
      expect([...map.keys()]).toEqual([])
    })

  bpfTest('a full hash says so', () => {
    using map = createMap(realSys(), spec('hash', { maxEntries: 1 }), numbers)
    map.set(1, 1n)
    expect(() => map.set(2, 2n)).toThrow(
      expect.objectContaining({ errno: 7, details: [expect.stringMatching(/full/)] }),
    )
  })

  bpfTest('struct values go through their layout', () => {
    const Point = struct('point', { x: u32, y: u8, z: u64 })
    using map = createMap(realSys(), spec('hash', { valueSize: Point.size }), { key: u32, value: Point })
    map.set(7, { x: 1, y: 2, z: 3n })
    expect(map.get(7)).toEqual({ x: 1, y: 2, z: 3n })
    expect(() => createMap(realSys(), spec('hash'), { key: u32, value: Point })).toThrow(/layouts have 4 and/)
  })

  for (const type of ['percpu_hash', 'percpu_array', 'lru_percpu_hash'] as const)
    bpfTest(`${type}: a value for every CPU, and their sum`, () => {
      using map = createMap(realSys(), spec(type), numbers)
      const values = Array.from({ length: possibleCpus() }, (_, cpu) => BigInt(cpu + 1))
      map.setAll(5, values)
      expect(map.getAll(5)).toEqual(values)
      expect(map.sum(5)).toBe(values.reduce((a, b) => a + b))
      expect(map.sum(5, (total: number, value) => total + Number(value), 100)).toBe(100 + Number(map.sum(5)))
      expect(new Map(map.entriesAll()).get(5)).toEqual(values)
    })

  bpfTest('array: every index is there, clear zeroes', () => {
    using map = createMap(realSys(), spec('array', { maxEntries: 3 }), numbers)
    map.set(2, 9n)
    expect([...map]).toEqual([
      [0, 0n],
      [1, 0n],
      [2, 9n],
    ])
    expect(() => map.set(3, 1n)).toThrow(/E2BIG/)
    map.clear()
    expect([...map.values()]).toEqual([0n, 0n, 0n])
  })

  bpfTest('a mapped array is live in both directions', () => {
    using map = createMap(realSys(), spec('array', { flags: MAP_FLAGS.mmapable, maxEntries: 1000 }), numbers)
    const live = map.mmap()
    live.set(999, 5n)
    expect(map.get(999)).toBe(5n)
    map.set(3, 7n)
    expect(live.get(3)).toBe(7n)
    expect(() => live.get(1000)).toThrow(/outside/)
    live.close()
    expect(live.get(3)).toBe(0n)
    expect(() => map.mmap({ writable: false }).set(0, 1n)).toThrow(/reading only/)
    using plain = createMap(realSys(), spec('array'), numbers)
    expect(() => plain.mmap()).toThrow(/mmapable/)
  })

  bpfTest('lpm_trie: the longest prefix wins', () => {
    const Prefix = struct('prefix', { bits: u32, a: u8, b: u8, c: u8, d: u8 })
    using map = createMap(realSys(), spec('lpm_trie', { keySize: 8, flags: MAP_FLAGS.no_prealloc }), {
      key: Prefix,
      value: u64,
    })
    map.set({ bits: 8, a: 10, b: 0, c: 0, d: 0 }, 1n)
    map.set({ bits: 16, a: 10, b: 1, c: 0, d: 0 }, 2n)
    expect(map.get({ bits: 32, a: 10, b: 1, c: 2, d: 3 })).toBe(2n)
    expect(map.get({ bits: 32, a: 10, b: 9, c: 2, d: 3 })).toBe(1n)
    expect([...map.keys()]).toHaveLength(2)
  })

  bpfTest('queue and stack', () => {
    for (const [type, first] of [
      ['queue', 1n],
      ['stack', 2n],
    ] as const) {
      using map = createMap(realSys(), spec(type, { keySize: 0, maxEntries: 2 }), { key: rawBytes(0), value: u64 })
      map.push(1n)
      map.push(2n)
      expect(() => map.push(3n)).toThrow(/E2BIG/)
      expect(map.peek()).toBe(first)
      expect([map.pop(), map.pop(), map.pop()]).toEqual([first, 3n - first, undefined])
    }
  })

  bpfTest('bloom_filter', () => {
    using map = createMap(realSys(), spec('bloom_filter', { keySize: 0, mapExtra: 3n }), {
      key: rawBytes(0),
      value: u64,
    })
    map.push(42n)
    expect(map.mayContain(42n)).toBe(true)
    expect(map.mayContain(43n)).toBe(false)
  })

  bpfTest('a map that another made is read through its own BTF', () => {
    const sys = realSys()
    const builder = new BtfBuilder()
    const int = builder.int('unsigned int', 4)
    const long = builder.int('unsigned long', 8)
    const value = builder.add({
      kind: 'struct',
      name: 'seen',
      size: 16,
      members: [
        { name: 'count', type: long, bitOffset: 0, bitSize: 0 },
        { name: 'last', type: int, bitOffset: 64, bitSize: 0 },
      ],
    })
    using btf = loadBtf(sys, builder.toBytes())
    using raw = createRawMap(sys, spec('hash', { valueSize: 16, btfKeyTypeId: int, btfValueTypeId: value }), {
      btfFd: btf.fd,
    })
    raw.update(new Uint8Array([7, 0, 0, 0]), new Uint8Array(16).fill(1))
    using map = openMap(sys, { id: mapInfo(sys, raw.fd).id })
    expect([...map]).toEqual([[7, { count: 0x0101010101010101n, last: 0x01010101 }]])
    using plain = createRawMap(sys, spec('hash', { valueSize: 2 }))
    using bytes = openMap(sys, { id: mapInfo(sys, plain.fd).id })
    bytes.set(new Uint8Array(4), new Uint8Array([1, 2]))
    expect([...bytes.values()]).toEqual([new Uint8Array([1, 2])])
    expect(() => openMap(sys, { id: 0x7fff_ffff })).toThrow(/no map/)
  })

  bpfTest('maps in maps: the inner map is found by its id', () => {
    const sys = realSys()
    using inner = createMap(sys, spec('array', { maxEntries: 1 }), numbers)
    for (const type of ['array_of_maps', 'hash_of_maps'] as const) {
      using outer = createMap(sys, spec(type, { valueSize: 4 }), { key: u32, value: u32 }, { innerMapFd: inner.fd })
      outer.set(1, inner.fd)
      expect(outer.get(1)).toBe(mapInfo(sys, inner.fd).id)
    }
  })

  bpfTest('every other type that this kernel makes can be made and closed', () => {
    const sys = realSys()
    const page = sys.pageSize
    const builder = new BtfBuilder()
    const int = builder.add({
      kind: 'int',
      name: 'int',
      size: 4,
      bits: 32,
      bitOffset: 0,
      signed: true,
      char: false,
      bool: false,
    })
    using btf = loadBtf(sys, builder.toBytes())
    const typed = {
      btfKeyTypeId: int,
      btfValueTypeId: int,
      keySize: 4,
      valueSize: 4,
      maxEntries: 0,
      flags: MAP_FLAGS.no_prealloc,
    }
    const rows: readonly [MapType, Partial<MapSpec>][] = [
      ['prog_array', { valueSize: 4 }],
      ['perf_event_array', { valueSize: 4 }],
      ['stack_trace', { valueSize: 80 }],
      ['cgroup_array', { valueSize: 4 }],
      ['devmap', { valueSize: 8 }],
      ['devmap_hash', { valueSize: 8 }],
      ['cpumap', { valueSize: 8, maxEntries: possibleCpus() }],
      ['xskmap', { valueSize: 4 }],
      ['sockmap', { valueSize: 4 }],
      ['sockhash', { valueSize: 4 }],
      ['cgroup_storage', { keySize: 16, maxEntries: 0 }],
      ['percpu_cgroup_storage', { keySize: 16, maxEntries: 0 }],
      ['reuseport_sockarray', { valueSize: 8 }],
      ['ringbuf', { keySize: 0, valueSize: 0, maxEntries: page }],
      ['user_ringbuf', { keySize: 0, valueSize: 0, maxEntries: page }],
      ['sk_storage', typed],
      ['inode_storage', typed],
      ['task_storage', typed],
      ['cgrp_storage', typed],
      ['arena', { keySize: 0, valueSize: 0, maxEntries: 4, flags: MAP_FLAGS.mmapable }],
    ]
    for (const [type, rest] of rows) {
      using map = createRawMap(sys, spec(type, rest), { btfFd: btf.fd })
      expect([type, mapInfo(sys, map.fd).type]).toEqual([type, MAP_TYPES[type]])
    }
  })

  bpfTest('iteration ends and misses nothing when every entry is deleted on the way', () => {
    using map = createMap(realSys(), spec('hash', { maxEntries: 5000 }), numbers)
    map.setMany(Array.from({ length: 5000 }, (_, i) => [i, BigInt(i)] as const))
    const seen = new Set<number>()
    for (const key of map.keys()) {
      seen.add(key)
      map.delete(key)
    }
    expect(seen.size).toBe(5000)
    expect([...map.keys()]).toEqual([])
  })

  bpfTest('10,000 random entries come back equal, in batches and key by key', () => {
    using map = createMap(realSys(), spec('hash', { maxEntries: 10_000 }), numbers)
    const wanted = new Map(
      Array.from({ length: 10_000 }, (_, i) => [(i * 2654435761) >>> 0, BigInt(i) << 33n] as const),
    )
    map.setMany(wanted)
    expect(new Map(map.entries())).toEqual(wanted)
    expect(new Map([...map.raw.keys()].map((key) => [new DataView(key.buffer).getUint32(0, true), 1])).size).toBe(
      10_000,
    )
  })

  testWith('bpf', 'program:bpftool')('bpftool sees the map that we made', () => {
    const sys = realSys()
    using map = createMap(
      sys,
      spec('hash', { name: 'seen_by_tool', maxEntries: 77, flags: MAP_FLAGS.no_prealloc }),
      numbers,
    )
    map.set(0x01020304, 0x05n)
    const { id } = mapInfo(sys, map.fd)
    const tool = (...args: string[]): unknown =>
      JSON.parse(
        execFileSync('bpftool', ['-j', 'map', ...args], {
          encoding: 'utf8',
          env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
        }),
      )
    expect(tool('show', 'id', String(id))).toMatchObject({
      id,
      type: 'hash',
      name: 'seen_by_tool',
      bytes_key: 4,
      bytes_value: 8,
      max_entries: 77,
      flags: 1,
    })
    expect(tool('dump', 'id', String(id))).toMatchObject([
      {
        key: ['0x04', '0x03', '0x02', '0x01'],
        value: ['0x05', '0x00', '0x00', '0x00', '0x00', '0x00', '0x00', '0x00'],
      },
    ])
  })
})
