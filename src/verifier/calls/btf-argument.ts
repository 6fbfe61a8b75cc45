/** Pointers to kernel types as arguments of helpers (the second half of check_reg_type of Linux 6.18). */

import { KERNEL_OBJECT } from '../kernel/kernel-types.ts'
import { EACCES, type Env } from '../state/env.ts'
import * as R from '../state/registers.ts'
import { registerBase } from '../state/state.ts'

const PERCPU_TYPES: ReadonlySet<number> = new Set([
  R.BTF_ID | R.PERCPU,
  R.BTF_ID | R.PERCPU | R.RCU,
  R.BTF_ID | R.PERCPU | R.TRUSTED,
])

/** The struct fits; `flags` are the argument's, `strict` that a struct which begins with the wanted one does not do. */
export function checkBtfArgument(
  env: Env,
  register: number,
  flags: number,
  wanted: string | undefined,
  strict: boolean,
): void {
  const m = env.frame.m
  const b = registerBase(register)
  const type = m[b + R.TYPE]
  if (PERCPU_TYPES.has(type)) return
  if ((type & R.ALLOC) !== 0) env.unmodelled('objects of the program as helper arguments')
  const release = (flags & R.RELEASE) !== 0
  if ((type & R.MAYBE_NULL) !== 0 && ((flags & R.MAYBE_NULL) === 0 || release))
    env.reject(`Possibly NULL pointer passed to helper arg${register}`, EACCES)
  const types = env.typesOf(KERNEL_OBJECT)
  const id = m[b + R.AUX]
  const owner = env.typesOf(m[b + R.AUX2])
  const wantedId = wanted === undefined ? undefined : types?.struct(wanted)
  if (types === undefined || wantedId === undefined || owner === undefined || id <= 0)
    env.unmodelled("pointers to kernel types as helper arguments without the kernel's BTF")
  if (m[b + R.AUX2] !== KERNEL_OBJECT || !types.matches(id, m[b + R.OFF], wantedId, strict, (line) => env.say(line)))
    env.reject(`R${register} is of type ${owner.name(id)} but ${types.name(wantedId)} is expected`, EACCES)
}
