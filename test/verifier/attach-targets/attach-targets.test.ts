import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { Btf, BtfBuilder } from '../../../src/btf/index.ts'
import { parseBatchRequest } from '../../../src/spec/index.ts'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../../src/uapi/index.ts'
import { rowFor } from '../../../src/verifier/diagnosis/index.ts'
import { verify } from '../../../src/verifier/index.ts'
import { attachedPrograms } from './programs.ts'

/** What Linux 6.18.15 answered in a virtual machine, by the program's name. */
const recorded = JSON.parse(
  readFileSync(new URL('../../fixtures/verifier/attach-targets.json', import.meta.url), 'utf8'),
) as Readonly<Record<string, { readonly verdict: string; readonly message?: string; readonly processed?: number }>>

const types = kernelBtf()
const hasHooks = types?.idByName('bpf_lsm_file_open', 'func') !== undefined
const programs = attachedPrograms()
/** Ids of types differ from kernel to kernel. */
const bare = (message: string | undefined) => message?.replace(/attach_btf_id \d+/, 'attach_btf_id N')

describe('programs attached to hooks and to other programs', () => {
  const judged = programs.filter(
    ({ kernelTypes, name }) => !kernelTypes || (name.startsWith('lsm') ? hasHooks : types !== undefined),
  )
  test.each(judged.map(({ name, image }) => [name, image] as const))('%s: as Linux 6.18 judged it', (name, image) => {
    const { verdict, message, processed } = verify(image, { kernelBtf: types })
    const row = recorded[name]
    expect({ verdict, message: bare(message), processed }).toEqual({ ...row, message: bare(row?.message) })
  })

  test('every program was recorded', () => {
    expect(programs.map(({ name }) => name).sort()).toEqual(Object.keys(recorded).sort())
  })

  test('each refusal has a diagnosis of its own', () => {
    const refused = Object.values(recorded).flatMap(({ message }) => (message === undefined ? [] : [message]))
    expect(refused.filter((message) => rowFor(message).code === 'other')).toEqual([])
  })

  test.each([
    ['vfs_open is not sleepable', 'attach-target-refused'],
    ['vfs_open() is not modifiable', 'attach-target-refused'],
    ['attach_btf_id 7 points to disabled hook bpf_lsm_getprocattr', 'attach-target-refused'],
    ["Attaching fexit/fmod_ret to __noreturn function 'do_exit' is rejected.", 'attach-target-refused'],
    ['The function f arg1 type STRUCT is unsupported.', 'attach-target-refused'],
    ["Subprog f doesn't exist", 'attach-target-refused'],
    ['Cannot replace static functions', 'extension-mismatch'],
    ['Extension program may sleep, while original does not', 'extension-mismatch'],
    ["arg0 f(struct xdp_md *) doesn't match g(struct __sk_buff *)", 'extension-mismatch'],
    ["Return type INT of f() doesn't match type ENUM of g()", 'extension-mismatch'],
    ["BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!", 'return-value'],
  ])('%j is filed under %s', (message, code) => {
    expect(rowFor(message).code).toBe(code)
  })

  test('an extension without its target is not guessed at', () => {
    const extension = programs.find(({ name }) => name.startsWith('freplace entry:'))
    const { program: _, ...attachTo } = extension?.image.attachTo ?? { name: '' }
    const answer = verify({ ...(extension?.image as never as object), attachTo } as never)
    expect(answer).toMatchObject({ verdict: 'unsupported', message: expect.stringMatching(/attachTo\.program/) })
  })

  test('a target that is refused itself is said to be', () => {
    const extension = programs.find(({ name }) => name.startsWith('freplace entry:'))?.image
    const target = extension?.attachTo?.program
    if (extension === undefined || target === undefined) throw new Error('no extension')
    const broken = { ...target, insns: target.insns.slice(0, 8) }
    const answer = verify({ ...extension, attachTo: { name: 'entry', program: broken } })
    expect(answer).toMatchObject({ verdict: 'unsupported', message: expect.stringMatching(/not accepted itself/) })
  })

  test('programs attached to one another without end get an answer', () => {
    const tracer = programs.find(({ name }) => name.startsWith('fentry of entry'))?.image
    if (tracer === undefined) throw new Error('no tracer')
    const loop: { attachTo?: object } = { ...tracer }
    loop.attachTo = { name: 'tracer', program: loop }
    expect(verify(loop as never, { kernelBtf: types }).verdict).toBe('unsupported')
  })

  test('requests nested without measure are refused', () => {
    const insns = 'b7000000000000009500000000000000'
    let request: object = { type: 'xdp', insns }
    for (let i = 0; i < 5000; i++) request = { type: 'ext', insns, attachTo: { name: 'f', program: request } }
    expect(() => parseBatchRequest(request)).toThrow(/more than 8 programs/)
  })

  test('a batch request names the target as a request', () => {
    const program = { type: 'xdp', insns: 'b700000002000000 9500000000000000'.replaceAll(' ', '') }
    const request = { id: 1, type: 'ext', insns: program.insns, attachTo: { name: 'f', program }, attachBtfId: 1 }
    const { image } = parseBatchRequest(request)
    expect(image.attachTo?.program?.type).toBe(PROGRAM_TYPES.xdp)
    expect(verify(image).message).toBe(
      'FENTRY/FEXIT program can only be attached to another program annotated with BTF',
    )
  })
})

