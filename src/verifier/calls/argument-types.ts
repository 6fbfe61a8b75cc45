/** Which register types an argument of a helper takes, and with which offsets (check_reg_type of Linux 6.18). */

import * as H from '../kernel/helper-ids.ts'
import type { ArgumentBase, HelperPrototype } from '../kernel/prototype.ts'
import { matchType } from '../memory/kernel-pointers.ts'
import { checkUnmodified } from '../memory/unmodified.ts'
import { EACCES, EFAULT, type Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { checkBtfArgument } from './btf-argument.ts'
import type { CallFacts } from './call-facts.ts'

const SOCKS = [R.SOCK_COMMON, R.SOCKET, R.TCP_SOCK, R.XDP_SOCK]
const MEMORY = [
  R.STACK,
  R.PACKET,
  R.PACKET_META,
  R.MAP_KEY,
  R.MAP_VALUE,
  R.MEM,
  R.MEM | R.RINGBUF,
  R.BUF,
  R.BTF_ID | R.TRUSTED,
]
const SCALARS = [R.SCALAR]
const MAP_VALUES = [R.MAP_VALUE]

/** Register types that an argument takes, in the order in which messages name them. */
const COMPATIBLE: Readonly<Partial<Record<ArgumentBase, readonly number[]>>> = {
  ARG_PTR_TO_MAP_KEY: MEMORY,
  ARG_PTR_TO_MAP_VALUE: MEMORY,
  ARG_CONST_SIZE: SCALARS,
  ARG_CONST_SIZE_OR_ZERO: SCALARS,
  ARG_CONST_ALLOC_SIZE_OR_ZERO: SCALARS,
  ARG_CONST_MAP_PTR: [R.MAP_PTR],
  ARG_PTR_TO_CTX: [R.CTX],
  ARG_PTR_TO_SOCK_COMMON: SOCKS,
  ARG_PTR_TO_BTF_ID_SOCK_COMMON: [...SOCKS, R.BTF_ID, R.BTF_ID | R.TRUSTED],
  ARG_PTR_TO_SOCKET: [R.SOCKET],
  ARG_PTR_TO_BTF_ID: [R.BTF_ID, R.BTF_ID | R.TRUSTED, R.BTF_ID | R.RCU],
  ARG_PTR_TO_SPIN_LOCK: [R.MAP_VALUE, R.BTF_ID | R.ALLOC],
  ARG_PTR_TO_MEM: MEMORY,
  ARG_PTR_TO_RINGBUF_MEM: [R.MEM | R.RINGBUF],
  ARG_PTR_TO_PERCPU_BTF_ID: [R.BTF_ID | R.PERCPU, R.BTF_ID | R.PERCPU | R.RCU, R.BTF_ID | R.PERCPU | R.TRUSTED],
  ARG_PTR_TO_FUNC: [R.FUNC],
  ARG_PTR_TO_STACK: [R.STACK],
  ARG_PTR_TO_CONST_STR: MAP_VALUES,
  ARG_PTR_TO_TIMER: MAP_VALUES,
  ARG_KPTR_XCHG_DEST: [R.MAP_VALUE, R.BTF_ID | R.ALLOC],
  ARG_PTR_TO_DYNPTR: [R.STACK, R.DYNPTR],
}

export function checkType(
  env: Env,
  register: number,
  base: ArgumentBase,
  flags: number,
  call: CallFacts,
  wanted: string | undefined,
): void {
  const compatible = COMPATIBLE[base]
  if (compatible === undefined) env.unmodelled(`arguments of type ${base}`)
  const actual = env.frame.m[registerBase(register) + R.TYPE]
  let type = actual
  if ((flags & R.RDONLY) !== 0) type &= ~R.RDONLY
  if ((flags & R.MAYBE_NULL) !== 0) type &= ~R.MAYBE_NULL
  if (base === 'ARG_PTR_TO_MEM') type &= ~R.DYNPTR_ANY
  const exchange = call.prototype.id === H.KPTR_XCHG
  if (exchange && register === 2 && (type & R.ALLOC) !== 0) type &= ~(R.ALLOC | R.PERCPU)
  if (!compatible.includes(type)) {
    const names = compatible.map(R.typeName).join(', ')
    env.reject(`R${register} type=${R.typeName(actual)} expected=${names}`, EACCES)
  }
  if ((actual & R.BASE_MASK) !== R.BTF_ID) return
  if (compatible === MEMORY) {
    if ((flags & R.RDONLY) === 0)
      env.reject(
        `${helperText(call.prototype)}() may write into memory pointed by R${register} type=${R.typeName(actual)}`,
        EACCES,
      )
    return
  }
  // Objects of the program that may be null are such: 6.18 has no case for them where it goes by the type.
  if (!MATCHED.has(actual)) env.reject('verifier bug: invalid PTR_TO_BTF_ID register for type match', EFAULT)
  if (exchange && register === 2) {
    checkExchanged(env, register, flags, call)
    return
  }
  if ((actual & R.ALLOC) !== 0) return
  const strict = (flags & R.RELEASE) !== 0 && call.prototype.id !== H.SK_RELEASE
  checkBtfArgument(env, register, flags, base === 'ARG_PTR_TO_BTF_ID_SOCK_COMMON' ? 'sock_common' : wanted, strict)
}

/** Pointers to structs whose struct is compared with the wanted one, or by the helper itself. */
const MATCHED: ReadonlySet<number> = new Set([
  R.BTF_ID,
  R.BTF_ID | R.TRUSTED,
  R.BTF_ID | R.TRUSTED | R.MAYBE_NULL,
  R.BTF_ID | R.RCU,
  R.BTF_ID | R.MAYBE_NULL,
  R.BTF_ID | R.MAYBE_NULL | R.RCU,
  R.BTF_ID | R.ALLOC,
  R.BTF_ID | R.PERCPU | R.ALLOC,
  R.BTF_ID | R.ALLOC | R.NON_OWN,
  R.BTF_ID | R.ALLOC | R.NON_OWN | R.RCU,
  R.BTF_ID | R.PERCPU,
  R.BTF_ID | R.PERCPU | R.RCU,
  R.BTF_ID | R.PERCPU | R.TRUSTED,
])

/** The new pointer of bpf_kptr_xchg is one for the field. */
function checkExchanged(env: Env, register: number, flags: number, call: CallFacts): void {
  const type = env.frame.m[registerBase(register) + R.TYPE]
  const release = (flags & R.RELEASE) !== 0
  if ((type & R.ALLOC) === 0 && (type & R.MAYBE_NULL) !== 0 && ((flags & R.MAYBE_NULL) === 0 || release))
    env.reject(`Possibly NULL pointer passed to helper arg${register}`, EACCES)
  if (call.field !== undefined) matchType(env, call.field, register)
}

/** `bpf_map_lookup_elem`. */
export function helperText(prototype: HelperPrototype): string {
  return `bpf_${prototype.name}`
}

const OFFSET_FREE: ReadonlySet<number> = new Set([
  R.STACK,
  R.PACKET,
  R.PACKET_META,
  R.MAP_KEY,
  R.MAP_VALUE,
  R.MEM,
  R.MEM | R.RDONLY,
  R.MEM | R.RINGBUF,
  R.BUF,
  R.BUF | R.RDONLY,
  R.ARENA,
  R.SCALAR,
])

/** Pointers to objects that may point into them. */
const FIXED_OFFSET: ReadonlySet<number> = new Set([
  R.BTF_ID,
  R.BTF_ID | R.ALLOC,
  R.BTF_ID | R.TRUSTED,
  R.BTF_ID | R.RCU,
  R.BTF_ID | R.ALLOC | R.NON_OWN,
  R.BTF_ID | R.ALLOC | R.NON_OWN | R.RCU,
])

/** A pointer argument has an offset only where that is harmless (check_func_arg_reg_off). */
export function checkArgumentOffset(env: Env, register: number, release: boolean): void {
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  if (release) {
    if (m[b + R.OFF] !== 0)
      env.reject(`R${register} must have zero offset when passed to release func or trusted arg to kfunc`)
    checkUnmodified(env, register, false)
    return
  }
  if (OFFSET_FREE.has(type)) return
  checkUnmodified(env, register, FIXED_OFFSET.has(type))
}
