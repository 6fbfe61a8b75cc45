/** What the program's type and target ask for before the simulation (check_attach_btf_id of Linux 6.18). */
import { PROGRAM_TYPES } from '../../uapi/index.ts'
import { ENOTSUPP, type Env, Rejection } from '../state/env.ts'
import { checkProgramTarget } from './program-target.ts'

const KPROBE = PROGRAM_TYPES.kprobe
const TRACING = PROGRAM_TYPES.tracing
const STRUCT_OPS = PROGRAM_TYPES.struct_ops
const LSM = PROGRAM_TYPES.lsm
const SYSCALL = PROGRAM_TYPES.syscall
/** trace_fentry, trace_fexit, modify_return, trace_iter. */
const SLEEPABLE_TRACING: ReadonlySet<number> = new Set([24, 25, 26, 28])

function canSleep(type: number, attachType: number): boolean {
  if (type === TRACING) return SLEEPABLE_TRACING.has(attachType)
  return type === LSM || type === KPROBE || type === STRUCT_OPS
}

export function checkAttachRules(env: Env): void {
  const { expectedAttachType, sleepable } = env.facts
  const { type } = env.image
  if (type === SYSCALL) {
    if (!sleepable) env.reject('Syscall programs can only be sleepable')
    return
  }
  if (sleepable && !canSleep(type, expectedAttachType))
    env.reject('Only fentry/fexit/fmod_ret, lsm, iter, uprobe, and struct_ops programs can be sleepable')
  const { target } = env
  if (type === STRUCT_OPS && !env.gpl) env.reject('struct ops programs must have a GPL compatible license')
  if (target?.program !== undefined) checkProgramTarget(env, target, target.program)
  if (target?.refusal === '') throw new Rejection(target.errno ?? ENOTSUPP)
  if (target?.refusal !== undefined) env.reject(target.refusal, target.errno ?? ENOTSUPP)
}
