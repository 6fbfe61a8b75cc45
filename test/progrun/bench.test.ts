import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { xdpCount } from '../../programs/xdp-count/xdp-count.bpf.ts'
import { type BenchResult, bench, compareBaseline, eth, harness, ipv4, packet, tcp } from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'
import { CASES, type Case, imageOf } from './cases.ts'

const segment = packet(eth(), ipv4(), tcp())
const pass = imageOf(CASES.find(({ name }) => name === 'xdp code 2') as Case)

const result = (medianNs: number, more: Partial<BenchResult> = {}): BenchResult => ({
  program: 'filter',
  backend: 'kernel',
  kernel: '6.18',
  medianNs,
  p99Ns: medianNs,
  minNs: medianNs,
  samples: 1,
  repeat: 1,
  ...more,
})

describe('bench', () => {
  testWith('bpf')('measures in the kernel: ordered quantiles, and more work costs more than none', async () => {
    using t = await harness(xdpCount, { backend: 'kernel' })
    using floor = await harness(pass, { backend: 'kernel' })
    const options = { packet: segment }
    const measured = bench(t, xdpCount, options, { samples: 9, reference: { t: floor, program: pass.name, options } })
    expect(measured).toMatchObject({ program: 'xdp_count', backend: 'kernel', samples: 9, repeat: 10_000 })
    expect(measured.minNs).toBeLessThanOrEqual(measured.medianNs)
    expect(measured.medianNs).toBeLessThanOrEqual(measured.p99Ns)
    expect(measured.ratio).toBeGreaterThan(1)
  })

  test('and in the emulator where there is no kernel', async () => {
    using t = await harness(xdpCount, { backend: 'emulator' })
    const measured = bench(t, xdpCount, { packet: segment }, { samples: 3, repeat: 20 })
    expect(measured.backend).toBe('emulator')
    expect(measured.medianNs).toBeGreaterThan(0)
  })

  test('a stored baseline: ratios count before nanoseconds, nanoseconds only on the same kernel', () => {
    const folder = mkdtempSync(join(tmpdir(), 'typebpf-bench-'))
    try {
      const file = join(folder, 'bench.json')
      expect(compareBaseline([result(100, { reference: 'pass', ratio: 3 })], file)).toEqual([])
      expect(JSON.parse(readFileSync(file, 'utf8'))).toHaveLength(1)
      expect(compareBaseline([result(900, { reference: 'pass', ratio: 3.1 })], file)).toEqual([])
      expect(compareBaseline([result(100, { reference: 'pass', ratio: 4 })], file)).toEqual([
        { program: 'filter', by: 'ratio', before: 3, now: 4 },
      ])
      compareBaseline([result(100)], file, { update: true })
      expect(compareBaseline([result(119)], file)).toEqual([])
      expect(compareBaseline([result(121)], file)).toHaveLength(1)
      expect(compareBaseline([result(121, { kernel: '7.2' })], file)).toEqual([])
      expect(compareBaseline([result(121)], file, { limit: 1.5 })).toEqual([])
      writeFileSync(file, '{}')
      expect(() => compareBaseline([], file)).toThrow(/no list of bench results/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
