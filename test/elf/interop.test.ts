import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { Instruction } from '../../src/asm/index.ts'
import { applyCore, BTF_LINKAGE, Btf, BtfBuilder, CoreResolver, dumpRaw, readBtfExt } from '../../src/btf/index.ts'
import { type ElfSection, readElf, readSymbols, sectionNamed } from '../../src/elf/container/index.ts'
import { readObject, writeObject } from '../../src/elf/index.ts'
import { addLayout, chars, struct, u32, u64 } from '../../src/layout/index.ts'
import { linkProgram, type ObjectSpec } from '../../src/spec/index.ts'
import { testWith } from '../requirements.ts'
import { loadWithBpftool, runOn } from './bpftool.ts'

const fixture = (name: string): Uint8Array => readFileSync(new URL(`../fixtures/objects/${name}.o`, import.meta.url))
const at = (line: number): Instruction['source'] => ({ file: 'count.ts', line, column: 3, text: `statement ${line}` })
const ins = (opcode: number, dst = 0, src = 0, offset = 0, imm = 0): Instruction => ({ opcode, dst, src, offset, imm })

/** What a producer other than clang would give: no BTF of functions and maps, labels, a subprogram, data. */
function handMade(): ObjectSpec {
  const builder = new BtfBuilder()
  const value = addLayout(builder, struct('counter_value', { packets: u64, tag: chars(8) }))
  const key = addLayout(builder, u32)
  const wide = { ...ins(0x18, 1), imm64: 0n }
  return {
    name: 'hand',
    littleEndian: true,
    license: 'GPL',
    programs: [
      {
        name: 'hand_made',
        section: 'xdp',
        type: 6,
        expectedAttachType: 37,
        flags: 0,
        linkage: 'global',
        instructions: [
          { ...ins(0x62, 10, 0, -4, 0), source: at(3) },
          { ...wide, reference: { kind: 'map', name: 'counters' }, source: at(4) },
          { ...ins(0xbf, 2, 10), source: at(4) },
          { ...ins(0x07, 2, 0, 0, -4), source: at(4) },
          { ...ins(0x85, 0, 0, 0, 1), source: at(4) },
          { ...ins(0x15, 0, 0, 0, 0), reference: { kind: 'label', name: 'out' }, source: at(5) },
          { ...ins(0xb7, 1, 0, 0, 1), source: at(6) },
          { ...ins(0xdb, 0, 1, 0, 0), source: at(6) },
          { ...wide, reference: { kind: 'mapValue', name: '.data', offset: 4 }, source: at(7) },
          { ...ins(0x61, 1, 1, 0, 0), source: at(7) },
          { ...ins(0x85, 0, 1, 0, -1), reference: { kind: 'function', name: 'verdict' }, source: at(8) },
          { ...ins(0x95), label: 'out', source: at(9) },
        ],
      },
    ],
    functions: [
      {
        name: 'verdict',
        linkage: 'static',
        instructions: [
          { ...ins(0xb7, 0, 0, 0, 2), source: at(12) },
          { ...ins(0x95), source: at(13) },
        ],
      },
    ],
    maps: [
      {
        name: 'counters',
        type: 1,
        keySize: 4,
        valueSize: 16,
        maxEntries: 8,
        flags: 0,
        btfKeyTypeId: key,
        btfValueTypeId: value,
      },
      {
        name: '.data',
        section: '.data',
        type: 2,
        keySize: 4,
        valueSize: 8,
        maxEntries: 1,
        flags: 0,
        contents: [[new Uint8Array(4), Uint8Array.of(1, 0, 0, 0, 2, 0, 0, 0)]],
      },
    ],
    variables: [
      { name: 'first', section: '.data', offset: 0, size: 4, linkage: 'global', typeId: key },
      { name: 'second', section: '.data', offset: 4, size: 4, linkage: 'static', typeId: key },
    ],
    externs: [],
    btf: builder.toBytes(),
  }
}

