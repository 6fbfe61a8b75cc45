import {
  ADDR_SPACE_CAST,
  ALU,
  ATOMIC,
  CLASS,
  INTERNAL,
  LD_IMM64,
  MODE,
  PSEUDO_LD,
  SIZE,
  SOURCE,
} from '../../uapi/index.ts'
import { ARITHMETIC } from '../operations.ts'
import { wideConstant } from './classic.ts'
import type { RegisterOperand, TokenCursor } from './cursor.ts'
import { syntaxError, type Token } from './lexer.ts'
import { address, pointerType } from './memory-operands.ts'
import { plain, type Statement } from './statement.ts'

const ASSIGNMENTS: ReadonlyMap<string, { readonly op: number; readonly offset: number }> = new Map<
  string,
  { readonly op: number; readonly offset: number }
>([
  ['+=', ARITHMETIC.add],
  ['-=', ARITHMETIC.sub],
  ['*=', ARITHMETIC.mul],
  ['/=', ARITHMETIC.div],
  ['s/=', ARITHMETIC.sdiv],
  ['%=', ARITHMETIC.mod],
  ['s%=', ARITHMETIC.smod],
  ['|=', ARITHMETIC.or],
  ['&=', ARITHMETIC.and],
  ['^=', ARITHMETIC.xor],
  ['<<=', ARITHMETIC.lsh],
  ['>>=', ARITHMETIC.rsh],
  ['s>>=', ARITHMETIC.arsh],
])

const SWAP = /^(le|be|bswap)(16|32|64)$/
const EXTENSIONS: ReadonlyMap<string, number> = new Map([
  ['s8', 8],
  ['s16', 16],
  ['s32', 32],
])

/** Operations that leave the old value in a register: LLVM's names and the kernel's. */
const FETCHING: ReadonlyMap<string, { readonly imm: number; readonly size?: number }> = new Map<
  string,
  { readonly imm: number; readonly size?: number }
>([
  ...(['add', 'or', 'and', 'xor'] as const).flatMap((name) => {
    const imm = ATOMIC[name] | ATOMIC.fetch
    return [
      [`atomic_fetch_${name}`, { imm }],
      [`atomic64_fetch_${name}`, { imm, size: SIZE.dw }],
    ] as [string, { imm: number; size?: number }][]
  }),
  ['xchg_64', { imm: ATOMIC.xchg, size: SIZE.dw }],
  ['xchg32_32', { imm: ATOMIC.xchg, size: SIZE.w }],
  ['atomic_xchg', { imm: ATOMIC.xchg, size: SIZE.w }],
  ['atomic64_xchg', { imm: ATOMIC.xchg, size: SIZE.dw }],
  ['cmpxchg_64', { imm: ATOMIC.cmpxchg, size: SIZE.dw }],
  ['cmpxchg32_32', { imm: ATOMIC.cmpxchg, size: SIZE.w }],
  ['atomic_cmpxchg', { imm: ATOMIC.cmpxchg, size: SIZE.w }],
  ['atomic64_cmpxchg', { imm: ATOMIC.cmpxchg, size: SIZE.dw }],
])

/**
 * What follows a register at the start of a line: an assignment of any kind.
 * @param opcode the opcode that a listing shows beside the text; decides where the text alone cannot
 */
export function assignment(
  cursor: TokenCursor,
  dst: RegisterOperand,
  first: Token,
  opcode: number | undefined,
): Statement {
  const cls = dst.narrow ? CLASS.alu : CLASS.alu64
  const operator = ASSIGNMENTS.get(cursor.token.text)
  if (operator !== undefined) {
    cursor.next()
    const { token } = cursor
    const src = cursor.tryRegister()
    if (src === undefined) return plain(cls | operator.op, dst.number, 0, operator.offset, cursor.immediate())
    sameWidth(cursor, dst, src, token)
    return plain(cls | operator.op | SOURCE.x, dst.number, src.number, operator.offset, 0)
  }
  if (!cursor.take('=')) cursor.fail('= or an assignment such as +=')
  const { token } = cursor
  if (cursor.is('-') && cursor.peek(1).kind === 'name') {
    cursor.next()
    const src = cursor.register()
    if (src.number !== dst.number || src.narrow !== dst.narrow) cursor.fail(`-${first.text}`, token)
    return plain(cls | ALU.neg, dst.number, 0, 0, 0)
  }
  const src = cursor.tryRegister()
  if (src !== undefined) {
    sameWidth(cursor, dst, src, token)
    return plain(cls | ALU.mov | SOURCE.x, dst.number, src.number, 0, 0)
  }
  if (cursor.is('(')) return extendingMove(cursor, dst, cls)
  if (cursor.is('*')) return loadFrom(cursor, dst)
  if (cursor.take('&')) return percpuAddress(cursor, dst)
  const value = cursor.tryInteger()
  if (value !== undefined) return constant(cursor, dst, value, token, opcode)
  return named(cursor, dst, token)
}

