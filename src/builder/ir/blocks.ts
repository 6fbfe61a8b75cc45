import type { Block, FunctionIr, Op, Operand, Reg, Site, StackSlot } from './ops.ts'
import { isConst } from './ops.ts'

const MASK64 = (1n << 64n) - 1n

/** Memory that stores may change independently: a store to one region leaves loads of the others known. */
export type Region = 'ctx' | 'packet' | 'map' | 'kernel' | `stack${number}`

/**
 * The function under construction: its blocks, registers and stack slots, and the scoped table of values that dominate
 * the place (regions of memory and variables carry version counters).
 */
export class BlockWriter {
  readonly ir: FunctionIr
  /** The site that new operations get. */
  site: Site = -1
  protected now: Block
  protected loopDepth = 0
  #bounds: bigint[] = []
  #scopes: Map<string, Operand>[] = [new Map()]
  #versions = new Map<string, number>()
  #epoch = 0
  /** Counts what may have written to any slot of the stack; its value when each slot was made. */
  #stackEpoch = 0
  readonly #slotEpochs: number[] = []
  #counter = 0

  constructor(name: string) {
    this.ir = { name, blocks: [], regCount: 0, params: [], slots: [], zeroed: [] }
    this.now = this.block()
    this.ir.blocks.push(this.now)
  }

  get current(): Block {
    return this.now
  }
  get isOpen(): boolean {
    return this.now.end.op === 'open'
  }

  /** Whether code here runs more than once. */
  get inLoop(): boolean {
    return this.loopDepth > 0
  }

  /** A block that is not placed yet. */
  block(cold = false): Block {
    return {
      id: this.#counter++,
      ops: [],
      end: { op: 'open', site: -1 },
      cold,
      loopDepth: this.loopDepth,
    }
  }

  /** Goes on in `block`. */
  place(block: Block): void {
    block.loopDepth = this.loopDepth
    this.ir.blocks.push(block)
    this.now = block
  }

  reg(bound: bigint = MASK64): Reg {
    this.#bounds.push(bound)
    return this.ir.regCount++
  }
  param(bound: bigint = MASK64): Reg {
    const reg = this.reg(bound)
    this.ir.params.push(reg)
    return reg
  }
  /** An upper bound of the register's 64 bits, known at build time. */
  bound(operand: Operand): bigint {
    if (typeof operand === 'number') return this.#bounds[operand]
    return isConst(operand) ? operand.value : MASK64
  }
  narrow(reg: Operand, bound: bigint): void {
    if (typeof reg === 'number' && bound < this.#bounds[reg]) this.#bounds[reg] = bound
  }

  slot(size: number, align: number, what: string): StackSlot {
    const slot = { id: this.ir.slots.length, size, align, what, site: this.site }
    this.ir.slots.push(slot)
    this.#slotEpochs.push(this.#stackEpoch)
    return slot
  }

  /** Runs `body` with values of its own: what it computes is not known outside. */
  scope<T>(body: () => T): T {
    this.#scopes.push(new Map())
    try {
      return body()
    } finally {
      this.#scopes.pop()
    }
  }

  known(key: string): Operand | undefined {
    for (let i = this.#scopes.length - 1; i >= 0; i--) {
      const found = this.#scopes[i].get(key)
      if (found !== undefined) return found
    }
    return undefined
  }
  remember(key: string, value: Operand): void {
    this.#scopes[this.#scopes.length - 1].set(key, value)
  }
  protected version(name: string): string {
    let version = this.#versions.get(name) ?? 0
    if (name.startsWith('stack'))
      version += this.#stackEpoch - (this.#slotEpochs[Number(name.slice(5))] ?? this.#stackEpoch)
    return `${version}.${this.#epoch}`
  }
  /** Memory of this region (or the variable) may have changed. */
  touch(name: string): void {
    this.#versions.set(name, (this.#versions.get(name) ?? 0) + 1)
  }
  /** All slots of the stack may have changed. */
  protected touchStack(): void {
    this.#stackEpoch++
  }
  /** Anything may have changed: head of a loop. */
  touchAll(): void {
    this.#epoch++
  }

  protected op(op: Op): void {
    if (!this.isOpen) this.place(this.block())
    this.now.ops.push(op)
  }

  protected pure(key: string, make: (dst: Reg) => Op, bound: bigint): Operand {
    const found = this.known(key)
    if (found !== undefined) return found
    const dst = this.reg(bound)
    this.op(make(dst))
    this.remember(key, dst)
    return dst
  }
}
