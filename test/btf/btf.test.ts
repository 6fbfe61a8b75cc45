import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BTF_KIND,
  Btf,
  BtfBuilder,
  type BtfType,
  CORE_KIND,
  CoreResolver,
  dumpC,
  dumpRaw,
  essentialName,
  minimalCoreBtf,
} from '../../src/btf/index.ts'
import * as kinds from '../../src/btf/kinds.ts'
import { readObject } from '../../src/elf/index.ts'
import { InputError } from '../../src/errors/index.ts'
import { testWith } from '../requirements.ts'

/** One type of every kind. */
const EVERY_KIND: readonly BtfType[] = [
  { kind: 'int', name: 'int', size: 4, bits: 32, bitOffset: 0, signed: true, char: false, bool: false },
  { kind: 'ptr', type: 4 },
  { kind: 'array', type: 1, indexType: 1, count: 7 },
  {
    kind: 'struct',
    name: 's',
    size: 24,
    bitFields: true,
    members: [
      { name: 'next', type: 2, bitOffset: 0, bitSize: 0 },
      { name: 'low', type: 1, bitOffset: 64, bitSize: 3 },
      { name: '', type: 5, bitOffset: 128, bitSize: 0 },
    ],
  },
  { kind: 'union', name: '', size: 4, bitFields: false, members: [{ name: 'a', type: 1, bitOffset: 0, bitSize: 0 }] },
  { kind: 'enum', name: 'e', size: 4, signed: true, values: [{ name: 'A', value: -1 }] },
  { kind: 'fwd', name: 'f', union: true },
  { kind: 'typedef', name: 't', type: 4 },
  { kind: 'volatile', type: 1 },
  { kind: 'const', type: 8 },
  { kind: 'restrict', type: 2 },
  { kind: 'func', name: 'main', type: 13, linkage: 1 },
  {
    kind: 'func_proto',
    returnType: 1,
    params: [
      { name: 'x', type: 1 },
      { name: '', type: 0 },
    ],
  },
  { kind: 'var', name: 'v', type: 1, linkage: 1 },
  { kind: 'datasec', name: '.data', size: 4, entries: [{ type: 14, offset: 0, size: 4 }] },
  { kind: 'float', name: 'double', size: 8 },
  { kind: 'decl_tag', name: 'tag', type: 4, component: 1 },
  { kind: 'type_tag', name: 'rcu', type: 1 },
  { kind: 'enum64', name: 'e64', size: 8, signed: false, values: [{ name: 'B', value: (1n << 64n) - 1n }] },
]

function build(types: readonly BtfType[], littleEndian = true): Btf {
  const builder = new BtfBuilder()
  for (const type of types) builder.addDistinct(type)
  return new Btf(builder.toBytes({ littleEndian }))
}

describe('BTF', () => {
  test.each([true, false])('every kind is read as it was written (little endian: %s)', (littleEndian) => {
    const btf = build(EVERY_KIND, littleEndian)
    expect(btf.littleEndian).toBe(littleEndian)
    expect([...btf.types()].map(([, type]) => type)).toEqual(EVERY_KIND)
  })

  test('strings and equal types are stored once', () => {
    const builder = new BtfBuilder()
    expect(builder.int('int', 4)).toBe(builder.int('int', 4))
    expect(builder.addString('file.ts')).toBe(builder.addString('file.ts'))
    const bytes = builder.toBytes()
    expect(new TextDecoder().decode(bytes).split('file.ts')).toHaveLength(2)
  })

  test('split BTF continues the ids and strings of its base', () => {
    const base = build(EVERY_KIND)
    const builder = new BtfBuilder(base)
    const id = builder.add({ kind: 'typedef', name: 'module_type', type: 4 })
    const split = new Btf(builder.toBytes(), { base })
    expect(id).toBe(EVERY_KIND.length + 1)
    expect(split.idByName('module_type')).toBe(id)
    expect(split.resolve(id)).toEqual(EVERY_KIND[3])
    expect(split.idByName('s', 'struct')).toBe(4)
    expect(split.typeCount).toBe(EVERY_KIND.length + 1)
  })

  test('names are found before and after the index is built, also as tails of longer strings', () => {
    const btf = build(EVERY_KIND)
    for (let i = 0; i < 8; i++) expect(btf.idsByName('t')).toEqual([8])
    expect(btf.idsByName('absent')).toEqual([])
    expect(btf.idsWithNameStart('mai')).toEqual([12])
    expect(btf.idsWithNameStart('absent')).toEqual([])
  })

  test('sizes follow typedefs and arrays; cycles end', () => {
    const btf = build([...EVERY_KIND, { kind: 'typedef', name: 'loop', type: 21 }, { kind: 'const', type: 20 }])
    expect(btf.sizeOf(3)).toBe(28)
    expect(btf.sizeOf(10)).toBe(24)
    expect(btf.sizeOf(0)).toBeUndefined()
    expect(() => btf.sizeOf(20)).toThrow(/without end/)
  })

  test('any bytes give types or a typed error', () => {
    const bytes = build(EVERY_KIND).bytes
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(bytes.length - 1), fc.nat(255)), { minLength: 1, maxLength: 6 }),
        (changes) => {
          const broken = Uint8Array.from(bytes)
          for (const [at, value] of changes) broken[at] = value
          try {
            for (const [id] of new Btf(broken).types()) expect(id).toBeGreaterThan(0)
          } catch (error) {
            expect(error).toBeInstanceOf(InputError)
          }
        },
      ),
      { numRuns: 2000 },
    )
  })
})

