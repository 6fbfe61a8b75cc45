import { describe, expect, test } from 'vitest'
import { BtfBuilder } from '../../src/btf/index.ts'
import { createEmulator } from '../../src/emulator/index.ts'
import { UseOrder } from '../../src/emulator/maps/use-order.ts'
import type { MapSpec } from '../../src/spec/index.ts'
import { Random } from '../differential/emulator/random.ts'
import { add, call, exit, image, ldMap, mapSpec, mov, movReg, type Slot, udpFrame } from './images.ts'

const open = (...maps: MapSpec[]) => createEmulator(image([mov(0, 0), exit], { maps }), { cpus: 2, cpu: 1 })
const u32 = (value: number): Uint8Array => new Uint8Array(new Uint32Array([value]).buffer)
const u64 = (value: number): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)

test('hash: NOEXIST, EXIST, a full map, deletion', () => {
  const map = open(mapSpec('hash', { maxEntries: 2 })).map('m')
  expect(map.set(u32(1), u64(10), 2)).toBe(-2)
  expect(map.set(u32(1), u64(10), 1)).toBe(0)
  expect(map.set(u32(1), u64(11), 1)).toBe(-17)
  expect(map.set(u32(1), u64(12), 2)).toBe(0)
  expect(map.set(u32(2), u64(20))).toBe(0)
  expect(map.set(u32(3), u64(30))).toBe(-7)
  expect(map.set(u32(1), u64(13), 99)).toBe(-22)
  expect(map.delete(u32(2))).toBe(0)
  expect(map.delete(u32(2))).toBe(-2)
  expect(map.set(u32(3), u64(30))).toBe(0)
  expect(
    map
      .entries()
      .map(({ values }) => values[0][0])
      .sort((a, b) => a - b),
  ).toEqual([12, 30])
})

test('hash against a JavaScript Map under random operations', () => {
  const map = open(mapSpec('hash', { maxEntries: 50, valueSize: 8 })).map('m')
  const model = new Map<number, number>()
  let state = 7
  for (let i = 0; i < 5000; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const key = (state >>> 8) % 80
    if (state >>> 28 < 6) expect(map.delete(u32(key))).toBe(model.delete(key) ? 0 : -2)
    else {
      const full = !model.has(key) && model.size === 50
      expect(map.set(u32(key), u64(i))).toBe(full ? -7 : 0)
      if (!full) model.set(key, i)
    }
    if (i % 100 === 0) map.endRun()
  }
  const found = map.entries().map(({ key, values }) => [key[0], new DataView(values[0].buffer).getUint32(0, true)])
  expect(new Map(found as [number, number][])).toEqual(model)
})

test('lru_hash evicts what was used longest ago', () => {
  const map = open(mapSpec('lru_hash', { maxEntries: 2 })).map('m')
  map.set(u32(1), u64(1))
  map.set(u32(2), u64(2))
  map.withScratch([u32(1)], ([key]) => map.lookup(key))
  map.set(u32(3), u64(3))
  expect(
    map
      .entries()
      .map(({ key }) => key[0])
      .sort(),
  ).toEqual([1, 3])
})

test('a large lru_hash evicts in the order of last use, quickly', () => {
  const map = open(mapSpec('lru_hash', { maxEntries: 20_000 })).map('m')
  const start = performance.now()
  let refused = 0
  for (let i = 0; i < 60_000; i++) if (map.set(u32(i), u64(i)) !== 0) refused++
  expect(refused).toBe(0)
  expect(performance.now() - start).toBeLessThan(20_000)
  const keys = new Set(map.entries().map(({ key }) => new DataView(key.slice().buffer).getUint32(0, true)))
  expect([keys.size, keys.has(39_999), keys.has(40_000), keys.has(59_999)]).toEqual([20_000, false, true, true])
})

test('use order against a plain list under random operations', () => {
  const order = new UseOrder(8)
  let list: number[] = []
  const random = new Random(5)
  for (let i = 0; i < 5000; i++) {
    const slot = random.below(8)
    list = list.filter((one) => one !== slot)
    if (random.chance(60)) {
      order.use(slot)
      list.push(slot)
    } else order.remove(slot)
    expect(order.oldest).toBe(list[0])
  }
})

test('array: bounds, no deletion, no NOEXIST', () => {
  const map = open(mapSpec('array', { maxEntries: 2 })).map('m')
  expect(map.set(u32(2), u64(1))).toBe(-7)
  expect(map.set(u32(1), u64(1), 1)).toBe(-17)
  expect(map.set(u32(1), u64(5))).toBe(0)
  expect(map.delete(u32(1))).toBe(-22)
  expect(map.get(u32(1))).toEqual([u64(5)])
  expect(map.get(u32(2))).toBeUndefined()
})

