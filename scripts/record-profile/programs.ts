import { ATTACH_TYPES, HELPER_NAMES, PROGRAM_FLAGS, PROGRAM_TYPES, type ProgramType } from '../../src/uapi/index.ts'
import { type RecordedContext, recordContext, refusal } from './context.ts'
import { insn, probe, type Target } from './probe.ts'

const EXIT = insn(0x95, 0, 0, 0, 0)
const GET_PRANDOM_U32 = 7

export interface RecordedProgram {
  readonly type: string
  readonly attachType: number
  readonly sleepable?: true
  /** Helpers that this program may name, by name; the argument checks came after. */
  readonly helpers: readonly string[]
  /** Helpers refused to a program without a GPL-compatible licence. */
  readonly gplOnly: readonly string[]
  /** Helpers known to this type but not allowed here (bpf_func_proto.allowed): name and words. */
  readonly conditional: Readonly<Record<string, string>>
  readonly returns: readonly [minimum: number, maximum: number] | null | string
  readonly context: RecordedContext
}

const ENOTSUPP = 524
const REFUSED = /unknown func|invalid func|program of this type cannot use helper/

export function helpersOf(target: Target): Pick<RecordedProgram, 'helpers' | 'gplOnly' | 'conditional'> {
  const helpers: string[] = []
  const gplOnly: string[] = []
  const conditional: Record<string, string> = {}
  for (let id = 1; id < HELPER_NAMES.length; id++) {
    const program = [insn(0x85, 0, 0, 0, id), EXIT]
    const { log } = probe(target, program, { logLevel: 1 })
    if (REFUSED.test(log)) continue
    helpers.push(HELPER_NAMES[id])
    const words = refusal(log) ?? ''
    if (/not allowed in probe/.test(words)) conditional[HELPER_NAMES[id]] = words
    if (/GPL-restricted/.test(probe(target, program, { logLevel: 1, license: 'X' }).log)) gplOnly.push(HELPER_NAMES[id])
  }
  return { helpers, gplOnly, conditional }
}

function returnsOf(target: Target): RecordedProgram['returns'] {
  const answer = probe(target, [insn(0x85, 0, 0, 0, GET_PRANDOM_U32), EXIT], { logLevel: 1 })
  if (answer.result === 0) return null
  const range = /should have been in \[(-?\d+), (-?\d+)\]/.exec(answer.log)
  if (range !== null) return [Number(range[1]), Number(range[2])]
  return refusal(answer.log) ?? `errno ${-answer.result}`
}

/** Refusals of a program that names no attach target: what it may do depends on the target, so nothing is recorded. */
const NEEDS_TARGET = /must provide btf_id|struct ops|attach_btf_id/i

/**
 * 'loads', 'denied' (policy: EPERM without a word), 'invalid' (the attributes) or 'target' (only with an attach target),
 * for one type and attach type.
 */
export function loads(target: Target): 'loads' | 'denied' | 'invalid' | 'target' {
  for (const value of [0, 1]) {
    const answer = probe(target, [insn(0xb7, 0, 0, 0, value), EXIT])
    if (answer.result === 0) return 'loads'
    if (NEEDS_TARGET.test(answer.log) || answer.result === -ENOTSUPP) return 'target'
    if (answer.log === '') return answer.result === -1 ? 'denied' : 'invalid'
  }
  return 'loads'
}

/** Attach types that change what a type of the second kind (any attach type loads) may do. */
const ATTACH_TYPES_THAT_MATTER: Readonly<Partial<Record<ProgramType, readonly (keyof typeof ATTACH_TYPES)[]>>> = {
  kprobe: ['trace_kprobe_multi', 'trace_uprobe_multi', 'trace_kprobe_session', 'trace_uprobe_session'],
  xdp: ['xdp_devmap', 'xdp_cpumap', 'xdp'],
  sched_cls: ['tcx_ingress', 'tcx_egress', 'netkit_primary', 'netkit_peer'],
  sock_ops: ['cgroup_sock_ops'],
  flow_dissector: ['flow_dissector'],
  cgroup_device: ['cgroup_device'],
  cgroup_sysctl: ['cgroup_sysctl'],
}

export function recordProgram(target: Target, type: string): RecordedProgram {
  return {
    type,
    attachType: target.attachType,
    ...((target.flags ?? 0) & PROGRAM_FLAGS.sleepable ? { sleepable: true as const } : {}),
    ...helpersOf(target),
    returns: returnsOf(target),
    context: recordContext(target),
  }
}

/** Every program type and attach type that this kernel loads. */
export function recordPrograms(progress: (text: string) => void): {
  readonly programs: RecordedProgram[]
  readonly denied: string[]
  readonly invalid: string[]
  readonly needTarget: string[]
  readonly attachTypes: Record<string, readonly number[] | 'any'>
} {
  const programs: RecordedProgram[] = []
  const denied: string[] = []
  const invalid: string[] = []
  const needTarget: string[] = []
  const attachTypes: Record<string, readonly number[] | 'any'> = {}
  const numbers = Object.values(ATTACH_TYPES)
  for (const [type, number] of Object.entries(PROGRAM_TYPES) as [ProgramType, number][]) {
    if (number === 0) continue
    progress(type)
    const flagSets =
      type === 'syscall' ? [PROGRAM_FLAGS.sleepable] : type === 'kprobe' ? [0, PROGRAM_FLAGS.sleepable] : [0]
    const answers = numbers.map((attachType) => loads({ type: number, attachType, flags: flagSets[0] }))
    const accepted = numbers.filter((_, i) => answers[i] === 'loads')
    if (accepted.length === 0) {
      if (answers.includes('target')) needTarget.push(type)
      else if (answers.includes('denied')) denied.push(type)
      else invalid.push(type)
      continue
    }
    const any = accepted.length === numbers.length
    attachTypes[type] = any ? 'any' : accepted
    const wanted = any ? [0, ...(ATTACH_TYPES_THAT_MATTER[type] ?? []).map((name) => ATTACH_TYPES[name])] : accepted
    for (const attachType of wanted)
      for (const flags of flagSets) programs.push(recordProgram({ type: number, attachType, flags }, type))
  }
  return { programs, denied, invalid, needTarget, attachTypes }
}
