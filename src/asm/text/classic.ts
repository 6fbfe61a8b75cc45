import { ALU, ATOMIC, CLASS, JMP, LD_IMM64, MODE, PSEUDO_CALL, SIZE, SOURCE } from '../../uapi/index.ts'
import { ARITHMETIC, type ArithmeticName, CONDITIONS, type ConditionName } from '../operations.ts'
import type { TokenCursor } from './cursor.ts'
import { plain, type Statement, type TextTarget } from './statement.ts'

type Form = (cursor: TokenCursor) => Statement

const SIZES = { b: SIZE.b, h: SIZE.h, w: SIZE.w, dw: SIZE.dw } as const

/** Mnemonics of the syntax that ubpf and the public conformance vectors use: `ldxdw %r0, [%r1+8]`. */
const FORMS: ReadonlyMap<string, Form> = new Map<string, Form>([
  ...arithmetic(),
  ...swaps(),
  ...memory(),
  ...jumps(),
  ['lddw', wide],
])

/** The form of a mnemonic; undefined when the classic syntax has none. `call`, `exit` and `lock` are read elsewhere. */
export function classicForm(mnemonic: string): Form | undefined {
  return FORMS.get(mnemonic)
}

function arithmetic(): [string, Form][] {
  const rows: [string, Form][] = []
  for (const name of Object.keys(ARITHMETIC) as ArithmeticName[]) {
    const { op, offset } = ARITHMETIC[name]
    for (const [suffix, cls] of [
      ['', CLASS.alu64],
      ['64', CLASS.alu64],
      ['32', CLASS.alu],
    ] as const)
      rows.push([name + suffix, (cursor) => binary(cursor, cls | op, offset)])
  }
  for (const [suffix, cls] of [
    ['', CLASS.alu64],
    ['64', CLASS.alu64],
    ['32', CLASS.alu],
  ] as const)
    rows.push([`neg${suffix}`, (cursor) => plain(cls | ALU.neg, cursor.register().number, 0, 0, 0)])
  for (const [name, bits, cls] of [
    ['movsx832', 8, CLASS.alu],
    ['movsx1632', 16, CLASS.alu],
    ['movsx864', 8, CLASS.alu64],
    ['movsx1664', 16, CLASS.alu64],
    ['movsx3264', 32, CLASS.alu64],
  ] as const)
    rows.push([
      name,
      (cursor) => {
        const dst = cursor.register().number
        cursor.expect(',')
        return plain(cls | ALU.mov | SOURCE.x, dst, cursor.register().number, bits, 0)
      },
    ])
  return rows
}

function binary(cursor: TokenCursor, opcode: number, offset: number): Statement {
  const dst = cursor.register().number
  cursor.expect(',')
  const src = cursor.tryRegister()
  return src === undefined
    ? plain(opcode, dst, 0, offset, cursor.immediate())
    : plain(opcode | SOURCE.x, dst, src.number, offset, 0)
}

function swaps(): [string, Form][] {
  const rows: [string, Form][] = []
  for (const bits of [16, 32, 64])
    for (const [name, opcode] of [
      ['le', CLASS.alu | ALU.end],
      ['be', CLASS.alu | ALU.end | SOURCE.x],
      ['swap', CLASS.alu64 | ALU.end],
      ['bswap', CLASS.alu64 | ALU.end],
    ] as const)
      rows.push([`${name}${bits}`, (cursor) => plain(opcode, cursor.register().number, 0, 0, bits)])
  return rows
}

/** `[%r10-8]`, `[%r1]`. */
export function classicAddress(cursor: TokenCursor): { readonly base: number; readonly offset: number } {
  cursor.expect('[')
  const base = cursor.wholeRegister()
  const offset = cursor.offset()
  cursor.expect(']')
  return { base, offset }
}

function memory(): [string, Form][] {
  const rows: [string, Form][] = []
  for (const [suffix, size] of Object.entries(SIZES)) {
    for (const [name, mode] of [
      ['ldx', MODE.mem],
      ['ldxs', MODE.memsx],
    ] as const) {
      if (mode === MODE.memsx && size === SIZE.dw) continue
      rows.push([
        name + suffix,
        (cursor) => {
          const dst = cursor.register().number
          cursor.expect(',')
          const { base, offset } = classicAddress(cursor)
          return plain(CLASS.ldx | mode | size, dst, base, offset, 0)
        },
      ])
    }
    rows.push([
      `st${suffix}`,
      (cursor) => {
        const { base, offset } = classicAddress(cursor)
        cursor.expect(',')
        return plain(CLASS.st | MODE.mem | size, base, 0, offset, cursor.immediate())
      },
    ])
    rows.push([
      `stx${suffix}`,
      (cursor) => {
        const { base, offset } = classicAddress(cursor)
        cursor.expect(',')
        return plain(CLASS.stx | MODE.mem | size, base, cursor.register().number, offset, 0)
      },
    ])
    if (size === SIZE.dw) continue
    rows.push([`ldabs${suffix}`, (cursor) => plain(CLASS.ld | MODE.abs | size, 0, 0, 0, cursor.immediate())])
    rows.push([
      `ldind${suffix}`,
      (cursor) => {
        const src = cursor.wholeRegister()
        return plain(CLASS.ld | MODE.ind | size, 0, src, 0, cursor.take(',') ? cursor.immediate() : 0)
      },
    ])
  }
  return rows
}

