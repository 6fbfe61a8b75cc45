import { describe, expect, test } from 'vitest'
import { Assembler, encodeInstructions, linkFunctions, linkProgram } from '../../src/asm/index.ts'
import { bytesToHex } from '../../src/bytes/index.ts'
import { BpfError } from '../../src/errors/index.ts'

const hex = (write: (a: Assembler) => Assembler): string =>
  bytesToHex(encodeInstructions(write(new Assembler('test')).link().instructions))

const failure = (run: () => unknown): BpfError => {
  try {
    run()
  } catch (thrown) {
    if (thrown instanceof BpfError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

/** The bytes are what llvm-mc-19 gives for the same instructions; load_acquire and store_release are from RFC-style tables. */
const ROWS: readonly [string, (a: Assembler) => Assembler, string][] = [
  ['r0 = 0', (a) => a.mov('r0', 0), 'b700000000000000'],
  ['w1 = -5', (a) => a.mov('w1', -5), 'b4010000fbffffff'],
  ['w1 = 0xffffffff', (a) => a.mov('w1', 0xffffffff), 'b4010000ffffffff'],
  ['r1 = 5 ll', (a) => a.loadImm64('r1', 5), '18010000050000000000000000000000'],
  ['r1 = -1 ll', (a) => a.loadImm64('r1', -1n), '18010000ffffffff00000000ffffffff'],
  ['w1 = *(u32 *)(r2 - 4)', (a) => a.load('u32', 'w1', 'r2', -4), '6121fcff00000000'],
  ['r1 = *(s8 *)(r2 - 4)', (a) => a.load('s8', 'r1', 'r2', -4), '9121fcff00000000'],
  ['*(u8 *)(r10 - 8) = w1', (a) => a.store('u8', 'r10', -8, 'w1'), '731af8ff00000000'],
  ['*(u64 *)(r10 - 8) = -5', (a) => a.store('u64', 'r10', -8, -5), '7a0af8fffbffffff'],
  ['lock add', (a) => a.atomic('add', 'u64', 'r10', -8, 'r1'), 'db1af8ff00000000'],
  ['lock or', (a) => a.atomic('or', 'u32', 'r10', -8, 'w1'), 'c31af8ff40000000'],
  ['fetch_add', (a) => a.atomic('fetch_add', 'u64', 'r10', -8, 'r1'), 'db1af8ff01000000'],
  ['xchg', (a) => a.atomic('xchg', 'u32', 'r10', -8, 'w1'), 'c31af8ffe1000000'],
  ['cmpxchg', (a) => a.atomic('cmpxchg', 'u64', 'r10', -8, 'r1'), 'db1af8fff1000000'],
  ['load_acquire', (a) => a.loadAcquire('u16', 'r1', 'r10', -8), 'cba1f8ff00010000'],
  ['store_release', (a) => a.storeRelease('u8', 'r10', -8, 'r1'), 'd31af8ff10010000'],
  ['r1 = -r1', (a) => a.neg('r1'), '8701000000000000'],
  ['r1 = be16 r1', (a) => a.be('r1', 16), 'dc01000010000000'],
  ['r1 = le64 r1', (a) => a.le('r1', 64), 'd401000040000000'],
  ['r1 = bswap32 r1', (a) => a.bswap('r1', 32), 'd701000020000000'],
  ['r1 s/= r2', (a) => a.sdiv('r1', 'r2'), '3f21010000000000'],
  ['w1 s%= 5', (a) => a.smod('w1', 5), '9401010005000000'],
  ['r1 = (s8)r2', (a) => a.movsx('r1', 'r2', 8), 'bf21080000000000'],
  ['w1 = (s16)w2', (a) => a.movsx('w1', 'w2', 16), 'bc21100000000000'],
  ['if r1 s> -5 goto +1', (a) => a.jsgt('r1', -5, 1), '65010100fbffffff'],
  ['if w1 s>= w2 goto -1', (a) => a.jsge('w1', 'w2', -1), '7e21ffff00000000'],
  ['goto +5', (a) => a.goto(5), '0500050000000000'],
  ['gotol +0x100', (a) => a.gotol(0x100), '0600000000010000'],
  ['may_goto +1', (a) => a.mayGoto(1), 'e500010000000000'],
  ['addr_space_cast(r1, 0, 1)', (a) => a.addrSpaceCast('r1', 'r1', 0, 1), 'bf11010001000000'],
  ['r0 = *(u8 *)skb[5]', (a) => a.loadAbsolute('u8', 5), '3000000005000000'],
  ['r0 = *(u8 *)skb[r5]', (a) => a.loadIndirect('u8', 'r5'), '5050000000000000'],
  ['call 5', (a) => a.call('bpf_ktime_get_ns'), '8500000005000000'],
  ['callx r3', (a) => a.callRegister('r3'), '8d03000000000000'],
  ['exit', (a) => a.exit(), '9500000000000000'],
]

describe('the fluent assembler', () => {
  test.each(ROWS)('%s', (_text, write, bytes) => {
    expect(hex(write)).toBe(bytes)
  })

  test('labels resolve over the slots of 64-bit immediates, forwards and backwards', () => {
    const code = hex((a) =>
      a
        .mov('r0', 0)
        .label('again')
        .label('same')
        .loadImm64('r1', 7)
        .jeq('r1', 7, 'out')
        .goto('same')
        .label('out')
        .exit(),
    )
    expect(code.match(/.{16}/g)?.slice(3, 5)).toEqual(['1501010007000000', '0500fcff00000000'])
  })

  test('subprograms are linked behind their caller and called by name', () => {
    const linked = new Assembler('main')
      .callFunction('twice')
      .loadFunction('r2', 'twice')
      .exit()
      .subprogram('twice', (a) => a.mov('r0', 'r1').add('r0', 'r0').exit())
      .link()
    expect(linked.functions).toEqual([
      { name: 'main', slot: 0, slots: 4 },
      { name: 'twice', slot: 4, slots: 3 },
    ])
    expect(linked.instructions[0]).toMatchObject({ src: 1, imm: 3 })
    expect(linked.instructions[1]).toMatchObject({ src: 4, imm: 2, imm64: 2n })
  })

  test('a program takes only the functions it needs, each at its first call', () => {
    const code = (name: string, ...calls: string[]) => {
      const a = new Assembler(name)
      for (const call of calls) a.callFunction(call)
      return a.exit().build()[0]
    }
    const linked = linkProgram('main', [
      code('unused'),
      code('b'),
      code('a', 'c', 'b'),
      code('main', 'a', 'b'),
      code('c'),
    ])
    expect(linked.functions.map(({ name }) => name)).toEqual(['main', 'a', 'c', 'b'])
    expect(() => linkProgram('main', [code('main', 'gone')])).toThrow('main refers to the function gone')
  })

  test('maps, kfuncs and symbols stay open for the loader, at their slots', () => {
    const a = new Assembler('main')
      .loadMap('r1', 'counts')
      .loadMapValue('r2', '.bss', 8)
      .callKfunc('bpf_task_release')
      .exit()
    expect(a.link().open).toEqual([
      { slot: 0, index: 0, reference: { kind: 'map', name: 'counts' } },
      { slot: 2, index: 1, reference: { kind: 'mapValue', name: '.bss', offset: 8 } },
      { slot: 4, index: 2, reference: { kind: 'kfunc', name: 'bpf_task_release' } },
    ])
    const resolved = a.link({ resolver: { kfunc: (name) => (name === 'bpf_task_release' ? 4711 : undefined) } })
    expect(resolved.open).toHaveLength(2)
    expect(resolved.instructions[2]).toMatchObject({ src: 2, imm: 4711 })
  })

  test('sources, comments, CO-RE records ride on the next instruction', () => {
    const core = { kind: 0, typeId: 3, access: '0:1' }
    const where = { file: 'a.ts', line: 3, column: 1 }
    const [first, second] = new Assembler('main')
      .source(where)
      .comment('why')
      .relocate(core)
      .mov('r0', 1)
      .exit().instructions
    expect(first).toMatchObject({ label: 'main', functionStart: true, source: where, comment: 'why', core })
    expect(second).toEqual({ opcode: 0x95, dst: 0, src: 0, offset: 0, imm: 0, source: where })
  })

  test('captured sources are the lines of the calls', () => {
    const a = new Assembler('main', { captureSources: true })
    const here = Number(/assembler\.test\.ts:(\d+)/.exec(new Error().stack ?? '')?.[1])
    a.mov('r0', 0)
    a.exit()
    expect(a.instructions.map(({ source }) => source?.line)).toEqual([here + 1, here + 2])
    expect(a.instructions[0].source?.file).toMatch(/assembler\.test\.ts$/)
  })

  const bad = (value: unknown) => value as never
  test.each<[string, (a: Assembler) => unknown, string]>([
    ['register', (a) => a.mov(bad('r11'), 1), 'r11 is no register'],
    ['mixed widths', (a) => a.add(bad('r1'), bad('w2')), 'r1 and w2 have different widths'],
    [
      'immediate',
      (a) => a.mov('r1', 0x80000000),
      'immediate 2147483648 is not an integer from -2147483648 to 2147483647',
    ],
    ['fraction', (a) => a.mov('r1', 0.5), 'immediate 0.5'],
    ['offset', (a) => a.load('u8', 'r0', 'r1', 32768), 'offset 32768 is not an integer from -32768 to 32767'],
    ['size', (a) => a.store(bad('s8'), 'r1', 0, 1), 'a store has no sign'],
    ['distance', (a) => a.goto(40000), 'jump distance 40000'],
    ['wide', (a) => a.loadImm64('r1', 1n << 64n), 'does not fit 64 bits'],
    ['inexact', (a) => a.loadImm64('r1', 2 ** 60), 'use a bigint'],
    ['helper', (a) => a.call('bpf_no_such'), 'no helper function is called bpf_no_such'],
    ['label twice', (a) => a.label('x').label('x'), 'label x is placed twice'],
    ['label at the end', (a) => a.exit().label('x').build(), 'label x stands after the last instruction'],
    ['swap', (a) => a.be('r1', bad(8)), 'a byte swap of 8 bits'],
    ['movsx', (a) => a.movsx('w1', 'w2', 32), 'movsx w1, w2: 32 bits'],
    ['prototype name as size', (a) => a.load(bad('constructor'), 'r1', 'r2'), 'constructor is no access size'],
  ])('a wrong %s throws at the call, with the caller', (_what, run, message) => {
    const thrown = failure(() => run(new Assembler('main')))
    expect(thrown.code).toBe('asm.bad-operand')
    expect(thrown.message).toContain(message)
    expect(thrown.details[0]).toMatch(/^at .*assembler\.test\.ts:\d+:\d+$/)
  })
})

/** Never run: each line must not type-check. */
const typeErrors = (a: Assembler): void => {
  // @ts-expect-error operands of different widths
  a.add('r1', 'w2')
  // @ts-expect-error r11 does not exist
  a.mov('r11', 1)
  // @ts-expect-error a store has no sign
  a.store('s8', 'r1', 0, 1)
  // @ts-expect-error an address is 64 bits wide
  a.load('u8', 'r1', 'w2')
  // @ts-expect-error byte swaps of 8 bits do not exist
  a.be('r1', 8)
  // @ts-expect-error no such atomic
  a.atomic('sub', 'u64', 'r1', 0, 'r2')
  // @ts-expect-error a comparison of different widths
  a.jeq('w1', 'r2', 'out')
}

describe('linking', () => {
  const far = (a: Assembler) => {
    a.goto('end')
    for (let i = 0; i < 32768; i++) a.mov('r0', 0)
    return a.label('end').exit()
  }
  test('a jump that is too far is an error, or becomes gotol on request', () => {
    expect(failure(() => far(new Assembler('main')).link()).code).toBe('asm.jump-too-far')
    expect(far(new Assembler('main')).link({ relaxJumps: true }).instructions[0]).toMatchObject({
      opcode: 0x06,
      imm: 32768,
    })
  })
  test('mistakes that must not type-check are type errors', () => {
    expect(() => typeErrors(new Assembler('main'))).toThrow(BpfError)
  })

  test('unknown and doubled names are errors', () => {
    expect(failure(() => new Assembler('main').goto('gone').exit().link()).code).toBe('asm.unknown-label')
    const twice = new Assembler('main').exit().build()
    expect(failure(() => linkFunctions([...twice, ...twice])).code).toBe('asm.duplicate-function')
  })
})
