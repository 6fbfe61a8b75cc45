/**
 * What a program is attached to: a tracepoint, a kernel function, an iterator or a member of a struct of callbacks.
 * The target's prototype in the kernel's BTF says what its context holds (bpf_check_attach_target of Linux 6.18).
 */

import type { BtfFuncProto } from '../../btf/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import type { KernelTypes } from '../kernel/kernel-types.ts'
import { SLEEPABLE_MEMBERS, STRUCT_OPS, UNSUPPORTED_MEMBERS } from '../kernel/struct-ops.ts'
import { EINVAL } from '../state/env.ts'
import {
  DENIED_TARGETS,
  ERROR_INJECTION_PREFIX,
  ITERATORS,
  MODIFIABLE_FUNCTIONS,
  NORETURN_TARGETS,
  SLEEPABLE_FUNCTIONS,
} from '../tables/targets.ts'
import { type LsmHook, lsmTarget } from './lsm-target.ts'
import { type ProgramTarget, programTarget, prototypeRefusal, type TargetProgram } from './program-target.ts'

export interface AttachTarget {
  /** Row of the fact tables. */
  readonly key: string
  /** As messages name it. */
  readonly name: string
  /** Parameters in order, without a tracepoint's leading `void *`. */
  readonly params: readonly { readonly name: string; readonly type: number }[]
  readonly returnType: number
  /** A tracepoint's prototype begins with an argument that programs do not see. */
  readonly hidden: number
  /** Of an iterator, what each argument is, see {@link ITERATORS}. */
  readonly iterator?: readonly string[]
  /** Of struct_ops, the struct's name. */
  readonly struct?: string
  readonly member?: string
  /** Of a program of the LSM, its hook. */
  readonly lsm?: LsmHook
  /** Of a program that replaces or traces a function of another program, that function. */
  readonly program?: ProgramTarget
  /** Why the kernel refuses the program for its target; empty where it says nothing. */
  readonly refusal?: string
  /** The error number of the refusal; ENOTSUPP without. */
  readonly errno?: number
}

export type TargetAnswer = AttachTarget | { readonly unsupported: string } | undefined

const TRACING = PROGRAM_TYPES.tracing
const STRUCT_OPS_TYPE = PROGRAM_TYPES.struct_ops
const EXT = PROGRAM_TYPES.ext
const LSM = PROGRAM_TYPES.lsm
const RAW_TP = ATTACH_TYPES.trace_raw_tp
const FENTRY = ATTACH_TYPES.trace_fentry
const MODIFY_RETURN = ATTACH_TYPES.modify_return
const ITER = ATTACH_TYPES.trace_iter
const KEYS: Readonly<Record<number, string>> = {
  23: 'tracing-raw_tp',
  24: 'tracing-fentry',
  25: 'tracing-fexit',
  26: 'tracing-modify_return',
  28: 'tracing-iter',
}
const SLEEPABLE = 1 << 4
/** Iterators with helpers of their own. */
const OWN_HELPERS: ReadonlySet<string> = new Set(['bpf_iter_tcp', 'bpf_iter_unix'])

/** The target of a program that needs one; undefined for all others. */
export function resolveTarget(
  image: ProgramImage,
  kernel: () => KernelTypes | undefined,
  program?: TargetProgram,
): TargetAnswer {
  const { type } = image
  if (program !== undefined && (type === EXT || type === TRACING)) return programTarget(image, program)
  if (type === EXT) return extensionOfNothing(image)
  if (type !== TRACING && type !== STRUCT_OPS_TYPE && type !== LSM) return undefined
  if (image.attachTo?.programFd !== undefined)
    return { unsupported: 'a program that traces another one without it: give it as attachTo.program' }
  if (image.attachTo?.module !== undefined) return { unsupported: 'targets in kernel modules' }
  const types = kernel()
  if (types === undefined)
    return { unsupported: "the attach target's types: give the kernel's BTF (--btf FILE, or /sys/kernel/btf/vmlinux)" }
  if (type === LSM) return lsmTarget(image, types)
  return type === TRACING ? tracingTarget(image, types) : structOpsTarget(image, types)
}

