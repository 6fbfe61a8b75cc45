import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import {
  assembleBytes,
  assembleProgram,
  assembleText,
  decodeInstructions,
  encodeInstruction,
  encodeInstructions,
  type Instruction,
  kernelListing,
  kernelText,
  linkProgram,
  llvmListing,
  llvmText,
  splitFunctions,
} from '../../src/asm/index.ts'
import { bytesToHex } from '../../src/bytes/index.ts'
import { codeSections } from '../../src/cli/code-sections.ts'
import { InputError } from '../../src/errors/index.ts'
import { LD_IMM64 } from '../../src/uapi/index.ts'
import { readVectors } from '../conformance/vectors.ts'
import { testWith } from '../requirements.ts'
import { corporaObjects } from './corpora-objects.ts'
import { representatives } from './forms.ts'

const hex = (text: string): string => bytesToHex(assembleBytes(text))

/** One instruction in the three syntaxes (where each has it) and its bytes, which llvm-mc gives too. */
const ROWS: readonly (readonly [bytes: string, ...texts: string[]])[] = [
  ['b701000005000000', 'r1 = 5', 'r1 = 0x5', '(b7) r1 = 5', 'mov %r1, 5', '3: (b7) r1 = 5'],
  ['b4010000fbffffff', 'w1 = -5', 'w1 = 0xfffffffb', 'mov32 %r1, -5', '(b4) w1 = -5'],
  ['bf21000000000000', 'r1 = r2', 'mov %r1, %r2'],
  ['bf21080000000000', 'r1 = (s8)r2', 'movsx864 %r1, %r2'],
  ['1f21000000000000', 'r1 -= r2', 'sub %r1, %r2'],
  ['3c21010000000000', 'w1 s/= w2', 'sdiv32 %r1, %r2'],
  ['c701000005000000', 'r1 s>>= 5', 'arsh %r1, 5', 'arsh64 %r1, 5'],
  ['8401000000000000', 'w1 = -w1', 'neg32 %r1'],
  ['dc01000010000000', 'r1 = be16 r1', 'be16 %r1'],
  ['d701000040000000', 'r1 = bswap64 r1', 'swap64 %r1', 'bswap64 %r1'],
  ['6121fcff00000000', 'w1 = *(u32 *)(r2 - 4)', 'r1 = *(u32 *)(r2 -4)', 'ldxw %r1, [%r2-4]', 'r1 = *(u32 *)(r2 + -4)'],
  ['9121000000000000', 'r1 = *(s8 *)(r2 + 0)', 'ldxsb %r1, [%r2]'],
  ['7b1af8ff00000000', '*(u64 *)(r10 - 8) = r1', '*(u64 *)(r10 -8) = r1', 'stxdw [%r10-8], %r1'],
  ['620af8ff05000000', '*(u32 *)(r10 - 8) = 5', 'stw [%r10-8], 5'],
  ['db1af8ff00000000', 'lock *(u64 *)(r10 - 8) += r1', 'lock add [%r10-8], %r1'],
  [
    'db1af8ff01000000',
    'r1 = atomic_fetch_add((u64 *)(r10 - 8), r1)',
    'r1 = atomic64_fetch_add((u64 *)(r10 -8), r1)',
    'lock fetch add [%r10-8], %r1',
  ],
  [
    'c31af8ffe1000000',
    'w1 = xchg32_32(r10 - 8, w1)',
    'r1 = atomic_xchg((u32 *)(r10 -8), r1)',
    'lock xchg32 [%r10-8], %r1',
  ],
  [
    'db1af8fff1000000',
    'r0 = cmpxchg_64(r10 - 8, r0, r1)',
    'r0 = atomic64_cmpxchg((u64 *)(r10 -8), r0, r1)',
    'lock cmpxchg [%r10-8], %r1',
  ],
  ['cba1f8ff00010000', 'r1 = load_acquire((u16 *)(r10 -8))'],
  ['d31af8ff10010000', 'store_release((u8 *)(r10 -8), r1)'],
  [
    '180100000500000000000000ffffffff',
    'r1 = 0xffffffff00000005 ll',
    'lddw %r1, 0xffffffff00000005',
    '(18) r1 = 0xffffffff00000005',
  ],
  ['18010000050000000000000000000000', 'r1 = 5 ll', '(18) r1 = 0x5', 'ld_pseudo r1, 0, 5'],
  ['18110000070000000000000000000000', 'r1 = map[id:7]', 'r1 = map[fd:7]', 'ld_pseudo r1, 1, 7'],
  ['18210000070000000000000008000000', 'r1 = map[id:7][0]+8'],
  ['18610000070000000000000008000000', 'r1 = map[idx:7]+8'],
  ['18410000feffffff0000000000000000', 'r1 = subprog[-2]'],
  ['0500020000000000', 'goto +2', 'goto pc+2', 'ja +2', 'goto 2', 'goto +0x2 <LBB0_2>'],
  ['0600000000010000', 'gotol +256', 'gotol pc+256', 'ja32 +256'],
  ['e500ffff00000000', 'may_goto -1', 'may_goto pc-1'],
  ['6501feff05000000', 'if r1 s> 5 goto -2', 'if r1 s> 0x5 goto pc-2', 'jsgt %r1, 5, -2'],
  ['4e21010000000000', 'if w1 & w2 goto +1', 'jset32 %r1, %r2, +1'],
  [
    '8500000001000000',
    'call 1',
    'call bpf_map_lookup_elem',
    'call bpf_map_lookup_elem#1',
    'call map_lookup_elem',
    'call 0x1',
    'call helper 1',
  ],
  ['8510000003000000', 'call pc+3', 'call local +3', 'call pc+3#bpf_prog_1234_f'],
  ['8520000011270000', 'call bpf_task_release#10001', 'call kernel-function#10001', 'call runtime 10001'],
  ['85000000f4010000', 'call unknown#500', 'call 500'],
  ['8d03000000000000', 'callx r3', 'call %r3'],
  ['2000000005000000', 'r0 = *(u32 *)skb[5]', 'ldabsw 5'],
  ['5050000000000000', 'r0 = *(u8 *)skb[r5]', 'r0 = *(u8 *)skb[r5 + 0]', 'ldindb %r5'],
  ['bf11010000000100', 'r1 = addr_space_cast(r1, 1, 0)', 'r1 = addr_space_cast(r1, 0x1, 0x0)'],
  ['9500000000000000', 'exit', '  12:\t95 00 00 00 00 00 00 00\texit', '12: (95) exit ; R0=0'],
]

