/** Pointers that may be null, and what becomes of them and their copies when they are compared with null. */

import { MAP_TYPES } from '../../uapi/index.ts'
import { PROGRAM_OBJECT } from '../kernel/kernel-types.ts'
import { type FieldKind, isLockField } from '../kernel/object-fields.ts'
import type { Env } from '../state/env.ts'
import { dropReference } from '../state/references.ts'
import {
  ALLOC,
  AUX,
  AUX2,
  BASE_MASK,
  BTF_ID,
  ID,
  MAP_PTR,
  MAP_VALUE,
  MAYBE_NULL,
  REF,
  SCALAR,
  SOCKET,
  TYPE,
  XDP_SOCK,
} from '../state/registers.ts'
import { eachRegister, registerBase, type State } from '../state/state.ts'

const RUNS_LATER: ReadonlySet<FieldKind> = new Set(['bpf_timer', 'bpf_wq', 'bpf_task_work'])
const XSKMAP = 17
const SOCKMAP = MAP_TYPES.sockmap
const SOCKHASH = MAP_TYPES.sockhash

/** The pointer was checked: a map value may turn out to be an inner map or a socket. */
export function markNotNull(env: Env, m: Int32Array, b: number): void {
  const type = m[b + TYPE]
  if ((type & BASE_MASK) !== MAP_VALUE) {
    m[b + TYPE] = type & ~MAYBE_NULL
    return
  }
  const map = env.map(m[b + AUX])
  if (map.inner !== undefined) {
    m[b + TYPE] = MAP_PTR
    // Of an inner map with timers, one that was looked up is not the same as another.
    if (map.inner.fields.some(({ kind }) => RUNS_LATER.has(kind))) m[b + AUX2] = m[b + ID]
    m[b + AUX] = env.innerMapReference(map.inner)
  } else if (map.type === XSKMAP) m[b + TYPE] = XDP_SOCK
  else if (map.type === SOCKMAP || map.type === SOCKHASH) m[b + TYPE] = SOCKET
  else m[b + TYPE] = MAP_VALUE
}

/** A register and all that share its id are null, or are not. */
export function markPointerOrNull(env: Env, state: State, register: number, isNull: boolean): void {
  const own = state.frame.m
  const at = registerBase(register)
  const id = own[at + ID]
  const reference = own[at + REF]
  if (reference !== 0 && reference === id && isNull) dropReference(state, id)
  eachRegister(state, (m, b) => {
    const type = m[b + TYPE]
    if ((type & MAYBE_NULL) === 0 || m[b + ID] !== id || id === 0) return
    if (isNull) {
      m[b + TYPE] = SCALAR
      m[b + ID] = 0
      m[b + REF] = 0
      return
    }
    markNotNull(env, m, b)
    if (!holdsLock(env, m, b)) m[b + ID] = 0
  })
}

export function holdsLock(env: Env, m: Int32Array, b: number): boolean {
  const type = m[b + TYPE]
  if (type === MAP_VALUE) return env.map(m[b + AUX]).locks
  if ((type & BASE_MASK) !== BTF_ID || (type & ALLOC) === 0 || m[b + AUX2] !== PROGRAM_OBJECT) return false
  return env.fieldsOf(m[b + AUX]).some(isLockField)
}