/** An extension without the program it extends. */
function extensionOfNothing(image: ProgramImage): TargetAnswer {
  const refused = (refusal: string): AttachTarget => ({ ...NO_TARGET, refusal, errno: EINVAL })
  if (image.attachTo !== undefined)
    return { unsupported: 'an extension without the program it extends: give it as attachTo.program' }
  if (image.attachBtfId === undefined) return refused('Tracing programs must provide btf_id')
  return refused('Cannot replace kernel functions')
}

const NO_TARGET: AttachTarget = { key: 'tracing-fentry', name: '', params: [], returnType: 0, hidden: 0 }

function tracingTarget(image: ProgramImage, types: KernelTypes): TargetAnswer {
  const { btf } = types
  const attach = image.expectedAttachType
  const key = KEYS[attach]
  if (image.attachBtfId === undefined && (key === undefined || image.attachTo === undefined))
    return { ...NO_TARGET, refusal: 'Tracing programs must provide btf_id', errno: EINVAL }
  if (key === undefined) return { unsupported: `tracing programs of attach type ${attach}` }
  const wanted = image.attachTo?.name
  const prefix = attach === RAW_TP ? 'btf_trace_' : attach === ITER ? 'bpf_iter_' : ''
  const kind = attach === RAW_TP ? 'typedef' : 'func'
  const id = image.attachBtfId ?? (wanted === undefined ? undefined : btf.idByName(prefix + wanted, kind))
  if (id === undefined)
    return {
      unsupported:
        wanted === undefined ? 'a tracing program without a target' : `the kernel's BTF has no attach target ${wanted}`,
    }
  if (!btf.has(id) || btf.kind(id) !== kind) return { unsupported: `attach target ${id} is of another kind` }
  const full = btf.name(id)
  const name = attach === RAW_TP ? full.slice(prefix.length) : full
  const own = btf.type(id)
  const link = attach === RAW_TP ? btf.resolve(id) : own
  const proto = 'type' in link && typeof link.type === 'number' ? btf.type(link.type) : undefined
  if (proto?.kind !== 'func_proto') return { unsupported: `attach target ${name} has no prototype` }
  const hidden = attach === RAW_TP ? 1 : 0
  const common = {
    key: (image.flags & SLEEPABLE) !== 0 ? `${key}-sleepable` : key,
    name,
    params: proto.params.slice(hidden),
    returnType: proto.returnType,
    hidden,
  }
  if (attach === RAW_TP) return { ...common, key }
  if (attach === ITER) {
    const iterator = ITERATORS[name.slice('bpf_iter_'.length)]
    const own = OWN_HELPERS.has(name) ? `${key}-${name.slice('bpf_iter_'.length)}` : common.key
    return iterator === undefined ? { unsupported: `the iterator ${name}` } : { ...common, key: own, iterator }
  }
  return functionTarget(image, types, { ...common, key }, proto)
}

/** In the BTF of kernels that let errors be injected into functions (CONFIG_FUNCTION_ERROR_INJECTION). */
const INJECTION = 'within_error_injection_list'