function sameWidth(cursor: TokenCursor, dst: RegisterOperand, src: RegisterOperand, token: Token): void {
  if (dst.narrow !== src.narrow) cursor.fail(`a ${dst.narrow ? 'w' : 'r'} register`, token)
}

function constant(cursor: TokenCursor, dst: RegisterOperand, value: bigint, token: Token, opcode?: number): Statement {
  if (cursor.take('ll') || opcode === LD_IMM64) {
    if (dst.narrow) cursor.fail('an r register for a 64-bit immediate', token)
    if (value < -(1n << 63n) || value >= 1n << 64n)
      throw syntaxError(cursor.place, token.column, `${value} is out of range: a 64-bit immediate`)
    return wideConstant(dst.number, PSEUDO_LD.constant, value)
  }
  if (value < -0x80000000n || value > 0xffffffffn)
    throw syntaxError(cursor.place, token.column, `${value} does not fit 32 bits; write ll behind a 64-bit immediate`)
  const cls = dst.narrow ? CLASS.alu : CLASS.alu64
  return plain(cls | ALU.mov, dst.number, 0, 0, Number(BigInt.asIntN(32, value)))
}

function extendingMove(cursor: TokenCursor, dst: RegisterOperand, cls: number): Statement {
  cursor.expect('(')
  const { token } = cursor
  const bits = EXTENSIONS.get(cursor.name('s8, s16 or s32'))
  if (bits === undefined || (bits === 32 && dst.narrow)) cursor.fail(dst.narrow ? 's8 or s16' : 's8, s16 or s32', token)
  cursor.expect(')')
  const place = cursor.token
  const src = cursor.register()
  sameWidth(cursor, dst, src, place)
  return plain(cls | ALU.mov | SOURCE.x, dst.number, src.number, bits, 0)
}

function loadFrom(cursor: TokenCursor, dst: RegisterOperand): Statement {
  cursor.expect('*')
  const { size, mode } = pointerType(cursor)
  if (!cursor.take('skb')) {
    const { base, offset } = address(cursor)
    return plain(CLASS.ldx | mode | size, dst.number, base, offset, 0)
  }
  if (dst.number !== 0) cursor.fail('r0 as the destination of a packet load')
  cursor.expect('[')
  const index = cursor.tryRegister()
  const imm = index === undefined || cursor.is('+') || cursor.is('-') ? packetOffset(cursor) : 0
  cursor.expect(']')
  return index === undefined
    ? plain(CLASS.ld | MODE.abs | size, 0, 0, 0, imm)
    : plain(CLASS.ld | MODE.ind | size, 0, index.number, 0, imm)
}

/** `5`, `+ 5`, and what the kernel prints for negative ones: `+ -5`. */
function packetOffset(cursor: TokenCursor): number {
  if (cursor.is('+') && (cursor.peek(1).text === '-' || cursor.peek(1).text === '+')) cursor.next()
  return cursor.immediate()
}

/** `&(void __percpu *)(r1)`: only in translated programs. */
function percpuAddress(cursor: TokenCursor, dst: RegisterOperand): Statement {
  for (const word of ['(', 'void', '__percpu', '*', ')', '(']) cursor.expect(word)
  const src = cursor.wholeRegister()
  cursor.expect(')')
  return plain(CLASS.alu64 | ALU.mov | SOURCE.x, dst.number, src, INTERNAL.addrPercpu, 0)
}

