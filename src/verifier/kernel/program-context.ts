/** What a program type's context is: its struct as programs name it, and the kernel's own that it stands for. */
import type { Btf } from '../../btf/index.ts'
import { PROGRAM_TYPES, programTypeName } from '../../uapi/index.ts'
import type { KernelTypes } from './kernel-types.ts'

/** The context's struct as BTF names it, by program type. */
const CONTEXT_STRUCTS: Readonly<Record<number, string>> = {
  1: '__sk_buff',
  3: '__sk_buff',
  4: '__sk_buff',
  6: 'xdp_md',
  7: 'bpf_perf_event_data',
  8: '__sk_buff',
  9: 'bpf_sock',
  10: '__sk_buff',
  11: '__sk_buff',
  12: '__sk_buff',
  13: 'bpf_sock_ops',
  14: '__sk_buff',
  15: 'bpf_cgroup_dev_ctx',
  16: 'sk_msg_md',
  17: 'bpf_raw_tracepoint_args',
  18: 'bpf_sock_addr',
  19: '__sk_buff',
  21: 'sk_reuseport_md',
  22: '__sk_buff',
  23: 'bpf_sysctl',
  24: 'bpf_raw_tracepoint_args',
  25: 'bpf_sockopt',
  30: 'bpf_sk_lookup',
  32: 'bpf_nf_ctx',
}
const KPROBE = PROGRAM_TYPES.kprobe

/** The type behind a pointer is the context of programs of a type (btf_is_prog_ctx_type). */
export function isContextType(btf: Btf, pointee: number, programType: number): boolean {
  let id = pointee
  for (let hops = 0; hops < 32 && id !== 0; hops++) {
    const type = btf.type(id)
    if (type.kind === 'typedef' && programType === KPROBE && type.name === 'bpf_user_pt_regs_t') return true
    if (type.kind === 'struct') {
      if (programType === KPROBE && type.name === 'bpf_user_pt_regs_t') return true
      const wanted = programType === KPROBE ? 'pt_regs' : CONTEXT_STRUCTS[programType]
      return type.name === wanted || (wanted !== undefined && type.name.startsWith(`${wanted}___`))
    }
    if (!('type' in type) || type.kind === 'ptr' || type.kind === 'array') return false
    id = type.type
  }
  return false
}

/**
 * The kernel's type that the context of a program type stands for (get_kern_ctx_btf_id), 0 for none; undefined where the
 * kernel's BTF does not tell.
 */
export function contextObject(types: KernelTypes, programType: number): number | undefined {
  const table = types.struct('bpf_ctx_convert')
  const pairs = table === undefined ? undefined : types.btf.type(table)
  const name = programTypeName(programType)?.toUpperCase()
  if (pairs?.kind !== 'struct' || name === undefined) return undefined
  return pairs.members.find((member) => member.name === `BPF_PROG_TYPE_${name}_kern`)?.type
}
