/** Hooks of the LSM as attach targets: bpf_check_attach_target, bpf_lsm_verify_prog, bpf_lsm_get_retval_range of Linux 6.18. */

import type { ProgramImage } from '../../spec/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import type { KernelTypes } from '../kernel/kernel-types.ts'
import type { ReturnRange } from '../kernel/prototype.ts'
import { EINVAL, isGplCompatible } from '../state/env.ts'
import {
  BOOL_HOOKS,
  DISABLED_BY_RELEASE,
  DISABLED_HOOKS,
  NO_HOOKS,
  SLEEPABLE_BY_RELEASE,
  SLEEPABLE_HOOKS,
  SOCKOPT_HOOKS,
  UNTRUSTED_HOOKS,
} from '../tables/lsm.ts'
import type { AttachTarget, TargetAnswer } from './attach-target.ts'

/** What is known of the hook that a program is attached to. */
export interface LsmHook {
  /** A program of a cgroup (BPF_LSM_CGROUP). */
  readonly cgroup: boolean
  /** The hook gives nothing back. */
  readonly isVoid: boolean
  /** What R0 may hold at the end; undefined: anything. */
  readonly returns?: ReturnRange
  /** What the hook's result, which the context holds behind the arguments, may be. */
  readonly result?: ReturnRange
  /** Whether the hook is one that may sleep (the program need not) depends on the point release. */
  readonly disputed: boolean
  readonly trusted: boolean
}

const PREFIX = 'bpf_lsm_'
const SLEEPABLE = 1 << 4
const MAC = 27
const CGROUP = 43
const RAW_TP = ATTACH_TYPES.trace_raw_tp
const ITER = ATTACH_TYPES.trace_iter
/** Attach types that a program's target may be a function for. */
const OF_FUNCTIONS: ReadonlySet<number> = new Set([24, 25, 26, MAC, CGROUP])
const MODIFY_RETURN = ATTACH_TYPES.modify_return
const MAX_ERRNO = 4095

const refused = (refusal: string, errno = EINVAL): AttachTarget => ({
  key: 'lsm-other',
  name: '',
  params: [],
  returnType: 0,
  hidden: 0,
  refusal,
  errno,
})

export function lsmTarget(image: ProgramImage, types: KernelTypes): TargetAnswer {
  const { btf } = types
  const attach = image.expectedAttachType
  const wanted = image.attachTo?.name
  const id = image.attachBtfId ?? (wanted === undefined ? undefined : btf.idByName(PREFIX + wanted, 'func'))
  if (id === undefined && wanted !== undefined)
    return { unsupported: `the kernel's BTF has no hook ${PREFIX}${wanted}` }
  if (id === undefined || id === 0) return refused('Tracing programs must provide btf_id')
  if (!btf.has(id)) return refused(`attach_btf_id ${id} is invalid`)
  const type = btf.type(id)
  if (attach === RAW_TP)
    return type.kind === 'typedef'
      ? { unsupported: 'LSM programs on tracepoints' }
      : refused(`attach_btf_id ${id} is not a typedef`)
  if (attach !== ITER && !OF_FUNCTIONS.has(attach)) return refused('')
  if (type.kind !== 'func') return refused(`attach_btf_id ${id} is not a function`)
  if (attach === ITER) return refused('')
  const { name } = type
  const proto = btf.type(type.type)
  if (proto.kind !== 'func_proto') return { unsupported: `attach target ${name} has no prototype` }
  const hook = name.startsWith(PREFIX) ? name.slice(PREFIX.length) : undefined
  const sleeps = (image.flags & SLEEPABLE) !== 0
  const sleepable = hook !== undefined && SLEEPABLE_HOOKS.has(hook)
  const disputed = hook !== undefined && SLEEPABLE_BY_RELEASE.has(hook)
  if ((sleeps && disputed) || (hook !== undefined && DISABLED_BY_RELEASE.has(hook)))
    return {
      unsupported: `${sleeps ? 'sleepable ' : ''}programs on ${name}, which point releases of 6.18 disagree about`,
    }
  if (sleeps && !sleepable) return refused(`${name} is not sleepable`)
  if (!sleeps && attach === MODIFY_RETURN) {
    if (hook === undefined) return { unsupported: `whether the result of ${name} may be replaced` }
    return refused(`${name}() is not modifiable`)
  }
  if (!isGplCompatible(image.license)) return refused('LSM programs must have a GPL compatible license')
  if (hook !== undefined && DISABLED_HOOKS.has(hook))
    return refused(`attach_btf_id ${id} points to disabled hook ${name}`)
  if (hook === undefined || NO_HOOKS.has(hook)) return refused(`attach_btf_id ${id} points to wrong type name ${name}`)
  const isVoid = btf.type(proto.returnType).kind === 'void'
  const isCgroup = attach === CGROUP
  return {
    key: keyOf(attach, hook, sleepable, sleeps),
    name,
    params: proto.params,
    returnType: proto.returnType,
    hidden: 0,
    lsm: {
      cgroup: isCgroup,
      isVoid,
      disputed,
      trusted: !UNTRUSTED_HOOKS.has(hook),
      ...rangesOf(attach, hook, isVoid),
    },
  }
}

function rangesOf(attach: number, hook: string, isVoid: boolean): Pick<LsmHook, 'returns' | 'result'> {
  if (attach === CGROUP) return { returns: { minimum: isVoid ? 1 : 0, maximum: 1, return32: false } }
  if (attach !== MAC || isVoid) return {}
  const range = BOOL_HOOKS.has(hook)
    ? { minimum: 0, maximum: 1, return32: true }
    : { minimum: -MAX_ERRNO, maximum: 0, return32: true }
  return { returns: range, result: range }
}

/** Row of the fact tables: the way of attaching, socket options, and whether hook and program may sleep. */
function keyOf(attach: number, hook: string, sleepableHook: boolean, sleeps: boolean): string {
  const kind = attach === MAC ? 'mac' : attach !== CGROUP ? 'other' : SOCKOPT_HOOKS.has(hook) ? 'sockopt' : 'cgroup'
  return `lsm-${kind}${sleepableHook ? '' : '-atomic'}${sleeps ? '-sleepable' : ''}`
}