describe('CO-RE', () => {
  const int: BtfType = {
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  }
  const struct = (name: string, members: readonly string[], type = 1): BtfType => ({
    kind: 'struct',
    name,
    size: members.length * 4,
    members: members.map((member, i) => ({ name: member, type, bitOffset: i * 32, bitSize: 0 })),
  })

  test('a name without its flavour', () => {
    expect(essentialName('task_struct___old')).toBe('task_struct')
    expect(essentialName('a___b___c')).toBe('a___b')
    for (const name of ['task_struct', '___x', 'x___', 'a____b', '']) expect(essentialName(name)).toBe(name)
  })

  test('a moved field gives its new offset, a missing one says what is missing', () => {
    const local = build([int, struct('task', ['pid', 'gone'])])
    const target = build([int, struct('task', ['state', 'pid'])])
    const resolver = new CoreResolver(local, target)
    const offset = { kind: CORE_KIND.fieldByteOffset, typeId: 2 }
    expect(resolver.resolve({ ...offset, access: '0:0' })).toMatchObject({ original: 0n, value: 4n, poison: false })
    expect(resolver.resolve({ ...offset, access: '0:1' })).toMatchObject({
      poison: true,
      reason: 'task has no field gone of a matching type on this kernel',
    })
    expect(resolver.resolve({ kind: CORE_KIND.fieldExists, typeId: 2, access: '0:1' })).toMatchObject({
      original: 1n,
      value: 0n,
    })
    expect(resolver.resolve({ kind: CORE_KIND.typeIdTarget, typeId: 2, access: '0' }).value).toBe(2n)
  })

  test('candidates that disagree are an error, flavours of the target are candidates too', () => {
    const local = build([int, struct('task', ['pid'])])
    const agree = build([int, struct('task', ['pid']), struct('task___2', ['pid', 'more'])])
    expect(new CoreResolver(local, agree).resolve({ kind: 0, typeId: 2, access: '0:0' }).value).toBe(0n)
    const differ = build([int, struct('task', ['pid']), struct('task___2', ['more', 'pid'])])
    expect(() => new CoreResolver(local, differ).resolve({ kind: 0, typeId: 2, access: '0:0' })).toThrow(/disagree/)
  })

  test('malformed accesses are refused', () => {
    const local = build([int, struct('task', ['pid'])])
    const resolver = new CoreResolver(local, local)
    for (const access of ['', ':', '0:', '0:9', '-1', '0:0:0', '1e3', '0'.padEnd(400, ':0')])
      expect(() => resolver.resolve({ kind: 0, typeId: 2, access }), access).toThrow(InputError)
    expect(() => resolver.resolve({ kind: 99, typeId: 2, access: '0' })).toThrow(/kind is unknown/)
    expect(() => resolver.resolve({ kind: 0, typeId: 77, access: '0' })).toThrow(/no such type/)
  })

  test('a whole type that a relocation compares keeps what it contains, and the names of what it points to', () => {
    const builder = new BtfBuilder()
    const int = builder.int('int', 4, { signed: true })
    const members = (...types: (readonly [string, number, number])[]) =>
      types.map(([name, type, bitOffset]) => ({ name, type, bitOffset, bitSize: 0 }))
    const far = builder.add({ kind: 'struct', name: 'far', size: 4, members: members(['z', int, 0]) })
    const inner = builder.add({ kind: 'struct', name: 'inner', size: 4, members: members(['a', int, 0]) })
    const list: (readonly [string, number, number])[] = [
      ['x', int, 0],
      ['i', inner, 32],
      ['p', builder.pointer(far), 64],
    ]
    const typeId = builder.add({ kind: 'struct', name: 'outer', size: 16, members: members(...list) })
    const btf = new Btf(builder.toBytes())
    const relocations = [
      { kind: CORE_KIND.fieldByteOffset, typeId, access: '0:0' },
      { kind: CORE_KIND.typeMatches, typeId, access: '0' },
    ]
    const minimal = new Btf(minimalCoreBtf(btf, [{ btf, relocations }]).toBytes())
    const names = (name: string) => minimal.find(name, 'struct')?.members.map((member) => member.name)
    expect([names('outer'), names('inner'), names('far')]).toEqual([['x', 'i', 'p'], ['a'], []])
    const fields = new Btf(minimalCoreBtf(btf, [{ btf, relocations: relocations.slice(0, 1) }]).toBytes())
    expect(fields.find('inner', 'struct')).toBeUndefined()
  })

  testWith('linux', 'program:bpftool')("the minimal BTF is bpftool's", () => {
    const folder = mkdtempSync(join(tmpdir(), 'typebpf-'))
    try {
      const path = new URL('../fixtures/objects/core.el.o', import.meta.url).pathname
      const reference = join(folder, 'reference.btf')
      execFileSync('bpftool', ['gen', 'min_core_btf', '/sys/kernel/btf/vmlinux', reference, path], {
        env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
      })
      const object = readObject(readFileSync(path))
      const relocations = object.programs.flatMap(({ instructions }) => instructions.flatMap(({ core }) => core ?? []))
      const kernel = new Btf(readFileSync('/sys/kernel/btf/vmlinux'))
      const made = minimalCoreBtf(kernel, [{ btf: new Btf(object.btf as Uint8Array), relocations }]).toBytes()
      writeFileSync(join(folder, 'ours.btf'), made)
      expect(dumpRaw(new Btf(made))).toBe(dumpRaw(new Btf(readFileSync(reference))))
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

test('the constants of kinds are the numbers of the table', () => {
  const constants = Object.entries(kinds).filter(([name]) => name.startsWith('KIND_'))
  expect(Object.fromEntries(constants.map(([name, number]) => [name.slice(5).toLowerCase(), number]))).toEqual(BTF_KIND)
})

test('the C dump names an id or a string that leads nowhere', () => {
  const builder = new BtfBuilder()
  builder.add({ kind: 'typedef', name: 'first', type: builder.pointer(0) })
  const whole = builder.toBytes()
  expect(dumpC(new Btf(whole))).toContain('typedef void *first;')
  const { typesStart } = new Btf(whole)
  const broken = (word: number): Btf => {
    const bytes = whole.slice()
    new DataView(bytes.buffer).setUint32(typesStart + 4 * word, 0xfffffff0, true)
    return new Btf(bytes)
  }
  expect(() => dumpC(broken(2))).toThrow('refers to type [4294967280]')
  expect(() => dumpC(broken(3))).toThrow('string offset 4294967280')
})

test('types of the other byte order, and types at an odd place, give the same C', () => {
  const builder = new BtfBuilder()
  const int = builder.add({
    kind: 'int',
    name: 'int',
    size: 4,
    bits: 32,
    bitOffset: 0,
    signed: true,
    char: false,
    bool: false,
  })
  const members = [
    { name: 'a', type: int, bitOffset: 0, bitSize: 3 },
    { name: 'b', type: builder.pointer(int), bitOffset: 64, bitSize: 0 },
  ]
  builder.add({ kind: 'struct', name: 's', size: 16, members })
  const bytes = builder.toBytes()
  const text = dumpC(new Btf(bytes))
  expect(text).toContain('struct s {\n\tint a: 3;\n')
  const shifted = new Uint8Array(bytes.length + 1)
  shifted.set(bytes, 1)
  expect(dumpC(new Btf(shifted.subarray(1)))).toBe(text)
  expect(dumpC(new Btf(otherOrder(bytes)))).toBe(text)
})

/** The same BTF in the other byte order: every word of header and types, and the two bytes of the magic. */
function otherOrder(bytes: Uint8Array): Uint8Array {
  const { typesStart, typesLength } = new Btf(bytes)
  const other = bytes.slice()
  other.subarray(0, 2).reverse()
  for (let at = 4; at < typesStart + typesLength; at += 4) other.subarray(at, at + 4).reverse()
  return other
}
