/** Helpers that a program may call or not by what it is attached to (bpf_func_proto.allowed of Linux 6.18). */
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import type { Env } from '../state/env.ts'
import { D_PATH_TARGETS } from '../tables/targets.ts'

const TRACING = PROGRAM_TYPES.tracing
const MODIFY_RETURN = ATTACH_TYPES.modify_return
const STORAGE: ReadonlySet<string> = new Set(['sk_storage_get', 'sk_storage_delete'])

/** Asked for helpers that the tables mark as refused to some. */
export function mayCallHere(env: Env, helper: string): boolean {
  const { target } = env
  if (target?.lsm?.disputed === true) env.unmodelled(`bpf_${helper}, which not every program of this type may call`)
  if (env.image.type !== TRACING || target === undefined || target.program !== undefined) return false
  if (helper === 'd_path') return target.hidden === 0 && D_PATH_TARGETS.has(target.name)
  return (
    STORAGE.has(helper) && env.facts.expectedAttachType !== MODIFY_RETURN && !target.name.startsWith('bpf_sk_storage')
  )
}
