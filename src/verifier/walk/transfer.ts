/** Loads, stores, atomics and immediate loads: operands and fields, then memory. */
import { clobber } from '../calls/call-facts.ts'
import { leaveFunction } from '../calls/function-call.ts'
import { checkMemory } from '../memory/memory.ts'
import { checkUnmodified } from '../memory/unmodified.ts'
import { PSEUDO_FUNC, PSEUDO_MAP_VALUE } from '../program/program.ts'
import { mayLoadAbsolute } from '../program/program-rules.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { markConstant, markKnown, markUnknown } from '../scalars/bounds.ts'
import { checkInvariants } from '../scalars/sync.ts'
import { EACCES, EINVAL, type Env } from '../state/env.ts'
import { registerForRead, registerForWrite } from '../state/operands.ts'
import { checkLeaks } from '../state/references.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'

const SIZES: Readonly<Record<number, number>> = { 0: 4, 8: 2, 16: 1, 24: 8 }

function sizeOf(op: number): number {
  return SIZES[op & 0x18]
}

/** Types that one instruction may not mix with others on different paths. */
const FIXED_TYPES: ReadonlySet<number> = new Set([
  R.CTX,
  R.SOCKET,
  R.SOCK_COMMON,
  R.TCP_SOCK,
  R.XDP_SOCK,
  R.BTF_ID,
  R.ARENA,
])

function mixable(type: number): boolean {
  return !FIXED_TYPES.has(type & R.BASE_MASK)
}

/** Remembers what an instruction's pointer was; other paths must not differ in kind (save_aux_ptr_type). */
function savePointerType(env: Env, type: number, trustMayDiffer: boolean): void {
  const previous = env.pointerType[env.insn]
  if (previous === R.NOT_INIT) {
    env.pointerType[env.insn] = type
    return
  }
  if (type === previous || (mixable(type) && mixable(previous))) return
  const memory = (t: number) => (t & R.BASE_MASK) === R.MEM || (t & R.BASE_MASK) === R.BTF_ID
  if (trustMayDiffer && memory(type) && memory(previous)) {
    const isMem = (type & R.BASE_MASK) === R.MEM || (previous & R.BASE_MASK) === R.MEM
    env.pointerType[env.insn] = (isMem ? R.MEM : R.BTF_ID) | ((type | previous) & (R.UNTRUSTED | R.RDONLY))
    return
  }
  env.reject('same insn cannot be used with different pointers', EINVAL)
}

export function checkLoad(
  env: Env,
  liveness: StackLiveness,
  i: number,
  strict: boolean,
  trustMayDiffer: boolean,
): void {
  const { code } = env
  const op = code.op[i]
  const src = code.src[i]
  const dst = code.dst[i]
  registerForRead(env, src)
  registerForWrite(env, dst)
  const type = env.frame.m[registerBase(src) + R.TYPE]
  const signed = (op & 0xe7) === 0x81
  checkMemory(env, liveness, src, code.off[i], sizeOf(op), false, dst, strict, signed)
  savePointerType(env, type, trustMayDiffer)
  checkInvariants(env.frame.m, registerBase(dst))
}

export function checkStore(env: Env, liveness: StackLiveness, i: number, strict: boolean): void {
  const { code } = env
  const src = code.src[i]
  const dst = code.dst[i]
  registerForRead(env, src)
  registerForRead(env, dst)
  const type = env.frame.m[registerBase(dst) + R.TYPE]
  checkMemory(env, liveness, dst, code.off[i], sizeOf(code.op[i]), true, src, strict, false)
  savePointerType(env, type, false)
}

export function checkStoreImmediate(env: Env, liveness: StackLiveness, i: number): void {
  const { code } = env
  const op = code.op[i]
  if ((op & 0xe0) !== 0x60 || code.src[i] !== 0) env.reject('BPF_ST uses reserved fields')
  const dst = code.dst[i]
  registerForRead(env, dst)
  const type = env.frame.m[registerBase(dst) + R.TYPE]
  checkMemory(env, liveness, dst, code.off[i], sizeOf(op), true, -1, false, false)
  savePointerType(env, type, false)
}

const LOAD_ACQUIRE = 0x100
const STORE_RELEASE = 0x110
const CMPXCHG = 0xf1
const ATOMICS: ReadonlySet<number> = new Set([0x00, 0x01, 0x50, 0x51, 0x40, 0x41, 0xa0, 0xa1, 0xe1, CMPXCHG])

/** Those that x86's JIT compiles to a loop, which it cannot do where a page may be missing. */
const LOOPING_ATOMICS: ReadonlySet<number> = new Set([0x51, 0x41, 0xa1])

function atomicPointer(type: number, operation: number): boolean {
  if (type === R.ARENA) return !LOOPING_ATOMICS.has(operation)
  return !(type === R.CTX || R.isPacket(type) || type === R.FLOW_KEYS || R.isSocket(type))
}

function refuseAtomic(env: Env, register: number, operation: number, what: string): void {
  const type = env.frame.m[registerBase(register) + R.TYPE]
  if (!atomicPointer(type, operation))
    env.reject(`BPF_ATOMIC ${what} R${register} ${R.typeName(type)} is not allowed`, EACCES)
}

