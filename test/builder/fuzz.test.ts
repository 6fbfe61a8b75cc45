import fc from 'fast-check'
import { describe, expect } from 'vitest'
import { check } from '../differential/builder/check.ts'
import { generated } from '../differential/builder/language.ts'
import { testWith } from '../requirements.ts'

describe('generated programs', () => {
  testWith('bpf')('the kernel computes what a direct evaluation of the trees does', () => {
    const counts = { programs: 0, runs: 0, rejected: 0, tooLarge: 0, different: 0, kernelFaults: 0, instructions: 0 }
    fc.assert(
      fc.property(generated, (program) => {
        expect(check(program, counts)).toBeUndefined()
      }),
      { numRuns: 100, seed: 42 },
    )
    expect(counts.runs).toBeGreaterThan(200)
  })
})
