import { ALU, type Bytes, Code, JMP, type Label } from './code.ts'
import type { TypeChoice } from './program.ts'
import type { Random } from './random.ts'

/** What a writer believes to be in a register: enough to write programs that are mostly right. */
export type Kind =
  | { readonly is: 'nothing' }
  | { readonly is: 'scalar'; readonly known?: number; readonly max?: number }
  | { readonly is: 'ctx' }
  | { readonly is: 'stack'; readonly offset: number }
  | { readonly is: 'map'; readonly map: number }
  | { readonly is: 'value'; readonly size: number; readonly offset: number; readonly readonly?: boolean }
  | { readonly is: 'valueOrNull'; readonly size: number; readonly readonly?: boolean }
  | { readonly is: 'packet'; readonly offset: number }
  | { readonly is: 'packetEnd' }
  | { readonly is: 'packetMeta' }
  | { readonly is: 'record'; readonly size: number }
  | { readonly is: 'recordOrNull'; readonly size: number }
  | { readonly is: 'socket' }
  | { readonly is: 'socketOrNull' }

export const NOTHING: Kind = { is: 'nothing' }
export const SCALAR: Kind = { is: 'scalar' }
export const SIZES: readonly Bytes[] = [1, 2, 4, 8]

export interface State {
  regs: Kind[]
  /** Initialised stack bytes of this frame, by distance from the frame pointer (1 to 512). */
  stack: Set<number>
  /** Pointers spilled whole, by offset. */
  spills: Map<number, Kind>
  /** Bytes of the packet known to be there. */
  packetRange: number
}

/** Writes one program with a picture of its own state; `sloppy` is the chance of each choice being a wrong one. */
export class Writer {
  readonly code = new Code()
  readonly random: Random
  readonly choice: TypeChoice
  readonly sloppy: number
  state: State
  /** Subprograms written after the main one. */
  readonly later: (() => void)[] = []
  depth = 0

  constructor(random: Random, choice: TypeChoice, sloppy: number) {
    this.random = random
    this.choice = choice
    this.sloppy = sloppy
    this.state = this.fresh()
  }

  fresh(): State {
    const regs: Kind[] = new Array<Kind>(11).fill(NOTHING)
    regs[1] = { is: 'ctx' }
    regs[10] = { is: 'stack', offset: 0 }
    return { regs, stack: new Set(), spills: new Map(), packetRange: 0 }
  }

  copyState(): State {
    const { regs, stack, spills, packetRange } = this.state
    return { regs: [...regs], stack: new Set(stack), spills: new Map(spills), packetRange }
  }

  /** What holds on both ways. */
  join(other: State): void {
    const { state } = this
    state.regs = state.regs.map((kind, i) => (same(kind, other.regs[i]) ? kind : weaker(kind, other.regs[i])))
    for (const byte of state.stack) if (!other.stack.has(byte)) state.stack.delete(byte)
    for (const [at, kind] of state.spills) {
      const there = other.spills.get(at)
      if (there === undefined || !same(kind, there)) state.spills.delete(at)
    }
    state.packetRange = Math.min(state.packetRange, other.packetRange)
  }

  wrong(): boolean {
    return this.sloppy > 0 && this.random.chance(this.sloppy)
  }

  /** A register whose content passes, any register when sloppy or when none does (undefined then). */
  find(passes: (kind: Kind) => boolean): number | undefined {
    if (this.wrong()) return this.random.below(11)
    const found = this.state.regs.map((kind, i) => (passes(kind) ? i : -1)).filter((i) => i >= 0)
    return found.length === 0 ? undefined : this.random.pick(found)
  }

  /** A register to write to: not the frame pointer, seldom the last holder of something precious. */
  target(): number {
    if (this.wrong() && this.random.chance(0.1)) return this.random.between(0, 11)
    for (let i = 0; i < 8; i++) {
      const register = this.random.below(10)
      const kind = this.state.regs[register]
      if (kind.is === 'record' || kind.is === 'recordOrNull' || kind.is === 'socket' || kind.is === 'socketOrNull')
        continue
      if (kind.is === 'ctx' && this.random.chance(0.9)) continue
      if (kind.is !== 'nothing' && kind.is !== 'scalar' && this.random.chance(0.6)) continue
      return register
    }
    return 0
  }

