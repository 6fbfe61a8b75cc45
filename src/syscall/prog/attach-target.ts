import { Btf, type BtfKind } from '../../btf/index.ts'
import { UsageError } from '../../errors/index.ts'
import type { ProgramImage } from '../../spec/index.ts'
import { ATTACH_TYPES, PROGRAM_TYPES } from '../../uapi/index.ts'
import { btfBytes, programInfo } from '../inspect/info.ts'
import { openById } from '../inspect/objects.ts'
import type { Sys } from '../sys/sys.ts'
import { kernelBtf } from './kernel-btf.ts'

/** How an attach target's name is spelled in the kernel's BTF: by attach type for tracing, else by program type. */
interface Spelling {
  readonly kind: BtfKind
  readonly prefix: string
}
const FUNCTION: Spelling = { kind: 'func', prefix: '' }
const BY_ATTACH_TYPE: Readonly<Record<number, Spelling>> = {
  [ATTACH_TYPES.trace_raw_tp]: { kind: 'typedef', prefix: 'btf_trace_' },
  [ATTACH_TYPES.trace_iter]: { kind: 'func', prefix: 'bpf_iter_' },
}
const BY_PROGRAM_TYPE: Readonly<Record<number, Spelling>> = {
  [PROGRAM_TYPES.lsm]: { kind: 'func', prefix: 'bpf_lsm_' },
  [PROGRAM_TYPES.struct_ops]: { kind: 'struct', prefix: '' },
}

export interface AttachTarget {
  readonly btfId: number
  /** The module whose BTF has the id, undefined for the kernel itself. */
  readonly module?: string
  /** Of a struct_ops member: its index, which takes the place of the attach type. */
  readonly memberIndex?: number
}

function find(types: Btf, image: ProgramImage, name: string): AttachTarget | undefined {
  const spelling =
    BY_PROGRAM_TYPE[image.type] ??
    (image.type === PROGRAM_TYPES.tracing ? BY_ATTACH_TYPE[image.expectedAttachType] : undefined) ??
    FUNCTION
  if (spelling.kind !== 'struct') {
    const btfId = types.idByName(spelling.prefix + name, spelling.kind)
    return btfId === undefined ? undefined : { btfId }
  }
  const [struct, member] = name.split(/[./]/)
  const btfId = types.idByName(struct, 'struct')
  if (btfId === undefined) return undefined
  if (member === undefined) return { btfId }
  const index = types.find(struct, 'struct')?.members.findIndex(({ name: own }) => own === member) ?? -1
  return index < 0 ? undefined : { btfId, memberIndex: index }
}

/**
 * The BTF id of a function in another program: what freplace, and fentry and fexit of programs, attach to.
 * @throws UsageError `load.attach-target` when the program has no BTF or no such function
 */
export function programFunctionId(sys: Sys, programFd: number, name: string): number {
  const { btfId, id } = programInfo(sys, programFd)
  using btf = btfId === 0 ? undefined : openById(sys, 'btf', btfId)
  if (btf === undefined)
    throw new UsageError('load.attach-target', `program ${id} has no BTF: its functions cannot be attached to`)
  const found = new Btf(btfBytes(sys, btf.fd), { what: `BTF of program ${id}` }).idByName(name, 'func')
  if (found === undefined)
    throw new UsageError('load.attach-target', `program ${id} has no function ${JSON.stringify(name)}`)
  return found
}

/**
 * The BTF id that a program's `attachTo` names: in the kernel, a module, or another program.
 * @throws UsageError `load.attach-target` when there is no such function, tracepoint, hook or iterator
 */
export function resolveAttachTarget(image: ProgramImage, sys: Sys): AttachTarget | undefined {
  const wanted = image.attachTo
  if (image.attachBtfId !== undefined) return { btfId: image.attachBtfId }
  if (wanted === undefined) return undefined
  if (wanted.programFd !== undefined) return { btfId: programFunctionId(sys, wanted.programFd, wanted.name) }
  const types = kernelBtf(wanted.module)
  if (types === undefined)
    throw new UsageError('load.no-btf', `the running kernel has no BTF for ${wanted.module ?? 'vmlinux'}`)
  const target = find(types, image, wanted.name)
  if (target === undefined)
    throw new UsageError('load.attach-target', `the running kernel has no attach target ${JSON.stringify(wanted.name)}`)
  return wanted.module === undefined ? target : { ...target, module: wanted.module }
}