describe('the text assembler', () => {
  test.each(ROWS)('%s', (bytes, ...texts) => {
    for (const text of texts) expect(`${text} → ${hex(text)}`).toBe(`${text} → ${bytes}`)
  })

  test('labels, comments and several syntaxes in one text', () => {
    const text = `
      # a loop
      r0 = 0            // LLVM
      mov %r1, 3        ; classic
    again: same:
      (07) r0 += 2
      r1 += -1
      if r1 != 0 goto same
      ja done
      r2 = 7 ll
    done: exit`
    expect(hex(text).match(/.{16}/g)?.slice(4, 6)).toEqual(['5501fdff00000000', '0500020000000000'])
  })

  test('the label exit is the first exit instruction, unless one is defined', () => {
    expect(hex('ja exit\nexit\nexit').slice(0, 16)).toBe('0500000000000000')
    expect(hex('ja exit\nexit\nexit: exit').slice(0, 16)).toBe('0500010000000000')
  })

  test('sections, functions and names for the loader', () => {
    const unit = assembleText(`
        .section xdp,"ax",@progbits
        .globl main
      main:
        r1 = counts ll
        r2 = twice ll
        call bpf_map_lookup_elem
        call bpf_rdonly_cast
        call twice
        call shared
        exit
        .type twice,@function
      twice:
        r0 = 2
        exit
        .text
      shared: r0 = 0
        exit`)
    expect(unit.sections.map(({ name }) => name)).toEqual(['xdp', '.text'])
    expect(unit.globals).toEqual(['main'])
    const functions = unit.sections.flatMap(({ name, instructions }) => splitFunctions(name, instructions))
    expect(functions.map(({ name }) => name)).toEqual(['main', 'twice', 'shared'])
    expect(unit.sections[0].instructions.map(({ reference }) => reference)).toEqual([
      { kind: 'map', name: 'counts' },
      { kind: 'label', name: 'twice' },
      undefined,
      { kind: 'kfunc', name: 'bpf_rdonly_cast' },
      { kind: 'label', name: 'twice' },
      { kind: 'function', name: 'shared' },
      undefined,
      undefined,
      undefined,
    ])
    expect(unit.sections[0].instructions[0].source).toMatchObject({ line: 5, text: '        r1 = counts ll' })
  })

  test("a compiler's text: data sections are skipped, the license is read", () => {
    const unit = assembleText(`
        .file "a.c"
        .section xdp,"ax",@progbits
        .globl prog                            # -- Begin function prog
        .p2align 3
        .type prog,@function
      prog:                                    # @prog
      # %bb.0:
        r1 = counts ll
        goto LBB0_1
      LBB0_1:
        exit
      .Lfunc_end0:
        .size prog, .Lfunc_end0-prog
        .type counts,@object
        .section .maps,"aw",@progbits
        .globl counts
      counts:
        .zero 8
        .section license,"aw",@progbits
      _license:
        .asciz "GPL"
        .addrsig`)
    expect(unit.sections.map(({ name, instructions }) => [name, instructions.length])).toEqual([['xdp', 3]])
    expect(unit.license).toBe('GPL')
    expect(unit.sections[0].instructions[0].reference).toEqual({ kind: 'map', name: 'counts' })
    expect(unit.sections[0].instructions[0]).toMatchObject({ label: 'prog', functionStart: true })
  })

  test('functions of other sections link by name', () => {
    const { sections } = assembleText(
      'main: call helper_of_mine\nexit\n.section other\n.globl helper_of_mine\nhelper_of_mine: exit',
    )
    const functions = sections.flatMap(({ name, instructions }) => splitFunctions(name, instructions))
    const linked = linkProgram('main', functions)
    expect(linked.instructions[0]).toMatchObject({ src: 1, imm: 1 })
  })

  test.each([
    ['r1 = ', 'f.s:1:5: expected a register, a number, a load or a symbol, found the end of the line', 4],
    ['r1 = r11', 'f.s:1:9: expected "ll", found the end of the line', 8],
    ['exit\n\tr1 += w2', 'f.s:2:8: expected a r register, found "w2"', 7],
    ['if r1 = 5 goto +1', 'f.s:1:7: expected a comparison', 6],
    ['*(u32 *)(r1 + 70000) = 1', 'f.s:1:13: 70000 is out of range: a 16-bit offset is from -32768 to 32767', 12],
    ['goto nowhere', 'f.s:1:6: label nowhere is not defined', 5],
    ['a: exit\na: exit', 'f.s:2:1: label a is defined twice', 0],
    ['r1 = 0x1ffffffff', 'f.s:1:6: 8589934591 does not fit 32 bits; write ll behind a 64-bit immediate', 5],
    ['frob r1', 'f.s:1:1: expected an instruction, found "frob"', 0],
    ['r1 = 5 5', 'f.s:1:8: expected the end of the line, found "5"', 7],
    ['*(s8 *)(r1 + 0) = 1', 'f.s:1:3: expected an unsigned type', 2],
    ['r1 = *(u99 *)(r1 + 0)', 'f.s:1:8: expected an access type', 7],
    ['lock *(u8 *)(r1 + 0) += r2', 'f.s:1:8: expected u32 or u64', 7],
    ['r2 = atomic_fetch_add((u64 *)(r1 + 0), r3)', 'f.s:1:40: expected the result in the register of the operand', 39],
    ['goto +40000', 'f.s:1:6: 40000 is out of range', 5],
    ['r1 = 5 \u0001', 'f.s:1:8: "\\u0001" means nothing here', 7],
    ['.quad 5', 'f.s:1:1: the directive .quad is not supported', 0],
  ])('%j is an error with line, column and caret', (text, message, caret) => {
    let thrown: unknown
    try {
      assembleText(text, { file: 'f.s' })
    } catch (error) {
      thrown = error
    }
    expect(thrown).toBeInstanceOf(InputError)
    const { code, message: said, details } = thrown as InputError
    expect(code).toBe('asm.syntax')
    expect(said.slice(0, message.length)).toBe(message)
    expect(details[0]).toBe(text.split('\n').at(-1))
    expect(details[1].length - 1).toBe(caret)
    expect(details[1].endsWith('^')).toBe(true)
  })

  test('every valid form survives its kernel text; its LLVM text too, but for pseudo sources', () => {
    const differences: string[] = []
    let kernel = 0
    let llvm = 0
    let pseudo = 0
    for (const form of representatives()) {
      const high = form.imm64 === undefined ? 0 : Number(form.imm64 >> 32n)
      const bytes = bytesToHex(encodeInstruction(form))
      const fields = [form.opcode, form.dst, form.src, form.offset, form.imm, high] as const
      const isCallx = form.opcode === 0x8d
      const pseudoSource = (form.opcode === LD_IMM64 || form.opcode === 0x85) && form.src !== 0
      // the kernel's text shows neither the pseudo source of an address nor the fd index of a kfunc; it has none for callx
      const carried = form.opcode !== LD_IMM64 || form.src === 0
      if (carried && !isCallx && !(form.opcode === 0x85 && (form.offset !== 0 || (form.src === 0 && form.imm < 0)))) {
        kernel++
        const text = kernelText(...fields)
        if (hex(text) !== bytes) differences.push(`${text}: ${hex(text)} for ${bytes}`)
      }
      if (pseudoSource) pseudo++
      else {
        llvm++
        const text = llvmText(...fields, true)
        // skb[r5] has no place for the immediate, byte and half atomics have no text in LLVM 19
        const legacy = (form.opcode & 0xe7) === 0x40 && form.imm !== 0
        if (text === undefined || legacy) {
          if (text === undefined && form.opcode !== 0x0d) differences.push(`no text for ${bytes}`)
        } else if (hex(text) !== bytes) differences.push(`${text}: ${hex(text)} for ${bytes}`)
      }
    }
    expect(differences).toEqual([])
    expect(kernel).toBeGreaterThan(10_000)
    expect(llvm).toBeGreaterThan(10_000)
    expect(pseudo).toBeGreaterThan(100)
  })

  testWith('corpora')('all 313 conformance vectors assemble to valid programs', () => {
    const vectors = readVectors()
    expect(vectors).toHaveLength(313)
    let raw = 0
    for (const { path, assembly, raw: expected } of vectors) {
      const bytes = assembleBytes(assembly, { file: path })
      expect(decodeInstructions(bytes).length).toBeGreaterThan(0)
      if (expected === undefined) continue
      raw++
      const view = new DataView(bytes.buffer)
      expect(expected.map((_, i) => view.getBigUint64(8 * i, true))).toEqual(expected)
    }
    expect(raw).toBe(1)
  })

  testWith('corpora')(
    'listings of all objects assemble to the bytes they show, but for the sources of calls and 64-bit loads',
    () => {
      let slots = 0
      let sources = 0
      const differences: string[] = []
      for (const path of corporaObjects())
        for (const section of codeSections(readFileSync(path), path)) {
          const { bytes, name, symbols, littleEndian } = section
          const listings = [
            llvmListing(bytes, { section: name, symbols, littleEndian }),
            kernelListing(bytes, { littleEndian }),
          ]
          for (const text of listings) {
            const again = assembleBytes(text, { littleEndian, sources: false, file: path })
            expect(again.length).toBe(bytes.length)
            for (let at = 0; at < bytes.length; at++) {
              if (at % 8 === 0) slots++
              if (again[at] === bytes[at]) continue
              const opcode = bytes[at - 1]
              if (at % 8 === 1 && (opcode === 0x85 || opcode === LD_IMM64)) sources++
              else differences.push(`${path} ${name} byte ${at}`)
            }
          }
        }
      expect(differences).toEqual([])
      expect(slots).toBeGreaterThan(500_000)
      expect(sources).toBeLessThan(slots / 1000)
    },
    180_000,
  )
})

test('a program with an unknown callee stays open; linking reports what is left', () => {
  const linked = assembleProgram('call bpf_obj_new_impl\nr1 = counts ll\nexit')
  expect(linked.open).toEqual([
    { slot: 0, index: 0, reference: { kind: 'kfunc', name: 'bpf_obj_new_impl' } },
    { slot: 1, index: 1, reference: { kind: 'map', name: 'counts' } },
  ])
  const plain = linked.instructions.map(
    ({ opcode, dst, src, offset, imm, imm64 }): Instruction => ({ opcode, dst, src, offset, imm, imm64 }),
  )
  expect(bytesToHex(encodeInstructions(plain))).toBe(
    '8520000000000000' + '18110000000000000000000000000000' + '9500000000000000',
  )
})
