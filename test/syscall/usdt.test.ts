import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { readElf } from '../../src/elf/container/index.ts'
import { readObject } from '../../src/elf/index.ts'
import {
  attachUsdt,
  createRawMap,
  findBinary,
  findUsdt,
  loadObject,
  parseUsdtArguments,
  realSys,
  runProgram,
  UsdtSpecs,
  usdtPlaces,
} from '../../src/syscall/index.ts'
import { encodeSpec } from '../../src/syscall/links/usdt.ts'
import { MAP_TYPES } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { counter } from './programs.ts'

/** Two places of one probe, one with a semaphore; prints the semaphore at each call. */
const SOURCE = `
#include <stdio.h>
unsigned short own_semaphore __attribute__((section(".probes"), used));
#define NOTE(args, semaphore) \\
  ".pushsection .note.stapsdt,\\"\\",\\"note\\"\\n .balign 4\\n .4byte 992f-991f, 994f-993f, 3\\n991: .asciz \\"stapsdt\\"\\n992: .balign 4\\n" \\
  "993: .8byte 990b\\n .8byte 0\\n .8byte " semaphore "\\n .asciz \\"own\\"\\n .asciz \\"hit\\"\\n .asciz \\"" args "\\"\\n994: .balign 4\\n.popsection\\n"
__attribute__((noinline)) void first(int a, long b) { __asm__ volatile("990: nop\\n" NOTE("-4@%%edi 8@%%rsi", "own_semaphore") :: "D"(a), "S"(b)); }
__attribute__((noinline)) void second(int a) { __asm__ volatile("990: nop\\n" NOTE("-4@%%edi", "0") :: "D"(a)); }
int main(void) {
  char line[8];
  while (fgets(line, sizeof line, stdin)) { first(-7, 9); second(3); printf("%d\\n", own_semaphore); fflush(stdout); }
  return 0;
}`

const usdtTest = testWith('bpf', 'program:gcc')
let folder = ''
let binary = ''

beforeAll(() => {
  if (unmet('bpf', 'program:gcc') !== undefined || process.arch !== 'x64') return
  folder = mkdtempSync(`${tmpdir()}/typebpf-usdt-`)
  binary = `${folder}/probed`
  execFileSync('gcc', ['-O1', '-no-pie', '-x', 'c', '-', '-o', binary], { input: SOURCE })
})
afterAll(() => {
  if (folder !== '') rmSync(folder, { recursive: true })
})

