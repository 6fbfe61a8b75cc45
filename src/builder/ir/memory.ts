import type { CoreRelocation } from '../../asm/index.ts'
import { UsageError } from '../../errors/index.ts'
import type { Region } from './blocks.ts'
import {
  type CallTarget,
  constant,
  isConst,
  type LoadSize,
  type Operand,
  operandKey,
  type RawInstruction,
  type Reg,
} from './ops.ts'
import { ValueWriter } from './values.ts'
import type { Filled } from './zeros.ts'

const MASK64 = (1n << 64n) - 1n

/** The largest power of two up to 8 that divides a number. */
const powerIn = (number: number): number => (number % 8 === 0 ? 8 : number & -number)

/** Emits loads, stores, atomics and calls. Repeated loads of unchanged memory and loads of what was just stored cost nothing. */
export class MemoryWriter extends ValueWriter {
  /** A spin lock is held: no calls. */
  locked = false
  /** Which packet this is: helpers that move the packet make all earlier pointers into it invalid. */
  protected packet = 0
  #packets = 0
  #packetOf = new Map<Reg, number>()
  readonly #stackPointers = new Map<Reg, number>()

  /** A register that points, or may point, into a stack: to a multiple of `align` bytes. */
  stackPointer(base: Operand, align: number): void {
    if (typeof base === 'number') this.#stackPointers.set(base, align)
  }
  /**
   * What a stack address is certainly a multiple of, up to 8: the verifier wants natural alignment there. Undefined for other
   * memory, where the CPU does the rest (as x86-64 and arm64 can).
   */
  stackAlignment(base: Operand, offset: number): number | undefined {
    ;[base, offset] = this.root(base, offset)
    if (typeof base === 'object')
      return base.kind === 'frame' ? Math.min(base.slot.align, powerIn(base.offset + offset)) : undefined
    const align = this.#stackPointers.get(base)
    return align === undefined ? undefined : Math.min(align, powerIn(offset))
  }
  /** The widest access to a member that the verifier takes: members of packed structs need several. */
  #step(size: LoadSize, base: Operand, offset: number): LoadSize {
    return Math.min(size, this.stackAlignment(base, offset) ?? size) as LoadSize
  }

  /** A helper may have moved the packet: pointers into it are invalid from here on. */
  packetChanged(): void {
    this.packet = ++this.#packets
  }
  /** Whether anything here may have moved the packet. */
  get packetMoved(): boolean {
    return this.#packets > 0
  }
  /** A pointer into the packet as it is now. */
  packetBase(base: Operand): void {
    const [root] = this.root(base, 0)
    if (typeof root === 'number') this.#packetOf.set(root, this.packet)
  }
  protected checkPacket(region: Region, base: Operand): void {
    if (region !== 'packet' || typeof base !== 'number') return
    if ((this.#packetOf.get(base) ?? this.packet) === this.packet) return
    throw new UsageError('build.packet-changed', 'a header is used after a helper that may move the packet', {
      details: ['take it again behind the call: b.packet.at(offset, Type).orReturn(…)'],
    })
  }
  /** Where memory at `base + offset` really starts, so that accesses use one base register. */
  protected root(base: Operand, offset: number): [Operand, number] {
    const known = typeof base === 'number' ? this.sums.get(base) : undefined
    if (known === undefined) return [base, offset]
    const sum = known.offset + offset
    return sum >= -0x8000 && sum <= 0x7fff ? [known.base, sum] : [base, offset]
  }

  protected loadKey(region: Region, size: number, base: Operand, offset: number): string {
    return `ld${size}(${operandKey(base)}+${offset})@${this.version(region)}`
  }

  load(
    region: Region,
    size: LoadSize,
    base: Operand,
    offset: number,
    options: { core?: CoreRelocation; pointer?: boolean } = {},
  ): Operand {
    const { core } = options
    ;[base, offset] = this.root(base, offset)
    this.checkPacket(region, base)
    const step = this.#step(size, base, offset)
    if (step < size) {
      let whole = this.load(region, step, base, offset)
      for (let at = step as number; at < size; at += step) {
        const part = this.load(region, step, base, offset + at)
        whole = this.alu('or', 64, whole, this.alu('lsh', 64, part, constant(8 * at)))
      }
      return whole
    }
    const site = this.site
    const bound = size === 8 || options.pointer ? MASK64 : (1n << BigInt(8 * size)) - 1n
    const key = this.loadKey(region, size, base, offset) + (core ? `core${core.typeId}:${core.access}` : '')
    const made = this.pure(key, (dst) => ({ op: 'load', dst, size, base, offset, core, site }), bound)
    // a value forwarded from a store is as wide as what was stored
    if (typeof made === 'number' && made === this.ir.regCount - 1) this.tracked.add(made)
    return made
  }

  /** A load that is never reused or forwarded. */
  freshLoad(size: LoadSize, base: Operand, offset: number): Reg {
    const dst = this.reg(size === 8 ? MASK64 : (1n << BigInt(8 * size)) - 1n)
    this.op({ op: 'load', dst, size, base, offset, site: this.site })
    return dst
  }

  store(region: Region, size: LoadSize, base: Operand, offset: number, value: Operand): void {
    ;[base, offset] = this.root(base, offset)
    this.checkPacket(region, base)
    const step = this.#step(size, base, offset)
    if (step < size) {
      for (let at = 0; at < size; at += step)
        this.store(region, step, base, offset + at, this.alu('rsh', 64, value, constant(8 * at)))
      return
    }
    if (isConst(value)) value = constant(value.value & (size === 8 ? MASK64 : (1n << BigInt(8 * size)) - 1n))
    this.op({ op: 'store', size, base, offset, value, site: this.site })
    this.touch(region)
    const fits = size === 8 || this.bound(value) < 1n << BigInt(8 * size)
    if (fits) this.remember(this.loadKey(region, size, base, offset), value)
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
    ;[base, offset] = this.root(base, offset)
    const dst = fetch ? this.reg(size === 4 ? 0xffff_ffffn : MASK64) : undefined
    this.op({ op: 'atomic', imm, size, base, offset, value, dst, expected, site: this.site })
    this.touch(region)
    return dst ?? constant(0)
  }

  /** The address `base + offset` as a register. */
  address(base: Operand, offset: number): Operand {
    if (typeof base === 'object' && base.kind === 'frame') return { ...base, offset: base.offset + offset }
    if (typeof base === 'object' && base.kind === 'mapValue') return { ...base, offset: base.offset + offset }
    return offset === 0 ? base : this.alu('add', 64, base, constant(offset))
  }

  call(
    target: CallTarget,
    args: Operand[],
    options: { bound?: bigint; result?: boolean; changesPacket?: boolean; pure?: boolean; fills?: Filled } = {},
  ): Operand {
    if (this.locked)
      throw new UsageError('build.locked', `a call (${target.name}) while a lock is held`, {
        details: ['call it before b.lock(…) or behind: the kernel allows no calls between'],
      })
    const dst = options.result === false ? undefined : this.reg(options.bound ?? MASK64)
    const { fills } = options
    const filled = fills && this.rooted(fills)
    this.op({ op: 'call', dst, target, args, ...(filled ? { fills: filled } : {}), site: this.site })
    if (!options.pure) {
      this.touch('map')
      this.touch('kernel')
      this.touch('packet')
      if (args.some((arg) => typeof arg === 'object' && arg.kind === 'frame')) this.touchStack()
      if (options.changesPacket) this.touch('ctx')
    }
    return dst ?? constant(0)
  }

  protected rooted({ base, offset, size }: Filled): Filled {
    const [root, at] = this.root(base, offset)
    return { base: root, offset: at, size }
  }
  /** Memory at `base` is zeroed from here on: zeros that are written over before they are read will vanish. */
  zeroing(base: Operand): void {
    if (!this.isOpen) this.place(this.block())
    this.ir.zeroed.push({ block: this.now, from: this.now.ops.length, base: this.root(base, 0)[0] })
  }

  core(core: CoreRelocation, initial: number, bound: bigint): Operand {
    const site = this.site
    return this.pure(
      `core${core.kind}:${core.typeId}:${core.access}`,
      (dst) => ({ op: 'core', dst, core, initial, site }),
      bound,
    )
  }

  raw(lines: RawInstruction[], inputs: Operand[], result: boolean): Operand {
    const dst = result ? this.reg() : undefined
    this.op({ op: 'raw', lines, inputs, dst, site: this.site })
    this.touchAll()
    return dst ?? constant(0)
  }
}
