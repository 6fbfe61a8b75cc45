import { describe, expect, test } from 'vitest'
import { createEmulator } from '../../src/emulator/index.ts'
import { add, bytesOf, call, exit, image, ldMap, mapSpec, mov, movReg, type Slot, udpFrame, wide } from './images.ts'

/** r0 of a program on the interpreter. */
function run(slots: readonly Slot[]): bigint {
  const result = createEmulator(image(slots), { engine: 'interpreter' }).run({ packet: udpFrame() })
  if (result.fault !== undefined) throw new Error(result.fault.message)
  return result.r0
}

describe('arithmetic on 64-bit pairs equals BigInt', () => {
  const values = [
    0n,
    1n,
    2n,
    7n,
    0x7fffffffn,
    0x80000000n,
    0xffffffffn,
    0x100000000n,
    0x123456789abcdef0n,
    1n << 63n,
    (1n << 64n) - 1n,
    0x1fffffffffffffn,
    0x20000000000001n,
  ]
  const u64 = (v: bigint): bigint => BigInt.asUintN(64, v)
  const s64 = (v: bigint): bigint => BigInt.asIntN(64, v)
  const laws: readonly [string, number, (a: bigint, b: bigint) => bigint][] = [
    ['add', 0x0f, (a, b) => a + b],
    ['sub', 0x1f, (a, b) => a - b],
    ['mul', 0x2f, (a, b) => a * b],
    ['div', 0x3f, (a, b) => (b === 0n ? 0n : a / b)],
    ['mod', 0x9f, (a, b) => (b === 0n ? a : a % b)],
    ['lsh', 0x6f, (a, b) => a << (b & 63n)],
    ['rsh', 0x7f, (a, b) => a >> (b & 63n)],
    ['arsh', 0xcf, (a, b) => s64(a) >> (b & 63n)],
    ['and', 0x5f, (a, b) => a & b],
    ['or', 0x4f, (a, b) => a | b],
    ['xor', 0xaf, (a, b) => a ^ b],
  ]
  for (const [name, opcode, law] of laws)
    test(name, () => {
      for (const a of values)
        for (const b of values)
          expect(run([...wide(0, a), ...wide(1, b), [opcode, 0, 1, 0, 0], exit]), `${a} ${name} ${b}`).toBe(
            u64(law(a, b)),
          )
    })
})

describe('memory is checked', () => {
  const fault = (slots: readonly Slot[]): string | undefined =>
    createEmulator(image(slots), { engine: 'interpreter' }).run({ packet: udpFrame() }).fault?.code

  test('a packet byte is read through ctx', () => {
    expect(run([[0x61, 2, 1, 0, 0], [0x71, 0, 2, 23, 0], exit])).toBe(17n)
  })
  test('the byte behind the packet is out of bounds', () => {
    expect(fault([[0x61, 2, 1, 4, 0], [0x71, 0, 2, 0, 0], exit])).toBe('out-of-bounds')
  })
  test('a null pointer', () => {
    expect(fault([mov(1, 0), [0x79, 0, 1, 8, 0], exit])).toBe('null-pointer')
  })
  test('a wild pointer', () => {
    expect(fault([...wide(1, 0xffff888012345678n), [0x79, 0, 1, 0, 0], exit])).toBe('out-of-bounds')
  })
  test('unwritten stack', () => {
    expect(fault([[0x79, 0, 10, -8, 0], exit])).toBe('uninitialised-stack')
  })
  test('half-written stack', () => {
    expect(fault([[0x62, 10, 0, -8, 1], [0x79, 0, 10, -8, 0], exit])).toBe('uninitialised-stack')
  })
  test('written stack', () => {
    expect(run([[0x7a, 10, 0, -8, -2], [0x79, 0, 10, -8, 0], exit])).toBe((1n << 64n) - 2n)
  })
  test('above the frame', () => {
    expect(fault([[0x7a, 10, 0, 0, 1], exit])).toBe('out-of-bounds')
  })
  test('a field of the context that is read-only', () => {
    expect(fault([[0x62, 1, 0, 0, 1], mov(0, 0), exit])).toBe('read-only')
  })
  test('an endless loop ends at the step limit', () => {
    const result = createEmulator(image([[0x05, 0, 0, -1, 0]]), { stepLimit: 1000 }).run({ packet: udpFrame() })
    expect(result.fault?.code).toBe('step-limit')
    expect(result.steps).toBe(1000)
  })
  test('running off the end', () => {
    expect(fault([mov(0, 0)])).toBe('invalid-jump')
  })
})

test('a hash map is updated, read and seen by the test', () => {
  const slots: Slot[] = [
    [0x62, 10, 0, -4, 7],
    [0x7a, 10, 0, -16, 41],
    ...ldMap(1),
    movReg(2, 10),
    add(2, -4),
    movReg(3, 10),
    add(3, -16),
    mov(4, 0),
    call(2),
    ...ldMap(1),
    movReg(2, 10),
    add(2, -4),
    call(1),
    [0x15, 0, 0, 3, 0],
    [0x79, 1, 0, 0, 0],
    add(1, 1),
    [0x7b, 0, 1, 0, 0],
    mov(0, 2),
    exit,
  ]
  const at = slots.map((slot, i) => (slot[0] === 0x18 ? i : -1)).filter((i) => i >= 0)
  const emulator = createEmulator(
    image(slots, { maps: [mapSpec('hash')], relocations: at.map((insn) => ({ insn, map: 0, kind: 'fd' as const })) }),
  )
  const result = emulator.run({ packet: udpFrame() })
  expect(result.fault).toBeUndefined()
  expect(result.retvalName).toBe('XDP_PASS')
  expect(emulator.map('m').entries()).toEqual([
    { key: new Uint8Array([7, 0, 0, 0]), values: [new Uint8Array([42, 0, 0, 0, 0, 0, 0, 0])] },
  ])
  expect(result.mapsTouched).toEqual(['m'])
})

test('a local call gets a frame of its own and r6 to r9 are kept', () => {
  const slots: Slot[] = [
    mov(6, 5),
    mov(1, 3),
    [0x85, 0, 1, 0, 2],
    [0x0f, 0, 6, 0, 0],
    exit,
    mov(6, 100),
    movReg(0, 1),
    add(0, 1),
    exit,
  ]
  expect(run(slots)).toBe(9n)
})

test('trace and coverage name every step', () => {
  const result = createEmulator(image([mov(0, 1), [0x05, 0, 0, 1, 0], mov(0, 9), exit])).run({
    packet: udpFrame(),
    trace: true,
    coverage: true,
  })
  expect(result.trace?.map((step) => step.insn)).toEqual([0, 1, 3])
  expect(result.trace?.[1].registers[0]).toBe(1n)
  expect([...(result.coverage?.[0] ?? [])]).toEqual([1, 1, 0, 1])
})

test('bad images are an error, not a crash', () => {
  const bad = { ...image([exit]), insns: bytesOf([exit]).subarray(0, 5) }
  expect(() => createEmulator(bad)).toThrow(/whole number of slots|no program of/)
  expect(() =>
    createEmulator(image([exit], { maps: [mapSpec('array', { maxEntries: 0xffffffff, valueSize: 1 << 20 })] })),
  ).toThrow()
})
