import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, mergeBtf } from '../../src/btf/index.ts'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { CONTRIBUTION, type Contribution, collectObject, linkObjects, linkProgram } from '../../src/spec/index.ts'
import { loadWithBpftool } from '../elf/bpftool.ts'
import { testWith } from '../requirements.ts'

const fixture = (name: string) =>
  readObject(readFileSync(new URL(`../fixtures/objects/${name}.o`, import.meta.url)), { what: name })

describe('linking objects', () => {
  test('a function and a variable that one object declares and another defines are found', () => {
    const linked = linkObjects([fixture('part-a.el'), fixture('part-b.el')], { name: 'both' })
    expect(linked.programs.map(({ name }) => name)).toEqual(['first', 'second'])
    expect(linked.functions.map(({ name }) => name)).toEqual(['same', 'other', 'same.1'])
    expect(linked.externs).toEqual([])
    expect(linked.maps.map(({ name }) => name)).toEqual(['shared', '.data'])
    const { instructions } = linked.programs[0]
    expect(
      instructions.filter(({ reference }) => reference?.kind === 'function').map(({ reference }) => reference),
    ).toEqual([
      { kind: 'function', name: 'same' },
      { kind: 'function', name: 'other' },
    ])
    expect(instructions.some(({ reference }) => reference?.kind === 'mapValue' && reference.offset === 16)).toBe(true)
  })

  testWith(
    'bpf',
    'program:bpftool',
    'program:unshare',
  )('libbpf loads what was linked', () => {
    const bytes = writeObject(linkObjects([fixture('part-a.el'), fixture('part-b.el')], { name: 'both' }))
    const programs = loadWithBpftool(bytes)
    expect(Object.keys(programs)).toEqual(['first', 'second'])
    expect(programs['first']).toMatch(/int other\(/)
  })

  test('different maps of one name are refused, equal ones become one', () => {
    const object = fixture('part-a.el')
    const other = {
      ...object,
      programs: [],
      functions: [],
      variables: [],
      maps: object.maps.map((map) => ({ ...map, maxEntries: 9 })),
    }
    expect(() => linkObjects([object, other])).toThrow(/two different maps have the name shared/)
    const maps = object.maps.filter(({ section }) => section === undefined)
    expect(linkObjects([object, { ...other, maps, variables: [] }]).maps).toHaveLength(object.maps.length)
  })

  test('strong definitions win over weak ones, the first weak one over the next, static ones stay apart', () => {
    const parts = [fixture('part-c.el'), fixture('part-d.el')]
    for (const order of [parts, [...parts].reverse()]) {
      const linked = linkObjects(order, { name: 'both' })
      expect(linked.maps.find(({ name }) => name === 'table')?.maxEntries).toBe(8)
      expect(linked.externs.map(({ name, kind }) => [name, kind])).toEqual([['CONFIG_BPF_SYSCALL', 'kconfig']])
      const data = linked.maps.find(({ section }) => section === '.data')?.contents?.[0][1] as Uint8Array
      const loaded = (program: string, at: number): number => {
        const code = linked.programs.find(({ name }) => name === program)?.instructions ?? []
        const places = code.flatMap(({ reference }) =>
          reference?.kind === 'mapValue' && reference.name === '.data' ? [reference.offset] : [],
        )
        return new DataView(data.buffer, data.byteOffset).getInt32(places[at], true)
      }
      const first = order === parts ? 1 : 10
      // own++, limit, late in clang's order of loads
      expect([0, 1, 2].map((at) => loaded('third', at)).sort((a, b) => a - b)).toEqual(
        [first, 3, 20].sort((a, b) => a - b),
      )
      expect([0, 1, 2].map((at) => loaded('fourth', at)).sort((a, b) => a - b)).toEqual(
        [first, 20, 30].sort((a, b) => a - b),
      )
    }
  })

  test('a map of another object is named when the program that uses it is linked alone', () => {
    expect(() => linkProgram(fixture('part-c.el'), 'third')).toThrow(/third uses the map wanted/)
    const again = readObject(writeObject(fixture('part-c.el')), { name: 'part-c' })
    expect(again.externs).toContainEqual({ ...fixture('part-c.el').externs.find(({ kind }) => kind === 'map') })
    expect(again.maps.map(({ name, weak }) => [name, weak ?? false])).toEqual(
      fixture('part-c.el').maps.map(({ name, weak }) => [name, weak ?? false]),
    )
  })

  testWith(
    'bpf',
    'program:bpftool',
    'program:unshare',
  )('libbpf loads what was linked of weak parts', () => {
    const bytes = writeObject(linkObjects([fixture('part-c.el'), fixture('part-d.el')], { name: 'both' }))
    expect(Object.keys(loadWithBpftool(bytes))).toEqual(['fourth', 'third'])
  })

  test('an unresolved strong function is named when a program that calls it is linked', () => {
    expect(() => linkProgram(fixture('part-a.el'), 'first')).toThrow(/first calls other/)
  })
})

describe('merging BTF', () => {
  test('types that refer to themselves unite', () => {
    const make = () => {
      const builder = new BtfBuilder()
      builder.int('padding', 4)
      const node = builder.declare()
      const next = builder.pointer(node)
      builder.define(node, {
        kind: 'struct',
        name: 'node',
        size: 8,
        members: [{ name: 'next', type: next, bitOffset: 0, bitSize: 0 }],
      })
      return new Btf(builder.toBytes())
    }
    const merged = mergeBtf([{ btf: make() }, { btf: make() }])
    expect(merged.builder.typeCount).toBe(3)
    expect([...merged.ids[0]]).toEqual([...merged.ids[1]])
  })

  test('structs that differ only behind a pointer stay apart', () => {
    const make = (size: number) => {
      const builder = new BtfBuilder()
      const pointer = builder.pointer(builder.int('x', size))
      builder.add({
        kind: 'struct',
        name: 's',
        size: 8,
        members: [{ name: 'p', type: pointer, bitOffset: 0, bitSize: 0 }],
      })
      return new Btf(builder.toBytes())
    }
    expect(mergeBtf([{ btf: make(4) }, { btf: make(8) }]).builder.typeCount).toBe(6)
    expect(mergeBtf([{ btf: make(4) }, { btf: make(4) }]).builder.typeCount).toBe(3)
  })
})

describe('collecting a module', () => {
  const contribution = (name: string, size = 4): Contribution => {
    const builder = new BtfBuilder()
    const value = builder.int(`value${size}`, size)
    return {
      programs: [
        {
          name,
          section: 'xdp',
          type: 6,
          expectedAttachType: 37,
          flags: 0,
          linkage: 'global',
          instructions: [
            { opcode: 0xb7, dst: 0, src: 0, offset: 0, imm: 2 },
            { opcode: 0x95, dst: 0, src: 0, offset: 0, imm: 0 },
          ],
        },
      ],
      maps: [{ name: 'shared', type: 2, keySize: 4, valueSize: size, maxEntries: 1, flags: 0, btfValueTypeId: value }],
      btf: builder.toBytes(),
    }
  }

  test('programs of all exports share maps; values, methods and arrays are taken', () => {
    const object = collectObject({
      a: { [CONTRIBUTION]: contribution('one') },
      b: { [CONTRIBUTION]: () => contribution('two') },
      list: [{ [CONTRIBUTION]: contribution('three') }],
      other: 7,
    })
    expect(object.programs.map(({ name }) => name)).toEqual(['one', 'two', 'three'])
    expect(object.maps).toHaveLength(1)
    expect(new Btf(object.btf as Uint8Array).typeCount).toBe(1)
    expect(object.license).toBe('GPL')
  })

  test('a module without programs, and two licenses, are refused', () => {
    expect(() => collectObject({ x: 1 })).toThrow(/exports no program/)
    const [mit, gpl] = [
      { ...contribution('one'), license: 'MIT' },
      { ...contribution('two'), license: 'GPL' },
    ]
    expect(() => collectObject({ a: { [CONTRIBUTION]: mit }, b: { [CONTRIBUTION]: gpl } })).toThrow(
      /share one license: MIT, GPL/,
    )
    expect(() =>
      collectObject({ a: { [CONTRIBUTION]: contribution('one') }, b: { [CONTRIBUTION]: contribution('two', 8) } }),
    ).toThrow(/two different maps have the name shared/)
  })
})
