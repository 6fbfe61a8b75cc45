import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { check } from '../differential/object/check.ts'
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
    { numRuns: 1500 },
  )
})