describe('per-CPU maps', () => {
  test('a program writes the copy of its CPU', () => {
    const slots: Slot[] = [
      [0x62, 10, 0, -4, 0],
      ...ldMap(1),
      movReg(2, 10),
      add(2, -4),
      call(1),
      [0x15, 0, 0, 1, 0],
      [0x7a, 0, 0, 0, 9],
      mov(0, 0),
      exit,
    ]
    const maps = [mapSpec('percpu_array', { maxEntries: 1 })]
    const relocations = [{ insn: 1, map: 0, kind: 'fd' as const }]
    const emulator = createEmulator(image(slots, { maps, relocations }), { cpus: 3, cpu: 2 })
    expect(emulator.run({ packet: udpFrame() }).fault).toBeUndefined()
    expect(emulator.map('m').get(u32(0))).toEqual([u64(0), u64(0), u64(9)])
  })
  test('the test writes every copy', () => {
    const map = open(mapSpec('percpu_hash')).map('m')
    expect(map.set(u32(1), [u64(5), u64(6)])).toBe(0)
    expect(map.get(u32(1))).toEqual([u64(5), u64(6)])
  })
})

test('lpm_trie finds the longest prefix', () => {
  const emulator = open(mapSpec('lpm_trie', { keySize: 8, valueSize: 1, maxEntries: 3 }))
  const map = emulator.map('m')
  const key = (bits: number, ...bytes: number[]): Uint8Array => new Uint8Array([...u32(bits), ...bytes])
  map.set(key(8, 10, 0, 0, 0), new Uint8Array([1]))
  map.set(key(25, 10, 1, 2, 128), new Uint8Array([2]))
  map.set(key(0, 0, 0, 0, 0), new Uint8Array([3]))
  expect(map.set(key(32, 1, 2, 3, 4), new Uint8Array([4]))).toBe(-28)
  const look = (...bytes: number[]): number => {
    const at = map.withScratch([key(32, ...bytes)], ([address]) => map.lookup(address))
    return at === 0 ? 0 : emulator.machine.memory.u8[at]
  }
  expect([look(10, 1, 2, 200), look(10, 1, 2, 5), look(11, 0, 0, 1)]).toEqual([2, 1, 3])
})

test('queue and stack give values in their orders', () => {
  const emulator = open(
    mapSpec('queue', { name: 'q', keySize: 0, maxEntries: 2 }),
    mapSpec('stack', { name: 's', keySize: 0, maxEntries: 2 }),
  )
  for (const name of ['q', 's']) {
    const map = emulator.map(name)
    expect([1, 2, 3].map((value) => map.set(new Uint8Array(0), u64(value)))).toEqual([0, 0, -7])
    expect(map.set(new Uint8Array(0), u64(4), 2)).toBe(0)
  }
  expect(
    emulator
      .map('q')
      .entries()
      .map(({ values }) => values[0][0]),
  ).toEqual([2, 4])
  expect(
    emulator
      .map('s')
      .entries()
      .map(({ values }) => values[0][0]),
  ).toEqual([4, 2])
})

test('a frozen map takes nothing from the test, read-only maps nothing from programs', () => {
  const frozen = open(mapSpec('array', { frozen: true, contents: [[u32(0), u64(3)]] })).map('m')
  expect(frozen.set(u32(0), u64(4))).toBe(-1)
  expect(frozen.get(u32(0))).toEqual([u64(3)])
  const slots: Slot[] = [...ldMap(1), [0x7a, 1, 0, 0, 1], exit]
  const maps = [mapSpec('array', { maxEntries: 1, flags: 1 << 7 })]
  const program = image(slots, { maps, relocations: [{ insn: 0, map: 0, kind: 'value', offset: 0 }] })
  expect(createEmulator(program).run({ packet: udpFrame() }).fault?.code).toBe('read-only')
})

test('a program reaches the inner map of a map of maps', () => {
  const inner = mapSpec('array', { name: 'inner', maxEntries: 1, contents: [[u32(0), u64(8)]] })
  const outer = mapSpec('array_of_maps', { name: 'outer', valueSize: 4, inner, slots: [[u32(1), 'inner']] })
  const slots: Slot[] = [
    [0x62, 10, 0, -4, 1],
    ...ldMap(1),
    movReg(2, 10),
    add(2, -4),
    call(1),
    [0x15, 0, 0, 6, 0],
    movReg(1, 0),
    [0x62, 10, 0, -4, 0],
    movReg(2, 10),
    add(2, -4),
    call(1),
    [0x79, 0, 0, 0, 0],
    exit,
  ]
  const program = image(slots, { maps: [outer, inner], relocations: [{ insn: 1, map: 0, kind: 'fd' }] })
  const result = createEmulator(program).run({ packet: udpFrame() })
  expect([result.fault, result.r0]).toEqual([undefined, 8n])
})

