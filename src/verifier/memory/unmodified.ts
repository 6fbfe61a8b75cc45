/** Pointers that must be used as they were given. */

import { isConst, valueNumber } from '../scalars/bounds.ts'
import { EACCES, type Env } from '../state/env.ts'
import { OFF, TYPE, typeName } from '../state/registers.ts'
import { registerBase } from '../state/state.ts'
import { variableText } from './stack.ts'

/** A pointer is used as it was given (check_ptr_off_reg). */
export function checkUnmodified(env: Env, register: number, fixedAllowed: boolean): void {
  const frame = env.frame
  const b = registerBase(register)
  const m = frame.m
  const name = typeName(m[b + TYPE])
  if (m[b + OFF] < 0) env.reject(`negative offset ${name} ptr R${register} off=${m[b + OFF]} disallowed`, EACCES)
  if (!fixedAllowed && m[b + OFF] !== 0)
    env.reject(`dereference of modified ${name} ptr R${register} off=${m[b + OFF]} disallowed`, EACCES)
  if (!isConst(m, b) || valueNumber(m, b) !== 0)
    env.reject(`variable ${name} access var_off=${variableText(frame, b)} disallowed`, EACCES)
}