  set(register: number, kind: Kind): void {
    if (register < 11) this.state.regs[register] = kind
  }

  kind(register: number): Kind {
    return this.state.regs[register] ?? NOTHING
  }

  scalar(): number {
    const found = this.find((kind) => kind.is === 'scalar')
    if (found !== undefined) return found
    const register = this.target()
    this.code.mov(register, this.random.edge())
    this.set(register, SCALAR)
    return register
  }

  /** The context in a callee-saved register, so that calls do not lose it. */
  keepContext(register = 6): void {
    this.code.movReg(register, 1)
    this.set(register, { is: 'ctx' })
  }

  /** After a call: registers 1 to 5 are gone. */
  clobber(): void {
    for (let i = 0; i <= 5; i++) this.set(i, NOTHING)
  }

  call(helper: number, result: Kind): void {
    this.code.call(helper)
    this.clobber()
    this.set(0, result)
  }

  /** Initialises `bytes` of stack at `offset` (negative). */
  fill(offset: number, bytes: number): void {
    let at = offset
    while (at < offset + bytes) {
      const left = offset + bytes - at
      const size: Bytes =
        at % 8 === 0 && left >= 8 ? 8 : at % 4 === 0 && left >= 4 ? 4 : at % 2 === 0 && left >= 2 ? 2 : 1
      this.code.storeImm(size, 10, at, this.random.edge())
      this.touch(at, size)
      at += size
    }
  }

  touch(offset: number, size: number): void {
    for (let i = 0; i < size; i++) this.state.stack.add(-(offset + i))
    for (const at of this.state.spills.keys()) if (at < offset + size && offset < at + 8) this.state.spills.delete(at)
  }

  /** Runs `body` under a condition; the state afterwards is what holds either way. */
  guarded(condition: (skip: Label) => void, body: () => void): void {
    const skip = this.code.label()
    condition(skip)
    const before = this.copyState()
    this.depth++
    body()
    this.depth--
    this.code.place(skip)
    this.join(before)
  }

  /** Ends this function with a value that its program type allows (or not, when sloppy). */
  finish(): void {
    const { random, code } = this
    if (this.wrong() && random.chance(0.3)) {
      // R0 as it is: perhaps not readable, perhaps a pointer.
    } else if (this.kind(0).is !== 'scalar' || random.chance(0.8) || this.boundedReturn()) {
      code.mov(0, this.wrong() ? random.edge() : random.chance(0.5) ? 1 : this.boundedReturn() ? 1 : 0)
    }
    code.exit()
  }

  boundedReturn(): boolean {
    return /^cgroup|sock_ops|sk_lookup|netfilter/.test(this.choice.type)
  }
}

function same(a: Kind, b: Kind): boolean {
  return a === b || JSON.stringify(a) === JSON.stringify(b)
}

function weaker(a: Kind, b: Kind): Kind {
  return a.is === 'scalar' && b.is === 'scalar' ? SCALAR : NOTHING
}

/** Condition codes with both operands. */
export const CONDITIONS: readonly number[] = [
  JMP.jeq,
  JMP.jgt,
  JMP.jge,
  JMP.jset,
  JMP.jne,
  JMP.jsgt,
  JMP.jsge,
  JMP.jlt,
  JMP.jle,
  JMP.jslt,
  JMP.jsle,
]
export const OPERATIONS: readonly number[] = [
  ALU.add,
  ALU.sub,
  ALU.mul,
  ALU.div,
  ALU.or,
  ALU.and,
  ALU.lsh,
  ALU.rsh,
  ALU.mod,
  ALU.xor,
  ALU.mov,
  ALU.arsh,
]
