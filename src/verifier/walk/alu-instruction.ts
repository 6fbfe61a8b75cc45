/** Arithmetic instructions: fields, operands, moves, and pointers plus scalars (check_alu_op of Linux 6.18). */

import { assignScalarId, clearId, copyRegister } from '../memory/stack.ts'
import { aluText } from '../program/disassembly.ts'
import * as A from '../scalars/alu.ts'
import {
  isConst,
  isConst32,
  markConstant,
  markImmediate,
  markUnknown,
  setKnown,
  umaxNumber,
  unbound32,
  width,
} from '../scalars/bounds.ts'
import { narrowSigned, narrowSigned32 } from '../scalars/casts.ts'
import { checkInvariants, sync, zeroExtend } from '../scalars/sync.ts'
import { slt, ultu } from '../scalars/words.ts'
import { EACCES, EFAULT, type Env } from '../state/env.ts'
import { registerForRead, registerForWrite } from '../state/operands.ts'
import { markPrecise } from '../state/precision.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'

const MAX_VARIABLE_OFFSET = 1 << 29
const MAX = BigInt(MAX_VARIABLE_OFFSET)
/** Offset of a move that casts between address spaces, and its immediates: target << 16 | source. */
const ADDRESS_SPACE_CAST = 1
const TO_ARENA = 1
const TO_USER = 1 << 16
const S64_MIN = -(1n << 63n)
const S64_MAX = (1n << 63n) - 1n
const U64_MAX = (1n << 64n) - 1n

const immediate = R.createBank(1)
const copy = R.createBank(1)

const POINTERS: ReadonlySet<number> = new Set([
  R.CTX,
  R.MAP_VALUE,
  R.MAP_KEY,
  R.STACK,
  R.PACKET_META,
  R.PACKET,
  R.TP_BUFFER,
  R.BTF_ID,
  R.MEM,
  R.BUF,
  R.FUNC,
  R.DYNPTR,
])

/** Simulates one arithmetic instruction. */
export function checkAlu(env: Env, i: number): void {
  const { code } = env
  const op = code.op[i]
  const kind = op & 0xf0
  if (kind === A.ALU_END || kind === A.ALU_NEG) unary(env, i, op, kind)
  else if (kind === A.ALU_MOV) move(env, i, op)
  else if (kind > A.ALU_END) env.reject(`invalid BPF_ALU opcode ${kind.toString(16)}`)
  else binary(env, i, op, kind)
  const b = registerBase(code.dst[i])
  if (!checkInvariants(env.frame.m, b) && (env.image.flags & (1 << 7)) !== 0)
    env.reject('verifier bug: REG INVARIANTS VIOLATION (alu): range bounds violation', EFAULT)
}

function unary(env: Env, i: number, op: number, kind: number): void {
  const { code } = env
  const dst = code.dst[i]
  if (kind === A.ALU_NEG) {
    if ((op & 8) !== 0 || code.src[i] !== 0 || code.off[i] !== 0 || code.imm[i] !== 0)
      env.reject('BPF_NEG uses reserved fields')
  } else {
    const imm = code.imm[i]
    if (code.src[i] !== 0 || code.off[i] !== 0 || (imm !== 16 && imm !== 32 && imm !== 64) || op === 0xdf)
      env.reject('BPF_END uses reserved fields')
  }
  registerForRead(env, dst)
  registerForWrite(env, dst)
  const frame = env.frame
  const b = registerBase(dst)
  if (kind === A.ALU_NEG && frame.m[b + R.TYPE] === R.SCALAR) A.scalarAlu(frame, b, frame, b, A.ALU_NEG, (op & 7) === 4)
  else if (frame.m[b + R.TYPE] === R.SCALAR) A.byteSwap(frame, b, op !== 0xd4, code.imm[i])
  else markUnknown(frame.m, b)
}

