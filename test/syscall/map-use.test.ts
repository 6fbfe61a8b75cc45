import { execFileSync } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync, rmdirSync, rmSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { assembleText } from '../../src/asm/index.ts'
import { BtfBuilder } from '../../src/btf/index.ts'
import type { MapSpec, ObjectSpec } from '../../src/spec/index.ts'
import {
  attachCgroup,
  BpfMap,
  createJudge,
  createMapSet,
  createRawMap,
  FakeSys,
  loadBtf,
  loadObject,
  programInfo,
  type RawMap,
  rawBytes,
  realSys,
} from '../../src/syscall/index.ts'
import { ArenaMap } from '../../src/syscall/maps/arena-map.ts'
import { ATTACH_TYPES, BPF_COMMANDS, MAP_FLAGS, MAP_TYPES, type MapType, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace } from './own-namespace.ts'
import { counter, imageOf } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip')
let own: OwnNamespace | undefined

beforeAll(() => {
  if (unmet('bpf', 'program:ip') === undefined) own = enterOwnNamespace()
})
afterAll(() => own?.close())

const spec = (type: MapType, rest: Partial<MapSpec> = {}): MapSpec => ({
  name: type.slice(0, 15),
  type: MAP_TYPES[type],
  keySize: 4,
  valueSize: 4,
  maxEntries: 4,
  flags: 0,
  ...rest,
})
const words = (...values: number[]): Uint8Array => new Uint8Array(new Uint32Array(values).buffer)
const wordsOf = (bytes: Uint8Array | undefined): number[] =>
  bytes === undefined ? [] : [...new Uint32Array(bytes.slice().buffer)]

function storage(type: MapType): { map: RawMap; [Symbol.dispose](): void } {
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
  const btf = loadBtf(realSys(), builder.toBytes())
  const map = createRawMap(
    realSys(),
    spec(type, { maxEntries: 0, flags: MAP_FLAGS.no_prealloc, btfKeyTypeId: int, btfValueTypeId: int }),
    { btfFd: btf.fd },
  )
  btf.close()
  return { map, [Symbol.dispose]: () => map.close() }
}

describe('local storage is reached by descriptors', () => {
  const owners: readonly [MapType, () => number][] = [
    ['task_storage', () => realSys().call('pidfd_open', process.pid, 0)],
    ['inode_storage', () => openSync(process.execPath, 'r')],
    ['sk_storage', () => realSys().call('socket', 2, 2, 0)],
    ['cgrp_storage', () => openSync(`${own?.folder}/cgroup2`, 'r')],
  ]
  for (const [type, open] of owners)
    bpfTest(`${type}: set, get, delete`, () => {
      using used = storage(type)
      const fd = open()
      expect(fd).toBeGreaterThan(0)
      try {
        expect(used.map.lookup(words(fd))).toBeUndefined()
        used.map.update(words(fd), words(42))
        expect(wordsOf(used.map.lookup(words(fd)))).toEqual([42])
        expect(() => used.map.update(words(fd), words(1), 1)).toThrow(/EEXIST/)
        expect(used.map.delete(words(fd))).toBe(true)
        expect(used.map.delete(words(fd))).toBe(false)
        expect(() => used.map.lookup(words(999_999))).toThrow(/EBADF/)
        expect(() => [...used.map.keys()]).toThrow(/ENOTSUPP/)
      } finally {
        closeSync(fd)
      }
    })

  bpfTest('cgroup_storage: a value for each cgroup that a program is attached to', () => {
    const cgroup = `${own?.folder}/cgroup2/typebpf-storage-${process.pid}`
    mkdirSync(cgroup)
    try {
      const text = 'r1 = 0x0 ll\nr2 = 0\ncall 81\nr1 = 1\nlock *(u64 *)(r0 + 0) += r1\nr0 = 1\nexit\n'
      using loaded = createJudge().load(
        imageOf('cgroup_sock', text, {
          expectedAttachType: ATTACH_TYPES.cgroup_inet_sock_create,
          maps: [spec('cgroup_storage', { keySize: 16, valueSize: 8, maxEntries: 0 })],
          relocations: [{ insn: 0, map: 0, kind: 'fd' }],
        }),
      )
      if (loaded.program === undefined) throw new Error(loaded.log)
      using _ = attachCgroup(loaded.program, { cgroup, type: 'cgroup_inet_sock_create' })
      const [map] = loaded.maps
      const [key] = [...map.keys()]
      const { ino } = { ino: new DataView(key.buffer).getBigUint64(0, true) }
      expect(ino).toBeGreaterThan(0n)
      execFileSync('bash', ['-c', `echo $$ > ${cgroup}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`])
      expect(wordsOf(map.lookup(key))[0]).toBe(1)
      map.update(key, words(100, 0), 2)
      expect(wordsOf(map.lookup(key))[0]).toBe(100)
    } finally {
      rmdirSync(cgroup)
    }
  })
})

