import { readdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { encode, struct, u32, u64, union } from '../../src/layout/index.ts'
import {
  attachCgroup,
  attachNetfilter,
  attachUprobe,
  attachXdp,
  createMap,
  createRawMap,
  interfaceIndex,
  linkInfo,
  loadImage,
  mapInfo,
  openById,
  openMap,
  openPinned,
  pin,
  programInfo,
  rawBytes,
  realSys,
  runProgram,
  stats,
} from '../../src/syscall/index.ts'
import { MAP_FLAGS, MAP_TYPES, type MapType } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace } from './own-namespace.ts'
import { counter, imageOf } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip')
let own: OwnNamespace | undefined
beforeAll(() => {
  if (unmet('bpf', 'program:ip') === undefined) own = enterOwnNamespace()
})
afterAll(() => own?.close())

const sys = () => realSys()
const spec = (type: MapType, rest: object = {}) => ({
  name: 'wrong',
  type: MAP_TYPES[type],
  keySize: 4,
  valueSize: 8,
  maxEntries: 8,
  flags: 0,
  ...rest,
})
const numbers = { key: u32, value: u64 }
/** What somebody without types may hand over. */
const any = (value: unknown): never => value as never
const code = (name: string): object => expect.objectContaining({ code: name })

describe('maps', () => {
  bpfTest('keys and values of a wrong kind or size are refused before the kernel sees them', () => {
    using map = createMap(sys(), spec('hash'), numbers)
    for (const key of ['a', -1, 1.5, 2 ** 32, undefined, null, {}, Number.NaN])
      expect(() => map.get(any(key)), String(key)).toThrow(code('layout.value'))
    for (const value of [-1n, 2n ** 64n, 'x', undefined, null, 0.5])
      expect(() => map.set(1, any(value)), String(value)).toThrow(code('layout.value'))
    for (const key of [new Uint8Array(3), new ArrayBuffer(4), [1, 2, 3, 4], 'abcd', new Uint32Array(4)])
      expect(() => map.raw.lookup(any(key))).toThrow(code('map.key-size'))
    for (const value of [new Uint8Array(7), new Uint8Array(700), [1], 'abcdefgh'])
      expect(() => map.raw.update(new Uint8Array(4), any(value))).toThrow(code('map.value-size'))
    for (const entries of [5, [5], [[1]], undefined])
      expect(() => map.setMany(any(entries))).toThrow(code('map.entries'))
    expect([...map]).toEqual([])
  })

  bpfTest('a key has nothing of the key before it', () => {
    const Pair = struct('pair', { x: u32, y: u64 })
    using map = createMap(sys(), spec('hash', { keySize: 16 }), { key: Pair, value: u64 })
    map.set({ x: 1, y: 5n }, 7n)
    expect(() => map.get(any({ x: 1 }))).toThrow(/key of wrong.y: undefined is not/)
    // What stands between the members is not part of the key.
    map.raw.lookup(new Uint8Array(16).fill(0xff))
    expect(map.get({ x: 1, y: 5n })).toBe(7n)
    const Either = union('either', { narrow: u32, wide: u64 })
    using other = createMap(sys(), spec('hash', { keySize: 8 }), { key: Either, value: u64 })
    other.set({ narrow: 1 }, 1n)
    other.set({ wide: 0xffff_ffff_ffff_ffffn }, 2n)
    expect(other.get({ narrow: 1 })).toBe(1n)
  })

  bpfTest('sizes that are no numbers of 32 bits are not cut', () => {
    for (const [name, value] of [
      ['maxEntries', 1.5],
      ['maxEntries', 2 ** 32],
      ['valueSize', 2 ** 32 + 4],
      ['flags', 2 ** 33],
      ['type', 'hash'],
      ['keySize', Number.NaN],
    ] as const)
      expect(() => createRawMap(sys(), spec('hash', { [name]: value })), name).toThrow(code('bpf.attribute'))
    expect(() => openById(sys(), 'map', 2 ** 32 + 1)).toThrow(code('bpf.attribute'))
    for (const rest of [{ maxEntries: 2 ** 32 - 1 }, { valueSize: 2 ** 31, flags: MAP_FLAGS.no_prealloc }])
      expect(() => createRawMap(sys(), spec('hash', rest))).toThrow(code('sys.e2big'))
    expect(() => sys().mmap(2 ** 40, 1, 1, -1, 0)).toThrow(code('sys.mmap'))
    expect(() => sys().alloc(2 ** 32)).toThrow(code('sys.enomem'))
  })

  bpfTest('layouts that do not fit leave no descriptor', () => {
    const open = (): number => readdirSync('/proc/self/fd').length
    const before = open()
    for (const [key, value] of [
      [u64, u64],
      [u32, u32],
    ] as const)
      expect(() => createMap(sys(), spec('hash'), { key, value } as never)).toThrow(code('map.layout'))
    expect(open()).toBe(before)
  })

  bpfTest('a closed map says so and touches no memory that others have now', () => {
    const closed = createMap(sys(), spec('hash'), numbers)
    closed.close()
    closed.close()
    const next = createRawMap(sys(), spec('hash'))
    next.keyBytes.fill(7)
    next.valueBytes.fill(9)
    const uses: readonly (() => unknown)[] = [
      () => closed.get(1),
      () => closed.has(1),
      () => closed.set(1, 1n),
      () => closed.delete(1),
      () => closed.take(1),
      () => closed.getAll(1),
      () => [...closed],
      () => [...closed.keys()],
      () => closed.setMany([[1, 1n]]),
      () => closed.clear(),
      () => closed.freeze(),
      () => closed.fd,
      () => closed.raw.nextKey(),
      () => closed.raw.keyBytes,
      () => pin(sys(), closed.fd, `${own?.folder}/bpf/closed`),
    ]
    for (const use of uses) expect(use, String(use)).toThrow(code('sys.closed'))
    expect([...next.keyBytes, ...next.valueBytes]).toEqual([7, 7, 7, 7, 9, 9, 9, 9, 9, 9, 9, 9])
    next.close()
  })

  bpfTest('what a map type does not have is said, with what to use instead', () => {
    using queue = createMap(sys(), spec('queue', { keySize: 0 }), { key: rawBytes(0), value: u64 })
    expect(() => [...queue]).toThrow(
      expect.objectContaining({ details: [expect.stringMatching(/no keys: push, pop and peek/)] }),
    )
    for (const value of [1n, 2n, 3n]) queue.push(value)
    queue.clear()
    expect(queue.pop()).toBeUndefined()
    using hash = createMap(sys(), spec('hash'), numbers)
    for (const use of [() => hash.push(1n), () => hash.pop(), () => hash.peek(), () => hash.mayContain(1n)])
      expect(use).toThrow(code('map.operation'))
    const rows: readonly [MapType, object, (map: ReturnType<typeof createRawMap>) => unknown, RegExp][] = [
      ['array', {}, (map) => map.delete(new Uint8Array(4)), /write zeros instead/],
      ['bloom_filter', { keySize: 0 }, (map) => [...map.keys()], /push and mayContain/],
      ['perf_event_array', { valueSize: 4 }, (map) => map.lookup(new Uint8Array(4)), /only programs see/],
      ['sockmap', { valueSize: 4 }, (map) => map.lookup(new Uint8Array(4)), /values have 8 bytes/],
      ['ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 }, (map) => [...map.keys()], /RingBuffer/],
      ['stack_trace', { valueSize: 80 }, (map) => map.update(new Uint8Array(4), new Uint8Array(80)), /get_stackid/],
      ['prog_array', { valueSize: 4 }, (map) => map.update(new Uint8Array(4), new Uint8Array(4).fill(255)), /program/],
      ['devmap', { valueSize: 4 }, (map) => map.update(new Uint8Array(4), new Uint8Array(4).fill(255)), /interface/],
      ['cpumap', { maxEntries: 1 }, (map) => map.update(new Uint8Array(4), new Uint8Array(8).fill(255)), /16384/],
    ]
    for (const [type, rest, use, expected] of rows) {
      using map = createRawMap(sys(), spec(type, rest))
      expect(() => use(map), type).toThrow(expect.objectContaining({ details: [expect.stringMatching(expected)] }))
    }
    using sockets = createMap(sys(), spec('sockmap', { valueSize: 4 }), { key: u32, value: u32 })
    sockets.clear()
    expect(sockets.delete(1)).toBe(false)
    using frozen = createMap(sys(), spec('array'), numbers)
    frozen.freeze()
    for (const use of [() => frozen.freeze(), () => frozen.set(1, 1n)])
      expect(use).toThrow(expect.objectContaining({ details: [expect.stringMatching(/is frozen/)] }))
  })
})

describe('objects', () => {
  bpfTest('one kind is not taken for another', () => {
    using program = counter('xdp', 2)
    using map = createRawMap(sys(), spec('hash'))
    const path = `${own?.folder}/bpf/program`
    pin(sys(), program.program.fd, path)
    const uses: readonly (() => unknown)[] = [
      () => programInfo(sys(), map.fd),
      () => mapInfo(sys(), program.program.fd),
      () => linkInfo(sys(), map.fd),
      () => programInfo(sys(), 0),
      () => openMap(sys(), { path }),
    ]
    for (const use of uses) expect(use, String(use)).toThrow(code('info.kind'))
  })

  bpfTest('pins say what is wrong with their place', () => {
    using map = createRawMap(sys(), spec('hash'))
    const folder = `${own?.folder}/bpf`
    for (const path of [`${own?.folder}/plain/map`, `${folder}/with.dot`])
      expect(() => pin(sys(), map.fd, path)).toThrow(
        expect.objectContaining({ details: [expect.stringMatching(/not in a BPF file system.*has a dot/)] }),
      )
    expect(() => pin(sys(), map.fd, `${folder}/a\0b`)).toThrow(code('pin.path'))
    expect(() => openPinned(sys(), '/proc/self/exe')).toThrow(
      expect.objectContaining({ details: [expect.stringMatching(/no pinned BPF object/)] }),
    )
    expect(() => openPinned(sys(), `${folder}/none`)).toThrow(code('sys.enoent'))
  })
})

describe('programs', () => {
  bpfTest('runs refuse what would mean something else', () => {
    using program = counter('xdp', 2)
    const run = (input: object) => () => runProgram(program.program, 'xdp', any({ data: new Uint8Array(64), ...input }))
    for (const input of [
      { data: 'abc' },
      { repeat: -1 },
      { repeat: 1.5 },
      { dataOutSize: -1 },
      { dataOutSize: 2 ** 31 },
    ])
      expect(run(input), JSON.stringify(input)).toThrow(code('run.input'))
    for (const context of [{ nope: 1 }, { data: 'x' }]) expect(run({ context })).toThrow(code('run.context'))
    expect(() => runProgram(program.program, any('kprobe'), any({}))).toThrow(code('option.unknown'))
    expect(run({ data: undefined })).toThrow(code('run.input'))
    expect(run({})()).toMatchObject({ retval: 2 })
  })

  bpfTest('half an instruction is no program, none is invalid', () => {
    const image = imageOf('xdp', 'r0 = 0\nexit\n')
    expect(() => loadImage(sys(), { ...image, insns: new Uint8Array(13) })).toThrow(code('load.instructions'))
    using none = loadImage(sys(), { ...image, insns: new Uint8Array() })
    expect([none.verdict, none.message]).toEqual(['invalid', expect.stringMatching(/no instructions/)])
  })

  bpfTest('a word that an option does not have is not its first one', () => {
    using xdp = counter('xdp', 2)
    using filter = counter('netfilter', 1, { attach: 'netfilter' })
    using probe = counter('kprobe', 0)
    const uses: readonly (() => unknown)[] = [
      () => attachXdp(xdp.program, { interface: 'lo', mode: any('skb') }),
      () => attachNetfilter(filter.program, { family: 'ipv4', hook: any('ingress'), priority: 1 }),
      () => attachCgroup(xdp.program, { cgroup: `${own?.folder}/cgroup2`, type: any('xdp') }),
    ]
    for (const use of uses) expect(use).toThrow(code('option.unknown'))
    expect(() => attachUprobe(probe.program, { binary: 'libc' })).toThrow(/a function or an offset/)
    expect(() => attachUprobe(probe.program, { binary: 'libc', function: 'getppid', pid: 4_000_000 })).toThrow(
      /no process 4000000/,
    )
    expect(() => attachXdp(xdp.program, { interface: 9999 })).toThrow(
      expect.objectContaining({ details: [expect.stringMatching(/is not there/)] }),
    )
    expect(interfaceIndex(sys(), 'lo')).toBe(1)
  })

  test('statistics need an interval', async () => {
    for (const every of [0, -1, Number.NaN])
      await expect(stats(any({}), { every }).next()).rejects.toThrow(code('stats.every'))
  })
})

test('structs are written whole', () => {
  const Pair = struct('pair', { x: u32, y: u32 })
  expect(() => encode(Pair, any({ x: 1 }))).toThrow(code('layout.value'))
  expect(encode(Pair, { x: 1, y: 2 })).toEqual(new Uint8Array([1, 0, 0, 0, 2, 0, 0, 0]))
  // A lock is the kernel's: nobody writes it.
  const Locked = struct('locked', { lock: struct('bpf_spin_lock', { val: u32 }), count: u32 })
  expect(encode(Locked, any({ count: 3 }))).toEqual(new Uint8Array([0, 0, 0, 0, 3, 0, 0, 0]))
})