describe('functions of the kernel as targets', () => {
  /** A kernel with two functions, and error injection or not. */
  function kernel(injection: boolean): Btf {
    const btf = new BtfBuilder()
    const int = btf.int('int', 4, { signed: true })
    const big = btf.add({
      kind: 'struct',
      name: 'big',
      size: 24,
      members: [{ name: 'a', type: int, bitOffset: 0, bitSize: 0 }],
    })
    const proto = (...params: number[]) =>
      btf.add({ kind: 'func_proto', returnType: int, params: params.map((type, i) => ({ name: `a${i}`, type })) })
    const add = (name: string, ...params: number[]) =>
      btf.add({ kind: 'func', name, type: proto(...params), linkage: 0 })
    add('vfs_open', int)
    add('__x64_sys_getpgid', int)
    add('takes_big', big)
    add('do_exit', int)
    if (injection) add('within_error_injection_list', int)
    return new Btf(btf.toBytes())
  }
  const judge = (name: string, attach: number, flags: number, injection: boolean) => {
    const insns = new Uint8Array([0xb7, 0, 0, 0, 0, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0])
    const image = { name: 'f', type: PROGRAM_TYPES.tracing, expectedAttachType: attach, insns, license: 'GPL', flags }
    const { verdict, message } = verify(
      { ...image, maps: [], relocations: [], attachTo: { name } },
      { kernelBtf: kernel(injection) },
    )
    return message === undefined ? verdict : `${verdict}: ${message}`
  }
  const { trace_fentry: ENTRY, trace_fexit: RETURN, modify_return: CHANGE } = ATTACH_TYPES
  test.each([
    ['vfs_open', ENTRY, 0, false, 'accept'],
    ['vfs_open', ENTRY, 16, false, 'reject: vfs_open is not sleepable'],
    ['vfs_open', CHANGE, 0, false, 'reject: vfs_open() is not modifiable'],
    ['vfs_open', ENTRY, 16, true, 'unsupported: whether vfs_open may sleep: a sleepable program on it'],
    ['vfs_open', CHANGE, 0, true, 'unsupported: whether the result of vfs_open may be replaced'],
    ['__x64_sys_getpgid', ENTRY, 16, true, 'accept'],
    ['__x64_sys_getpgid', ENTRY, 16, false, 'reject: __x64_sys_getpgid is not sleepable'],
    ['takes_big', ENTRY, 0, false, 'reject: The function takes_big arg0 type STRUCT is unsupported.'],
    ['do_exit', ENTRY, 0, false, 'accept'],
    ['do_exit', RETURN, 0, false, "reject: Attaching fexit/fmod_ret to __noreturn function 'do_exit' is rejected."],
  ])('%s by attach type %i, flags %i, error injection %s: %s', (name, attach, flags, injection, expected) => {
    expect(judge(name, attach, flags, injection)).toBe(expected)
  })
})
