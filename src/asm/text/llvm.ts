import { ADDR_SPACE_CAST, ALU, ATOMIC, CLASS, JMP, LD_IMM64, MAY_GOTO, MODE, SIZE, SOURCE } from '../../uapi/index.ts'
import {
  ARITHMETIC_OPERATORS,
  ATOMIC_NAMES,
  COMPARISON_OPERATORS,
  R,
  SIGNED_TYPES,
  UNSIGNED_TYPES,
  W,
} from './tables.ts'

const POSITIVE: readonly string[] = Array.from({ length: 4096 }, (_, i) => `0x${i.toString(16)}`)
const NEGATIVE: readonly string[] = Array.from({ length: 1024 }, (_, i) => `-0x${i.toString(16)}`)

/** `0x5`, `-0x5`. */
export function signedHex(value: number): string {
  if (value >= 0) return value < 4096 ? POSITIVE[value] : `0x${value.toString(16)}`
  return value > -1024 ? NEGATIVE[-value] : `-0x${(-value).toString(16)}`
}

/** `+0x5`, `-0x5`: a jump's distance. */
function distance(value: number): string {
  return value >= 0 ? `+${signedHex(value)}` : signedHex(value)
}

function address(register: number, offset: number): string {
  return offset >= 0 ? `(${R[register]} + ${signedHex(offset)})` : `(${R[register]} - ${signedHex(-offset)})`
}

/**
 * One instruction as `llvm-objdump -d` of LLVM 19 writes it, without address, bytes and the symbol behind a jump; undefined
 * where LLVM says `<unknown>`, or would leave out bits that matter. Load-acquire and store-release as LLVM 20 writes them.
 * @param high `imm` of the second slot of a 64-bit immediate load
 * @param alu32 loads and stores of up to 32 bits name `w` registers, as with `--mcpu=v3` and later
 */
export function llvmText(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  high: number,
  alu32: boolean,
): string | undefined {
  if (dst > 11 || src > 11) return undefined
  switch (opcode & 7) {
    case CLASS.alu64:
    case CLASS.alu:
      return arithmetic(opcode, dst, src, offset, imm)
    case CLASS.jmp:
    case CLASS.jmp32:
      return jump(opcode, dst, src, offset, imm)
    case CLASS.ldx:
      return load(opcode, dst, src, offset, alu32)
    case CLASS.st:
      if ((opcode & 0xe0) !== MODE.mem) return undefined
      return `*(${UNSIGNED_TYPES[(opcode >> 3) & 3]} *)${address(dst, offset)} = ${signedHex(imm)}`
    case CLASS.stx:
      return store(opcode, dst, src, offset, imm, alu32)
    default:
      return legacy(opcode, dst, src, imm, high)
  }
}

function arithmetic(opcode: number, dst: number, src: number, offset: number, imm: number): string | undefined {
  const wide = (opcode & 7) === CLASS.alu64
  const names = wide ? R : W
  const op = opcode & 0xf0
  if (op === ALU.neg) return (opcode & SOURCE.x) === 0 ? `${names[dst]} = -${names[dst]}` : undefined
  if (op === ALU.end) {
    if (imm !== 16 && imm !== 32 && imm !== 64) return undefined
    const kind = (opcode & SOURCE.x) === 0 ? (wide ? 'bswap' : 'le') : wide ? undefined : 'be'
    return kind === undefined ? undefined : `${R[dst]} = ${kind}${imm} ${R[dst]}`
  }
  const operator = ARITHMETIC_OPERATORS[opcode >> 4]
  if (operator === undefined) return undefined
  const register = (opcode & SOURCE.x) !== 0
  if (offset === 0) return `${names[dst]} ${operator} ${register ? names[src] : signedHex(imm)}`
  if (op === ALU.div || op === ALU.mod)
    return offset === 1 ? `${names[dst]} s${operator} ${register ? names[src] : signedHex(imm)}` : undefined
  if (op !== ALU.mov || !register) return undefined
  if (offset === 8 || offset === 16 || (offset === 32 && wide)) return `${names[dst]} = (s${offset})${names[src]}`
  if (offset !== ADDR_SPACE_CAST || !wide) return undefined
  return `${R[dst]} = addr_space_cast(${R[src]}, ${signedHex(imm >>> 16)}, ${signedHex(imm & 0xffff)})`
}