describe('maps of things', () => {
  bpfTest('devmap and cpumap entries carry programs and give back their ids', () => {
    const sys = realSys()
    for (const [type, attach, first] of [
      ['devmap', 'xdp_devmap', 1],
      ['devmap_hash', 'xdp_devmap', 1],
      ['cpumap', 'xdp_cpumap', 192],
    ] as const) {
      using program = counter('xdp', 2, { attach })
      using map = createRawMap(sys, spec(type, { valueSize: 8, maxEntries: type === 'cpumap' ? 1 : 4 }))
      map.update(words(0), words(first, program.program.fd))
      expect(wordsOf(map.lookup(words(0)))).toEqual([first, programInfo(sys, program.program.fd).id])
      expect(map.delete(words(0))).toBe(true)
      expect(() => map.update(words(0), words(type === 'cpumap' ? 1e6 : 4242, 0))).toThrow(/EOVERFLOW|EINVAL/)
    }
    using plain = counter('xdp', 2)
    using map = createRawMap(sys, spec('devmap', { valueSize: 8 }))
    expect(() => map.update(words(0), words(1, plain.program.fd))).toThrow(/EINVAL/)
  })

  bpfTest('xskmap, reuseport_sockarray, cgroup_array, sockmap take descriptors', () => {
    const sys = realSys()
    const fds: number[] = []
    const socket = (family: number, type: number): number => {
      fds.push(sys.call('socket', family, type, 0))
      return fds[fds.length - 1]
    }
    try {
      using xsk = createRawMap(sys, spec('xskmap'))
      xsk.update(words(0), words(socket(44, 3)))
      expect(xsk.delete(words(0))).toBe(true)
      expect(() => xsk.update(words(0), words(socket(2, 2)))).toThrow(/EOPNOTSUPP/)

      using one = sys.alloc(4)
      one.view.setUint32(0, 1, true)
      using address = sys.alloc(16)
      address.view.setUint16(0, 2, true)
      address.view.setUint32(4, 0x7f000001)
      const bound = socket(2, 2)
      expect(sys.call('setsockopt', bound, 1, 15, one.address, 4)).toBe(0)
      expect(sys.call('bind', bound, address.address, 16)).toBe(0)
      using group = createRawMap(sys, spec('reuseport_sockarray', { valueSize: 8 }))
      group.update(words(1), words(bound, 0))
      expect(group.lookup(words(1))).toBeDefined()
      expect(group.lookup(words(0))).toBeUndefined()
      expect(group.delete(words(1))).toBe(true)

      fds.push(openSync(`${own?.folder}/cgroup2`, 'r'))
      using cgroups = createRawMap(sys, spec('cgroup_array'))
      cgroups.update(words(0), words(fds[fds.length - 1]))
      expect(cgroups.delete(words(0))).toBe(true)

      using sockets = createRawMap(sys, spec('sockmap', { valueSize: 8 }))
      sockets.update(words(0), words(bound, 0))
      expect(wordsOf(sockets.lookup(words(0)))[0]).toBeGreaterThan(0)
    } finally {
      for (const fd of fds) sys.call('close', fd)
    }
  })

  bpfTest('an arena is memory of both sides', () => {
    const [map] = createMapSet(realSys(), [
      spec('arena', { keySize: 0, valueSize: 0, maxEntries: 3, flags: MAP_FLAGS.mmapable, arenaData: words(7, 8) }),
    ])
    expect(map).toBeInstanceOf(ArenaMap)
    using arena = map as ArenaMap
    expect([arena.length, wordsOf(arena.bytes.slice(0, 8)), arena.address % 4096]).toEqual([3 * 4096, [7, 8], 0])
    arena.bytes[2 * 4096] = 5
    expect(arena.bytes[2 * 4096]).toBe(5)
    const { bytes } = arena
    arena.close()
    expect(bytes[0]).toBe(0)
  })
})

