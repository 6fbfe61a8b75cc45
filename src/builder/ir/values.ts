import { BlockWriter } from './blocks.ts'
import { boundOf, foldAlu, swapBytes } from './fold.ts'
import { type AluOperation, constant, isConst, type Operand, operandKey, type Reg, type Width } from './ops.ts'

const MASK64 = (1n << 64n) - 1n
const maskOf = (width: Width): bigint => (width === 64 ? MASK64 : 0xffff_ffffn)
const COMMUTES = new Set<AluOperation>(['add', 'mul', 'and', 'or', 'xor'])

/** Emits operations on values, folding constants and sharing what was computed before. */
export class ValueWriter extends BlockWriter {
  /** Registers known to be another register plus a constant. */
  protected readonly sums = new Map<Reg, { base: Operand; offset: number }>()
  /** Registers whose bound the verifier knows too. */
  protected readonly tracked = new Set<Reg>()

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
      if (Math.abs(by) < 0x4000_0000) return this.sum(a, by)
    }
    let [ka, kb] = [operandKey(a), operandKey(b)]
    if (COMMUTES.has(alu) && ka > kb) [ka, kb] = [kb, ka]
    const bound = boundOf(alu, width, this.bound(a), this.bound(b), isConst(b))
    const site = this.site
    const made = this.pure(`${alu}${width}(${ka},${kb})`, (dst) => ({ op: 'alu', dst, alu, width, a, b, site }), bound)
    const known = typeof a === 'number' && this.tracked.has(a)
    const keeps = alu === 'and' || (known && (alu === 'rsh' || alu === 'lsh' || alu === 'or'))
    if (isConst(b) && keeps && typeof made === 'number') this.tracked.add(made)
    return made
  }

  /** a + by, as one addition to the register where a chain of such additions began. */
  protected sum(a: Operand, by: number): Operand {
    const known = typeof a === 'number' ? this.sums.get(a) : undefined
    const base = known?.base ?? a
    const offset = (known?.offset ?? 0) + by
    if (offset === 0) return base
    const b = constant(offset)
    const site = this.site
    const bound = boundOf('add', 64, this.bound(base), b.value, true)
    const made = this.pure(
      `add64(${operandKey(base)},${operandKey(b)})`,
      (dst) => ({ op: 'alu', dst, alu: 'add', width: 64, a: base, b, site }),
      offset < 0 ? MASK64 : bound,
    )
    if (typeof made === 'number') this.sums.set(made, { base, offset })
    return made
  }
  /**
   * `a & mask` for the verifier's sake: dropped only where the verifier itself knows the bound (loads and what masks and
   * shifts make of them; it forgets at divisions and unknown shifts).
   */
  mask(a: Operand, mask: bigint): Operand {
    if (isConst(a)) return constant(a.value & mask)
    if (typeof a === 'number' && this.tracked.has(a) && this.bound(a) <= mask) return a
    const site = this.site
    const b = constant(mask)
    const made = this.pure(
      `mask(${operandKey(a)},${mask})`,
      (dst) => ({ op: 'alu', dst, alu: 'and', width: 64, a, b, site }),
      mask,
    )
    this.tracked.add(made as Reg)
    return made
  }

  neg(width: Width, a: Operand): Operand {
    if (isConst(a)) return constant(foldAlu('sub', width, 0n, a.value))
    const site = this.site
    return this.pure(`neg${width}(${operandKey(a)})`, (dst) => ({ op: 'neg', dst, width, a, site }), maskOf(width))
  }

  swap(bits: 16 | 32 | 64, a: Operand): Operand {
    if (isConst(a)) return constant(swapBytes(bits, a.value))
    const site = this.site
    const bound = (1n << BigInt(bits)) - 1n
    return this.pure(`swap${bits}(${operandKey(a)})`, (dst) => ({ op: 'swap', dst, bits, a, site }), bound)
  }

  /** Sign-extends the low `bits` to `width`; a 32-bit result is zero-extended above. */
  sext(bits: 8 | 16 | 32, width: Width, a: Operand): Operand {
    if (isConst(a)) return constant(BigInt.asUintN(width, BigInt.asIntN(bits, a.value)))
    if (this.bound(a) < 1n << BigInt(bits - 1)) return a
    const site = this.site
    return this.pure(
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
      return this.pure(
        `zext32(${operandKey(a)})`,
        (dst) => ({ op: 'alu', dst, alu: 'or', width: 32, a, b: constant(0), site }),
        m,
      )
    }
    return this.alu('and', 32, a, constant(m))
  }

  /** A constant in a register. */
  opaque(value: bigint): Operand {
    const site = this.site
    return this.pure(`constant${value}`, (dst) => ({ op: 'mov', dst, a: constant(value), site }), value)
  }

  variable(initial: Operand, bound: bigint): Reg {
    const reg = this.reg(bound)
    this.op({ op: 'mov', dst: reg, a: initial, site: this.site })
    this.remember(`var${reg}@${this.version(`var${reg}`)}`, initial)
    return reg
  }
  setVariable(reg: Reg, value: Operand): void {
    this.op({ op: 'mov', dst: reg, a: value, site: this.site })
    this.touch(`var${reg}`)
    this.remember(`var${reg}@${this.version(`var${reg}`)}`, value)
  }
  getVariable(reg: Reg): Operand {
    const site = this.site
    return this.pure(
      `var${reg}@${this.version(`var${reg}`)}`,
      (dst) => ({ op: 'mov', dst, a: reg, site }),
      this.bound(reg),
    )
  }
}

function isLowMask(value: bigint): boolean {
  return (value & (value + 1n)) === 0n
}
