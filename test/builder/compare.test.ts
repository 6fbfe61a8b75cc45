import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'
import { compareRow, pairs } from './compare.ts'
import { frames } from './frames.ts'

describe('against clang-19 -O2 -mcpu=v3', () => {
  testWith('bpf', 'program:clang-19')('the same answers, no program above 1.25 times, the whole at most 1.1', () => {
    const inputs = frames(60, 7)
    const rows = pairs().map((pair) => compareRow(pair, inputs))
    expect(rows.length).toBeGreaterThanOrEqual(16)
    for (const row of rows) {
      expect(row.different ?? 0, `${row.name}: runs that differ`).toBe(0)
      expect(row.builder / row.c, `${row.name}: ${row.builder} instructions, clang ${row.c}`).toBeLessThanOrEqual(1.25)
    }
    const sum = (of: (row: (typeof rows)[number]) => number): number => rows.reduce((total, row) => total + of(row), 0)
    expect(sum((row) => row.builder) / sum((row) => row.c)).toBeLessThanOrEqual(1.1)
    expect(sum((row) => row.builderProcessed) / sum((row) => row.cProcessed)).toBeLessThanOrEqual(1.1)
  })
})