/** Functions of the kernel: those that sleep or whose result is replaced must be marked for it. */
function functionTarget(
  image: ProgramImage,
  types: KernelTypes,
  target: AttachTarget,
  proto: BtfFuncProto,
): TargetAnswer {
  const { name } = target
  const attach = image.expectedAttachType
  const sleepable = (image.flags & SLEEPABLE) !== 0
  const refused = (refusal: string): AttachTarget => ({ ...target, refusal, errno: EINVAL })
  const unsuited = prototypeRefusal(types.btf, name, proto)
  if (unsuited !== undefined) return refused(unsuited)
  const mayInject = types.btf.idByName(INJECTION, 'func') !== undefined
  const injectable = mayInject && name.startsWith(ERROR_INJECTION_PREFIX)
  if (sleepable && !injectable && !SLEEPABLE_FUNCTIONS.has(name)) {
    if (mayInject) return { unsupported: `whether ${name} may sleep: a sleepable program on it` }
    return refused(`${name} is not sleepable`)
  }
  if (
    attach === MODIFY_RETURN &&
    !sleepable &&
    !injectable &&
    !name.startsWith('security_') &&
    !MODIFIABLE_FUNCTIONS.has(name)
  ) {
    if (mayInject) return { unsupported: `whether the result of ${name} may be replaced` }
    return refused(`${name}() is not modifiable`)
  }
  if (DENIED_TARGETS.has(name)) return refused(`Attaching tracing programs to function '${name}' is rejected.`)
  if (NORETURN_TARGETS.has(name) && attach !== FENTRY)
    return refused(`Attaching fexit/fmod_ret to __noreturn function '${name}' is rejected.`)
  return { ...target, key: sleepable ? `${target.key}-sleepable` : target.key }
}

function structOpsTarget(image: ProgramImage, types: KernelTypes): TargetAnswer {
  const { btf } = types
  const named = image.attachTo?.name.split(/[./]/)
  const id = image.attachBtfId ?? (named === undefined ? undefined : btf.idByName(named[0], 'struct'))
  const type = id === undefined || !btf.has(id) ? undefined : btf.type(id)
  if (id === undefined) return { ...NO_TARGET, key: 'struct_ops-bpf_dummy_ops', refusal: '' }
  if (type?.kind !== 'struct') return { unsupported: 'a struct_ops program without its struct' }
  const index =
    image.attachBtfId === undefined && named?.[1] !== undefined
      ? type.members.findIndex((m) => m.name === named[1])
      : image.expectedAttachType
  const struct = type.name
  if (btf.idByName(`bpf_struct_ops_${struct}`, 'struct') === undefined) {
    const refusal = `attach_btf_id ${id} is not a supported struct`
    return { key: 'struct_ops-bpf_dummy_ops', name: '', params: [], returnType: 0, hidden: 0, struct, refusal }
  }
  if (!STRUCT_OPS.has(struct)) return { unsupported: `struct_ops of ${struct}` }
  const member = type.members[index]
  const empty = { key: `struct_ops-${struct}`, name: member?.name ?? '', params: [], returnType: 0, hidden: 0, struct }
  if (member === undefined) return { ...empty, refusal: `attach to invalid member idx ${index} of struct ${struct}` }
  const pointer = btf.type(btf.skipModifiers(member.type))
  const proto = pointer.kind === 'ptr' ? btf.type(btf.skipModifiers(pointer.type)) : undefined
  if (proto?.kind !== 'func_proto')
    return { ...empty, refusal: `attach to invalid member ${member.name}(@idx ${index}) of struct ${struct}` }
  const slept = SLEEPABLE_MEMBERS.get(struct)
  const refused =
    UNSUPPORTED_MEMBERS.has(`${struct}.${member.name}`) ||
    ((image.flags & SLEEPABLE) !== 0 && slept !== undefined && !slept.has(member.name))
  const stub = btf.idByName(`${struct}__${member.name}`, 'func')
  const stubType = stub === undefined ? undefined : btf.type(stub)
  const stubProto = stubType?.kind === 'func' ? btf.type(stubType.type) : undefined
  const names = stubProto?.kind === 'func_proto' ? stubProto.params : proto.params
  if (names.some((p) => p.name.endsWith('__ref'))) return { unsupported: 'struct_ops members with counted references' }
  return {
    key: member.name === 'release' && struct === 'tcp_congestion_ops' ? `${empty.key}-release` : empty.key,
    name: member.name,
    params: proto.params.map((p, i) => ({
      name: names[i]?.name.endsWith('__nullable') === true ? names[i].name : p.name,
      type: p.type,
    })),
    returnType: proto.returnType,
    hidden: 0,
    struct,
    member: member.name,
    ...(refused ? { refusal: `attach to unsupported member ${member.name} of struct ${struct}` } : {}),
  }
}