function checkMoveFields(env: Env, i: number, op: number): void {
  const { code } = env
  const off = code.off[i]
  if ((op & 8) === 0) {
    if (code.src[i] !== 0 || off !== 0) env.reject('BPF_MOV uses reserved fields')
    return
  }
  if ((op & 7) === 4) {
    if ((off !== 0 && off !== 8 && off !== 16) || code.imm[i] !== 0) env.reject('BPF_MOV uses reserved fields')
  } else if (off === ADDRESS_SPACE_CAST) {
    if (code.imm[i] !== TO_ARENA && code.imm[i] !== TO_USER)
      env.reject('addr_space_cast insn can only convert between address space 1 and 0')
    if (env.arena === undefined)
      env.reject('addr_space_cast insn can only be used in a program that has an associated arena')
  } else if ((off !== 0 && off !== 8 && off !== 16 && off !== 32) || code.imm[i] !== 0)
    env.reject('BPF_MOV uses reserved fields')
}

function move(env: Env, i: number, op: number): void {
  const { code } = env
  const dst = code.dst[i]
  checkMoveFields(env, i, op)
  if ((op & 8) === 0) {
    registerForWrite(env, dst)
    const imm = code.imm[i]
    if ((op & 7) === 7) markImmediate(env.frame.m, registerBase(dst), imm)
    else markConstant(env.frame.m, registerBase(dst), imm, 0)
    return
  }
  const src = code.src[i]
  registerForRead(env, src)
  registerForWrite(env, dst)
  const frame = env.frame
  const m = frame.m
  const b = registerBase(dst)
  const c = registerBase(src)
  const off = code.off[i]
  const wide = (op & 7) === 7
  if (wide && off === 0) {
    assignScalarId(env, m, c)
    copyRegister(m, b, m, c)
    return
  }
  if (wide && off === ADDRESS_SPACE_CAST) {
    markUnknown(m, b)
    if (code.imm[i] === TO_ARENA) m[b + R.TYPE] = R.ARENA
    return
  }
  if (m[c + R.TYPE] !== R.SCALAR) {
    markUnknown(m, b)
    if (!wide) {
      zeroExtend(m, b)
      sync(m, b)
    }
    return
  }
  const keeps = off === 0 ? width(m, c) <= 32 : umaxNumber(m, c) < 2 ** (off - 1)
  if (keeps) assignScalarId(env, m, c)
  copyRegister(m, b, m, c)
  if (!keeps) clearId(m, b)
  if (off !== 0) {
    if (wide) narrowSigned(frame, b, off >> 3)
    else narrowSigned32(frame, b, off >> 3)
  }
  if (!wide) {
    zeroExtend(m, b)
    sync(m, b)
  }
}

function checkBinaryFields(env: Env, i: number, op: number, kind: number): void {
  const { code } = env
  const off = code.off[i]
  const divides = kind === A.ALU_MOD || kind === A.ALU_DIV
  const badOffset = (off !== 0 && off !== 1) || (off === 1 && !divides)
  if ((op & 8) !== 0 ? code.imm[i] !== 0 || badOffset : code.src[i] !== 0 || badOffset)
    env.reject('BPF_ALU uses reserved fields')
}

function binary(env: Env, i: number, op: number, kind: number): void {
  const { code } = env
  const dst = code.dst[i]
  const isX = (op & 8) !== 0
  const imm = code.imm[i]
  checkBinaryFields(env, i, op, kind)
  if (isX) registerForRead(env, code.src[i])
  registerForRead(env, dst)
  if (!isX && imm === 0 && (kind === A.ALU_MOD || kind === A.ALU_DIV)) env.reject('div by zero')
  if (!isX && (kind === A.ALU_LSH || kind === A.ALU_RSH || kind === A.ALU_ARSH)) {
    const size = (op & 7) === 7 ? 64 : 32
    if (imm < 0 || imm >= size) env.reject(`invalid shift ${imm}`)
  }
  registerForWrite(env, dst)
  adjust(env, i, op, kind)
}

