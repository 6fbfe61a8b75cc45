import type { Btf } from '../../btf/index.ts'
import {
  openById,
  type ProgramDetails,
  type ProgramInfo,
  programDetails,
  programInfo,
  type Sys,
} from '../../syscall/index.ts'
import { liveBtf } from './live-btf.ts'

/** A program's whole name: the kernel keeps 15 bytes, BTF has the rest. */
export function fullName({ name, funcInfo }: ProgramDetails, btf: Btf | undefined): string {
  if (name.length < 15 || funcInfo.length === 0) return name
  const func = btf?.type(funcInfo[0].typeId)
  return func?.kind === 'func' && func.name.startsWith(name) ? func.name : name
}

/** A program's info with its whole name. undefined when it is gone. */
export function namedProgram(sys: Sys, id: number): (ProgramInfo & { readonly fullName: string }) | undefined {
  using fd = openById(sys, 'program', id)
  if (fd === undefined) return undefined
  const info = programInfo(sys, fd.fd)
  if (info.name.length < 15 || info.btfId === 0) return { ...info, fullName: info.name }
  return { ...info, fullName: fullName(programDetails(sys, fd.fd), liveBtf(sys, info.btfId)) }
}