function jump(opcode: number, dst: number, src: number, offset: number, imm: number): string | undefined {
  const wide = (opcode & 7) === CLASS.jmp
  const op = opcode & 0xf0
  const register = (opcode & SOURCE.x) !== 0
  const operator = COMPARISON_OPERATORS[opcode >> 4]
  if (operator !== undefined) {
    const names = wide ? R : W
    return `if ${names[dst]} ${operator} ${register ? names[src] : signedHex(imm)} goto ${distance(offset)}`
  }
  if (op === JMP.ja && !register) return wide ? `goto ${distance(offset)}` : `gotol ${distance(imm)}`
  if (!wide) return undefined
  if (op === JMP.call) return register ? `callx ${R[dst]}` : `call ${signedHex(imm)}`
  if (op === JMP.exit && !register && imm === 0) return 'exit'
  if (op === JMP.jcond && !register && src === MAY_GOTO) return `may_goto ${distance(offset)}`
  return undefined
}

function load(opcode: number, dst: number, src: number, offset: number, alu32: boolean): string | undefined {
  const size = (opcode >> 3) & 3
  const mode = opcode & 0xe0
  const wide = (opcode & SIZE.dw) === SIZE.dw
  if (mode === MODE.mem)
    return `${alu32 && !wide ? W[dst] : R[dst]} = *(${UNSIGNED_TYPES[size]} *)${address(src, offset)}`
  if (mode === MODE.memsx && !wide) return `${R[dst]} = *(${SIGNED_TYPES[size]} *)${address(src, offset)}`
  return undefined
}

function store(
  opcode: number,
  dst: number,
  src: number,
  offset: number,
  imm: number,
  alu32: boolean,
): string | undefined {
  const size = opcode & SIZE.dw
  const type = UNSIGNED_TYPES[size >> 3]
  const wide = size === SIZE.dw
  const mode = opcode & 0xe0
  if (mode === MODE.mem) return `*(${type} *)${address(dst, offset)} = ${alu32 && !wide ? W[src] : R[src]}`
  if (mode !== MODE.atomic) return undefined
  if (imm === ATOMIC.loadAcquire)
    return `${alu32 && !wide ? W[dst] : R[dst]} = load_acquire((${type} *)${address(src, offset)})`
  if (imm === ATOMIC.storeRelease)
    return `store_release((${type} *)${address(dst, offset)}, ${alu32 && !wide ? W[src] : R[src]})`
  if ((!wide && size !== SIZE.w) || imm >>> 8 !== 0) return undefined
  const name = wide || !alu32 ? R[src] : W[src]
  const kind = imm
  if (kind === ATOMIC.xchg || kind === ATOMIC.cmpxchg) {
    if (!wide && !alu32) return undefined
    const place = address(dst, offset).slice(1, -1)
    const suffix = wide ? '_64' : '32_32'
    return kind === ATOMIC.xchg
      ? `${name} = xchg${suffix}(${place}, ${name})`
      : `${name[0]}0 = cmpxchg${suffix}(${place}, ${name[0]}0, ${name})`
  }
  const operation = ATOMIC_NAMES[kind >> 4]
  if (operation === undefined || (kind & 15) > ATOMIC.fetch) return undefined
  // without alu32 LLVM knows 32-bit additions only and shows a fetching one as a plain one
  if (!wide && !alu32 && (kind & ~ATOMIC.fetch) !== ATOMIC.add) return undefined
  if ((kind & ATOMIC.fetch) === 0 || (!wide && !alu32))
    return `lock *(${type} *)${address(dst, offset)} ${ARITHMETIC_OPERATORS[kind >> 4]} ${name}`
  return `${name} = atomic_fetch_${operation}((${type} *)${address(dst, offset)}, ${name})`
}

function legacy(opcode: number, dst: number, src: number, imm: number, high: number): string | undefined {
  if (opcode === LD_IMM64) {
    if (high === 0 && imm >= 0) return `${R[dst]} = ${signedHex(imm)} ll`
    const value = BigInt.asIntN(64, (BigInt(high) << 32n) | BigInt(imm >>> 0))
    return `${R[dst]} = ${value < 0n ? `-0x${(-value).toString(16)}` : `0x${value.toString(16)}`} ll`
  }
  const size = opcode & SIZE.dw
  if (size === SIZE.dw) return undefined
  const mode = opcode & 0xe0
  if (mode === MODE.abs) return `r0 = *(${UNSIGNED_TYPES[size >> 3]} *)skb[${signedHex(imm)}]`
  if (mode === MODE.ind) return `r0 = *(${UNSIGNED_TYPES[size >> 3]} *)skb[${R[src]}]`
  return undefined
}
