import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { FakeSys, realSys } from '../../src/syscall/index.ts'
import { Arena } from '../../src/syscall/sys/arena.ts'
import { testWith } from '../requirements.ts'

const stress = new URL('./gc-stress.ts', import.meta.url).pathname

describe('memory that the kernel sees', () => {
  test('blocks do not overlap, come zeroed and are used again', () => {
    let top = 0x1000
    const arena = new Arena((length) => {
      const chunk = { address: top, bytes: new Uint8Array(length) }
      top += length
      return chunk
    })
    const blocks = Array.from({ length: 500 }, (_, i) => arena.alloc(i * 7))
    const sorted = [...blocks].sort((a, b) => a.address - b.address)
    sorted.slice(1).forEach((block, i) => {
      expect(sorted[i].address + Math.max(sorted[i].size, 1)).toBeLessThanOrEqual(block.address)
    })
    const before = top
    for (const block of blocks) {
      block.bytes.fill(0xff)
      block.free()
      block.free()
    }
    for (let i = 0; i < 500; i++) expect(arena.alloc(i * 7).bytes.every((byte) => byte === 0)).toBe(true)
    expect(top).toBe(before)
  })

  testWith('linux')('an errno is the one of the call that failed', () => {
    const sys = realSys()
    expect(sys.call('close', 999_999)).toBe(-9)
    expect(sys.call('fcntl', 999_999, 1)).toBe(-9)
    expect(sys.call('getpid')).toBe(process.pid)
    expect(sys.bpf(9999, 0, 0)).toBe(-22)
  })

  testWith('linux')('an unmapped mapping reads as zeros instead of crashing', () => {
    const sys = realSys()
    const mapping = sys.mmap(4096, 3, 0x22, -1, 0)
    mapping.bytes[7] = 1
    mapping.unmap()
    mapping.unmap()
    expect(mapping.bytes[7]).toBe(0)
  })

  testWith('bpf')(
    'survives a garbage collector that runs all the time',
    () => {
      const output = execFileSync(
        process.execPath,
        ['--expose-gc', '--conditions=typebpf-source', '--import', 'tsx', stress],
        { encoding: 'utf8', timeout: 240_000 },
      )
      const report = JSON.parse(output) as { operations: number }
      expect(report).toMatchObject({ loads: 500, wrong: 0, leaked: 0 })
      expect(report.operations).toBeGreaterThan(6000)
    },
    250_000,
  )

  const cycles = (...args: string[]): Record<string, Record<string, number>> => {
    const script = new URL('./reliability.ts', import.meta.url).pathname
    const output = execFileSync(
      process.execPath,
      ['--expose-gc', '--conditions=typebpf-source', '--import', 'tsx', script, ...args],
      { encoding: 'utf8', timeout: 240_000 },
    )
    return JSON.parse(output) as Record<string, Record<string, number>>
  }

  testWith('bpf', 'program:ip')(
    'cycles of everything that owns a descriptor leave none',
    () => {
      const report = cycles('5')
      expect(Object.keys(report).length).toBeGreaterThan(20)
      for (const [task, row] of Object.entries(report)) expect([task, row['descriptorsLeft']]).toEqual([task, 0])
    },
    250_000,
  )

  testWith('bpf', 'program:ip')(
    'many cycles leave no memory',
    () => {
      const tasks = ['load and close', 'map create, use, close', 'ring: open, close', 'array: map, unmap']
      for (const row of Object.values(cycles('400', ...tasks))) {
        expect(row['descriptorsLeft']).toBe(0)
        expect(row['grownMiB']).toBeLessThan(30)
      }
    },
    250_000,
  )

  test('a fake answers as the test says and reports bad addresses', () => {
    const fake = new FakeSys((command) => (command === 0 ? 77 : -1))
    using block = fake.alloc(64)
    expect(fake.bpf(0, block.address, 64)).toBe(77)
    expect(() => fake.at(0x10, 4)).toThrow(/no memory/)
  })
})
