import { describe, expect, test } from 'vitest'
import { BTF_LINKAGE, Btf, BtfBuilder, simplerBtf } from '../../src/btf/index.ts'
import { FakeSys, loadBtf, realSys } from '../../src/syscall/index.ts'
import { testWith } from '../requirements.ts'

/** Types of every kind that came after Linux 5.5. */
function newTypes(littleEndian = true): Uint8Array {
  const builder = new BtfBuilder()
  const int = builder.int('int', 4, { signed: true })
  const values = [{ name: 'BIG', value: 1n << 40n }]
  const big = builder.add({ kind: 'enum64', name: 'big', size: 8, signed: false, values })
  const float = builder.add({ kind: 'float', name: 'double', size: 8 })
  const tagged = builder.pointer(builder.add({ kind: 'type_tag', name: 'user', type: int, attribute: true }))
  const members = [big, float, tagged].map((type, i) => ({ name: `m${i}`, type, bitOffset: 64 * i, bitSize: 0 }))
  const struct = builder.add({ kind: 'struct', name: 'all', size: 24, members })
  builder.add({ kind: 'decl_tag', name: 'note', type: struct, component: 1 })
  const proto = builder.add({ kind: 'func_proto', returnType: int, params: [{ name: 'x', type: int }] })
  builder.add({ kind: 'func', name: 'main', type: proto, linkage: BTF_LINKAGE.global })
  return builder.toBytes({ littleEndian })
}

const kindsOf = (btf: Btf): string[] => [...btf.types()].map(([, { kind }]) => kind)

describe('BTF for older kernels', () => {
  for (const littleEndian of [true, false])
    test(`each form takes one kind away, ids and places stay (${littleEndian ? 'little' : 'big'} endian)`, () => {
      const btf = new Btf(newTypes(littleEndian))
      const forms = [...simplerBtf(btf)]
      expect(forms.map(({ before }) => before)).toEqual(['6.16', '6.0', '5.17', '5.16', '5.13', '5.6'])
      for (const { bytes } of forms) expect(new Btf(bytes).endId).toBe(btf.endId)
      const last = new Btf(forms[5].bytes)
      expect(kindsOf(last).filter((kind) => ['enum64', 'float', 'type_tag', 'decl_tag'].includes(kind))).toEqual([])
      expect(last.find('all', 'struct')).toEqual(btf.find('all', 'struct'))
      expect(last.sizeOf(last.idByName('big', 'union') as number)).toBe(8)
      expect(last.find('main', 'func')).toMatchObject({ linkage: BTF_LINKAGE.static })
      // nothing of it: nothing to do
      expect([...simplerBtf(new Btf(forms[5].bytes))]).toEqual([])
    })

  testWith('bpf')('the kernel takes every form', () => {
    for (const { bytes } of simplerBtf(new Btf(newTypes()))) loadBtf(realSys(), bytes).close()
  })

  test('a kernel that refuses the newer kinds gets the first form that it knows', () => {
    const seen: string[][] = []
    const sys = new FakeSys((_command, attr, self) => {
      const kinds = kindsOf(new Btf(self.at(attr.getBigUint64(0, true), attr.getUint32(16, true)).slice()))
      seen.push(kinds)
      // Linux 5.16: declaration tags, no type tags, no enum64
      return kinds.includes('enum64') || kinds.includes('type_tag') ? -22 : 7
    })
    expect(loadBtf(sys, newTypes()).fd).toBe(7)
    expect(seen).toHaveLength(4)
    expect(seen[3]).toContain('decl_tag')
  })
})
