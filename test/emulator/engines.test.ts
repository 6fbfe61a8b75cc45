import { describe, expect, test } from 'vitest'
import { createEmulator, type Engine, RingMap } from '../../src/emulator/index.ts'
import { add, call, exit, image, ldMap, mapSpec, mov, movReg, type Slot, udpFrame } from './images.ts'

const ENGINES: readonly Engine[] = ['interpreter', 'wasm']
const bytes = (...values: number[]): Uint8Array => new Uint8Array(values)
const u64 = (value: number): Uint8Array => new Uint8Array(new BigUint64Array([BigInt(value)]).buffer)

/** Relocations of every 64-bit load that is not a function's address, in order, to the maps given. */
function relocate(slots: readonly Slot[], ...maps: readonly number[]) {
  const at = slots.flatMap((slot, i) => (slot[0] === 0x18 && slot[2] === 0 ? [i] : []))
  return at.map((insn, i) => ({ insn, map: maps[i] ?? 0, kind: 'fd' as const }))
}

describe.each(ENGINES)('%s', (engine) => {
  const open = (slots: readonly Slot[], options: Parameters<typeof image>[1] = {}, more = {}) =>
    createEmulator(image(slots, { relocations: relocate(slots), ...options }), { engine, ...more })

  test('says which engine ran', () => {
    expect(open([mov(0, 0), exit]).run({ packet: udpFrame() }).engine).toBe(engine)
  })

  test('finds the same faults at the same instruction after the same steps', () => {
    const programs: readonly (readonly [string, number, readonly Slot[]])[] = [
      ['out-of-bounds', 1, [[0x61, 2, 1, 4, 0], [0x71, 0, 2, 0, 0], exit]],
      ['null-pointer', 1, [mov(1, 0), [0x79, 0, 1, 8, 0], exit]],
      ['uninitialised-stack', 0, [[0x79, 0, 10, -8, 0], exit]],
      ['out-of-bounds', 0, [[0x7a, 10, 0, 0, 1], exit]],
      ['out-of-bounds', 2, [movReg(2, 10), add(2, -520), [0x7a, 2, 0, 0, 1], exit]],
      ['read-only', 0, [[0x62, 1, 0, 0, 1], exit]],
      ['invalid-instruction', 1, [mov(0, 0), [0xff, 0, 0, 0, 0], exit]],
      ['unsupported', 0, [call(77), exit]],
      ['invalid-argument', 0, [call(100_000), exit]],
      ['misaligned', 3, [[0x7a, 10, 0, -8, 0], [0x7a, 10, 0, -16, 0], mov(1, 1), [0xdb, 10, 1, -12, 0], exit]],
    ]
    for (const [code, insn, slots] of programs) {
      const { fault, steps } = open(slots).run({ packet: udpFrame() })
      expect([fault?.code, fault?.insn, steps]).toEqual([code, insn, insn + 1])
    }
  })

  test('the step limit ends loops and deep recursion ends calls', () => {
    const endless = open([[0x05, 0, 0, -1, 0]], {}, { stepLimit: 5000 }).run({ packet: udpFrame() })
    expect([endless.fault?.code, endless.steps]).toEqual(['step-limit', 5000])
    const recursion = open([[0x85, 0, 1, 0, -1], exit]).run({ packet: udpFrame() })
    expect(recursion.fault?.code).toBe('call-depth')
  })

  test('a value pointer is dead after its entry is deleted', () => {
    const key: Slot[] = [movReg(2, 10), add(2, -4)]
    const slots: Slot[] = [
      [0x62, 10, 0, -4, 1],
      ...ldMap(1),
      ...key,
      call(1),
      movReg(6, 0),
      ...ldMap(1),
      ...key,
      call(3),
      [0x79, 0, 6, 0, 0],
      exit,
    ]
    const maps = [mapSpec('hash', { contents: [[bytes(1, 0, 0, 0), u64(7)]] })]
    const emulator = open(slots, { maps })
    expect(emulator.run({ packet: udpFrame() }).fault?.code).toBe('use-after-free')
    emulator.reset()
    const relaxed = open(slots, { maps }, { sanitizer: { useAfterFree: 'report' } }).run({ packet: udpFrame() })
    expect(relaxed.r0).toBe(7n)
    expect(relaxed.findings.map(({ code }) => code)).toEqual(['use-after-free'])
  })

  test('a ring record that is neither submitted nor discarded is a leak', () => {
    const slots: Slot[] = [...ldMap(1), mov(2, 16), mov(3, 0), call(131), mov(0, 0), exit]
    const maps = [mapSpec('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })]
    expect(open(slots, { maps }).run({ packet: udpFrame() }).fault?.code).toBe('unreleased-reference')
  })

  test('ring records come out as events and a full ring drops', () => {
    const slots: Slot[] = [
      [0x7a, 10, 0, -8, 5],
      ...ldMap(1),
      movReg(2, 10),
      add(2, -8),
      mov(3, 8),
      mov(4, 0),
      call(130),
      exit,
    ]
    const emulator = open(slots, { maps: [mapSpec('ringbuf', { keySize: 0, valueSize: 0, maxEntries: 4096 })] })
    const first = emulator.run({ packet: udpFrame() })
    expect(first.events).toEqual([{ kind: 'ringbuf', map: 'm', data: u64(5) }])
    // 16 bytes a record with its header: one byte of the ring always stays free
    for (let i = 1; i < 255; i++) expect(emulator.run({ packet: udpFrame() }).r0).toBe(0n)
    expect(BigInt.asIntN(64, emulator.run({ packet: udpFrame() }).r0)).toBe(-11n)
    const ring = emulator.map('m')
    expect(ring instanceof RingMap && ring.consume().length).toBe(255)
    expect(emulator.run({ packet: udpFrame() }).r0).toBe(0n)
    expect(ring instanceof RingMap && ring.consume()).toEqual([u64(5)])
  })

  test('bpf_loop calls back with the index and the context', () => {
    const slots: Slot[] = [
      [0x7a, 10, 0, -8, 0],
      mov(1, 10),
      [0x18, 2, 4, 0, 7],
      [0, 0, 0, 0, 0],
      movReg(3, 10),
      add(3, -8),
      mov(4, 0),
      call(181),
      [0x79, 0, 10, -8, 0],
      exit,
      // callback(index, context): *context += index; return 0
      [0x79, 3, 2, 0, 0],
      [0x0f, 3, 1, 0, 0],
      [0x7b, 2, 3, 0, 0],
      mov(0, 0),
      exit,
    ]
    const result = open(slots).run({ packet: udpFrame() })
    expect(result.fault).toBeUndefined()
    expect(result.r0).toBe(45n)
    expect(result.steps).toBe(9 + 10 * 5)
  })

  test('tail calls go to the other program, and on where there is none', () => {
    const jump = (index: number): Slot[] => [movReg(1, 6), ...ldMap(2), mov(3, index), call(12)]
    const first: Slot[] = [movReg(6, 1), ...jump(3), ...jump(1), mov(0, 77), exit]
    const spec = mapSpec('prog_array', {
      name: 'jumps',
      valueSize: 4,
      slots: [[bytes(1, 0, 0, 0), 'second']],
    })
    const programs = [
      image(first, { name: 'first', maps: [spec], relocations: relocate(first) }),
      image([mov(0, 2), exit], { name: 'second', maps: [spec] }),
    ]
    const result = createEmulator(programs, { engine }).run({ packet: udpFrame() })
    expect([result.fault, result.retvalName]).toEqual([undefined, 'XDP_PASS'])
  })

  test('a program that tail-calls itself stops after 33 calls', () => {
    const slots: Slot[] = [movReg(6, 1), ...ldMap(2), mov(3, 0), call(12), mov(0, 5), exit]
    const spec = mapSpec('prog_array', { valueSize: 4, slots: [[bytes(0, 0, 0, 0), 'self']] })
    const result = open(slots, { name: 'self', maps: [spec] }).run({ packet: udpFrame() })
    expect([result.r0, result.steps]).toEqual([5n, 33 * 4 + 6])
  })

  test('helpers are mocked, counted and scripted to fail', () => {
    const slots: Slot[] = [call(5), movReg(6, 0), call(7), [0x0f, 0, 6, 0, 0], exit]
    const emulator = open(
      slots,
      {},
      { mocks: { bpf_ktime_get_ns: ({ times }: { times: number }) => 100 + times, get_prandom_u32: -7 } },
    )
    expect(emulator.run({ packet: udpFrame() }).r0).toBe(93n)
    expect(emulator.run({ packet: udpFrame() }).r0).toBe(94n)
    expect(emulator.calls('ktime_get_ns')).toBe(2)
  })

  test('a mock reads and writes the program memory under the same checks', () => {
    const slots: Slot[] = [[0x7a, 10, 0, -8, 3], movReg(1, 10), add(1, -8), call(5), [0x79, 0, 10, -8, 0], exit]
    const result = open(
      slots,
      {},
      {
        mocks: {
          ktime_get_ns: (c: import('../../src/emulator/index.ts').HelperArguments) => {
            expect(c.read(c.args[0], 8)).toEqual(u64(3))
            c.write(c.args[0], u64(9))
            return 0
          },
        },
      },
    ).run({ packet: udpFrame() })
    expect(result.r0).toBe(9n)
  })

  test('timers fire when the clock is moved past their time', () => {
    const slots: Slot[] = [
      [0x62, 10, 0, -4, 0],
      ...ldMap(1),
      movReg(2, 10),
      add(2, -4),
      call(1),
      [0x55, 0, 0, 1, 0],
      exit,
      movReg(6, 0),
      movReg(1, 6),
      ...ldMap(2),
      mov(3, 1),
      call(169),
      movReg(1, 6),
      [0x18, 2, 4, 0, 8],
      [0, 0, 0, 0, 0],
      call(170),
      movReg(1, 6),
      mov(2, 1000),
      mov(3, 0),
      call(171),
      mov(0, 0),
      exit,
      // callback(map, key, value): value[16] = 1
      [0x7a, 3, 0, 16, 1],
      mov(0, 0),
      exit,
    ]
    const callbackAt = slots.length - 3
    const loadAt = slots.findIndex((slot) => slot[0] === 0x18 && slot[2] === 4)
    slots[loadAt] = [0x18, 2, 4, 0, callbackAt - loadAt - 1]
    const emulator = open(slots, { maps: [mapSpec('array', { valueSize: 24, maxEntries: 1 })] })
    expect(emulator.run({ packet: udpFrame() }).fault).toBeUndefined()
    const fired = (): number => emulator.map('m').entries()[0].values[0][16]
    expect(emulator.advance(999)).toEqual([])
    expect(fired()).toBe(0)
    expect(emulator.advance(1)).toEqual([])
    expect(fired()).toBe(1)
  })

  test('printk formats as the kernel does', () => {
    const text = new TextEncoder().encode('n=%d x=%llx %c\0')
    const padded = new Uint8Array(16)
    padded.set(text)
    const words = new BigInt64Array(padded.buffer)
    const slots: Slot[] = [
      [0x18, 1, 0, 0, Number(words[0] & 0xffffffffn) | 0],
      [0, 0, 0, 0, Number((words[0] >> 32n) & 0xffffffffn) | 0],
      [0x7b, 10, 1, -16, 0],
      [0x18, 1, 0, 0, Number(words[1] & 0xffffffffn) | 0],
      [0, 0, 0, 0, Number((words[1] >> 32n) & 0xffffffffn) | 0],
      [0x7b, 10, 1, -8, 0],
      movReg(1, 10),
      add(1, -16),
      mov(2, text.length),
      mov(3, -5),
      mov(4, 255),
      mov(5, 65),
      call(6),
      exit,
    ]
    const result = open(slots, { relocations: [] }).run({ packet: udpFrame() })
    expect(result.printk).toEqual(['n=-5 x=ff A'])
    expect(result.r0).toBe(11n)
  })
})

test('a loop with two entrances is interpreted and says so', () => {
  const slots: Slot[] = [mov(0, 0), [0x15, 1, 0, 1, 0], add(0, 1), add(0, 1), [0xa5, 0, 0, -3, 5], exit]
  const result = createEmulator(image(slots), { engine: 'wasm' }).run({ packet: udpFrame() })
  expect(result.engine).toBe('interpreter')
  expect(result.fallback).toMatch(/several entrances/)
  expect(result.fault).toBeUndefined()
})

test('auto starts interpreting and compiles what runs often, with the same answers', () => {
  const emulator = createEmulator(image([mov(0, 2), exit]))
  const engines = Array.from({ length: 12 }, () => emulator.run({ packet: udpFrame() }).engine)
  expect(engines[0]).toBe('interpreter')
  expect(engines[11]).toBe('wasm')
})

test('any bytes at all give a result, not a crash', () => {
  let state = 12345
  const random = (): number => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff
    return state >> 8
  }
  for (let round = 0; round < 400; round++) {
    const insns = Uint8Array.from({ length: 8 * (1 + (random() % 24)) }, () => random())
    const wild = { ...image([exit]), insns }
    for (const engine of ENGINES) {
      const result = createEmulator(wild, { engine, stepLimit: 10_000 }).run({ packet: udpFrame() })
      expect(result.steps).toBeLessThanOrEqual(10_000)
    }
  }
})

test('repeat keeps what a run did to the packet, on both engines alike', () => {
  // data[0] += 1; return data[0]
  const slots: Slot[] = [[0x61, 2, 1, 0, 0], [0x71, 0, 2, 0, 0], add(0, 1), [0x73, 2, 0, 0, 0], exit]
  const [first, second] = ENGINES.map((engine) => {
    const result = createEmulator(image(slots), { engine }).repeat({ packet: udpFrame() }, 5)
    return [result.fault, result.r0, result.packet?.[0], result.steps]
  })
  expect(first).toEqual([undefined, 7n, 7, 5])
  expect(second).toEqual(first)
})
