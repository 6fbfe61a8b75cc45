import { expect, test } from 'vitest'
import type { Btf } from '../../src/btf/index.ts'
import { CONTEXTS } from '../../src/emulator/contexts/index.ts'
import { kernelBtf } from '../../src/syscall/index.ts'
import { PROFILE_6_18 } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

/** Structs that the kernel lays out for programs; pt_regs is the machine's own. */
const OPEN = new Set(['arguments', 'bytes'])

/** Fields of a struct by offset, arrays and unions taken apart: all names of a place, and its sizes in bytes. */
function fieldsOf(btf: Btf, id: number, base = 0, found: Fields = new Map()): Fields {
  const type = btf.resolve(id)
  if (type.kind !== 'struct' && type.kind !== 'union') return found
  const add = (offset: number, name: string, size: number): void => {
    found.set(offset, [...(found.get(offset) ?? []), `${name.replaceAll('_', '')}:${size}`])
  }
  for (const member of type.members) {
    const offset = base + (member.bitOffset >> 3)
    const inner = btf.resolve(member.type)
    if (inner.kind === 'array') {
      const size = btf.sizeOf(inner.type) ?? 0
      for (let i = 0; i < inner.count; i++) add(offset + i * size, `${member.name}${i}`, size)
    } else if (inner.kind === 'struct' || inner.kind === 'union') fieldsOf(btf, member.type, offset, found)
    else if (member.name !== '' && member.bitSize === 0) add(offset, member.name, btf.sizeOf(member.type) ?? 0)
  }
  return found
}
type Fields = Map<number, readonly string[]>
/** The kernel has cs and ss as unions of their halves. */
const OTHER_NAMES: Readonly<Record<string, string>> = { cs: 'csx', ss: 'ssx' }

testWith('bpf')('contexts have the fields of the running kernel at their places', () => {
  const btf = kernelBtf()
  if (btf === undefined) throw new Error('the kernel shows no types')
  const wrong: string[] = []
  const seen = new Set<string>()
  for (const { table } of Object.values(CONTEXTS)) {
    if (OPEN.has(table.kind) || seen.has(table.kind)) continue
    seen.add(table.kind)
    const id = btf.idByName(table.kind, 'struct')
    if (id === undefined) {
      wrong.push(`${table.kind} is no struct`)
      continue
    }
    const theirs = fieldsOf(btf, id)
    for (const { name, offset, size } of table.fields) {
      const their = theirs.get(offset) ?? []
      const plain = (OTHER_NAMES[name] ?? name).replaceAll('_', '')
      if (!their.includes(`${plain}:${size}`)) wrong.push(`${table.kind}.${name} at ${offset}, ${size} bytes: ${their}`)
      theirs.delete(offset)
    }
    for (const [offset, names] of theirs) wrong.push(`${table.kind}: ${names} at ${offset} is missing`)
  }
  expect(wrong).toEqual([])
  expect(seen.size).toBeGreaterThan(10)
})

/** Types whose writable bytes depend on more than the profile was asked for. */
const NOT_RECORDED = new Set(['ext', 'syscall', 'tracing', 'lsm', 'struct_ops'])

test('programs may write the context fields that the verifier lets them write', () => {
  const wrong: string[] = []
  for (const [type, { table, writable }] of Object.entries(CONTEXTS)) {
    const contexts = PROFILE_6_18.programs
      .filter((one) => one.type === type)
      .map((one) => PROFILE_6_18.contexts[one.context])
    if (contexts.length === 0 || NOT_RECORDED.has(type)) continue
    const writes = (offset: number): boolean =>
      contexts.some((context) => {
        const letter = context.offsets.join('')[offset]
        return (PROFILE_6_18.accesses[letter] ?? '').split(' ')[1]?.includes('ok') ?? false
      })
    for (const { name, offset, size } of table.fields) {
      const theirs = Array.from({ length: size }, (_, i) => offset + i).some(writes)
      const ours = writable === 'all' || writable.includes(name)
      if (theirs !== ours)
        wrong.push(`${type}: ${name} is ${ours ? '' : 'not '}writable here, in the kernel it is ${theirs ? '' : 'not'}`)
    }
  }
  expect(wrong).toEqual([])
})
