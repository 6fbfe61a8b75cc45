import type { CoreRelocation } from '../../asm/index.ts'
import { UsageError } from '../../errors/index.ts'
import { boundOf, foldAlu, foldComparison, swapBytes } from './fold.ts'
import {
  type AluOperation,
  type Block,
  type CallTarget,
  type Comparison,
  constant,
  type FunctionIr,
  isConst,
  type LoadSize,
  type Op,
  type Operand,
  operandKey,
  type RawInstruction,
  type Reg,
  type Site,
  type StackSlot,
  type Width,
} from './ops.ts'

const MASK64 = (1n << 64n) - 1n
const maskOf = (width: Width): bigint => (width === 64 ? MASK64 : 0xffff_ffffn)
const COMMUTES = new Set<AluOperation>(['add', 'mul', 'and', 'or', 'xor'])

/** A condition as a tree; it becomes jumps where it is used. */
export type Condition =
  | {
      readonly kind: 'compare'
      readonly cmp: Comparison
      readonly width: Width
      readonly a: Operand
      readonly b: Operand
      readonly site: Site
    }
  | { readonly kind: 'not'; readonly of: Condition }
  | { readonly kind: 'and' | 'or'; readonly left: Condition; readonly right: () => Condition }
  | { readonly kind: 'constant'; readonly value: boolean }

/** Memory that stores may change independently: a store to one region leaves loads of the others known. */
export type Region = 'ctx' | 'packet' | 'map' | 'kernel' | `stack${number}`

interface LoopFrame {
  readonly next: Block
  readonly exit: Block
  /** What was held when the loop began: leaving a round gives back what came since. */
  readonly held: number
}

/**
 * Emits operations into the current block, folding constants and reusing values that dominate the place
 * (a scoped value table; regions of memory and variables carry version counters).
 */
export class Emitter {
  readonly ir: FunctionIr
  readonly loops: LoopFrame[] = []
  /** A spin lock is held: no calls. */
  locked = false
  /** How many references are held here. */
  held: () => number = () => 0
  /** The site that new operations get. */
  site: Site = -1
  #block: Block
  #bounds: bigint[] = []
  #scopes: Map<string, Operand>[] = [new Map()]
  #versions = new Map<string, number>()
  #epoch = 0
  /** Registers known to be another register plus a constant. */
  #sums = new Map<Reg, { base: Operand; offset: number }>()
  /** Registers whose bound the verifier knows too. */
  #tracked = new Set<Reg>()
  /** Which packet this is: helpers that move the packet make all earlier pointers into it invalid. */
  #packet = 0
  #packets = 0
  #packetOf = new Map<Reg, number>()
  #counter = 0
  #loopDepth = 0

  constructor(name: string) {
    this.ir = { name, blocks: [], regCount: 0, params: [], slots: [] }
    this.#block = this.block()
    this.ir.blocks.push(this.#block)
  }

  get current(): Block {
    return this.#block
  }
  get depth(): number {
    return this.#scopes.length
  }
  get isOpen(): boolean {
    return this.#block.end.op === 'open'
  }
  get loopDepth(): number {
    return this.#loopDepth
  }

  /** A block that is not placed yet. */
  block(cold = false): Block {
    return {
      id: this.#counter++,
      ops: [],
      end: { op: 'open', site: -1 },
      cold,
      loopDepth: this.#loopDepth,
    }
  }

  /** Goes on in `block`. */
  place(block: Block): void {
    block.loopDepth = this.#loopDepth
    this.ir.blocks.push(block)
    this.#block = block
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
    const slot = { id: this.ir.slots.length, size, align, what }
    this.ir.slots.push(slot)
    return slot
  }

  // ---- scopes and versions -------------------------------------------------------------------------------------

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
  #version(name: string): string {
    return `${this.#versions.get(name) ?? 0}.${this.#epoch}`
  }
  /** Memory of this region (or the variable) may have changed. */
  touch(name: string): void {
    this.#versions.set(name, (this.#versions.get(name) ?? 0) + 1)
  }
  /** Anything may have changed: head of a loop. */
  touchAll(): void {
    this.#epoch++
  }

