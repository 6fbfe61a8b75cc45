import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { skeleton } from '../../src/cli/skeleton.ts'
import { readObject } from '../../src/elf/index.ts'
import { attachAll, loadObject, realSys, testRun } from '../../src/syscall/index.ts'
import { Counter } from '../fixtures/skeletons/counter.ts'
import { testWith } from '../requirements.ts'

describe('skeleton', () => {
  test('is what the generator writes today (the type check covers the committed file)', () => {
    const object = readObject(readFileSync(new URL('../fixtures/objects/counter.el.o', import.meta.url)), {
      name: 'counter.el',
    })
    expect(skeleton(object, 'counter')).toBe(
      readFileSync(new URL('../fixtures/skeletons/counter.ts', import.meta.url), 'utf8'),
    )
  })

  testWith('bpf')('opens, sets globals, resizes, loads, runs and closes', () => {
    using counter = Counter.open()
    expect(counter.variables).toEqual({ '.rodata': { limit: 7 }, '.data': { seen: 1 }, '.bss': { total: 0n } })
    counter.variables['.rodata'].limit = 3
    counter.resize('events', 2).load()
    expect(() => counter.resize('events', 4)).toThrow(/loaded/)
    const events = counter.map('events')
    expect([...events.keys()]).toEqual([])
    const packet = new Uint8Array(64)
    const { sys, fd } = counter.program('count')
    testRun(sys, fd, { data: packet })
    // its XDP programs need an interface: nothing to attach, and nothing to complain of
    counter.attach()
    const before = counter.live['.bss'].total
    testRun(sys, fd, { data: packet })
    expect(counter.live['.bss'].total).toBeGreaterThan(before)
    counter.live['.bss'].total = 500n
    testRun(sys, fd, { data: packet })
    expect(counter.live['.bss'].total).toBeGreaterThan(500n)
    expect(() => {
      counter.live['.rodata'].limit = 4
    }).toThrow(/constant/)
    const [key] = [...events.keys()]
    expect(events.get(key)).toEqual({ at: 0n, pid: key, comm: '', _anonymous1: { low: 0, high: 0 } })
    events.set(key, { at: 5n, pid: 9, comm: 'node', _anonymous1: { low: 1, high: 2 } })
    expect(events.get(key)).toEqual({ at: 5n, pid: 9, comm: 'node', _anonymous1: { low: 1, high: 2 } })
    events.set(key + 1, { at: 0n, pid: 0, comm: '', _anonymous1: { low: 0, high: 0 } })
    expect(() => events.set(key + 2, { at: 0n, pid: 0, comm: '', _anonymous1: { low: 0, high: 0 } })).toThrow(
      /E2BIG|full/,
    )
    counter.close()
    expect(() => counter.map('events')).toThrow(/not loaded/)
  })

  test('tells a wrong name, a wrong value and a change too early or too late', () => {
    using counter = Counter.open()
    const loose = counter as unknown as {
      variables: Record<string, Record<string, unknown>>
      resize(map: string, maxEntries: number): void
      program(name: string): unknown
    }
    expect(() => {
      loose.variables['.rodata']['limitt'] = 1
    }).toThrow(/limitt/)
    expect(() => loose.resize('evnts', 2)).toThrow('there is no map evnts')
    expect(() => loose.program('count')).toThrow('the object is not loaded')
    expect(() => counter.live).toThrow('the object is not loaded')
    loose.variables['.rodata']['limit'] = 'many'
    expect(() => counter.load()).toThrow(/limit of \.rodata: /)
  })

  testWith('bpf')('refuses changes after the load and names what is not there', () => {
    using counter = Counter.open().load()
    expect(() => {
      counter.variables['.rodata'].limit = 1
    }).toThrow('limit: the object is loaded, set it through live')
    expect(() => counter.program('counts' as never)).toThrow('counts is no program of the object')
    expect(() => counter.map('evnts' as never)).toThrow('there is no map evnts')
    expect(() => counter.load()).toThrow(/loaded/)
  })

  testWith('bpf')('all maps of an object are made, also those that only user space uses', () => {
    const object = readObject(readFileSync(new URL('../fixtures/objects/counter.el.o', import.meta.url)))
    const spare = { name: 'spare', type: 1, keySize: 4, valueSize: 8, maxEntries: 2, flags: 0 }
    using some = loadObject(realSys(), { ...object, maps: [...object.maps, spare] })
    expect(some.maps.has('spare')).toBe(false)
    using all = loadObject(realSys(), { ...object, maps: [...object.maps, spare] }, { allMaps: true })
    expect([...all.maps.keys()].sort()).toEqual([...object.maps.map(({ name }) => name), 'spare'].sort())
    using alone = loadObject(realSys(), { ...object, programs: [] }, { allMaps: true })
    expect(alone.maps.size).toBe(object.maps.length)
  })

  testWith('bpf')('attaches what its section places and leaves out what needs a choice', () => {
    const read = (name: string) =>
      readObject(readFileSync(new URL(`../fixtures/objects/${name}.el.o`, import.meta.url)))
    using traced = loadObject(realSys(), read('externs'))
    const links = attachAll(traced, { unplaced: 'skip' })
    for (const link of links) link.close()
    expect(links.length).toBe(1)
    using counter = loadObject(realSys(), read('counter'))
    expect(attachAll(counter, { unplaced: 'skip' })).toEqual([])
    expect(() => attachAll(counter)).toThrow(/interface/)
  })
})