describe('pinned by name', () => {
  const object = (rest: Partial<MapSpec> = {}): ObjectSpec => ({
    name: 'pins',
    license: 'GPL',
    maps: [spec('array', { name: 'kept.here', pinning: 'by_name', ...rest })],
    functions: [],
    externs: [],
    littleEndian: true,
    programs: [
      {
        name: 'entry',
        section: 'socket',
        type: PROGRAM_TYPES.socket_filter,
        expectedAttachType: 0,
        flags: 0,
        linkage: 'global',
        instructions: assembleText('r1 = 0 ll\nr0 = 0\nexit').sections[0].instructions.map((instruction, i) =>
          i === 0 ? { ...instruction, src: 1, reference: { kind: 'map', name: 'kept.here' } as const } : instruction,
        ),
      },
    ],
    variables: [],
  })

  bpfTest('a map is pinned, used again by the next object, and refused by another kind', () => {
    const pinFolder = `${own?.folder}/bpf/named`
    {
      using first = loadObject(realSys(), object(), { pinFolder })
      expect(first.programs[0].result.message).toBeUndefined()
      first.maps.get('kept.here')?.update(words(2), words(99))
    }
    expect(existsSync(`${pinFolder}/kept_here`)).toBe(true)
    using second = loadObject(realSys(), object(), { pinFolder })
    expect(wordsOf(second.maps.get('kept.here')?.lookup(words(2)))).toEqual([99])
    expect(() => loadObject(realSys(), object({ maxEntries: 5 }), { pinFolder })).toThrow(
      /is another map than kept.here/,
    )
    try {
      loadObject(realSys(), object({ maxEntries: 5, valueSize: 8 }), { pinFolder })
    } catch (error) {
      expect((error as { details: string[] }).details).toEqual([
        'value size: 4 there, 8 here',
        'entries: 4 there, 5 here',
        'remove the file, or give the map another name',
      ])
    }
    using unpinned = loadObject(realSys(), object())
    expect(wordsOf(unpinned.maps.get('kept.here')?.lookup(words(2)))).toEqual([0])
    rmSync(`${pinFolder}/kept_here`)
  })
})

test('a map type without batches is read key by key', () => {
  const keys = [3, 5, 9]
  let asked = 0
  const sys = new FakeSys((command, attr, fake) => {
    const at = (offset: number): Uint8Array => fake.at(attr.getBigUint64(offset, true), 4)
    if (command === BPF_COMMANDS.map_lookup_batch) {
      asked++
      return -22
    }
    if (command === BPF_COMMANDS.map_get_next_key) {
      const address = attr.getBigUint64(8, true)
      const next = address === 0n ? keys[0] : keys[keys.indexOf(at(8)[0]) + 1]
      if (next === undefined) return -2
      at(16).set(words(next))
      return 0
    }
    if (command === BPF_COMMANDS.map_lookup_elem) {
      at(16).set(words(at(8)[0] * 2))
      return 0
    }
    return 5
  })
  const map = new BpfMap(createRawMap(sys, spec('hash')), { key: rawBytes(4), value: rawBytes(4) })
  expect([...map].map(([key, value]) => [key[0], value[0]])).toEqual([
    [3, 6],
    [5, 10],
    [9, 18],
  ])
  expect(asked).toBe(1)
  map.close()
})
