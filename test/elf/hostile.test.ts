import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { check, LIMIT_BYTES } from '../differential/object/check.ts'
import { mutate, randomFrom } from '../differential/object/mutate.ts'

const objects = ['counter.el', 'core.el', 'externs.el', 'counter.eb'].map((name) =>
  readFileSync(new URL(`../fixtures/objects/${name}.o`, import.meta.url)),
)

test('hostile objects give a value or a typed error (npm run fuzz:object is the long form)', () => {
  fc.assert(
    fc.property(fc.nat(objects.length - 1), fc.integer(), (index, seed) => {
      const { kind, what } = check(mutate(objects[index], randomFrom(seed)))
      expect(kind === 'fault' ? what : 'fine').toBe('fine')
    }),
    { numRuns: 500 },
  )
})

test('a configuration value of gigabytes and structs inside themselves end with an error', () => {
  for (const seed of [4055617293, 4055647640, 1401182719, 1401211511, 1401216845, 1401197376, 2654440044]) {
    const random = randomFrom(seed)
    const all = readdirSync(new URL('../fixtures/objects/', import.meta.url))
      .filter((name) => name.endsWith('.o'))
      .sort()
    const name = all[Math.floor(random() * all.length)]
    const { kind, bytes } = check(mutate(readFileSync(new URL(`../fixtures/objects/${name}`, import.meta.url)), random))
    expect([seed, kind === 'fault', bytes > LIMIT_BYTES]).toEqual([seed, false, false])
  }
})
