import type { Instruction } from '../asm/index.ts'
import type { AttachSpec } from './attach.ts'

/**
 * A function: its instructions with references by name. Type ids are of the BTF of the object (or contribution) it is in.
 *
 * Jumps carry either a `label` reference to a label of the same list or a resolved slot-relative `offset`. Calls of other
 * functions carry a `function` reference (src = PSEUDO_CALL.local; ld_imm64 with PSEUDO_LD.func for callbacks): it names a
 * `functionStart` label of the same list or a {@link FunctionSpec} of the object. Map loads carry `map` or `mapValue`
 * references, kfunc calls `kfunc`, kernel symbols `ksym`, configuration values `kconfig`.
 */
export interface FunctionSpec {
  /** The symbol's name, unique among the functions and programs of an object. */
  readonly name: string
  readonly instructions: readonly Instruction[]
  /** `global` functions are verified on their own by the kernel (5.6); programs are global. */
  readonly linkage: 'static' | 'global' | 'weak'
  /** The BTF FUNC with its prototype; absent: none is known. */
  readonly typeId?: number
}

/** What a program attaches to by BTF name: a kernel function, tracepoint, LSM hook, iterator, struct_ops member. */
export interface AttachTarget {
  readonly name: string
  /** The kernel module that has it; absent: searched in vmlinux, then in all modules. */
  readonly module?: string
}

/** A program as data: the entry function plus what BPF_PROG_LOAD needs. Immutable. */
export interface ProgramSpec extends FunctionSpec {
  /** The ELF section's name in libbpf's convention ("xdp", "tracepoint/sched/sched_switch"). */
  readonly section: string
  /** enum bpf_prog_type; 0 when the section's name does not tell it. */
  readonly type: number
  /** enum bpf_attach_type. */
  readonly expectedAttachType: number
  /** BPF_F_* of BPF_PROG_LOAD. */
  readonly flags: number
  readonly attachTo?: AttachTarget
  /** The global function that runs when the program throws (bpf_throw, Linux 6.7): linked in though nothing calls it. */
  readonly exceptionCallback?: string
  /** Where libbpf would attach it by itself; absent: only by hand. */
  readonly attach?: AttachSpec
  /** False for sections such as "?xdp": not loaded unless asked for. */
  readonly autoload?: boolean
}