describe('objects of our own', () => {
  test('the same spec gives the same bytes', () => {
    expect(writeObject(handMade())).toEqual(writeObject(handMade()))
  })

  test('reading what was written gives the spec again', () => {
    const spec = handMade()
    const again = readObject(writeObject(spec), { name: 'hand' })
    expect(again.maps.map(({ btfKeyTypeId, btfValueTypeId, ...rest }) => rest)).toEqual(
      spec.maps.map(({ btfKeyTypeId, btfValueTypeId, ...rest }) => rest),
    )
    expect(again.variables).toEqual(spec.variables)
    expect(again.programs[0].instructions.map(({ source }) => source)).toEqual(
      spec.programs[0].instructions.map(({ source }) => source),
    )
    expect(again.programs[0].instructions[1].reference).toEqual({ kind: 'map', name: 'counters' })
    expect(again.programs[0].instructions[5]).toMatchObject({ opcode: 0x15, offset: 6 })
    expect(again.programs[0].instructions[8].reference).toEqual({ kind: 'mapValue', name: '.data', offset: 4 })
    expect(again.programs[0].instructions[10].reference).toEqual({ kind: 'function', name: 'verdict' })
    const once = writeObject(again)
    expect(readObject(once, { name: 'hand' })).toEqual(
      readObject(writeObject(readObject(once, { name: 'hand' })), { name: 'hand' }),
    )
  })

  test('a big-endian object of a little-endian spec has the initial values turned', () => {
    const again = readObject(writeObject(handMade(), { littleEndian: false }))
    expect(again.littleEndian).toBe(false)
    expect(again.maps.find(({ section }) => section === '.data')?.contents?.[0][1]).toEqual(
      Uint8Array.of(0, 0, 0, 1, 0, 0, 0, 2),
    )
    expect(again.programs[0].instructions[6]).toMatchObject({ opcode: 0xb7, dst: 1, imm: 1 })
  })

  test('every function has a line at its start, as kernels and cilium/ebpf want, and none is made up for the spec', () => {
    const spec = handMade()
    const [program] = spec.programs
    const without = (list: readonly Instruction[]) => list.map(({ source: _, ...rest }) => rest)
    const late = program.instructions.map(({ source, ...rest }, i) => (i < 2 ? rest : { ...rest, source }))
    const cases = [
      { programs: [{ ...program, instructions: late }], first: 4 },
      { programs: [{ ...program, instructions: without(program.instructions) }], first: 0 },
    ]
    for (const { programs, first } of cases) {
      const functions = spec.functions.map((fn) => ({ ...fn, instructions: without(fn.instructions) }))
      const bytes = writeObject({ ...spec, programs, functions })
      const file = readElf(bytes)
      const btf = new Btf((sectionNamed(file, '.BTF') as ElfSection).data)
      const ext = readBtfExt((sectionNamed(file, '.BTF.ext') as ElfSection).data, btf)
      expect(ext.lines.get('xdp')?.[0]).toMatchObject({ offset: 0, lineNumber: first })
      expect(ext.lines.get('.text')?.[0]).toMatchObject({ offset: 0, lineNumber: 0 })
      const again = readObject(bytes)
      expect(again.functions[0].instructions.every(({ source }) => source === undefined)).toBe(true)
      expect(again.programs[0].instructions[0].source?.line ?? 0).toBe(first)
      // a function without lines does not take those of the others away
      expect(linkProgram(again, 'hand_made').lineInfo?.length ?? 0).toBe(first === 0 ? 0 : 11 * 16)
    }
  })

  test('names the function that refers to what is not there', () => {
    const spec = handMade()
    expect(() => writeObject({ ...spec, maps: [] })).toThrow(/hand_made refers to the map counters/)
    expect(() => writeObject({ ...spec, functions: [] })).toThrow(/hand_made calls verdict/)
  })

  testWith(
    'bpf',
    'program:bpftool',
    'program:unshare',
  )('libbpf loads it, with our lines', () => {
    const programs = loadWithBpftool(writeObject(handMade()))
    expect(Object.keys(programs)).toEqual(['hand_made'])
    expect(programs['hand_made']).toContain('; statement 8 [file:count.ts line_num:8 line_col:3]')
    expect(programs['hand_made']).toMatch(/int verdict\(.*\):\n; statement 12/s)
  })

  testWith('program:llvm-objdump-19')('llvm-objdump disassembles both byte orders', () => {
    for (const littleEndian of [true, false]) {
      const text = runOn(writeObject(handMade(), { littleEndian }), 'llvm-objdump-19', ['-d', '-r', '-S'])
      expect(text).not.toMatch(/error|warning/i)
      expect(text).toContain('<hand_made>:')
      expect(text).toMatch(/lock \*\(u64 \*\)\(r0 \+ 0x0\) \+= r1/)
      expect(text).toMatch(/R_BPF_64_64\s+counters/)
    }
  })

  testWith('program:readelf')('readelf reads it without a warning', () => {
    for (const name of ['counter.el', 'core.el', 'externs.el']) {
      const text = runOn(writeObject(readObject(fixture(name))), 'readelf', ['-aW'])
      expect(text).not.toMatch(/warning|error/i)
      expect(text).toMatch(/OBJECT\s+GLOBAL|FUNC\s+GLOBAL/)
    }
  })

  testWith('program:pahole')('pahole finds the types', () => {
    expect(runOn(writeObject(handMade()), 'pahole', ['-F', 'btf', '-C', 'counter_value'])).toContain(
      'char                       tag[8];',
    )
  })
})

