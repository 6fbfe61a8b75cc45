import {
  ADDR_SPACE_CAST,
  ALU,
  ATOMIC,
  CLASS,
  helperName,
  INTERNAL,
  JMP,
  LD_IMM64,
  MAY_GOTO,
  MODE,
  PSEUDO_CALL,
  SIZE,
  SOURCE,
} from '../../uapi/index.ts'
import {
  ARITHMETIC_OPERATORS,
  ATOMIC_NAMES,
  COMPARISON_OPERATORS,
  OPCODE_HEX,
  R,
  SIGNED_TYPES,
  UNSIGNED_TYPES,
  W,
} from './tables.ts'

/** What a reader of the text knows beyond the instruction: names of callees and of 64-bit immediates. */
export interface KernelNames {
  /** For calls other than helpers by number: what stands before `#imm` (or behind `pc` for bpf-to-bpf calls). */
  call?(src: number, offset: number, imm: number, slot: number): string | undefined
  /** What stands for a 64-bit immediate. */
  immediate?(src: number, imm: number, high: number, slot: number): string | undefined
}

const NO_NAMES: KernelNames = {}

/** `+5`, `-5`, `+0`. */
function signed(value: number): string {
  return value >= 0 ? `+${value}` : `${value}`
}

/**
 * One instruction as the kernel writes it in the verifier's log (Linux 6.18 and later), which bpftool's translated dumps share:
 * `(b7) r0 = 0`. What the kernel has no text for is `BUG_xx` or the class's name, as there.
 * @param high `imm` of the second slot of a 64-bit immediate load
 * @param slot where the instruction stands, for `names`
 */
export function kernelText(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  high: number,
  names: KernelNames = NO_NAMES,
  slot = 0,
): string {
  const code = OPCODE_HEX[opcode]
  switch (opcode & 7) {
    case CLASS.alu64:
    case CLASS.alu:
      return `(${code}) ${arithmetic(opcode, dst, src, offset, imm)}`
    case CLASS.jmp:
    case CLASS.jmp32:
      return `(${code}) ${jump(opcode, dst, src, offset, imm, names, slot)}`
    case CLASS.ldx: {
      const mode = opcode & 0xe0
      if (mode !== MODE.mem && mode !== MODE.memsx) return `BUG_ldx_${code}`
      const type = (mode === MODE.mem ? UNSIGNED_TYPES : SIGNED_TYPES)[(opcode >> 3) & 3]
      return `(${code}) ${R[dst]} = *(${type === 's64' ? '(null)' : type} *)(${R[src]} ${signed(offset)})`
    }
    case CLASS.st: {
      const mode = opcode & 0xe0
      if (mode === INTERNAL.nospec) return `(${code}) nospec`
      if (mode !== MODE.mem) return `BUG_st_${code}`
      return `(${code}) *(${UNSIGNED_TYPES[(opcode >> 3) & 3]} *)(${R[dst]} ${signed(offset)}) = ${imm}`
    }
    case CLASS.stx:
      return store(opcode, code, dst, src, offset, imm)
    default:
      return legacy(opcode, code, dst, src, imm, high, names, slot)
  }
}

function arithmetic(opcode: number, dst: number, src: number, offset: number, imm: number): string {
  const wide = (opcode & 7) === CLASS.alu64
  const names = wide ? R : W
  const op = opcode & 0xf0
  const register = (opcode & SOURCE.x) !== 0
  if (op === ALU.end) return `${R[dst]} = ${wide ? 'bswap' : register ? 'be' : 'le'}${imm} ${R[dst]}`
  if (op === ALU.neg) return `${names[dst]} = -${names[dst]}`
  const signedForm = offset === 1 && (op === ALU.div || op === ALU.mod)
  const operator = `${signedForm ? 's' : ''}${ARITHMETIC_OPERATORS[opcode >> 4] ?? '(null)'}`
  if (!register) return `${names[dst]} ${operator} ${imm}`
  if (op !== ALU.mov) return `${names[dst]} ${operator} ${names[src]}`
  if (wide && offset === ADDR_SPACE_CAST)
    return `${R[dst]} = addr_space_cast(${R[src]}, ${imm >>> 16}, ${imm & 0xffff})`
  if (wide && offset === INTERNAL.addrPercpu) return `${R[dst]} = &(void __percpu *)(${R[src]})`
  const extension = offset === 8 || offset === 16 || offset === 32 ? `(s${offset})` : ''
  return `${names[dst]} = ${extension}${names[src]}`
}

