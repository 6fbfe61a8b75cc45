/** Prototypes of kernel functions from the kernel's BTF, and what the names of their parameters promise. */

import { PSEUDO_KFUNC_CALL } from '../program/program.ts'
import type { Env } from '../state/env.ts'
import { ITER_DESTROY, ITER_NEW, ITER_NEXT, kfuncFlags } from '../tables/kfuncs.ts'
import { KERNEL_OBJECT } from './kernel-types.ts'

/** Answered by a device's driver: only programs that are loaded for one device may ask. */
const METADATA: ReadonlySet<string> = new Set([
  'bpf_xdp_metadata_rx_timestamp',
  'bpf_xdp_metadata_rx_hash',
  'bpf_xdp_metadata_rx_vlan_tag',
])

export interface Kfunc {
  readonly id: number
  readonly name: string
  /** Flags of tables/kfuncs.ts. */
  readonly flags: number
  readonly params: readonly { readonly name: string; readonly type: number }[]
  readonly returnType: number
  /** This program may call it. */
  readonly allowed: boolean
}

/** The kernel function that an instruction calls; undefined for other instructions. */
export function kfuncAt(env: Env, insn: number): Kfunc | undefined {
  const { code } = env
  if (code.op[insn] !== 0x85 || code.src[insn] !== PSEUDO_KFUNC_CALL || code.imm[insn] === 0) return undefined
  return env.kfuncs.get(code.imm[insn])
}

/** Reads a kernel function's prototype when the program is loaded (add_kfunc_call). */
export function addKfunc(env: Env, insn: number): void {
  const id = env.code.imm[insn]
  if (env.code.off[insn] !== 0) env.unmodelled('kernel functions of modules')
  if (env.kfuncs.has(id)) return
  const types = env.typesOf(KERNEL_OBJECT)
  if (types === undefined) env.unmodelled("kernel function calls without the kernel's BTF")
  const { btf } = types
  const func = btf.has(id) && id > 0 ? btf.type(id) : undefined
  if (func === undefined || func.kind !== 'func') env.reject(`kernel btf_id ${id >>> 0} is not a function`)
  const proto = btf.type(func.type)
  if (proto.kind !== 'func_proto') env.reject(`kernel function btf_id ${id} does not have a valid func_proto`)
  const allowed = env.tables.mayCallKfunc(env.facts, func.name)
  const flags = kfuncFlags(func.name)
  if (METADATA.has(func.name)) env.reject('metadata kfuncs require device-bound program')
  if (allowed === undefined) env.unmodelled('the kernel functions of programs of this type')
  env.kfuncs.set(id, {
    id,
    name: func.name,
    flags: flags ?? 0,
    params: proto.params,
    returnType: proto.returnType,
    allowed,
  })
  if (allowed && flags === undefined) env.unknownKfuncs.add(id)
}

export function isIterator(kfunc: Kfunc): boolean {
  return (kfunc.flags & (ITER_NEW | ITER_NEXT | ITER_DESTROY)) !== 0
}
