import { expect, test } from 'vitest'
import { bytesToHex } from '../../src/bytes/index.ts'
import { answerJsonLine } from '../../src/cli/batch-lines.ts'
import { runConformance } from '../../src/cli/conformance-plugin.ts'
import { emulateRequest } from '../../src/cli/emulate.ts'
import { bytesOf, call, exit, mov, type Slot } from './images.ts'

const hex = (...slots: Slot[]): string => bytesToHex(bytesOf(slots))
const ask = (request: unknown): object => answerJsonLine(JSON.stringify(request), emulateRequest)

test('a batch line with memory: r1 points to it and r2 is its length', () => {
  const insns = hex([0x71, 0, 1, 1, 0], [0x0f, 0, 2, 0, 0], exit)
  expect(ask({ id: 'a', insns, mem: '05 07 09' })).toMatchObject({ id: 'a', r0: '0xa', steps: 3 })
})

test('a batch line with a packet answers the verdict and the packet', () => {
  const answer = ask({ id: 1, type: 'xdp', insns: hex(mov(0, 1), exit), packet: '00'.repeat(14) })
  expect(answer).toMatchObject({
    id: 1,
    r0: '0x1',
    retvalName: 'XDP_DROP',
    packet: '00'.repeat(14),
    engine: 'interpreter',
  })
})

test('maps of a batch line come back with their contents', () => {
  const insns = hex(mov(0, 0), exit)
  const maps = [{ name: 'm', type: 'hash', keySize: 2, valueSize: 1, maxEntries: 4, contents: [['0102', '03']] }]
  expect(ask({ id: 1, type: 'xdp', insns, maps })).toMatchObject({ maps: [{ name: 'm', entries: [['0102', '03']] }] })
})

test('faults and bad lines are answers with a code', () => {
  expect(ask({ id: 2, insns: hex([0x79, 0, 1, 0, 0], exit), mem: '00' })).toMatchObject({
    id: 2,
    error: { code: 'emulator.out-of-bounds', insn: 0 },
  })
  for (const [request, code] of [
    [{ id: 3, insns: 'xyz0' }, 'batch.request'],
    [{ id: 3, insns: '' }, 'emulator.image'],
    [{ id: 3 }, 'batch.request'],
    [[], 'batch.request'],
    [{ id: 3, type: 'xdp', insns: hex(exit), packet: 5 }, 'batch.request'],
    [{ id: 3, type: 'xdp', insns: hex(exit), ctx: { nonsense: 1 } }, 'emulator.context'],
    [
      {
        id: 3,
        type: 'xdp',
        insns: hex(exit),
        maps: [{ type: 'array', keySize: 4, valueSize: 1 << 28, maxEntries: 4294967295 }],
      },
      'emulator.memory',
    ],
    [
      { id: 3, type: 'xdp', insns: hex(exit), maps: [{ type: 'struct_ops', keySize: 4, valueSize: 8, maxEntries: 1 }] },
      'emulator.map-type',
    ],
  ] as const)
    expect(ask(request)).toMatchObject({ error: { code } })
})

test('huge hash maps cost no memory before they are filled', () => {
  const before = process.memoryUsage().rss
  const maps = Array.from({ length: 3 }, (_, i) => ({
    name: `m${i}`,
    type: 'hash',
    keySize: 16,
    valueSize: 4096,
    maxEntries: 50_000_000,
  }))
  expect(ask({ id: 4, type: 'xdp', insns: hex(mov(0, 2), exit), maps })).toMatchObject({ r0: '0x2' })
  expect(process.memoryUsage().rss - before).toBeLessThan(300 << 20)
})

test('the conformance helpers have their numbers', () => {
  expect(runConformance(bytesOf([mov(1, 81), call(3), exit]), new Uint8Array(0)).r0).toBe(9n)
  expect(runConformance(bytesOf([mov(0, 4), mov(1, 0), call(5), mov(0, 2), exit]), new Uint8Array(0)).r0).toBe(4n)
})