describe("clang's objects, read and written again", () => {
  // libbpf refuses an object with a variable in BTF that no symbol of its section stands for
  for (const name of ['arena', 'core', 'counter', 'externs', 'part-a', 'part-b', 'part-c', 'part-d'])
    test(`every variable of a section of ${name} has its symbol`, () => {
      const spec = readObject(fixture(`${name}.el`))
      const bytes = writeObject(spec)
      const file = readElf(bytes)
      const symbols = readSymbols(file, sectionNamed(file, '.symtab') as ElfSection)
      const btf = new Btf((sectionNamed(file, '.BTF') as ElfSection).data)
      let seen = 0
      for (const [, type] of btf.types()) {
        if (type.kind !== 'datasec' || type.name === '.ksyms' || type.name === '.kconfig') continue
        const home = sectionNamed(file, type.name)
        expect(home, type.name).toBeDefined()
        for (const entry of type.entries) {
          const variable = btf.type(entry.type)
          if (variable.kind !== 'var') continue
          const section = variable.linkage === BTF_LINKAGE.extern ? 0 : home?.index
          expect(
            symbols.some((s) => s.name === variable.name && s.section === section),
            variable.name,
          ).toBe(true)
          seen++
        }
      }
      expect(seen).toBeGreaterThan(0)
      // and nothing is lost on the way
      const again = readObject(bytes, { name: spec.name })
      expect({ ...again, btf: dumpRaw(new Btf(again.btf as Uint8Array)) }).toEqual({
        ...spec,
        btf: dumpRaw(new Btf(spec.btf as Uint8Array)),
      })
    })

  for (const name of ['counter', 'core', 'externs'])
    testWith(
      'bpf',
      'program:bpftool',
      'program:unshare',
    )(`libbpf makes the same code of ${name}`, () => {
      const original = fixture(`${name}.el`)
      const wanted = loadWithBpftool(original)
      expect(Object.keys(wanted).length).toBeGreaterThan(0)
      expect(loadWithBpftool(writeObject(readObject(original)))).toEqual(wanted)
    })

  testWith(
    'bpf',
    'program:bpftool',
    'program:unshare',
  )('CO-RE applied by us is the code that libbpf makes', () => {
    const spec = readObject(fixture('core.el'))
    const kernel = new Btf(readFileSync('/sys/kernel/btf/vmlinux'))
    const resolver = new CoreResolver(new Btf(spec.btf as Uint8Array), kernel)
    let applied = 0
    const programs = spec.programs.map((program) => ({
      ...program,
      instructions: program.instructions.flatMap((instruction) => {
        if (instruction.core === undefined) return [instruction]
        applied++
        return applyCore(resolver, instruction, program.name).instructions.map(({ core: _, ...rest }) => rest)
      }),
    }))
    expect(applied).toBeGreaterThan(20)
    expect(loadWithBpftool(writeObject({ ...spec, programs }))).toEqual(loadWithBpftool(fixture('core.el')))
  })

  test('big and little endian objects of one source give the same spec', () => {
    for (const name of ['counter', 'core', 'externs']) {
      const [el, eb] = ['el', 'eb'].map((order) => readObject(fixture(`${name}.${order}`)))
      expect(eb.littleEndian).toBe(false)
      expect(eb.programs.map((p) => p.name)).toEqual(el.programs.map((p) => p.name))
      const attributes = (spec: ObjectSpec) =>
        spec.maps.map(({ name: n, type, keySize, valueSize, maxEntries, flags }) => [
          n,
          type,
          keySize,
          valueSize,
          maxEntries,
          flags,
        ])
      expect(attributes(eb)).toEqual(attributes(el))
      expect(eb.externs).toEqual(el.externs)
    }
  })
})
