import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { denied, xdpCount } from '../../programs/xdp-count/xdp-count.bpf.ts'
import {
  CoverageRecorder,
  coverageByFile,
  eth,
  type FileCoverage,
  harness,
  ipv4,
  ipv6,
  readCoverage,
  summarize,
  tcp,
  toIstanbul,
  toLcov,
  udp,
  writeCoverage,
} from '../../src/progrun/index.ts'
import { testWith } from '../requirements.ts'
import { type Case, imageOf } from './cases.ts'

async function cover(each: Case): Promise<FileCoverage> {
  const coverage = new CoverageRecorder()
  const image = imageOf(each)
  using t = await harness(image, { backend: 'emulator', coverage })
  for (const { options } of each.runs) t.run(image.name, options)
  return coverageByFile(coverage)[0]
}
const hits = (file: FileCoverage): [number, number | 'dead'][] =>
  file.lines.map(({ line, hits: count, dead }) => [line, dead ? 'dead' : count])

const packetRuns = (count: number): Case['runs'] =>
  Array.from({ length: count }, () => ({ options: { packet: [eth(), ipv4(), tcp()] }, returns: 0 }))

describe('coverage, by hand', () => {
  test('a branch that is always taken: the line it jumps over has 0 hits, its other side is missing', async () => {
    const file = await cover({
      name: 'skip',
      type: 'sched_cls',
      text: ['r2 = *(u32 *)(r1 + 8)', 'r0 = 1', 'if r2 == 0 goto out', 'r0 = 2', 'out:', 'exit'].join('\n'),
      runs: packetRuns(3),
    })
    expect(hits(file)).toEqual([
      [1, 3],
      [2, 3],
      [3, 3],
      [4, 0],
      [6, 3],
    ])
    expect(file.lines[2].branches).toEqual([{ program: 'skip', slot: 2, jumped: 3, fellThrough: 0 }])
    expect(summarize([file])).toEqual({ lines: 5, linesHit: 4, linesDead: 0, branches: 2, branchesHit: 1 })
  })

  test('a loop: hits count every round, both sides of its branch are taken', async () => {
    const file = await cover({
      name: 'loop',
      type: 'sched_cls',
      text: ['r0 = 0', 'r1 = 4', 'again:', 'r0 += r1', 'r1 += -1', 'if r1 != 0 goto again', 'exit'].join('\n'),
      runs: packetRuns(2),
    })
    expect(hits(file)).toEqual([
      [1, 2],
      [2, 2],
      [4, 8],
      [5, 8],
      [6, 8],
      [7, 2],
    ])
    expect(file.lines[4].branches[0]).toMatchObject({ jumped: 6, fellThrough: 2 })
  })

  test('what the verifier proves dead is told apart from what a test missed', async () => {
    const file = await cover({
      name: 'dead',
      type: 'sched_cls',
      text: [
        'r2 = 5',
        'r0 = 0',
        'if r2 == 6 goto never',
        'r3 = *(u32 *)(r1 + 8)',
        'if r3 == 7 goto missed',
        'exit',
        'missed:',
        'r0 = 1',
        'exit',
        'never:',
        'r0 = 2',
        'exit',
      ].join('\n'),
      runs: packetRuns(1),
    })
    expect(Object.fromEntries(hits(file))).toMatchObject({ 6: 1, 8: 0, 9: 0, 11: 'dead', 12: 'dead' })
    expect(summarize([file])).toMatchObject({ linesDead: 2, linesHit: 6, lines: 8 })
  })
})

describe('coverage of builder code', () => {
  async function recorded(): Promise<CoverageRecorder> {
    const coverage = new CoverageRecorder()
    using t = await harness(xdpCount, { backend: 'emulator', coverage })
    t.run(xdpCount, { packet: [eth(), ipv4(), tcp()] })
    t.run(xdpCount, { packet: [eth(), ipv6(), udp()] })
    return coverage
  }
  const lineOf = (file: FileCoverage, text: string): number => file.text.findIndex((line) => line.includes(text)) + 1

  test('TypeScript lines: what only the denied path runs has 0 hits until a denied packet comes', async () => {
    const coverage = await recorded()
    const [before] = coverageByFile(coverage)
    expect(before.path).toMatch(/xdp-count\.bpf\.ts$/)
    const dropping = lineOf(before, 'verdict.set(b.DROP.value)')
    expect(before.lines.find(({ line }) => line === dropping)?.hits).toBe(0)
    using t = await harness(xdpCount, { backend: 'emulator', coverage, maps: { denied: [[0x0a000001, 0n]] } })
    t.run(xdpCount, { packet: [eth(), ipv4({ src: '10.0.0.1' }), tcp()] })
    expect(t.map(denied).get(0x0a000001)).toBe(1n)
    const [after] = coverageByFile(coverage)
    expect(after.lines.find(({ line }) => line === dropping)?.hits).toBe(1)
  })

  test('lcov, istanbul and HTML say the same; processes merge through a folder', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'typebpf-coverage-'))
    try {
      const coverage = await recorded()
      coverage.save(folder)
      coverage.save(folder)
      const twice = coverageByFile(readCoverage(folder))
      const once = coverageByFile(coverage)
      expect(twice[0].lines.map((each) => each.hits)).toEqual(once[0].lines.map((each) => each.hits * 2))
      const lcov = toLcov(once)
      const summary = summarize(once)
      expect(lcov).toContain(`LF:${summary.lines}\nLH:${summary.linesHit}\nend_of_record`)
      expect(lcov.match(/^DA:/gm)).toHaveLength(summary.lines)
      const [istanbul] = Object.values(toIstanbul(once)) as { s: Record<string, number>; b: Record<string, number[]> }[]
      expect(Object.values(istanbul.s).filter((count) => count > 0)).toHaveLength(summary.linesHit)
      expect(Object.values(istanbul.b).flat()).toHaveLength(summary.branches)
      writeCoverage(folder, once)
      const html = readFileSync(join(folder, 'index.html'), 'utf8')
      expect(html.match(/<tr class="miss"/g)).toHaveLength(summary.lines - summary.linesHit)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  testWith('program:genhtml')('genhtml reads the lcov file', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'typebpf-lcov-'))
    try {
      writeCoverage(folder, coverageByFile(await recorded()))
      const out = execFileSync(
        'genhtml',
        ['--branch-coverage', '-o', join(folder, 'html'), join(folder, 'lcov.info')],
        {
          encoding: 'utf8',
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      expect(out).toMatch(/lines\.*: \d+\.\d+% \(\d+ of \d+ lines\)/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