function named(cursor: TokenCursor, dst: RegisterOperand, token: Token): Statement {
  const name = cursor.name('a register, a number, a load or a symbol')
  const swap = SWAP.exec(name)
  if (swap !== null && cursor.tryRegister() !== undefined) {
    const opcode = swap[1] === 'bswap' ? CLASS.alu64 | ALU.end : CLASS.alu | ALU.end | (swap[1] === 'be' ? SOURCE.x : 0)
    return plain(opcode, dst.number, 0, 0, Number(swap[2]))
  }
  const fetching = FETCHING.get(name)
  if (fetching !== undefined) return fetch(cursor, dst, fetching.imm, fetching.size, token)
  if (name === 'load_acquire') {
    cursor.expect('(')
    const { size } = pointerType(cursor)
    const { base, offset } = address(cursor)
    cursor.expect(')')
    return plain(CLASS.stx | MODE.atomic | size, dst.number, base, offset, ATOMIC.loadAcquire)
  }
  if (name === 'addr_space_cast') {
    cursor.expect('(')
    const src = cursor.wholeRegister()
    cursor.expect(',')
    const to = Number(cursor.integer('an address space', 0n, 0xffffn))
    cursor.expect(',')
    const from = Number(cursor.integer('an address space', 0n, 0xffffn))
    cursor.expect(')')
    return plain(CLASS.alu64 | ALU.mov | SOURCE.x, dst.number, src, ADDR_SPACE_CAST, (to << 16) | from)
  }
  if (name === 'map' && cursor.is('[')) return mapReference(cursor, dst.number)
  if (name === 'subprog' && cursor.take('[')) {
    const distance = cursor.integer('a distance in slots', -0x80000000n, 0x7fffffffn)
    cursor.expect(']')
    return wideConstant(dst.number, PSEUDO_LD.func, BigInt.asUintN(32, distance))
  }
  cursor.expect('ll')
  return { ...wideConstant(dst.number, PSEUDO_LD.constant, 0n), symbol: name }
}

function fetch(
  cursor: TokenCursor,
  dst: RegisterOperand,
  imm: number,
  given: number | undefined,
  name: Token,
): Statement {
  cursor.expect('(')
  let size = given
  if (cursor.is('(')) size = pointerType(cursor).size
  const bracketed = cursor.take('(')
  const base = cursor.wholeRegister()
  const offset = cursor.offset()
  if (bracketed) cursor.expect(')')
  if (size !== SIZE.w && size !== SIZE.dw) cursor.fail('an atomic on u32 or u64', name)
  cursor.expect(',')
  if (imm === ATOMIC.cmpxchg) {
    const { token } = cursor
    if (cursor.register().number !== 0) cursor.fail('r0, which cmpxchg compares with', token)
    cursor.expect(',')
  }
  const { token } = cursor
  const src = cursor.register().number
  cursor.expect(')')
  const result = imm === ATOMIC.cmpxchg ? 0 : src
  if (dst.number !== result)
    cursor.fail(imm === ATOMIC.cmpxchg ? 'the result in r0' : 'the result in the register of the operand', token)
  return plain(CLASS.stx | MODE.atomic | size, base, src, offset, imm)
}

/** `map[counts]`, `map[id:5]`, `map[fd:5]`, `map[idx:5]`, each with `[0]+8` for an address inside the first value. */
function mapReference(cursor: TokenCursor, dst: number): Statement {
  cursor.expect('[')
  const kind = cursor.name('a map name, id:, fd: or idx:')
  let number: bigint | undefined
  if ((kind === 'id' || kind === 'fd' || kind === 'idx') && cursor.take(':')) {
    number = cursor.integer('a number', 0n, 0x7fffffffn)
    if (cursor.token.kind === 'name') cursor.next()
  }
  cursor.expect(']')
  let offset: bigint | undefined
  if (cursor.take('[')) {
    cursor.integer('0', 0n, 0n)
    cursor.expect(']')
    offset = 0n
  }
  if (cursor.take('+')) offset = cursor.integer('an offset', 0n, 0xffffffffn)
  const indexed = kind === 'idx' && number !== undefined
  if (offset === undefined) {
    const statement = wideConstant(dst, indexed ? PSEUDO_LD.mapIdx : PSEUDO_LD.mapFd, number ?? 0n)
    return number === undefined ? { ...statement, reference: { kind: 'map', name: kind } } : statement
  }
  const value = (offset << 32n) | (number ?? 0n)
  const statement = wideConstant(dst, indexed ? PSEUDO_LD.mapIdxValue : PSEUDO_LD.mapValue, value)
  return number === undefined
    ? { ...statement, reference: { kind: 'mapValue', name: kind, offset: Number(offset) } }
    : statement
}