function wide(cursor: TokenCursor): Statement {
  const dst = cursor.wholeRegister()
  cursor.expect(',')
  const value = cursor.integer('a 64-bit immediate', -(1n << 63n), (1n << 64n) - 1n)
  return wideConstant(dst, 0, value)
}

/** A 64-bit immediate load of `value` with the given source. */
export function wideConstant(dst: number, src: number, value: bigint): Statement {
  const imm64 = BigInt.asUintN(64, value)
  return { opcode: LD_IMM64, dst, src, offset: 0, imm: Number(BigInt.asIntN(32, imm64)), imm64 }
}

/** `+2`, `-0x1`, `pc+2`, `label`, `label <symbol>`. */
export function target(cursor: TokenCursor, bits: 16 | 32): TextTarget {
  if (cursor.is('pc') && (cursor.peek(1).text === '+' || cursor.peek(1).text === '-')) cursor.next()
  if (cursor.token.kind === 'name') return { label: cursor.next().text }
  const half = 1n << BigInt(bits - 1)
  return { distance: Number(cursor.integer('a label or a distance in slots', -half, half - 1n)) }
}

/** A jump with its target put where the opcode has it. */
export function jumpTo(opcode: number, dst: number, src: number, imm: number, to: TextTarget): Statement {
  if ('label' in to) return { opcode, dst, src, offset: 0, imm, label: to.label }
  return opcode === (CLASS.jmp32 | JMP.ja)
    ? plain(opcode, dst, src, 0, to.distance)
    : plain(opcode, dst, src, to.distance, imm)
}

function jumps(): [string, Form][] {
  const rows: [string, Form][] = [
    ['ja', (cursor) => jumpTo(CLASS.jmp | JMP.ja, 0, 0, 0, target(cursor, 16))],
    ['ja32', (cursor) => jumpTo(CLASS.jmp32 | JMP.ja, 0, 0, 0, target(cursor, 32))],
  ]
  for (const name of Object.keys(CONDITIONS) as ConditionName[])
    for (const [suffix, cls] of [
      ['', CLASS.jmp],
      ['32', CLASS.jmp32],
    ] as const)
      rows.push([
        name + suffix,
        (cursor) => {
          const dst = cursor.register().number
          cursor.expect(',')
          const src = cursor.tryRegister()
          const imm = src === undefined ? cursor.immediate() : 0
          cursor.expect(',')
          const opcode = cls | CONDITIONS[name] | (src === undefined ? SOURCE.k : SOURCE.x)
          return jumpTo(opcode, dst, src?.number ?? 0, imm, target(cursor, 16))
        },
      ])
  return rows
}

const LOCKED: ReadonlyMap<string, number> = new Map([
  ['add', ATOMIC.add],
  ['or', ATOMIC.or],
  ['and', ATOMIC.and],
  ['xor', ATOMIC.xor],
  ['xchg', ATOMIC.xchg],
  ['cmpxchg', ATOMIC.cmpxchg],
])

/** What follows `lock` in the classic syntax: `fetch add32 [%r10-8], %r1`. */
export function classicLock(cursor: TokenCursor): Statement {
  const fetch = cursor.take('fetch')
  const { token } = cursor
  const name = cursor.name('an atomic operation (add, or, and, xor, xchg, cmpxchg)')
  const narrow = name.endsWith('32')
  const imm = LOCKED.get(narrow ? name.slice(0, -2) : name)
  if (imm === undefined) cursor.fail('an atomic operation (add, or, and, xor, xchg, cmpxchg)', token)
  const { base, offset } = classicAddress(cursor)
  cursor.expect(',')
  const opcode = CLASS.stx | MODE.atomic | (narrow ? SIZE.w : SIZE.dw)
  return plain(opcode, base, cursor.register().number, offset, fetch ? imm | ATOMIC.fetch : imm)
}

/** What follows `call` in the classic syntax and nowhere else: a mode and a target. */
export function classicCall(cursor: TokenCursor): Statement | undefined {
  const opcode = CLASS.jmp | JMP.call
  if (cursor.peek(1).kind === 'end') return undefined
  if (cursor.take('local')) {
    const to = target(cursor, 32)
    const call = plain(opcode, 0, PSEUDO_CALL.local, 0, 'distance' in to ? to.distance : -1)
    return 'label' in to ? { ...call, label: to.label } : call
  }
  if (cursor.take('helper')) return plain(opcode, 0, PSEUDO_CALL.helper, 0, cursor.immediate())
  if (cursor.take('runtime')) return plain(opcode, 0, PSEUDO_CALL.kfunc, 0, cursor.immediate())
  return undefined
}