export function checkAtomic(env: Env, liveness: StackLiveness, i: number): void {
  const { code } = env
  const imm = code.imm[i]
  const src = code.src[i]
  const dst = code.dst[i]
  if (imm === LOAD_ACQUIRE) {
    // 6.18 looks at the pointer's type after the load, which may have gone into the same register.
    checkLoad(env, liveness, i, true, false)
    refuseAtomic(env, src, imm, 'loads from')
    return
  }
  if (imm === STORE_RELEASE) {
    checkStore(env, liveness, i, true)
    refuseAtomic(env, dst, imm, 'stores into')
    return
  }
  if (!ATOMICS.has(imm))
    env.reject(`BPF_ATOMIC uses invalid atomic opcode ${(imm >>> 0).toString(16).padStart(2, '0')}`)
  const size = sizeOf(code.op[i])
  if (size !== 4 && size !== 8) env.reject('invalid atomic operand size')
  registerForRead(env, src)
  registerForRead(env, dst)
  if (imm === CMPXCHG) registerForRead(env, 0)
  refuseAtomic(env, dst, imm, 'stores into')
  const load = (imm & 1) === 0 ? -1 : imm === CMPXCHG ? 0 : src
  if (load >= 0) {
    registerForWrite(env, load)
    markUnknown(env.frame.m, registerBase(load))
  }
  checkMemory(env, liveness, dst, code.off[i], size, false, -1, true, false)
  if (load >= 0) checkMemory(env, liveness, dst, code.off[i], size, false, load, true, false)
  // 6.18 does not ask whether other paths come here with another kind of pointer.
  checkMemory(env, liveness, dst, code.off[i], size, true, -1, true, false)
}

/** A 64-bit immediate: a number, a map, an address in its value, a function. */
export function checkLoadImmediate(env: Env, i: number): void {
  const { code } = env
  const dst = code.dst[i]
  if (code.off[i] !== 0) env.reject('BPF_LD_IMM64 uses reserved fields')
  registerForWrite(env, dst)
  const m = env.frame.m
  const b = registerBase(dst)
  const src = code.src[i]
  if (src === 0) {
    markConstant(m, b, code.imm[i], code.imm[i + 1])
    return
  }
  markKnown(m, b, 0, 0)
  m[b + R.FRAME] = 0
  m[b + R.PRECISE] = 0
  if (src === PSEUDO_FUNC) {
    const index = env.subprogramAt[i + code.imm[i] + 1]
    const linkage = env.subprograms[index].linkage
    if (linkage === 'none') env.reject('missing btf func_info')
    if (linkage !== 'static') env.reject('callback function not static')
    env.subprograms[index].loadedAt = i
    m[b + R.TYPE] = R.FUNC
    m[b + R.AUX] = index
    return
  }
  const variable = env.variables.get(i)
  if (variable !== undefined) {
    m[b + R.TYPE] = variable.type
    m[b + R.AUX] = (variable.type & R.BASE_MASK) === R.MEM ? variable.size : variable.id
    return
  }
  const map = env.mapOf[i]
  if (map === undefined) env.unmodelled('a map load without its map')
  if (map === env.arena && src === PSEUDO_MAP_VALUE) {
    // Addresses of an arena are the user's: numbers, until they are cast.
    markUnknown(m, b)
    return
  }
  m[b + R.AUX] = map.index + 1
  if (src === PSEUDO_MAP_VALUE) {
    m[b + R.TYPE] = R.MAP_VALUE
    m[b + R.OFF] = env.mapOffset[i]
  } else m[b + R.TYPE] = R.MAP_PTR
}

/** The old packet loads: R6 is the context, a miss ends the program (check_ld_abs). */
export function checkLoadAbsolute(env: Env, liveness: StackLiveness, i: number): void {
  const { code } = env
  const op = code.op[i]
  const indirect = (op & 0xe0) === 0x40
  if (!mayLoadAbsolute(env.facts.type)) env.reject('BPF_LD_[ABS|IND] instructions not allowed for this program type')
  if (code.dst[i] !== 0 || code.off[i] !== 0 || (op & 0x18) === 0x18 || (!indirect && code.src[i] !== 0))
    env.reject('BPF_LD_[ABS|IND] uses reserved fields')
  registerForRead(env, 6)
  checkLeaks(env, 'BPF_LD_[ABS|IND]', true)
  if (env.frame.m[registerBase(6) + R.TYPE] !== R.CTX) env.reject('at the time of BPF_LD_ABS|IND R6 != pointer to skb')
  if (indirect) registerForRead(env, code.src[i])
  checkUnmodified(env, 6, false)
  clobber(env.frame.m)
  markUnknown(env.frame.m, 0)
  env.scratchRegister(0)
  if (env.state.current === 0) return
  // A load beyond the packet's end leaves the function with 0.
  env.pushBranch(env.insn + 1, env.insn)
  markConstant(env.frame.m, 0, 0, 0)
  leaveFunction(env, liveness)
  env.insn--
}
