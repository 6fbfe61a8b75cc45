import { building, type Closure, FunctionContext, type FunctionParameter } from '../context.ts'
import { constant, type Operand, operandKey, type Reg } from '../ir/ops.ts'

/** Callbacks end with 0 to be called again, with 1 to end the loop. */
const AGAIN = constant(0)
const STOP = constant(1)

/** A value of the function around the callback, in an 8-byte slot of memory that both reach. */
interface Capture {
  /** In the function around: what the slot gets before the call. */
  readonly read: () => Operand
  /** In the function around: what happens to the slot's value after the call. */
  readonly write?: (value: Operand) => void
  written: boolean
}

/** A callback under construction: values from around it are captured, as closures of TypeScript do. */
class CallbackClosure implements Closure {
  readonly parent: FunctionContext
  readonly inner: FunctionContext
  readonly memory: Reg
  readonly captures: Capture[] = []
  readonly #index = new Map<string, number>()
  #leaving: { readonly flag: number; readonly code: number } | undefined

  constructor(parent: FunctionContext, inner: FunctionContext, memory: Reg) {
    this.parent = parent
    this.inner = inner
    this.memory = memory
  }
  get leaving(): { readonly flag: number; readonly code: number } | undefined {
    return this.#leaving
  }
  #slot(key: string, make: () => Omit<Capture, 'written'>): number {
    let index = this.#index.get(key)
    if (index === undefined) {
      index = this.captures.push({ ...make(), written: false }) - 1
      this.#index.set(key, index)
    }
    return index
  }
  #region(index: number): `stack${number}` {
    return `stack${1_000_000 + index}`
  }
  #load(index: number): Operand {
    return this.inner.emitter.load(this.#region(index), 8, this.memory, 8 * index, { pointer: true })
  }
  #store(index: number, value: Operand): void {
    this.captures[index].written = true
    this.inner.emitter.store(this.#region(index), 8, this.memory, 8 * index, value)
  }

  capture(owner: FunctionContext, operand: Operand): Operand {
    const own = this.parent.reach(owner, operand)
    if (typeof own === 'object' && own.kind !== 'frame') return own
    const captured = this.#load(this.#slot(`value ${operandKey(own)}`, () => ({ read: () => own })))
    const align = this.parent.emitter.stackAlignment(own, 0)
    if (align !== undefined) this.inner.emitter.stackPointer(captured, align)
    return captured
  }
  #variable(owner: FunctionContext, reg: Reg): number {
    return this.#slot(`variable ${owner.emitter.ir.name} ${reg}`, () => ({
      read: () => this.parent.readVariable(owner, reg),
      write: (value) => this.parent.writeVariable(owner, reg, value),
    }))
  }
  read(owner: FunctionContext, reg: Reg): Operand {
    return this.#load(this.#variable(owner, reg))
  }
  write(owner: FunctionContext, reg: Reg, value: Operand): void {
    this.#store(this.#variable(owner, reg), value)
  }
  leave(code: unknown): void {
    let home = this.parent
    while (home.closure instanceof CallbackClosure) home = home.closure.parent
    this.leaveWith(home.codeOf(this.inner, code))
  }
  leaveWith(value: Operand | undefined): void {
    const none = { read: () => constant(0) }
    this.#leaving ??= { flag: this.#slot('leaving', () => none), code: this.#slot('code', () => none) }
    this.#store(this.#leaving.flag, constant(1))
    if (value !== undefined) this.#store(this.#leaving.code, value)
    this.inner.emitter.exit(STOP)
  }
  next(stop: boolean): void {
    this.inner.giveBack(0)
    this.inner.emitter.exit(stop ? STOP : AGAIN)
  }
}

/** A parameter of a callback: an integer or a pointer that the kernel passes. */
export interface CallbackParameter {
  readonly name: string
  readonly type: FunctionParameter
}

/**
 * A BPF function that a helper calls, made from `body`. Values from around it are passed through memory on the stack, whose
 * address `finish` gives to the call; variables that the body writes are read back behind the call.
 */
export function callback(
  parent: FunctionContext,
  what: string,
  params: readonly CallbackParameter[],
  body: (inner: FunctionContext, args: readonly Reg[]) => void,
): { readonly address: Operand; readonly finish: (call: (memory: Operand) => Operand) => Operand } {
  const { unit } = parent
  unit.need(5, 13, 'a callback')
  const name = `${parent.emitter.ir.name}__${what}_${++parent.callbacks}`
  const inner = new FunctionContext(unit, name, parent.codeOf)
  const args = params.map(() => inner.emitter.param())
  const memory = inner.emitter.param()
  const closure = new CallbackClosure(parent, inner, memory)
  inner.closure = closure
  unit.functions.set(name, {
    name,
    linkage: 'static',
    fn: inner,
    params: [...params, { name: 'captured', type: { kind: 'void' } }],
    result: 'int',
  })
  building(inner, () => {
    body(inner, args)
    if (inner.emitter.isOpen) closure.next(false)
  })
  const { emitter } = parent
  const finish = (call: (memory: Operand) => Operand): Operand => {
    const { captures, leaving } = closure
    if (captures.length === 0) return call(constant(0))
    const slot = emitter.slot(8 * captures.length, 8, `captured by ${name}`)
    const region = `stack${slot.id}` as const
    const base: Operand = { kind: 'frame', slot, offset: 0 }
    captures.forEach(({ read }, i) => {
      emitter.store(region, 8, base, 8 * i, read())
    })
    const result = call(base)
    emitter.touchAll()
    if (inner.emitter.packetMoved) emitter.packetChanged()
    captures.forEach(({ write, written }, i) => {
      if (written && write !== undefined) write(emitter.load(region, 8, base, 8 * i, { pointer: true }))
    })
    if (leaving !== undefined) {
      const flag = emitter.load(region, 8, base, 8 * leaving.flag, { pointer: true })
      const left = { kind: 'compare', cmp: 'ne', width: 64, a: flag, b: constant(0), site: emitter.site } as const
      emitter.require({ kind: 'not', of: left }, () => {
        const code = emitter.load(region, 8, base, 8 * leaving.code, { pointer: true })
        parent.leaveWith(code)
      })
    }
    return result
  }
  return { address: { kind: 'function', name }, finish }
}
