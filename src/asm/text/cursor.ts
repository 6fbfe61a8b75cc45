import { registerNumber } from '../registers.ts'
import { syntaxError, type TextPlace, type Token } from './lexer.ts'

/** A register operand: its number, and whether its low 32 bits were named. */
export interface RegisterOperand {
  readonly number: number
  readonly narrow: boolean
}

/** 64 bits are at most 20 decimal digits; some leading zeros are harmless. */
const MAX_DIGITS = 64

/** Reads the tokens of one statement; every expectation that fails is an error at its column. */
export class TokenCursor {
  readonly place: TextPlace
  readonly #tokens: readonly Token[]
  #at = 0

  constructor(tokens: readonly Token[], place: TextPlace) {
    this.#tokens = tokens
    this.place = place
  }

  get token(): Token {
    return this.#tokens[this.#at]
  }

  peek(ahead: number): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)]
  }

  next(): Token {
    const token = this.#tokens[this.#at]
    if (this.#at < this.#tokens.length - 1) this.#at++
    return token
  }

  fail(expected: string, token: Token = this.token): never {
    const found = token.kind === 'end' ? 'the end of the line' : JSON.stringify(token.text)
    throw syntaxError(this.place, token.column, `expected ${expected}, found ${found}`)
  }

  is(text: string): boolean {
    const { token } = this
    return token.text === text && token.kind !== 'end'
  }

  take(text: string): boolean {
    if (!this.is(text)) return false
    this.next()
    return true
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(JSON.stringify(text))
  }

  name(expected: string): string {
    if (this.token.kind !== 'name') this.fail(expected)
    return this.next().text
  }

  end(): void {
    if (this.token.kind !== 'end') this.fail('the end of the line')
  }

  /** `r1`, `w1`, `%r1`; undefined (and nothing taken) when there is none. */
  tryRegister(): RegisterOperand | undefined {
    const ahead = this.is('%') ? 1 : 0
    const token = this.peek(ahead)
    if (token.kind !== 'name') return undefined
    const number = token.text === 'fp' ? 10 : registerNumber(token.text)
    if (number === undefined) return undefined
    for (let i = 0; i <= ahead; i++) this.next()
    return { number, narrow: token.text.startsWith('w') }
  }

  register(): RegisterOperand {
    const register = this.tryRegister()
    if (register === undefined) this.fail('a register (r0 to r10, w0 to w10)')
    return register
  }

  wholeRegister(): number {
    const { token } = this
    const register = this.register()
    if (register.narrow) this.fail('a 64-bit register (r0 to r10)', token)
    return register.number
  }

  /** A number with its sign, as written: any size. Undefined when there is none. */
  tryInteger(): bigint | undefined {
    const signed = this.is('-') || this.is('+')
    const digits = this.peek(signed ? 1 : 0)
    if (digits.kind !== 'number') return undefined
    if (digits.text.length > MAX_DIGITS)
      this.fail('a number of at most 64 bits', { ...digits, text: `${digits.text.slice(0, 20)}…` })
    const negative = this.is('-')
    if (signed) this.next()
    this.next()
    const value = BigInt(digits.text)
    return negative ? -value : value
  }

  integer(expected: string, low: bigint, high: bigint): bigint {
    const { token } = this
    const value = this.tryInteger()
    if (value === undefined) this.fail(expected)
    if (value < low || value > high)
      throw syntaxError(this.place, token.column, `${value} is out of range: ${expected} is from ${low} to ${high}`)
    return value
  }

  /** A 32-bit immediate, signed or unsigned, as the signed number with those bits. */
  immediate(): number {
    return Number(BigInt.asIntN(32, this.integer('a 32-bit immediate', -0x80000000n, 0xffffffffn)))
  }

  /** A signed 16-bit offset, 0 when nothing stands here: `+ 4`, `-4`, `+ -4`. */
  offset(): number {
    if (this.is('+') && this.peek(1).text === '-') this.next()
    return this.is('+') || this.is('-') ? Number(this.integer('a 16-bit offset', -0x8000n, 0x7fffn)) : 0
  }
}