  /** A helper may have moved the packet: pointers into it are invalid from here on. */
  packetChanged(): void {
    this.#packet = ++this.#packets
  }
  /** Whether anything here may have moved the packet. */
  get packetMoved(): boolean {
    return this.#packets > 0
  }
  /** A pointer into the packet as it is now. */
  packetBase(base: Operand): void {
    const [root] = this.#root(base, 0)
    if (typeof root === 'number') this.#packetOf.set(root, this.#packet)
  }
  #checkPacket(region: Region, base: Operand): void {
    if (region !== 'packet' || typeof base !== 'number') return
    if ((this.#packetOf.get(base) ?? this.#packet) === this.#packet) return
    throw new UsageError('build.packet-changed', 'a header is used after a helper that may move the packet', {
      details: ['take it again behind the call: b.packet.at(offset, Type).orReturn(…)'],
    })
  }
  /** Paths of which one is taken, all going on in `join`: what one of them did to the packet holds there. */
  #paths(join: Block, ...paths: readonly (readonly [block: Block, body: () => void])[]): void {
    const before = this.#packet
    let changed = false
    for (const [block, body] of paths) {
      this.#packet = before
      this.place(block)
      this.scope(body)
      if (this.isOpen && this.#packet !== before) changed = true
      this.jump(join)
    }
    this.#packet = before
    if (changed) this.packetChanged()
    this.place(join)
  }

  #op(op: Op): void {
    if (!this.isOpen) this.place(this.block())
    this.#block.ops.push(op)
  }

