import fc from 'fast-check'
import { kernelBtf } from 'typebpf/kernel'
import { collectObject, linkProgram } from 'typebpf/spec'
import { KERNEL_FAULT, verify } from 'typebpf/verifier'
import { describe, expect } from 'vitest'
import { check } from '../differential/builder/check.ts'
import { construct } from '../differential/builder/construct.ts'
import { type GeneratedProgram, generated } from '../differential/builder/language.ts'
import { testWith } from '../requirements.ts'

describe('generated programs', () => {
  testWith('bpf')('the kernel computes what a direct evaluation of the trees does', () => {
    const counts = {
      programs: 0,
      runs: 0,
      rejected: 0,
      tooLarge: 0,
      different: 0,
      kernelFaults: 0,
      kernelWrong: 0,
      emulatorOnly: 0,
      instructions: 0,
    }
    fc.assert(
      fc.property(generated, (program) => {
        expect(check(program, counts)).toBeUndefined()
      }),
      { numRuns: 100, seed: 42 },
    )
    expect(counts.runs).toBeGreaterThan(100)
    expect(counts.emulatorOnly).toBeGreaterThan(2)
  })
  // never loaded here: Linux 6.18's verifier reads past its frames and the loading thread dies in an oops
  testWith('bpf')(
    'the model foretells what the kernel does not survive: an iterator inside a bpf_loop callback',
    () => {
      const zeroOr = (condition: object): object => ({
        k: 'select',
        type: 'u32',
        condition: { k: 'compare', type: 'u8', op: 'eq', a: condition, b: { k: 'literal', type: 'u8', value: 0n } },
        a: { k: 'input', type: 'u32', index: 0 },
        b: { k: 'literal', type: 'u32', value: 0n },
      })
      const input = { k: 'input', type: 'u64', index: 0 }
      const sum = { a: { k: 'literal', type: 'u64', value: 0n }, b: { k: 'variable', type: 'u64', index: 1 } }
      const wire = { k: 'place', type: 'u64', op: 'wire', n: 0, a: { k: 'binary', type: 'u64', op: 'add', ...sum } }
      const body = [
        {
          k: 'loop',
          form: 'iterator',
          count: 1,
          body: [{ k: 'store', index: 0, value: { k: 'member', type: 'u32', index: 0 } }],
        },
        {
          k: 'switch',
          value: zeroOr({ k: 'member', type: 'u8', index: 5 }),
          cases: [[0, [{ k: 'store', index: 1, value: input }]]],
          otherwise: [{ k: 'place', op: 'copy', n: 0, a: wire, c: input }],
        },
      ]
      const count = zeroOr({ k: 'variable', type: 'u8', index: 5 })
      const program = { statements: [{ k: 'times', count, form: 'callback', body }], inputs: [] }
      const made = construct(program as unknown as GeneratedProgram)
      const image = linkProgram(collectObject({ made }), 'generated', { kernelBtf: kernelBtf() })
      expect(verify(image, { kernelBtf })).toMatchObject({ verdict: 'unsupported', message: KERNEL_FAULT })
    },
  )
})
