import { readFileSync } from 'node:fs'
import { afterAll, describe, expect, test } from 'vitest'
import { parseBatchRequest } from '../../src/spec/index.ts'
import { kernelBtf } from '../../src/syscall/prog/kernel-btf.ts'
import { verify } from '../../src/verifier/index.ts'
import { reasonText } from '../differential/verifier/compare.ts'
import { rejectSites, UNREACHABLE, unreachedSites, watchSites } from '../differential/verifier/sites.ts'
import { testWith } from '../requirements.ts'
import { attachedPrograms } from './attach-targets/programs.ts'
import { SITE_PROGRAMS, siteImage } from './reject-sites/index.ts'

const fixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/verifier/${name}.json`, import.meta.url), 'utf8')

/** What a campaign reached, written by `npm run fuzz:verifier -- --sites FILE`. */
const campaign = JSON.parse(fixture('campaign-sites')) as { readonly reached: readonly string[] }
const hasTypes = kernelBtf() !== undefined
const sites = rejectSites()
const watched = watchSites()
afterAll(() => watched.stop())

function lastLine(message: string | undefined): string {
  return reasonText(message).split('\n').at(-1) ?? ''
}

describe.runIf(hasTypes)('a program for one refusal', () => {
  test.each(SITE_PROGRAMS.map((row) => [row.name, row] as const))('%s: the model says why', (_, row) => {
    const { verdict, message } = verify(siteImage(row), { kernelBtf })
    expect(verdict).toBe('reject')
    if (typeof row.says === 'string') expect(lastLine(message)).toBe(row.says.trim())
    else expect(lastLine(message)).toMatch(row.says)
  })

  testWith('bpf')(
    'is refused by the running kernel with the same words',
    async () => {
      const { createJudge, realSys } = await import('../../src/syscall/index.ts')
      const judge = createJudge(realSys())
      const different: string[] = []
      for (const row of SITE_PROGRAMS) {
        if (row.notHere !== undefined) continue
        const image = siteImage(row)
        const ours = verify(image, { kernelBtf })
        const theirs = judge.judge(image)
        const same = theirs.verdict === ours.verdict && reasonText(theirs.message) === reasonText(ours.message)
        if (!same)
          different.push(`${row.name}: kernel ${theirs.verdict} ${theirs.message} | ${ours.verdict} ${ours.message}`)
      }
      expect(different).toEqual([])
    },
    120_000,
  )
})

describe.runIf(hasTypes)('the sites of the model that refuse programs', () => {
  test('are all reached by a campaign or by a program of their own, or cannot be', () => {
    const rows = JSON.parse(fixture('regressions')) as { readonly request: object }[]
    for (const { request } of rows) verify(parseBatchRequest(request).image)
    for (const { image } of attachedPrograms()) verify(image, { kernelBtf })
    const reached = new Set(watched.places)
    for (const { key, place } of sites) if (campaign.reached.includes(key)) reached.add(place)
    expect(unreachedSites(sites, reached).map(({ key }) => key)).toEqual([])
    const needless = UNREACHABLE.filter(
      ([words]) => !sites.some(({ key, place }) => words.test(key) && !reached.has(place)),
    )
    expect(needless).toEqual([])
  })
})
