import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { kernelBtf } from '../../../src/syscall/prog/kernel-btf.ts'
import { CATALOGUE, diagnose, excerpt, OTHER, pathOf, rowFor } from '../../../src/verifier/diagnosis/index.ts'
import { verify } from '../../../src/verifier/index.ts'
import { testWith } from '../../requirements.ts'
import { diagnosisFixtures, fixtureImage } from './fixtures.ts'

const fixtures = diagnosisFixtures()
/** Those that the model can judge here: some need the kernel's types. */
const judged = fixtures.filter(({ kernelTypes }) => kernelTypes !== true || kernelBtf() !== undefined)

describe('diagnoses', () => {
  test('have one code each, a page each, and one of the seven categories', () => {
    const codes = CATALOGUE.map(({ code }) => code)
    expect(new Set(codes).size).toBe(codes.length)
    for (const code of [...codes, OTHER.code])
      expect(existsSync(new URL(`../../../docs/diagnostics/${code}.md`, import.meta.url)), code).toBe(true)
    expect(new Set(CATALOGUE.map(({ category }) => category)).size).toBe(7)
  })

  test.each([
    ["R0 invalid mem access 'map_value_or_null'", 'pointer-not-null-checked'],
    ['invalid access to packet, off=34 size=1, R6(id=3,off=34,r=0)', 'packet-out-of-range'],
    ['R2 unbounded memory access', 'unbounded-offset'],
    ['BPF program is too large. Processed 1000001 insn', 'program-too-large'],
    ['invalid indirect read from stack R4 off -64+0 size 64', 'stack-out-of-range'],
    ['invalid stack off=-520 size=8', 'stack-out-of-range'],
    ['back-edge from insn 91 to 71', 'back-edge'],
    ['infinite loop detected at insn 3', 'infinite-loop'],
    ['invalid access to map value, value_size=1320 off=1280 size=1024', 'map-value-out-of-range'],
    ['Unreleased reference id=3 alloc_insn=10', 'reference-leak'],
    ['invalid bpf_context access off=24 size=8', 'context-access'],
    ["R1 invalid mem access 'scalar'", 'scalar-dereferenced'],
    ["R1 invalid mem access 'inv'", 'scalar-dereferenced'],
    ['program of this type cannot use helper bpf_probe_read#4', 'helper-not-available'],
    ['unknown func bpf_get_stack#67', 'helper-not-available'],
    ['invalid func unknown#195896080', 'core-not-resolved'],
    ['misaligned stack access off 0+0+-60 size 8', 'misaligned-access'],
    ['math between map_value pointer and register with unbounded min value is not allowed', 'unbounded-offset'],
    ["R2 min value is negative, either use unsigned or 'var &= const'", 'negative-offset'],
    ['dereference of modified ctx ptr R1 off=8 disallowed', 'context-access'],
    ['R4 bitwise operator ^= on pointer prohibited', 'pointer-arithmetic'],
    ['The sequence of 8193 jumps is too complex.', 'jump-sequence-too-complex'],
    ['missing btf func_info', 'control-flow'],
    ['R4 invalid zero-sized read: u64=[0,191]', 'argument-size'],
    ['R0 !read_ok', 'register-not-initialised'],
  ])('file %j under %s', (message, code) => {
    expect(rowFor(message).code).toBe(code)
  })

  test('follow a value back through a spill and a copy to its birth', () => {
    const image = fixtureImage({
      name: 'spilled',
      code: '',
      type: 'kprobe',
      message: '',
      program: [
        'r6 = *(u64 *)(r1 + 0)',
        'r2 = r6',
        '*(u64 *)(r10 - 8) = r2',
        'r3 = *(u64 *)(r10 - 8)',
        'r0 = *(u8 *)(r3 + 0)',
        'exit',
      ],
    })
    const log = [0, 1, 2, 3, 4].map((insn) => `${insn}: (79) text`).join('\n')
    const { causalPath, source, insn } = diagnose(
      { ...image, sources: new Map([[0, { file: 'a.ts', line: 3, column: 5, text: 'const x = 1' }]]) },
      { message: "R3 invalid mem access 'scalar'", log },
    )
    expect(insn).toBe(4)
    expect(causalPath.map((step) => `${step.what} ${step.insn} R${step.register}`)).toEqual([
      'born 0 R6',
      'copied 1 R2',
      'spilled 2 R2',
      'filled 3 R3',
    ])
    expect(source?.line).toBe(3)
  })

  test('put a caret under the column', () => {
    expect(excerpt({ file: 'a.ts', line: 12, column: 3, text: '  b.if(x)' })).toBe(
      'a.ts:12:3\n12 |   b.if(x)\n   |   ^',
    )
  })

  test('read the walk from a log of either level', () => {
    expect(pathOf('0: R1=ctx()\n0: (b7) r0 = 1  ; R0=1\n1: (95) exit\nprocessed 2 insns')).toEqual([0, 1])
  })
})

describe('the smallest program of each', () => {
  testWith('bpf')('is refused by the running kernel with the message of its page', async () => {
    const { createJudge } = await import('../../../src/syscall/index.ts')
    const judge = createJudge()
    const wrong = fixtures.flatMap((fixture) => {
      const logLevel = fixture.code === 'program-too-large' ? 4 : 1
      const { verdict, log } = judge.judge(fixtureImage(fixture), { logLevel })
      return verdict === 'reject' && log?.includes(fixture.message) ? [] : [`${fixture.name}: ${verdict}: ${log}`]
    })
    expect(wrong).toEqual([])
  })

  test('is refused by the model with the same message', () => {
    const wrong = judged.flatMap((fixture) => {
      // A log of a million instructions is not worth its time here.
      const logLevel = fixture.code === 'program-too-large' ? 0 : 1
      const { verdict, log, message } = verify(fixtureImage(fixture), { logLevel, kernelBtf })
      return verdict === 'reject' && (log ?? message)?.includes(fixture.message)
        ? []
        : [`${fixture.name}: ${verdict}: ${message}`]
    })
    expect(wrong).toEqual([])
  }, 60_000)

  test('carries the code of its message', () => {
    expect(fixtures.filter(({ code, message }) => rowFor(message).code !== code).map(({ name }) => name)).toEqual([])
    expect(fixtures.length).toBeGreaterThan(30)
  })
})