describe('USDT probes', () => {
  usdtTest('are found with places, semaphores and arguments', () => {
    const places = usdtPlaces(readElf(readFileSync(binary), binary))
    expect(places.map(({ provider, name, argumentText }) => [provider, name, argumentText])).toEqual([
      ['own', 'hit', '-4@%edi 8@%rsi'],
      ['own', 'hit', '-4@%edi'],
    ])
    const bytes = readFileSync(binary)
    expect(places.map(({ offset }) => bytes[offset])).toEqual([0x90, 0x90])
    expect([places[0].semaphoreOffset > 0, places[1].semaphoreOffset]).toEqual([true, 0])
    expect(() => findUsdt(binary, 'own', 'other')).toThrow(/no USDT probe own:other/)
    expect(usdtPlaces(readElf(readFileSync(process.execPath), 'node'))).toBeInstanceOf(Array)
  })

  usdtTest('run a program at every place and count their semaphores up meanwhile', () => {
    using hits = counter('kprobe', 0)
    const run = (): string => execFileSync(binary, { input: 'go\ngo\n', encoding: 'utf8' })
    expect(run()).toBe('0\n0\n')
    const link = attachUsdt(hits.program, { binary, provider: 'own', name: 'hit' })
    expect(link.links).toHaveLength(2)
    expect(run()).toBe('1\n1\n')
    expect(hits.count()).toBe(4n)
    link.close()
    link.close()
    expect(run()).toBe('0\n0\n')
    expect(hits.count()).toBe(4n)
  })

  usdtTest('hand their arguments over as usdt.bpf.h wants them', () => {
    using specs = createRawMap(realSys(), {
      name: '__bpf_usdt_specs',
      type: MAP_TYPES.array,
      keySize: 4,
      valueSize: 208,
      maxEntries: 4,
      flags: 0,
    })
    using hits = counter('kprobe', 0)
    const rows = new UsdtSpecs(specs)
    using link = attachUsdt(hits.program, { binary, provider: 'own', name: 'hit', cookie: 77n, specs: rows })
    using again = attachUsdt(hits.program, { binary, provider: 'own', name: 'hit', cookie: 77n, specs: rows })
    expect([link.links.length, again.links.length]).toEqual([2, 2])
    const row = (index: number): DataView =>
      new DataView((specs.lookup(new Uint8Array([index, 0, 0, 0])) ?? new Uint8Array()).buffer)
    const [first, second] = [row(0), row(1)]
    expect([first.getInt16(200, true), second.getInt16(200, true)]).toEqual([2, 1])
    expect(first.getBigUint64(192, true)).toBe(77n)
    // edi is a signed register of 4 bytes, rsi one of 8
    expect([8, 14, 15].map((at) => first.getUint8(at))).toEqual([1, 1, 32])
    expect([first.getInt16(12, true), first.getInt16(28, true)]).toEqual([112, 104])
    expect(row(2).getInt16(200, true)).toBe(0)
  })

  testWith('bpf', 'program:clang-19')('a program is told that this kernel has cookies and wrapped system calls', () => {
    const source = `
#define KCONFIG __attribute__((section(".kconfig")))
extern const _Bool LINUX_HAS_BPF_COOKIE KCONFIG;
extern const _Bool LINUX_HAS_SYSCALL_WRAPPER KCONFIG;
extern const _Bool LINUX_HAS_NOTHING_LIKE_THIS KCONFIG;
__attribute__((section("socket"), used)) int own_socket(void *context) {
  return LINUX_HAS_BPF_COOKIE + 2 * LINUX_HAS_SYSCALL_WRAPPER + 4 * LINUX_HAS_NOTHING_LIKE_THIS;
}`
    const object = execFileSync('clang-19', ['-O2', '-g', '-target', 'bpf', '-x', 'c', '-c', '-', '-o', '-'], {
      input: source,
    })
    using loaded = loadObject(realSys(), readObject(new Uint8Array(object), { name: 'abilities' }))
    const { program, message } = loaded.programs[0].result
    if (program === undefined) throw new Error(message)
    expect(runProgram(program, 'socket_filter', { data: new Uint8Array(64) }).retval).toBe(3)
  })

  test('arguments of x86-64 and arm64', () => {
    expect(parseUsdtArguments('-4@$-5 8@%rax 1@%dil 8@-16(%rbp) 4@8(%rdx,%rcx,4) 8@(%rax)', 'x64')).toEqual([
      { sizeBytes: 4, signed: true, kind: 'constant', value: -5n },
      { sizeBytes: 8, signed: false, kind: 'register', register: 80 },
      { sizeBytes: 1, signed: false, kind: 'register', register: 112 },
      { sizeBytes: 8, signed: false, kind: 'memory', register: 32, offset: -16n },
      {
        sizeBytes: 4,
        signed: false,
        kind: 'memory',
        register: 96,
        offset: 8n,
        index: { register: 88, shift: 2 },
      },
      { sizeBytes: 8, signed: false, kind: 'memory', register: 80, offset: 0n },
    ])
    expect(parseUsdtArguments('8@x21 -4@[sp, 60] 4@5', 'arm64')).toEqual([
      { sizeBytes: 8, signed: false, kind: 'register', register: 168 },
      { sizeBytes: 4, signed: true, kind: 'memory', register: 248, offset: 60n },
      { sizeBytes: 4, signed: false, kind: 'constant', value: 5n },
    ])
    expect(parseUsdtArguments('', 'x64')).toEqual([])
    for (const text of ['8@counter(%rip)', '4f@%xmm0', '8@%nope', '3@%rax', 'x'])
      expect(() => parseUsdtArguments(text, 'x64')).toThrow(/not understood/)
  })

  test('index registers need the newer layout of usdt.bpf.h', () => {
    const args = parseUsdtArguments('4@8(%rdx,%rcx,4)', 'x64')
    expect(() => encodeSpec(args, 0n, 208)).toThrow(/libbpf 1.7/)
    const view = new DataView(encodeSpec(args, 5n, 304).buffer)
    expect([view.getBigInt64(0, true), view.getUint8(8), view.getUint16(10, true)]).toEqual([8n, 3, 88 | (2 << 12)])
    expect([view.getInt16(14, true), view.getUint8(16), view.getUint8(17)]).toEqual([96, 0, 32])
    expect([view.getBigUint64(288, true), view.getInt16(296, true)]).toEqual([5n, 1])
  })

  testWith('linux')('binaries are found by their names', () => {
    expect(findBinary('/x/y')).toBe('/x/y')
    expect(findBinary('sh')).toMatch(/\/sh$/)
    expect(findBinary('libc')).toMatch(/\/(libc|ld-musl)\S*\.so/)
    expect(findBinary('libc.so.6', process.pid)).toMatch(/\/libc\.so\.6$/)
    expect(() => findBinary('no-such-program-anywhere')).toThrow(/there is no program/)
  })
})
