import { ATOMIC, CLASS, helperNumber, INTERNAL, JMP, MODE, PSEUDO_CALL, SIZE, SOURCE } from '../../uapi/index.ts'
import { CONDITIONS } from '../operations.ts'
import { assignment } from './assignments.ts'
import { classicCall, classicForm, classicLock, jumpTo, target, wideConstant } from './classic.ts'
import type { TokenCursor } from './cursor.ts'
import type { Token } from './lexer.ts'
import { address, pointerType } from './memory-operands.ts'
import { plain, type Statement } from './statement.ts'

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
