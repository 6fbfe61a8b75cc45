import { buildError, type FunctionContext, here } from '../context.ts'
import { constant, type Operand, type Reg } from '../ir/ops.ts'
import type { Type } from '../types/types.ts'
import { u32 } from '../types/types.ts'
import { Bool } from '../values/bool.ts'
import { Int, ownOperand } from '../values/int.ts'
import { Maybe } from '../values/maybe.ts'
import type { Access, Place } from '../values/place.ts'
import { type View, view } from '../values/views.ts'

/** Where the context keeps the packet's bounds. */
export interface PacketFields {
  readonly data: number
  readonly dataEnd: number
  readonly dataMeta?: number
  /** Bytes of the pointers in the context: 4, or 8 in newer contexts. */
  readonly size?: 4 | 8
}

/** The kernel's bound for a running packet offset (MAX_PACKET_OFF). */
const MAX_OFFSET = 0xffff

/** The packet's bytes. A bounds check is the only way to a header: {@link at} and {@link Cursor.take} give a Maybe. */
export class Packet<A extends Access> {
  declare readonly access: A
  readonly #fn: FunctionContext
  readonly #context: Operand
  readonly #fields: PacketFields

  constructor(fn: FunctionContext, context: Operand, fields: PacketFields) {
    this.#fn = fn
    this.#context = context
    this.#fields = fields
  }

  #pointer(fn: FunctionContext, offset: number): Operand {
    const context = fn.reach(this.#fn, this.#context)
    return fn.emitter.load('ctx', this.#fields.size ?? 4, context, offset, { pointer: true })
  }
  /** @internal */
  start(fn: FunctionContext): Operand {
    return this.#pointer(fn, this.#fields.data)
  }
  /** @internal */
  end(fn: FunctionContext): Operand {
    return this.#pointer(fn, this.#fields.dataEnd)
  }

  /** The packet's bytes in the linear part. */
  length(): Int<'u32'> {
    const fn = here('packet.length')
    return new Int(u32, fn.emitter.zext(32, fn.emitter.alu('sub', 64, this.end(fn), this.start(fn))), fn)
  }

  /** The thing of this type at a byte offset: constant (below 65,536), or a running number, of which 15 bits count. */
  at<T extends Type>(offset: number | Int<'u32'> | Int<'u16'> | Int<'u8'>, type: T): Maybe<View<T, A>> {
    const fn = here('packet.at')
    const { emitter } = fn
    if (typeof offset === 'number') {
      if (!Number.isInteger(offset) || offset < 0 || offset > MAX_OFFSET)
        throw buildError('build.packet-offset', `packet offset ${offset}`, `offsets are 0 to ${MAX_OFFSET}`)
      return this.#checked(fn, this.start(fn), offset, type)
    }
    const by = ownOperand(fn, offset)
    const safe = emitter.mask(by, 0x7fffn)
    return this.#checked(fn, emitter.alu('add', 64, this.start(fn), safe), 0, type)
  }

  #checked<T extends Type>(fn: FunctionContext, base: Operand, offset: number, type: T): Maybe<View<T, A>> {
    return new Maybe(fn, this.within(fn, base, offset + type.size), () =>
      view<T, A>(type, this.place(fn, base, offset)),
    )
  }
  /** @internal Whether `base + bytes` is not past the end. */
  within(fn: FunctionContext, base: Operand, bytes: number): Bool {
    const { emitter } = fn
    const past = emitter.alu('add', 64, base, constant(bytes))
    return new Bool({ kind: 'compare', cmp: 'le', width: 64, a: past, b: this.end(fn), site: emitter.site }, fn)
  }
  /** @internal */
  place(fn: FunctionContext, base: Operand, offset: number): Place {
    fn.emitter.packetBase(base)
    return { fn, region: 'packet', base, offset, access: 'write' }
  }

  /** A place in the packet that moves forward from `offset`. */
  cursor(offset = 0): Cursor<A> {
    const fn = here('packet.cursor')
    return new Cursor(fn, this, fn.emitter.alu('add', 64, this.start(fn), constant(offset)))
  }
}

/** Walks through the packet: each `take` gives the header at its place and moves behind it. */
export class Cursor<A extends Access> {
  readonly #fn: FunctionContext
  readonly #packet: Packet<A>
  readonly #at: Reg

  constructor(fn: FunctionContext, packet: Packet<A>, start: Operand) {
    this.#fn = fn
    this.#packet = packet
    this.#at = fn.emitter.variable(start, (1n << 64n) - 1n)
  }

  /** The thing of this type here; where it is inside the packet the cursor moves behind it. */
  take<T extends Type>(type: T): Maybe<View<T, A>> {
    return this.#look(type, true)
  }
  /** The thing of this type here; the cursor stays. */
  peek<T extends Type>(type: T): Maybe<View<T, A>> {
    return this.#look(type, false)
  }
  #look<T extends Type>(type: T, move: boolean): Maybe<View<T, A>> {
    const fn = here(move ? 'cursor.take' : 'cursor.peek')
    const { emitter } = fn
    const base = fn.readVariable(this.#fn, this.#at)
    const inside = this.#packet.within(fn, base, type.size)
    return new Maybe(fn, inside, () => {
      if (move) fn.writeVariable(this.#fn, this.#at, emitter.alu('add', 64, base, constant(type.size)))
      return view<T, A>(type, this.#packet.place(fn, base, 0))
    })
  }
  /** Moves forward without looking: a constant, or a running number (at most 32,767 counted). */
  skip(count: number | Int<'u32'> | Int<'u16'> | Int<'u8'>): void {
    const fn = here('cursor.skip')
    const { emitter } = fn
    const base = fn.readVariable(this.#fn, this.#at)
    if (typeof count === 'number') {
      fn.writeVariable(this.#fn, this.#at, emitter.alu('add', 64, base, constant(count)))
      return
    }
    const by = ownOperand(fn, count)
    const safe = emitter.mask(by, 0x7fffn)
    fn.writeVariable(this.#fn, this.#at, emitter.alu('add', 64, base, safe))
  }
  get owner(): FunctionContext {
    return this.#fn
  }
}
