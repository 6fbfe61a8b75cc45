import { describe, expect, test } from 'vitest'
import { assembleProgram, encodeInstructions } from '../../src/asm/index.ts'
import { Btf, BtfBuilder } from '../../src/btf/index.ts'
import type { ProgramImage } from '../../src/spec/index.ts'
import { PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { countSpecifiers } from '../../src/verifier/calls/format-string.ts'
import { verify } from '../../src/verifier/index.ts'
import { KernelTypes } from '../../src/verifier/kernel/kernel-types.ts'
import { fieldsOfType } from '../../src/verifier/kernel/object-fields.ts'
import { kfuncFlags, RELEASE, RET_NULL } from '../../src/verifier/tables/kfuncs.ts'

/** A kernel of a few types: tasks with parents, a tracepoint, one kernel function. */
function smallKernel(): Btf {
  const b = new BtfBuilder()
  const int = b.int('int', 4, { signed: true })
  const long = b.int('long', 8, { signed: true })
  const task = b.declare()
  const mm = b.add({ kind: 'struct', name: 'mm_struct', size: 8, members: [member('users', long, 0)] })
  const pair = b.add({
    kind: 'struct',
    name: 'pair',
    size: 16,
    members: [member('first', long, 0), member('second', b.pointer(mm), 64)],
  })
  const numbers = b.array(int, 4)
  b.define(task, {
    kind: 'struct',
    name: 'task_struct',
    size: 72,
    members: [
      member('pid', int, 0),
      member('numbers', numbers, 32),
      member('parent', b.pointer(task), 192),
      member('mm', b.pointer(mm), 256),
      member('pairs', b.array(pair, 2), 320),
    ],
  })
  b.add({
    kind: 'struct',
    name: 'task_struct__safe_rcu',
    size: 8,
    members: [member('parent', b.pointer(task), 0)],
  })
  const proto = b.add({
    kind: 'func_proto',
    returnType: 0,
    params: [
      { name: '', type: b.pointer(0) },
      { name: '', type: b.pointer(task) },
      { name: '', type: int },
    ],
  })
  b.add({ kind: 'typedef', name: 'btf_trace_task_moved', type: b.pointer(proto) })
  const release = b.add({ kind: 'func_proto', returnType: 0, params: [{ name: 'p', type: b.pointer(task) }] })
  b.add({ kind: 'func', name: 'bpf_task_release', type: release, linkage: 0 })
  return new Btf(b.toBytes())
}

function member(name: string, type: number, bitOffset: number) {
  return { name, type, bitOffset, bitSize: 0 }
}

const kernel = smallKernel()
const types = new KernelTypes(kernel)
const task = types.struct('task_struct') ?? 0

function image(lines: readonly string[], more: Partial<ProgramImage> = {}): ProgramImage {
  const { instructions } = assembleProgram(lines.join('\n'), { file: 'test.s' })
  return {
    name: 'test',
    type: PROGRAM_TYPES.tracing,
    expectedAttachType: 23,
    attachTo: { name: 'task_moved' },
    insns: encodeInstructions(
      instructions.map((i) =>
        i.reference?.kind === 'kfunc' ? { ...i, imm: kernel.idByName(i.reference.name, 'func') ?? 0 } : i,
      ),
    ),
    license: 'GPL',
    flags: 0,
    maps: [],
    relocations: [],
    ...more,
  }
}

const judge = (lines: readonly string[], more?: Partial<ProgramImage>) =>
  verify(image(lines, more), { kernelBtf: kernel, logLevel: 2 })

describe('a walk through a kernel struct', () => {
  const walk = (off: number, size: number) => types.walk(task, off, size, { untrusted: false }, true)

  test('gives numbers, pointers and structs', () => {
    expect(walk(0, 4)).toEqual({ kind: 'scalar' })
    expect(walk(24, 8)).toEqual({ kind: 'pointer', id: task, field: 'parent', tag: undefined })
    expect(walk(40, 8)).toMatchObject({ kind: 'struct' })
    expect(walk(48, 8)).toMatchObject({ kind: 'pointer', field: 'second' })
    expect(walk(64, 8)).toMatchObject({ kind: 'pointer', field: 'second' })
  })

  test('takes an array of numbers as one piece, but not past its end', () => {
    expect(walk(8, 8)).toEqual({ kind: 'scalar' })
    expect(walk(20, 4)).toMatchObject({ kind: 'error' })
  })

  test.each([
    [1, 8, 'access beyond the end of member pid (mend:4) in struct task_struct with off 1 size 8'],
    [25, 4, 'cannot access ptr member parent with moff 24 in struct task_struct with off 25 size 4'],
    [72, 1, 'access beyond struct task_struct at off 72 size 1'],
  ])('at %i of %i bytes is refused', (off, size, message) => {
    expect(walk(off, size)).toMatchObject({ kind: 'error', message })
  })
})

describe('a tracing program', () => {
  test("reads its target's arguments and walks on", () => {
    const answer = judge(['r2 = *(u64 *)(r1 + 0)', 'r3 = *(u64 *)(r2 + 24)', 'r0 = *(u32 *)(r3 + 0)', 'r0 = 0', 'exit'])
    expect(answer.verdict).toBe('accept')
    expect(answer.log).toContain("func 'task_moved' arg0 has btf_id")
    expect(answer.log).toContain('R2=trusted_ptr_task_struct()')
    // Listed as safe under RCU: it keeps that, and what is read from it does not.
    expect(answer.log).toContain('R3=rcu_ptr_task_struct()')
  })

  test.each([
    ['an argument that is not there', ['r0 = *(u64 *)(r1 + 16)', 'exit'], 'invalid bpf_context access off=16 size=8'],
    ['half an argument', ['r0 = *(u32 *)(r1 + 4)', 'exit'], 'invalid bpf_context access off=4 size=4'],
    ['a write', ['r2 = *(u64 *)(r1 + 0)', '*(u32 *)(r2 + 0) = 0', 'exit'], 'only read is supported'],
    [
      'a release of what is not held',
      ['r1 = *(u64 *)(r1 + 0)', 'r1 = *(u64 *)(r1 + 32)', 'call bpf_task_release', 'r0 = 0', 'exit'],
      'R1 must be referenced or trusted',
    ],
  ])('is refused for %s', (_, lines, message) => {
    const answer = judge(lines)
    expect(answer).toMatchObject({ verdict: 'reject', message })
  })

  test('is refused without a licence for the kernel', () => {
    const lines = ['r2 = *(u64 *)(r1 + 0)', 'r0 = *(u32 *)(r2 + 0)', 'r0 = 0', 'exit']
    expect(judge(lines, { license: 'Proprietary' }).message).toBe(
      "Cannot access kernel 'struct task_struct' from non-GPL compatible program",
    )
  })

  test("is unsupported, by name, without the kernel's types or its target", () => {
    const without = verify(image(['r0 = 0', 'exit']))
    expect(without.verdict).toBe('unsupported')
    expect(without.message).toContain('--btf')
    expect(judge(['r0 = 0', 'exit'], { attachTo: { name: 'nothing' } })).toMatchObject({
      verdict: 'unsupported',
      message: "the kernel's BTF has no attach target nothing",
    })
  })
})

test.each([
  ['%d %s', 2, 2],
  ['100%% %-5d', 1, 1],
  ['%d %d', 1, undefined],
  ['%pI4 %pi6 %pks', 3, 3],
  ['%pI5', 1, undefined],
  ['%lld %lx %u', 3, 3],
  ['%f', 1, undefined],
  ['%sx', 1, undefined],
  ['\u00e9', 0, undefined],
])('a format %j with room for %i has %s specifiers', (text, limit, count) => {
  expect(countSpecifiers(text, limit)).toBe(count)
})

test('special fields of a value are found at any depth, and none where the rules are broken', () => {
  const b = new BtfBuilder()
  const int = b.int('int', 4)
  const lock = b.add({ kind: 'struct', name: 'bpf_spin_lock', size: 4, members: [member('val', int, 0)] })
  const timer = b.add({ kind: 'struct', name: 'bpf_timer', size: 16, members: [] })
  const inner = b.add({ kind: 'struct', name: 'inner', size: 24, members: [member('timer', timer, 64)] })
  const good = b.add({
    kind: 'struct',
    name: 'good',
    size: 32,
    members: [member('lock', lock, 0), member('inner', inner, 64)],
  })
  const bad = b.add({
    kind: 'struct',
    name: 'bad',
    size: 8,
    members: [member('one', lock, 0), member('two', lock, 32)],
  })
  const btf = new Btf(b.toBytes())
  expect(fieldsOfType(btf, good).map(({ kind, offset }) => [kind, offset])).toEqual([
    ['bpf_spin_lock', 0],
    ['bpf_timer', 16],
  ])
  expect(fieldsOfType(btf, bad)).toEqual([])
})

test('flags of kernel functions are a table; a function without a row has none', () => {
  expect(kfuncFlags('bpf_task_release')).toBe(RELEASE)
  expect((kfuncFlags('bpf_task_from_pid') ?? 0) & RET_NULL).toBe(RET_NULL)
  expect(kfuncFlags('bpf_no_such_function')).toBeUndefined()
})
