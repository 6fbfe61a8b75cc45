import { openById, type ProgramInfo, programDetails, programInfo, type Sys } from '../../syscall/index.ts'
import { liveBtf } from './live-btf.ts'

/** A program's info with its whole name: the kernel keeps 15 bytes, BTF has the rest. undefined when it is gone. */
export function namedProgram(sys: Sys, id: number): (ProgramInfo & { readonly fullName: string }) | undefined {
  using fd = openById(sys, 'program', id)
  if (fd === undefined) return undefined
  const info = programInfo(sys, fd.fd)
  if (info.name.length < 15 || info.btfId === 0) return { ...info, fullName: info.name }
  const { funcInfo } = programDetails(sys, fd.fd)
  const func = funcInfo.length === 0 ? undefined : liveBtf(sys, info.btfId)?.type(funcInfo[0].typeId)
  return { ...info, fullName: func?.kind === 'func' && func.name.startsWith(info.name) ? func.name : info.name }
}