function adjust(env: Env, i: number, op: number, kind: number): void {
  const { code } = env
  const frame = env.frame
  const m = frame.m
  const dst = code.dst[i]
  const src = code.src[i]
  const b = registerBase(dst)
  const isX = (op & 8) !== 0
  let operand: R.Bank = frame
  let c = registerBase(src)
  const dstScalar = m[b + R.TYPE] === R.SCALAR
  if (m[b + R.TYPE] === R.ARENA) return
  if (isX) {
    if (m[c + R.TYPE] !== R.SCALAR) {
      if (m[c + R.TYPE] === R.ARENA) {
        copyRegister(m, b, m, c)
        return
      }
      if (!dstScalar) {
        if (kind === A.ALU_SUB) {
          markUnknown(m, b)
          return
        }
        env.reject(`R${dst} pointer ${aluText(kind)} pointer prohibited`, EACCES)
      }
      markPrecise(env, dst)
      copyRegister(copy.m, 0, m, b)
      pointerAlu(env, op, kind, dst, c, copy, 0)
      return
    }
    if (!dstScalar) {
      markPrecise(env, src)
      pointerAlu(env, op, kind, dst, b, frame, c)
      return
    }
    if (m[b + R.PRECISE] !== 0) markPrecise(env, src)
  } else {
    markImmediate(immediate.m, 0, code.imm[i])
    operand = immediate
    c = 0
    if (!dstScalar) {
      pointerAlu(env, op, kind, dst, b, immediate, 0)
      return
    }
  }
  const alu32 = (op & 7) === 4
  if ((kind === A.ALU_AND || kind === A.ALU_OR) && isConst(operand.m, c)) fork(env, dst)
  const umaxHigh = m[b + R.UMAX_HIGH]
  A.scalarAlu(frame, b, operand, c, kind, alu32)
  link(m, b, operand, c, kind, alu32, isX && src === dst, umaxHigh)
}

/** `x += constant` keeps x linked to what it was copied from; `umax` is the high word of x's bound before. */
function link(
  m: Int32Array,
  b: number,
  operand: R.Bank,
  c: number,
  kind: number,
  alu32: boolean,
  itself: boolean,
  umaxHigh: number,
): void {
  const known = alu32 ? isConst32(operand.m, c) : isConst(operand.m, c)
  const low = operand.m[c + R.VALUE_LOW]
  const fits = alu32 ? umaxHigh === 0 : operand.m[c + R.VALUE_HIGH] === low >> 31
  const adds = kind === A.ALU_ADD || (kind === A.ALU_SUB && low !== -0x80000000)
  if (!adds || !known || !fits || itself || m[b + R.ID] === 0 || (m[b + R.ID] & R.ADD_CONST) !== 0) {
    m[b + R.ID] = 0
    m[b + R.OFF] = 0
    return
  }
  m[b + R.ID] |= alu32 ? R.ADD_CONST32 : R.ADD_CONST64
  m[b + R.OFF] = kind === A.ALU_SUB ? -low : low
}

/** A value that is 0 or -1 (a compiled condition) is followed both ways before it masks (maybe_fork_scalars). */
function fork(env: Env, dst: number): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(dst)
  const i = b / 2
  let narrow = false
  if (frame.s[i + R.SMIN] === -1n && frame.s[i + R.SMAX] === 0n) narrow = false
  else if (m[b + R.S32_MIN] === -1 && m[b + R.S32_MAX] === 0) narrow = true
  else return
  const branch = env.pushBranch(env.insn, env.insn)
  const n = branch.frame.m
  if (narrow) {
    known32(n, b, 0)
    known32(m, b, -1)
  } else {
    setKnown(n, b, 0, 0)
    setKnown(m, b, -1, -1)
    n[b + R.ID] = m[b + R.ID] = 0
    n[b + R.OFF] = m[b + R.OFF] = 0
  }
}

function known32(m: Int32Array, b: number, value: number): void {
  m[b + R.VALUE_LOW] = value
  m[b + R.MASK_LOW] = 0
  m[b + R.S32_MIN] = m[b + R.S32_MAX] = m[b + R.U32_MIN] = m[b + R.U32_MAX] = value
}

/** A signed number of less than 2^29, either way. */
function isSane(low: number, high: number): boolean {
  return high === low >> 31 && low < MAX_VARIABLE_OFFSET && low > -MAX_VARIABLE_OFFSET
}

