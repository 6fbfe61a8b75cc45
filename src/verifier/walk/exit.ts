/** The end of a program or a function: nothing held, a legal result (check_return_code of Linux 6.18). */

import { PROGRAM_TYPES } from '../../uapi/index.ts'
import { invalidScalar, leaveFunction } from '../calls/function-call.ts'
import { KERNEL_OBJECT } from '../kernel/kernel-types.ts'
import type { ReturnRange } from '../kernel/prototype.ts'
import type { AttachTarget } from '../program/attach-target.ts'
import type { StackLiveness } from '../program/stack-liveness.ts'
import { EACCES, type Env } from '../state/env.ts'
import { registerForRead } from '../state/operands.ts'
import { markPrecise } from '../state/precision.ts'
import { checkLeaks } from '../state/references.ts'
import { S32_MAX, S32_MIN, SCALAR, SMAX, SMIN, TYPE, typeName } from '../state/registers.ts'
import { registerBase } from '../state/state.ts'

/** True when the path ends here. */
export function checkExit(env: Env, liveness: StackLiveness): boolean {
  const inner = env.state.current > 0
  checkLeaks(env, 'BPF_EXIT instruction in main prog', !inner)
  if (inner) {
    leaveFunction(env, liveness)
    return false
  }
  checkReturnValue(env)
  return true
}

/** The result of the program: R0 at its end, R1 where it throws. */
export function checkReturnValue(env: Env, register = 0): void {
  const frame = register === 0 ? env.state.frames[0] : env.frame
  const first = env.state.frames[0]
  const m = frame.m
  const b = registerBase(register)
  const name = `R${register}`
  const type = () => m[b + TYPE]
  const isProgram = first.subprogram === 0 || first.subprogram === env.exceptionCallback
  if (isProgram && !first.inAsyncCallback && env.target?.struct !== undefined && returnsFromStructOps(env, env.target))
    return
  const lsm = env.target?.lsm
  if (isProgram && lsm?.isVoid === true && !lsm.cgroup) return
  registerForRead(env, register)
  if (first.inAsyncCallback) {
    const where = 'At async callback return'
    if (type() !== SCALAR) env.reject(`${where} the register ${name} is not a known value (${typeName(type())})`)
    markPrecise(env, register)
    if (frame.s[b / 2 + SMIN] < BigInt(first.returnMinimum) || frame.s[b / 2 + SMAX] > BigInt(first.returnMaximum))
      invalidScalar(env, frame, b, first.returnMinimum, first.returnMaximum, where, name)
    return
  }
  if (!isProgram) {
    if (type() !== SCALAR)
      env.reject(`At subprogram exit the register ${name} is not a scalar value (${typeName(type())})`)
    return
  }
  const range =
    lsm !== undefined ? lsm.returns : isRawTracepointExtension(env) ? ZERO_ONLY : env.tables.returns(env.facts)
  if (range === undefined) return
  if ('unsupported' in range) env.unmodelled(range.unsupported)
  if (type() !== SCALAR) env.reject(`At program exit the register ${name} is not a known value (${typeName(type())})`)
  markPrecise(env, register)
  const inside = range.return32
    ? m[b + S32_MIN] >= range.minimum && m[b + S32_MAX] <= range.maximum
    : frame.s[b / 2 + SMIN] >= BigInt(range.minimum) && frame.s[b / 2 + SMAX] <= BigInt(range.maximum)
  const note = lsm?.isVoid === true && lsm.cgroup && first.subprogram === 0 ? VOID_NOTE : undefined
  if (!inside) invalidScalar(env, frame, b, range.minimum, range.maximum, 'At program exit', name, note)
}

const RAW_TRACEPOINT = PROGRAM_TYPES.raw_tracepoint
const ZERO_ONLY: ReturnRange = { minimum: 0, maximum: 0, return32: false }

/** The result of a raw tracepoint's program is free, but not that of a function that replaces one. */
function isRawTracepointExtension(env: Env): boolean {
  return env.target?.program?.replaces === true && env.facts.type === RAW_TRACEPOINT
}

const VOID_NOTE = "Note, BPF_LSM_CGROUP that attach to void LSM hooks can't modify return value!"

/** The result of a struct_ops member: none of `void`, anything of a scalar. */
function returnsFromStructOps(env: Env, target: AttachTarget): boolean {
  if (target.returnType === 0) return true
  const types = env.typesOf(KERNEL_OBJECT)
  if (types?.pointedStruct(target.returnType) !== undefined) env.unmodelled('struct_ops members that return pointers')
  return false
}

export { EACCES }