function jump(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  names: KernelNames,
  slot: number,
): string {
  const wide = (opcode & 7) === CLASS.jmp
  const op = opcode & 0xf0
  const register = (opcode & SOURCE.x) !== 0
  if (op === JMP.call) return call(src, offset, imm, names, slot)
  if (op === JMP.ja && (!register || wide)) {
    if (register) return `gotox ${R[dst]}`
    return wide ? `goto pc${signed(offset)}` : `gotol pc${signed(imm)}`
  }
  if (opcode === (CLASS.jmp | JMP.jcond) && src === MAY_GOTO) return `may_goto pc${signed(offset)}`
  if (opcode === (CLASS.jmp | JMP.exit)) return 'exit'
  const operator = COMPARISON_OPERATORS[opcode >> 4] ?? (op === JMP.ja ? 'jmp' : op === JMP.exit ? 'exit' : '(null)')
  const registers = wide ? R : W
  const right = register ? registers[src] : `0x${(imm >>> 0).toString(16)}`
  return `if ${registers[dst]} ${operator} ${right} goto pc${signed(offset)}`
}

function call(src: number, offset: number, imm: number, names: KernelNames, slot: number): string {
  if (src === PSEUDO_CALL.helper) {
    const name = helperName(imm)
    if (name !== undefined) return `call bpf_${name}#${imm}`
  }
  const given = names.call?.(src, offset, imm, slot)
  if (src === PSEUDO_CALL.local) return `call pc${given ?? signed(imm)}`
  return `call ${given ?? (src === PSEUDO_CALL.kfunc ? 'kernel-function' : 'unknown')}#${imm}`
}

function store(opcode: number, code: string, dst: number, src: number, offset: number, imm: number): string {
  const type = UNSIGNED_TYPES[(opcode >> 3) & 3]
  const mode = opcode & 0xe0
  if (mode === MODE.mem) return `(${code}) *(${type} *)(${R[dst]} ${signed(offset)}) = ${R[src]}`
  if (mode !== MODE.atomic) return `BUG_${code}`
  const place = `(${type} *)(${R[dst]} ${signed(offset)})`
  const width = (opcode & SIZE.dw) === SIZE.dw ? '64' : ''
  if (imm === ATOMIC.xchg) return `(${code}) ${R[src]} = atomic${width}_xchg(${place}, ${R[src]})`
  if (imm === ATOMIC.cmpxchg) return `(${code}) r0 = atomic${width}_cmpxchg(${place}, r0, ${R[src]})`
  if (imm === ATOMIC.loadAcquire) return `(${code}) ${R[dst]} = load_acquire((${type} *)(${R[src]} ${signed(offset)}))`
  if (imm === ATOMIC.storeRelease) return `(${code}) store_release(${place}, ${R[src]})`
  const operation = (imm & ~0xff) === 0 ? ATOMIC_NAMES[imm >> 4] : undefined
  if (operation === undefined || (imm & 15) > ATOMIC.fetch) return `BUG_${code}`
  return (imm & ATOMIC.fetch) === 0
    ? `(${code}) lock *${place} ${ARITHMETIC_OPERATORS[imm >> 4]} ${R[src]}`
    : `(${code}) ${R[src]} = atomic${width}_fetch_${operation}(${place}, ${R[src]})`
}

function legacy(
  opcode: number,
  code: string,
  dst: number,
  src: number,
  imm: number,
  high: number,
  names: KernelNames,
  slot: number,
): string {
  const type = UNSIGNED_TYPES[(opcode >> 3) & 3]
  const mode = opcode & 0xe0
  if (mode === MODE.abs) return `(${code}) r0 = *(${type} *)skb[${imm}]`
  if (mode === MODE.ind) return `(${code}) r0 = *(${type} *)skb[${R[src]} + ${imm}]`
  if (opcode !== LD_IMM64) return `BUG_ld_${code}`
  const given = names.immediate?.(src, imm, high, slot)
  if (given !== undefined) return `(${code}) ${R[dst]} = ${given}`
  if (high === 0) return `(${code}) ${R[dst]} = 0x${(imm >>> 0).toString(16)}`
  const value = ((BigInt(high) & 0xffffffffn) << 32n) | BigInt(imm >>> 0)
  return `(${code}) ${R[dst]} = 0x${value.toString(16)}`
}