/** The offset is small enough that sums of it cannot overflow (check_reg_sane_offset). */
function checkSaneOffset(env: Env, bank: R.Bank, b: number, type: number): void {
  const m = bank.m
  if (
    isSane(m[b + R.SMIN_LOW], m[b + R.SMIN_HIGH]) &&
    isSane(m[b + R.VALUE_LOW], m[b + R.VALUE_HIGH]) &&
    isSane(m[b + R.OFF], m[b + R.OFF] >> 31)
  )
    return
  const i = b / 2
  const name = R.typeName(type)
  const value = BigInt.asIntN(64, bank.u[i + R.VALUE])
  const smin = bank.s[i + R.SMIN]
  if (isConst(m, b) && (value >= MAX || value <= -MAX))
    env.reject(`math between ${name} pointer and ${value} is not allowed`)
  if (m[b + R.OFF] >= MAX_VARIABLE_OFFSET || m[b + R.OFF] <= -MAX_VARIABLE_OFFSET)
    env.reject(`${name} pointer offset ${m[b + R.OFF]} is not allowed`)
  if (smin === S64_MIN) env.reject(`math between ${name} pointer and register with unbounded min value is not allowed`)
  if (smin >= MAX || smin <= -MAX) env.reject(`value ${smin} makes ${name} pointer be out of bounds`)
}

function sameWords(m: Int32Array, at: number, other: number): boolean {
  return m[at] === m[other] && m[at + 1] === m[other + 1]
}

function inconsistent(bank: R.Bank, b: number): boolean {
  const m = bank.m
  if (slt(m[b + R.SMAX_HIGH], m[b + R.SMAX_LOW], m[b + R.SMIN_HIGH], m[b + R.SMIN_LOW])) return true
  if (ultu(m[b + R.UMAX_HIGH], m[b + R.UMAX_LOW], m[b + R.UMIN_HIGH], m[b + R.UMIN_LOW])) return true
  return (
    isConst(m, b) && !(sameWords(m, b + R.SMIN_LOW, b + R.SMAX_LOW) && sameWords(m, b + R.UMIN_LOW, b + R.UMAX_LOW))
  )
}

/** Pointer (at `p` of the current frame) op scalar, into `dst` (adjust_ptr_min_max_vals). */
function pointerAlu(env: Env, op: number, kind: number, dst: number, p: number, offset: R.Bank, c: number): void {
  const frame = env.frame
  const m = frame.m
  const b = registerBase(dst)
  const type = m[p + R.TYPE]
  const base = type & R.BASE_MASK
  const known = isConst(offset.m, c)
  if (inconsistent(offset, c)) {
    markUnknown(m, b)
    return
  }
  if ((op & 7) !== 7) {
    if (kind === A.ALU_SUB) {
      markUnknown(m, b)
      return
    }
    env.reject(`R${dst} 32-bit pointer arithmetic prohibited`, EACCES)
  }
  if ((type & R.MAYBE_NULL) !== 0)
    env.reject(`R${dst} pointer arithmetic on ${R.typeName(type)} prohibited, null-check it first`, EACCES)
  if (base === R.MEM && (type & R.UNTRUSTED) !== 0) return
  const addsZero = known && offset.s[c / 2 + R.SMIN] === 0n && kind === A.ALU_ADD
  const allowed =
    POINTERS.has(base) || (base === R.FLOW_KEYS && known) || ((base === R.MAP_PTR || base === R.FLOW_KEYS) && addsZero)
  if (!allowed) env.reject(`R${dst} pointer arithmetic on ${R.typeName(type)} prohibited`, EACCES)
  const separate = b !== p
  checkSaneOffset(env, offset, c, type)
  checkSaneOffset(env, frame, p, type)
  if (separate) inheritPointer(m, b, p)
  unbound32(m, b)
  if (kind === A.ALU_ADD) addPointer(env, b, type, offset, c, known)
  else if (kind === A.ALU_SUB) {
    if (separate) env.reject(`R${dst} tried to subtract pointer from scalar`, EACCES)
    if (type === R.STACK) env.reject(`R${dst} subtraction from stack pointer prohibited`, EACCES)
    subtractPointer(env, b, type, offset, c, known)
  } else if (kind === A.ALU_AND || kind === A.ALU_OR || kind === A.ALU_XOR)
    env.reject(`R${dst} bitwise operator ${aluText(kind)} on pointer prohibited`, EACCES)
  else env.reject(`R${dst} pointer arithmetic with ${aluText(kind)} operator prohibited`, EACCES)
  checkSaneOffset(env, frame, b, type)
  sync(m, b)
}