test('reset gives every map its first contents again', () => {
  const emulator = open(mapSpec('hash', { contents: [[u32(1), u64(1)]] }))
  emulator.map('m').set(u32(2), u64(2))
  emulator.reset()
  expect(emulator.map('m').entries()).toEqual([{ key: u32(1), values: [u64(1)] }])
})

/** struct { struct bpf_spin_lock lock; int counter; struct bpf_timer timer } */
function lockedValue(): { readonly btf: Uint8Array; readonly id: number } {
  const builder = new BtfBuilder()
  const int = builder.int('int', 4, { signed: true })
  const word = builder.int('long', 8)
  const member = (name: string, type: number, bitOffset: number) => ({ name, type, bitOffset, bitSize: 0 })
  const lock = builder.add({ kind: 'struct', name: 'bpf_spin_lock', size: 4, members: [member('val', int, 0)] })
  const timer = builder.add({
    kind: 'struct',
    name: 'bpf_timer',
    size: 16,
    members: [member('a', word, 0), member('b', word, 64)],
  })
  const id = builder.add({
    kind: 'struct',
    name: 'value',
    size: 24,
    members: [member('lock', lock, 0), member('counter', int, 32), member('timer', timer, 64)],
  })
  return { btf: builder.toBytes(), id }
}

test('locks and timers of a value: BPF_F_LOCK needs a lock, updates leave them alone, a deleted value has no timer', () => {
  const { btf, id } = lockedValue()
  const plain = { valueSize: 24, maxEntries: 2 }
  for (const type of ['hash', 'array'] as const) {
    const spec = mapSpec(type, { ...plain, btfValueTypeId: id })
    const emulator = createEmulator({ ...image([mov(0, 0), exit], { maps: [spec] }), btf })
    const map = emulator.map('m')
    expect(map.set(u32(1), new Uint8Array(24).fill(7))).toBe(0)
    expect([...map.entries().map(({ values }) => values[0])].at(-1)).toEqual(
      Uint8Array.of(0, 0, 0, 0, 7, 7, 7, 7, ...new Uint8Array(16)),
    )
    expect(map.set(u32(1), new Uint8Array(24).fill(9), 4)).toBe(0)
    expect(map.get(u32(1))?.[0][4]).toBe(9)
    expect(open(mapSpec(type, plain)).map('m').set(u32(1), new Uint8Array(24), 4)).toBe(-22)
  }
  // a timer that is armed, then its entry is deleted
  const slots: Slot[] = [
    [0x62, 10, 0, -4, 1],
    ...ldMap(1),
    movReg(2, 10),
    add(2, -4),
    call(1),
    [0x55, 0, 0, 1, 0],
    exit,
    movReg(6, 0),
    movReg(1, 6),
    add(1, 8),
    ...ldMap(2),
    mov(3, 1),
    call(169),
    movReg(1, 6),
    add(1, 8),
    [0x18, 2, 4, 0, 8],
    [0, 0, 0, 0, 0],
    call(170),
    movReg(1, 6),
    add(1, 8),
    mov(2, 5),
    mov(3, 0),
    call(171),
    mov(0, 0),
    exit,
    [0x62, 3, 0, 4, 77],
    mov(0, 0),
    exit,
  ]
  const loadAt = slots.findIndex((slot) => slot[0] === 0x18 && slot[2] === 4)
  slots[loadAt] = [0x18, 2, 4, 0, slots.length - 3 - loadAt - 1]
  const spec = mapSpec('hash', { ...plain, btfValueTypeId: id, contents: [[u32(1), new Uint8Array(24)]] })
  const relocations = slots.flatMap((slot, insn) =>
    slot[0] === 0x18 && slot[2] === 0 ? [{ insn, map: 0, kind: 'fd' as const }] : [],
  )
  const emulator = createEmulator({ ...image(slots, { maps: [spec], relocations }), btf })
  const counter = (): number | undefined => emulator.map('m').get(u32(1))?.[0][4]
  expect(emulator.run({ packet: udpFrame() }).fault).toBeUndefined()
  expect(emulator.advance(10)).toEqual([])
  expect(counter()).toBe(77)
  emulator.reset()
  expect(emulator.run({ packet: udpFrame() }).fault).toBeUndefined()
  expect(emulator.map('m').delete(u32(1))).toBe(0)
  expect(emulator.map('m').set(u32(1), new Uint8Array(24))).toBe(0)
  expect(emulator.advance(10)).toEqual([])
  expect(counter()).toBe(0)
})
