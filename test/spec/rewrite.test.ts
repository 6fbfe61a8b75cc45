import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { linkObjects, variableValue, withMaps, withPrograms, withVariables } from '../../src/spec/index.ts'
import { loadObject, mapInfo, realSys, testRun } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'

const fixture = (name: string) =>
  readObject(readFileSync(new URL(`../fixtures/objects/${name}.o`, import.meta.url)), { what: name })

describe('changing an object before it is loaded', () => {
  for (const order of ['el', 'eb'])
    test(`variables have other first values, the object itself stays (${order})`, () => {
      const object = fixture(`counter.${order}`)
      const changed = withVariables(object, { limit: 3, total: 1n << 40n, seen: Uint8Array.of(9, 8, 7, 6) })
      expect([variableValue(changed, 'limit'), variableValue(changed, 'total')]).toEqual([3, 1n << 40n])
      expect(variableValue(changed, 'seen')).toBe(order === 'el' ? 0x06070809 : 0x09080706)
      expect(variableValue(object, 'limit')).toBe(7)
      expect(variableValue(readObject(writeObject(changed)), 'total')).toBe(1n << 40n)
    })

  test('variables of an arena', () => {
    const changed = withVariables(fixture('arena.el'), { first: 77 })
    expect(Number(variableValue(changed, 'first'))).toBe(77)
    expect(Number(variableValue(readObject(writeObject(changed)), 'first'))).toBe(77)
  })

  test('of two static variables of one name the section tells which, where it can', () => {
    const both = linkObjects([fixture('part-c.el'), fixture('part-d.el')], { name: 'both' })
    expect(() => withVariables(both, { own: 1 })).toThrow('both has 2 variables own: in .data and .data')
    expect(variableValue(withVariables(both, { '.data:late': 5 }), 'late')).toBe(5)
  })

  test('a wrong name or value is told', () => {
    const object = fixture('counter.el')
    expect(() => withVariables(object, { limitt: 3 })).toThrow(/has no variable limitt; it has .*limit/)
    expect(() => withVariables(object, { limit: 'three' })).toThrow(/counter.*: limit: .*"three" is not/)
    expect(() => withVariables(object, { limit: 2 ** 40 })).toThrow(/limit/)
    expect(() => withMaps(object, { evnts: { maxEntries: 1 } })).toThrow(/has no map evnts; it has .*events/)
    expect(() => withPrograms(object, ['cnt'])).toThrow(/has no program cnt; it has /)
  })

  testWith('bpf')('the kernel runs what was changed', () => {
    const object = withMaps(withVariables(fixture('counter.el'), { total: 100n }), { events: { maxEntries: 3 } })
    using loaded = loadObject(realSys(), withPrograms(object, ['count']))
    expect(loaded.programs).toHaveLength(1)
    const { program } = loaded.programs[0].result
    for (let run = 0; run < 2; run++) testRun(loaded.sys, program?.fd ?? -1, { data: new Uint8Array(64) })
    const value = loaded.maps.get('.bss')?.lookup(new Uint8Array(4)) as Uint8Array
    expect(new DataView(value.buffer, value.byteOffset).getBigUint64(0, true)).toBeGreaterThan(100n)
    const events = loaded.maps.get('events')
    expect(mapInfo(loaded.sys, events?.fd ?? -1).max_entries).toBe(3)
  })
})
