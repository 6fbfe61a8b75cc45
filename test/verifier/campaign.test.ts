import { describe, expect, test } from 'vitest'
import { runCampaign } from '../differential/verifier/campaign.ts'
import { GENERATORS } from '../differential/verifier/generators/index.ts'
import { imageOf } from '../differential/verifier/program.ts'
import { Random } from '../differential/verifier/random.ts'
import { rejectSites } from '../differential/verifier/sites.ts'
import { testWith } from '../requirements.ts'

const PROGRAMS = 2000
/** The few programs that take a million instructions are for the long form. */
const MAX_PROCESSED = 20_000
const SEED = 20261121

describe('the differential campaign, short form', () => {
  test('makes the same programs of the same seed', () => {
    for (const { name, generate } of GENERATORS) {
      const bytes = (): string => Buffer.from(imageOf(generate(new Random(5, 3))).insns).toString('hex')
      expect(bytes(), name).toBe(bytes())
    }
  })

  test('knows where the model refuses programs', () => {
    expect(rejectSites().length).toBeGreaterThan(300)
  })

  testWith('bpf')(
    `finds no wrong verdict in ${PROGRAMS} programs`,
    async () => {
      const { openKernel } = await import('../differential/verifier/kernel.ts')
      const kernel = openKernel()
      const { reports, failures } = runCampaign(kernel, { programs: PROGRAMS, seed: SEED, maxProcessed: MAX_PROCESSED })
      kernel.close()
      const wrong = failures.filter(({ kind }) => kind !== 'processed' && kind !== 'reason')
      expect(
        wrong.map(
          ({ kind, generator, index, kernel: k, model: m }) =>
            `${kind} ${generator} #${index}: ${k.message} | ${m.message}`,
        ),
      ).toEqual([])
      for (const { generator, programs, accepts, rejects, unsupported } of reports) {
        expect(accepts / programs, `${generator}: accepts`).toBeGreaterThan(0.2)
        expect(rejects / programs, `${generator}: rejects`).toBeGreaterThan(0.2)
        // Kernel function calls answer `unsupported` so far: `iterators` is made of them, structural damage makes some.
        if (generator !== 'iterators') expect(unsupported / programs, `${generator}: unsupported`).toBeLessThan(0.1)
      }
    },
    180_000,
  )

  testWith('bpf')(
    'accepts none of 1,000 random and mutated programs that the kernel refuses',
    async () => {
      const { openKernel } = await import('../differential/verifier/kernel.ts')
      const kernel = openKernel()
      const { reports, failures } = runCampaign(kernel, {
        programs: 1000,
        seed: SEED + 1,
        only: 'structure',
        maxProcessed: MAX_PROCESSED,
      })
      kernel.close()
      expect(reports[0].programs).toBe(1000)
      expect(reports[0].rejects).toBeGreaterThan(300)
      expect(failures.filter(({ kind }) => kind === 'wrong-accept')).toEqual([])
    },
    60_000,
  )
})
