/** The end of a program or a function: nothing held, a legal result (check_return_code of Linux 6.18). */
import type { AttachTarget } from './attach-target.ts'
import { EACCES, type Env } from './env.ts'
import { invalidScalar, leaveFunction } from './function-call.ts'
import { KERNEL_OBJECT } from './kernel-types.ts'
import { registerForRead } from './operands.ts'
import { markPrecise } from './precision.ts'
import { checkLeaks } from './references.ts'
import { S32_MAX, S32_MIN, SCALAR, SMAX, SMIN, TYPE, typeName } from './registers.ts'
import type { StackLiveness } from './stack-liveness.ts'

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

function checkReturnValue(env: Env): void {
  const frame = env.state.frames[0]
  const m = frame.m
  if (!frame.inAsyncCallback && env.target?.struct !== undefined && returnsFromStructOps(env, env.target)) return
  registerForRead(env, 0)
  if (frame.inAsyncCallback) {
    const where = 'At async callback return'
    if (m[TYPE] !== SCALAR) env.reject(`${where} the register R0 is not a known value (${typeName(m[TYPE])})`)
    markPrecise(env, 0)
    if (frame.s[SMIN] < BigInt(frame.returnMinimum) || frame.s[SMAX] > BigInt(frame.returnMaximum))
      invalidScalar(env, frame, 0, frame.returnMinimum, frame.returnMaximum, where)
    return
  }
  if (frame.subprogram !== 0) {
    if (m[TYPE] !== SCALAR)
      env.reject(`At subprogram exit the register R0 is not a scalar value (${typeName(m[TYPE])})`)
    return
  }
  const range = env.tables.returns(env.facts)
  if (range === undefined) return
  if ('unsupported' in range) env.unmodelled(range.unsupported)
  if (m[TYPE] !== SCALAR) env.reject(`At program exit the register R0 is not a known value (${typeName(m[TYPE])})`)
  markPrecise(env, 0)
  const inside = range.return32
    ? m[S32_MIN] >= range.minimum && m[S32_MAX] <= range.maximum
    : frame.s[SMIN] >= BigInt(range.minimum) && frame.s[SMAX] <= BigInt(range.maximum)
  if (!inside) invalidScalar(env, frame, 0, range.minimum, range.maximum, 'At program exit')
}

/** The result of a struct_ops member: none of `void`, anything of a scalar. */
function returnsFromStructOps(env: Env, target: AttachTarget): boolean {
  if (target.returnType === 0) return true
  const types = env.typesOf(KERNEL_OBJECT)
  if (types?.pointedStruct(target.returnType) !== undefined) env.unmodelled('struct_ops members that return pointers')
  return false
}

export { EACCES }