  #pure(key: string, make: (dst: Reg) => Op, bound: bigint): Operand {
    const found = this.known(key)
    if (found !== undefined) return found
    const dst = this.reg(bound)
    this.#op(make(dst))
    this.remember(key, dst)
    return dst
  }

  // ---- values --------------------------------------------------------------------------------------------------

  alu(alu: AluOperation, width: Width, a: Operand, b: Operand): Operand {
    if (isConst(a) && isConst(b)) return constant(foldAlu(alu, width, a.value, b.value))
    if (isConst(a) && COMMUTES.has(alu)) [a, b] = [b, a]
    const m = maskOf(width)
    // RFC 9669 masks shift counts; the kernel refuses larger constants
    if (isConst(b) && (alu === 'lsh' || alu === 'rsh' || alu === 'arsh')) b = constant(b.value & BigInt(width - 1))
    if (isConst(b)) {
      const y = b.value & m
      const exact = width === 64 || this.bound(a) <= m
      if (y === 0n) {
        if (exact && (alu === 'add' || alu === 'sub' || alu === 'or' || alu === 'xor')) return a
        if (alu === 'lsh' || alu === 'rsh' || alu === 'arsh') return this.zext(width, a)
        if (alu === 'mul' || alu === 'and' || alu === 'div' || alu === 'sdiv') return constant(0)
        if (alu === 'mod' || alu === 'smod') return this.zext(width, a)
      }
      if (y === 1n && exact && (alu === 'mul' || alu === 'div')) return a
      if (y === 1n && alu === 'mod') return constant(0)
      if (alu === 'and' && exact && isLowMask(y) && this.bound(a) <= y) return a
      if (alu === 'rsh' && this.bound(a) >> (y & BigInt(width - 1)) === 0n) return constant(0)
      const power = y > 0n && (y & (y - 1n)) === 0n ? y.toString(2).length - 1 : -1
      if (power > 0 && alu === 'mul') return this.alu('lsh', width, a, constant(power))
      if (power > 0 && alu === 'div') return this.alu('rsh', width, a, constant(power))
      if (power > 0 && alu === 'mod') return this.alu('and', width, a, constant(y - 1n))
      if (alu === 'sub' && y !== 0n) return this.alu('add', width, a, constant((m + 1n - y) & m))
      if (alu === 'mod' && this.bound(a) < y) return a
    }
    if (alu === 'sub' && typeof a === 'number' && a === b) return constant(0)
    if (alu === 'xor' && typeof a === 'number' && a === b) return constant(0)
    if ((alu === 'and' || alu === 'or') && typeof a === 'number' && a === b && this.bound(a) <= m) return a
    if (alu === 'add' && width === 64 && isConst(b)) {
      const by = Number(BigInt.asIntN(64, b.value))
      if (Math.abs(by) < 0x4000_0000) return this.#sum(a, by)
    }
    let [ka, kb] = [operandKey(a), operandKey(b)]
    if (COMMUTES.has(alu) && ka > kb) [ka, kb] = [kb, ka]
    const bound = boundOf(alu, width, this.bound(a), this.bound(b), isConst(b))
    const site = this.site
    const made = this.#pure(`${alu}${width}(${ka},${kb})`, (dst) => ({ op: 'alu', dst, alu, width, a, b, site }), bound)
    const known = typeof a === 'number' && this.#tracked.has(a)
    const keeps = alu === 'and' || (known && (alu === 'rsh' || alu === 'lsh' || alu === 'or'))
    if (isConst(b) && keeps && typeof made === 'number') this.#tracked.add(made)
    return made
  }

  /** a + by, as one addition to the register where a chain of such additions began. */
  #sum(a: Operand, by: number): Operand {
    const known = typeof a === 'number' ? this.#sums.get(a) : undefined
    const base = known?.base ?? a
    const offset = (known?.offset ?? 0) + by
    if (offset === 0) return base
    const b = constant(offset)
    const site = this.site
    const bound = boundOf('add', 64, this.bound(base), b.value, true)
    const made = this.#pure(
      `add64(${operandKey(base)},${operandKey(b)})`,
      (dst) => ({ op: 'alu', dst, alu: 'add', width: 64, a: base, b, site }),
      offset < 0 ? MASK64 : bound,
    )
    if (typeof made === 'number') this.#sums.set(made, { base, offset })
    return made
  }
  /** Where memory at `base + offset` really starts, so that accesses use one base register. */
  #root(base: Operand, offset: number): [Operand, number] {
    const known = typeof base === 'number' ? this.#sums.get(base) : undefined
    if (known === undefined) return [base, offset]
    const sum = known.offset + offset
    return sum >= -0x8000 && sum <= 0x7fff ? [known.base, sum] : [base, offset]
  }

  /**
   * `a & mask` for the verifier's sake: dropped only where the verifier itself knows the bound (loads and what masks and
   * shifts make of them; it forgets at divisions and unknown shifts).
   */
  mask(a: Operand, mask: bigint): Operand {
    if (isConst(a)) return constant(a.value & mask)
    if (typeof a === 'number' && this.#tracked.has(a) && this.bound(a) <= mask) return a
    const site = this.site
    const b = constant(mask)
    const made = this.#pure(
      `mask(${operandKey(a)},${mask})`,
      (dst) => ({ op: 'alu', dst, alu: 'and', width: 64, a, b, site }),
      mask,
    )
    this.#tracked.add(made as Reg)
    return made
  }

  neg(width: Width, a: Operand): Operand {
    if (isConst(a)) return constant(foldAlu('sub', width, 0n, a.value))
    const site = this.site
    return this.#pure(`neg${width}(${operandKey(a)})`, (dst) => ({ op: 'neg', dst, width, a, site }), maskOf(width))
  }

  swap(bits: 16 | 32 | 64, a: Operand): Operand {
    if (isConst(a)) return constant(swapBytes(bits, a.value))
    const site = this.site
    const bound = (1n << BigInt(bits)) - 1n
    return this.#pure(`swap${bits}(${operandKey(a)})`, (dst) => ({ op: 'swap', dst, bits, a, site }), bound)
  }

  /** Sign-extends the low `bits` to `width`; a 32-bit result is zero-extended above. */
  sext(bits: 8 | 16 | 32, width: Width, a: Operand): Operand {
    if (isConst(a)) return constant(BigInt.asUintN(width, BigInt.asIntN(bits, a.value)))
    if (this.bound(a) < 1n << BigInt(bits - 1)) return a
    const site = this.site
    return this.#pure(
      `sext${bits}.${width}(${operandKey(a)})`,
      (dst) => ({ op: 'sext', dst, bits, width, a, site }),
      maskOf(width),
    )
  }

  /** The low `bits` of a value, zero-extended. */
  zext(bits: number, a: Operand): Operand {
    const m = (1n << BigInt(bits)) - 1n
    if (isConst(a)) return constant(a.value & m)
    if (this.bound(a) <= m) return a
    if (bits >= 64) return a
    if (bits === 32) {
      const site = this.site
      return this.#pure(
        `zext32(${operandKey(a)})`,
        (dst) => ({ op: 'alu', dst, alu: 'or', width: 32, a, b: constant(0), site }),
        m,
      )
    }
    return this.alu('and', 32, a, constant(m))
  }

  // ---- variables -----------------------------------------------------------------------------------------------

  variable(initial: Operand, bound: bigint): Reg {
    const reg = this.reg(bound)
    this.#op({ op: 'mov', dst: reg, a: initial, site: this.site })
    this.remember(`var${reg}@${this.#version(`var${reg}`)}`, initial)
    return reg
  }
  setVariable(reg: Reg, value: Operand): void {
    this.#op({ op: 'mov', dst: reg, a: value, site: this.site })
    this.touch(`var${reg}`)
    this.remember(`var${reg}@${this.#version(`var${reg}`)}`, value)
  }
  getVariable(reg: Reg): Operand {
    const site = this.site
    return this.#pure(
      `var${reg}@${this.#version(`var${reg}`)}`,
      (dst) => ({ op: 'mov', dst, a: reg, site }),
      this.#bounds[reg],
    )
  }

  // ---- memory --------------------------------------------------------------------------------------------------

  #loadKey(region: Region, size: number, base: Operand, offset: number): string {
    return `ld${size}(${operandKey(base)}+${offset})@${this.#version(region)}`
  }

  load(
    region: Region,
    size: LoadSize,
    base: Operand,
    offset: number,
    options: { core?: CoreRelocation; pointer?: boolean } = {},
  ): Operand {
    const { core } = options
    ;[base, offset] = this.#root(base, offset)
    this.#checkPacket(region, base)
    const site = this.site
    const bound = size === 8 || options.pointer ? MASK64 : (1n << BigInt(8 * size)) - 1n
    const key = this.#loadKey(region, size, base, offset) + (core ? `core${core.typeId}:${core.access}` : '')
    const made = this.#pure(key, (dst) => ({ op: 'load', dst, size, base, offset, core, site }), bound)
    // a value forwarded from a store is as wide as what was stored
    if (typeof made === 'number' && made === this.ir.regCount - 1) this.#tracked.add(made)
    return made
  }

  /** A load that is never reused or forwarded. */
  freshLoad(size: LoadSize, base: Operand, offset: number): Reg {
    const dst = this.reg(size === 8 ? MASK64 : (1n << BigInt(8 * size)) - 1n)
    this.#op({ op: 'load', dst, size, base, offset, site: this.site })
    return dst
  }

  store(region: Region, size: LoadSize, base: Operand, offset: number, value: Operand): void {
    ;[base, offset] = this.#root(base, offset)
    this.#checkPacket(region, base)
    if (isConst(value)) value = constant(value.value & (size === 8 ? MASK64 : (1n << BigInt(8 * size)) - 1n))
    this.#op({ op: 'store', size, base, offset, value, site: this.site })
    this.touch(region)
    const fits = size === 8 || this.bound(value) < 1n << BigInt(8 * size)
    if (fits) this.remember(this.#loadKey(region, size, base, offset), value)
  }

  atomic(
    region: Region,
    imm: number,
    size: 4 | 8,
    base: Operand,
    offset: number,
    value: Operand,
    fetch: boolean,
    expected?: Operand,
  ): Operand {
    ;[base, offset] = this.#root(base, offset)
    const dst = fetch ? this.reg(size === 4 ? 0xffff_ffffn : MASK64) : undefined
    this.#op({ op: 'atomic', imm, size, base, offset, value, dst, expected, site: this.site })
    this.touch(region)
    return dst ?? constant(0)
  }

  /** The address `base + offset` as a register. */
  address(base: Operand, offset: number): Operand {
    if (typeof base === 'object' && base.kind === 'frame') return { ...base, offset: base.offset + offset }
    if (typeof base === 'object' && base.kind === 'mapValue') return { ...base, offset: base.offset + offset }
    return offset === 0 ? base : this.alu('add', 64, base, constant(offset))
  }

  // ---- calls ---------------------------------------------------------------------------------------------------

  call(
    target: CallTarget,
    args: Operand[],
    options: { bound?: bigint; result?: boolean; changesPacket?: boolean; pure?: boolean } = {},
  ): Operand {
    if (this.locked)
      throw new UsageError('build.locked', `a call (${target.name}) while a lock is held`, {
        details: ['call it before b.lock(…) or behind: the kernel allows no calls between'],
      })
    const dst = options.result === false ? undefined : this.reg(options.bound ?? MASK64)
    this.#op({ op: 'call', dst, target, args, site: this.site })
    if (!options.pure) {
      this.touch('map')
      this.touch('kernel')
      this.touch('packet')
      if (args.some((arg) => typeof arg === 'object' && arg.kind === 'frame'))
        for (const slot of this.ir.slots) this.touch(`stack${slot.id}`)
      if (options.changesPacket) this.touch('ctx')
    }
    return dst ?? constant(0)
  }

  core(core: CoreRelocation, initial: number, bound: bigint): Operand {
    const site = this.site
    return this.#pure(
      `core${core.kind}:${core.typeId}:${core.access}`,
      (dst) => ({ op: 'core', dst, core, initial, site }),
      bound,
    )
  }

  raw(lines: RawInstruction[], inputs: Operand[], result: boolean): Operand {
    const dst = result ? this.reg() : undefined
    this.#op({ op: 'raw', lines, inputs, dst, site: this.site })
    this.touchAll()
    return dst ?? constant(0)
  }

  // ---- control flow --------------------------------------------------------------------------------------------

  jump(to: Block): void {
    if (this.isOpen) this.#block.end = { op: 'jump', to, site: this.site }
  }
  exit(value: Operand | undefined): void {
    if (this.isOpen) this.#block.end = { op: 'exit', value, site: this.site }
  }

  branch(condition: Condition, yes: Block, no: Block): void {
    if (!this.isOpen) return
    switch (condition.kind) {
      case 'constant':
        this.jump(condition.value ? yes : no)
        return
      case 'not':
        this.branch(condition.of, no, yes)
        return
      case 'and':
      case 'or': {
        const middle = this.block()
        if (condition.kind === 'and') this.branch(condition.left, middle, no)
        else this.branch(condition.left, yes, middle)
        this.place(middle)
        this.scope(() => this.branch(condition.right(), yes, no))
        return
      }
      case 'compare': {
        const { cmp, width, a, b, site } = condition
        if (isConst(a) && isConst(b)) {
          this.jump(foldComparison(cmp, width, a.value, b.value) ? yes : no)
          return
        }
        this.#block.end = { op: 'branch', cmp, width, a, b, yes, no, site }
      }
    }
  }

  /** `if (condition) yes() else no()`. */
  choose(condition: Condition, yes: () => void, no?: () => void): void {
    const yesBlock = this.block()
    const join = this.block()
    const noBlock = no ? this.block() : join
    this.branch(condition, yesBlock, noBlock)
    if (no) this.#paths(join, [yesBlock, yes], [noBlock, no])
    else this.#paths(join, [yesBlock, yes])
  }

  /** Leaves through `otherwise` (kept out of the main path) unless the condition holds. */
  require(condition: Condition, otherwise: () => void): void {
    const go = this.block()
    const fail = this.block(true)
    this.branch(condition, go, fail)
    this.#paths(go, [fail, otherwise])
  }

  /** A loop that tests at its head. */
  loop(condition: () => Condition, body: () => void, after?: () => void): void {
    const head = this.block()
    const inside = this.block()
    const next = after ? this.block() : head
    const exit = this.block()
    this.jump(head)
    this.touchAll()
    this.#loopDepth++
    this.place(head)
    this.scope(() => {
      this.branch(condition(), inside, exit)
      this.place(inside)
      this.loops.push({ next, exit, held: this.held() })
      body()
      this.loops.pop()
      if (after) {
        this.jump(next)
        this.place(next)
        this.scope(after)
      }
      this.jump(head)
    })
    this.#loopDepth--
    this.touchAll()
    this.place(exit)
  }

  /** A loop that tests at its end: `body` runs at least once. */
  repeat(body: () => void, again: () => Condition): void {
    const inside = this.block()
    const next = this.block()
    const exit = this.block()
    this.jump(inside)
    this.touchAll()
    this.#loopDepth++
    this.place(inside)
    this.loops.push({ next, exit, held: this.held() })
    this.scope(body)
    this.loops.pop()
    this.jump(next)
    this.place(next)
    this.scope(() => this.branch(again(), inside, exit))
    this.#loopDepth--
    this.touchAll()
    this.place(exit)
  }
}

function isLowMask(value: bigint): boolean {
  return (value & (value + 1n)) === 0n
}