/** `scalar += pointer`: everything of the pointer but its reference and, in 6.18, the frame it points into. */
function inheritPointer(m: Int32Array, b: number, p: number): void {
  const frame = m[b + R.FRAME]
  const reference = m[b + R.REF]
  const precise = m[b + R.PRECISE]
  copyRegister(m, b, m, p)
  m[b + R.FRAME] = frame
  m[b + R.REF] = reference
  m[b + R.PRECISE] = precise
}

function fits(value: bigint): boolean {
  return value >= S64_MIN && value <= S64_MAX
}

function addPointer(env: Env, b: number, type: number, offset: R.Bank, c: number, known: boolean): void {
  const frame = env.frame
  const m = frame.m
  const i = b / 2
  const j = c / 2
  if (known) {
    const sum = BigInt(m[b + R.OFF]) + offset.s[j + R.SMIN]
    if (sum === BigInt.asIntN(32, sum)) {
      m[b + R.OFF] = Number(sum)
      return
    }
  }
  const smin = frame.s[i + R.SMIN] + offset.s[j + R.SMIN]
  const smax = frame.s[i + R.SMAX] + offset.s[j + R.SMAX]
  const bad = !fits(smin) || !fits(smax)
  frame.s[i + R.SMIN] = bad ? S64_MIN : smin
  frame.s[i + R.SMAX] = bad ? S64_MAX : smax
  const umin = frame.u[i + R.UMIN] + offset.u[j + R.UMIN]
  const umax = frame.u[i + R.UMAX] + offset.u[j + R.UMAX]
  const over = umin > U64_MAX || umax > U64_MAX
  frame.u[i + R.UMIN] = over ? 0n : umin
  frame.u[i + R.UMAX] = over ? U64_MAX : umax
  A.addBits(frame, b, offset, c)
  if (R.isPacket(type)) {
    m[b + R.ID] = env.newId()
    m[b + R.AUX] = 0
    m[b + R.AUX2] = 0
  }
}

function subtractPointer(env: Env, b: number, type: number, offset: R.Bank, c: number, known: boolean): void {
  const frame = env.frame
  const m = frame.m
  const i = b / 2
  const j = c / 2
  if (known) {
    const difference = BigInt(m[b + R.OFF]) - offset.s[j + R.SMIN]
    if (difference === BigInt.asIntN(32, difference)) {
      m[b + R.OFF] = Number(difference)
      return
    }
  }
  const smin = frame.s[i + R.SMIN] - offset.s[j + R.SMAX]
  const smax = frame.s[i + R.SMAX] - offset.s[j + R.SMIN]
  const bad = !fits(smin) || !fits(smax)
  const umin = frame.u[i + R.UMIN]
  const umax = frame.u[i + R.UMAX]
  const under = umin < offset.u[j + R.UMAX]
  frame.s[i + R.SMIN] = bad ? S64_MIN : smin
  frame.s[i + R.SMAX] = bad ? S64_MAX : smax
  frame.u[i + R.UMIN] = under ? 0n : umin - offset.u[j + R.UMAX]
  frame.u[i + R.UMAX] = under ? U64_MAX : umax - offset.u[j + R.UMIN]
  const negative = offset.s[j + R.SMIN] < 0n
  A.subBits(frame, b, offset, c)
  if (R.isPacket(type)) {
    m[b + R.ID] = env.newId()
    if (negative) {
      m[b + R.AUX] = 0
      m[b + R.AUX2] = 0
    }
  }
}
