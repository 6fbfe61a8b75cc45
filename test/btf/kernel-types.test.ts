import { readFileSync } from 'node:fs'
import { currentTask, globals, rawTracepoint, u64 } from 'typebpf'
import { collectObject } from 'typebpf/spec'
import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder, dumpKernelTypes } from '../../src/btf/index.ts'
import { readObject } from '../../src/elf/index.ts'
import { loadObject, realSys, testRun } from '../../src/syscall/index.ts'
import { task_struct } from '../fixtures/skeletons/kernel-types.ts'
import { testWith } from '../requirements.ts'

const generated = new URL('../fixtures/skeletons/kernel-types.ts', import.meta.url)
const object = readObject(readFileSync(new URL('../fixtures/objects/core.el.o', import.meta.url)))
const ROOTS = ['task_struct', 'sk_buff', 'sock', 'file']

const state = globals('state', { tgid: u64, own: u64 })

describe('TypeScript definitions of kernel structs', () => {
  test('are what the generator writes today (the type check covers the committed file)', () => {
    const btf = new Btf(object.btf as Uint8Array)
    const roots = ROOTS.map((name) => btf.idByName(name, 'struct') as number)
    expect(dumpKernelTypes(btf, roots)).toBe(readFileSync(generated, 'utf8'))
    expect(() => dumpKernelTypes(btf, [btf.idByName('__u32', 'typedef') as number])).toThrow(/no struct/)
  })

  test('structs of nameless unions inside each other are refused, not written a million times', () => {
    const builder = new BtfBuilder()
    let type = builder.int('int', 4)
    const member = (name: string, of: number) => ({ name, type: of, bitOffset: 0, bitSize: 0 })
    for (let depth = 0; depth < 8; depth++) {
      const members = Array.from({ length: 60 }, (_, i) => member(`m${i}`, type))
      type = builder.addDistinct({ kind: 'union', name: `u${depth}`, size: 4, members })
    }
    const root = builder.addDistinct({ kind: 'struct', name: 'root', size: 4, members: [member('x', type)] })
    expect(() => dumpKernelTypes(new Btf(builder.toBytes()), [root])).toThrow(/more than 50000 members/)
  })

  testWith('bpf')('read the running kernel from a program of the builder', () => {
    const program = rawTracepoint('parent_of', { event: 'sys_enter' }, () => {
      const task = currentTask(task_struct)
      state.tgid.set(task.real_parent.tgid.to(u64))
      state.own.set(task.tgid.to(u64))
      return 0
    })
    using loaded = loadObject(realSys(), collectObject({ program }, { name: 'parents' }))
    const { result } = loaded.programs[0]
    if (result.program === undefined) throw new Error(result.message)
    testRun(loaded.sys, result.program.fd, {})
    const value = loaded.maps.get('.data.state')?.lookup(new Uint8Array(4)) as Uint8Array
    const view = new DataView(value.buffer, value.byteOffset)
    expect(Number(view.getBigUint64(8, true))).toBe(process.pid)
    expect(Number(view.getBigUint64(0, true))).toBe(process.ppid)
  })
})
