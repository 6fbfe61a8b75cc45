import {
  ADDR_SPACE_CAST,
  ALU,
  ATOMIC,
  CLASS,
  helperNumber,
  INTERNAL,
  JMP,
  LD_IMM64,
  MODE,
  PSEUDO_CALL,
  PSEUDO_LD,
  SIZE,
  SOURCE,
} from '../../uapi/index.ts'
import { ARITHMETIC, CONDITIONS } from '../operations.ts'
import { classicCall, classicForm, classicLock, jumpTo, target, wideConstant } from './classic.ts'
import type { RegisterOperand, TokenCursor } from './cursor.ts'
import { syntaxError, type Token } from './lexer.ts'
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

const COMPARISONS: ReadonlyMap<string, number> = new Map([
  ['==', CONDITIONS.jeq],
  ['!=', CONDITIONS.jne],
  ['>', CONDITIONS.jgt],
  ['>=', CONDITIONS.jge],
  ['<', CONDITIONS.jlt],
  ['<=', CONDITIONS.jle],
  ['s>', CONDITIONS.jsgt],
  ['s>=', CONDITIONS.jsge],
  ['s<', CONDITIONS.jslt],
  ['s<=', CONDITIONS.jsle],
  ['&', CONDITIONS.jset],
])

const TYPES: ReadonlyMap<string, { readonly size: number; readonly mode: number }> = new Map([
  ['u8', { size: SIZE.b, mode: MODE.mem }],
  ['u16', { size: SIZE.h, mode: MODE.mem }],
  ['u32', { size: SIZE.w, mode: MODE.mem }],
  ['u64', { size: SIZE.dw, mode: MODE.mem }],
  ['s8', { size: SIZE.b, mode: MODE.memsx }],
  ['s16', { size: SIZE.h, mode: MODE.memsx }],
  ['s32', { size: SIZE.w, mode: MODE.memsx }],
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
 * One instruction in any of the three syntaxes.
 * @param opcode the opcode that a listing shows beside the text; decides where the text alone cannot
 */
export function parseStatement(cursor: TokenCursor, opcode?: number): Statement {
  const statement = parse(cursor, opcode)
  cursor.end()
  return statement
}

function parse(cursor: TokenCursor, opcode: number | undefined): Statement {
  const { token } = cursor
  if (cursor.is('*')) return storeTo(cursor)
  const dst = cursor.tryRegister()
  if (dst !== undefined) return assignment(cursor, dst, token, opcode)
  if (token.kind !== 'name') cursor.fail('an instruction')
  cursor.next()
  switch (token.text) {
    case 'if':
      return conditional(cursor)
    case 'goto':
      return jumpTo(CLASS.jmp | JMP.ja, 0, 0, 0, target(cursor, 16))
    case 'gotol':
      return jumpTo(CLASS.jmp32 | JMP.ja, 0, 0, 0, target(cursor, 32))
    case 'may_goto':
      return jumpTo(CLASS.jmp | JMP.jcond, 0, 0, 0, target(cursor, 16))
    case 'gotox':
      return plain(CLASS.jmp | JMP.ja | SOURCE.x, cursor.wholeRegister(), 0, 0, 0)
    case 'call':
      return call(cursor)
    case 'callx':
      return plain(CLASS.jmp | JMP.call | SOURCE.x, cursor.wholeRegister(), 0, 0, 0)
    case 'exit':
      return plain(CLASS.jmp | JMP.exit, 0, 0, 0, 0)
    case 'lock':
      return cursor.is('*') ? locked(cursor) : classicLock(cursor)
    case 'store_release':
      return storeRelease(cursor)
    case 'nospec':
      return plain(CLASS.st | INTERNAL.nospec, 0, 0, 0, 0)
    case 'ld_pseudo':
      return pseudo(cursor)
    default: {
      const form = classicForm(token.text)
      if (form === undefined) cursor.fail('an instruction', token)
      return form(cursor)
    }
  }
}

function accessType(cursor: TokenCursor): { readonly size: number; readonly mode: number } {
  const { token } = cursor
  const access = TYPES.get(cursor.name('an access type (u8, u16, u32, u64, s8, s16, s32)'))
  if (access === undefined) cursor.fail('an access type (u8, u16, u32, u64, s8, s16, s32)', token)
  return access
}

/** `(u32 *)`. */
function pointerType(cursor: TokenCursor): { readonly size: number; readonly mode: number } {
  cursor.expect('(')
  const access = accessType(cursor)
  cursor.expect('*')
  cursor.expect(')')
  return access
}

/** `(r1 + 4)`. */
function address(cursor: TokenCursor): { readonly base: number; readonly offset: number } {
  cursor.expect('(')
  const base = cursor.wholeRegister()
  const offset = cursor.offset()
  cursor.expect(')')
  return { base, offset }
}

function unsignedOnly(cursor: TokenCursor, mode: number, token: Token): void {
  if (mode !== MODE.mem) cursor.fail('an unsigned type (u8, u16, u32, u64)', token)
}

function storeTo(cursor: TokenCursor): Statement {
  cursor.expect('*')
  const token = cursor.peek(1)
  const { size, mode } = pointerType(cursor)
  unsignedOnly(cursor, mode, token)
  const { base, offset } = address(cursor)
  cursor.expect('=')
  const value = cursor.tryRegister()
  return value === undefined
    ? plain(CLASS.st | MODE.mem | size, base, 0, offset, cursor.immediate())
    : plain(CLASS.stx | MODE.mem | size, base, value.number, offset, 0)
}

const LOCKED_OPERATORS: ReadonlyMap<string, number> = new Map([
  ['+=', ATOMIC.add],
  ['|=', ATOMIC.or],
  ['&=', ATOMIC.and],
  ['^=', ATOMIC.xor],
])

/** `lock *(u64 *)(r10 - 8) += r1`. */
function locked(cursor: TokenCursor): Statement {
  cursor.expect('*')
  const token = cursor.peek(1)
  const { size, mode } = pointerType(cursor)
  unsignedOnly(cursor, mode, token)
  if (size !== SIZE.w && size !== SIZE.dw) cursor.fail('u32 or u64', token)
  const { base, offset } = address(cursor)
  const imm = LOCKED_OPERATORS.get(cursor.token.text)
  if (imm === undefined) cursor.fail('+=, |=, &= or ^=')
  cursor.next()
  return plain(CLASS.stx | MODE.atomic | size, base, cursor.register().number, offset, imm)
}

/** `store_release((u64 *)(r1 + 0), r2)`. */
function storeRelease(cursor: TokenCursor): Statement {
  cursor.expect('(')
  const { size } = pointerType(cursor)
  const { base, offset } = address(cursor)
  cursor.expect(',')
  const src = cursor.register().number
  cursor.expect(')')
  return plain(CLASS.stx | MODE.atomic | size, base, src, offset, ATOMIC.storeRelease)
}

/** LLVM's way to write a 64-bit immediate load with a pseudo source: `ld_pseudo r1, 1, 4`. */
function pseudo(cursor: TokenCursor): Statement {
  const dst = cursor.wholeRegister()
  cursor.expect(',')
  const src = Number(cursor.integer('a pseudo source', 0n, 15n))
  cursor.expect(',')
  return wideConstant(dst, src, cursor.integer('a 64-bit immediate', -(1n << 63n), (1n << 64n) - 1n))
}

function conditional(cursor: TokenCursor): Statement {
  const left = cursor.register()
  const op = COMPARISONS.get(cursor.token.text)
  if (op === undefined) cursor.fail('a comparison (==, !=, >, >=, <, <=, s>, s>=, s<, s<=, &)')
  cursor.next()
  const { token } = cursor
  const right = cursor.tryRegister()
  if (right !== undefined && right.narrow !== left.narrow) cursor.fail(`a ${left.narrow ? 'w' : 'r'} register`, token)
  const imm = right === undefined ? cursor.immediate() : 0
  cursor.expect('goto')
  const opcode = (left.narrow ? CLASS.jmp32 : CLASS.jmp) | op | (right === undefined ? SOURCE.k : SOURCE.x)
  return jumpTo(opcode, left.number, right?.number ?? 0, imm, target(cursor, 16))
}

function call(cursor: TokenCursor): Statement {
  const opcode = CLASS.jmp | JMP.call
  const register = cursor.tryRegister()
  if (register !== undefined) return plain(opcode | SOURCE.x, register.number, 0, 0, 0)
  const classic = classicCall(cursor)
  if (classic !== undefined) return classic
  if (cursor.is('pc')) {
    const to = target(cursor, 32)
    skipCalleeName(cursor)
    if ('label' in to) cursor.fail('a distance in slots')
    return plain(opcode, 0, PSEUDO_CALL.local, 0, to.distance)
  }
  const number = cursor.token.kind === 'name' ? undefined : cursor.tryInteger()
  if (number !== undefined) {
    // a translated dump shows the callee's address before its number
    if (cursor.take('#')) return plain(opcode, 0, PSEUDO_CALL.helper, 0, cursor.immediate())
    return plain(opcode, 0, PSEUDO_CALL.helper, 0, Number(BigInt.asIntN(32, number)))
  }
  const named = cursor.token
  let name = cursor.name('a helper, a function or a number')
  if (name === 'kernel' && cursor.take('-')) name += `-${cursor.name('"function"')}`
  if (!cursor.take('#')) return { ...plain(opcode, 0, PSEUDO_CALL.helper, 0, 0), symbol: name }
  const imm = cursor.immediate()
  if (name === 'unknown' || helperNumber(name) !== undefined) return plain(opcode, 0, PSEUDO_CALL.helper, 0, imm)
  if (name === '') cursor.fail('a callee', named)
  return plain(opcode, 0, PSEUDO_CALL.kfunc, 0, imm)
}

/** `#name` or `#0xaddress` behind the distance of a bpf-to-bpf call. */
function skipCalleeName(cursor: TokenCursor): void {
  if (cursor.take('#')) while (cursor.token.kind !== 'end') cursor.next()
}

function assignment(cursor: TokenCursor, dst: RegisterOperand, first: Token, opcode: number | undefined): Statement {
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
