import type { ProgramInfo } from '../../syscall/index.ts'
import { programTypeName } from '../../uapi/index.ts'
import type { Json } from '../objects/json.ts'

/** What bpftool says first of a program, in a listing and above each of several dumps. */
export function headJson(info: ProgramInfo, name: string): { readonly [key: string]: Json } {
  const counted = info.runTimeNs > 0n
  return {
    id: info.id,
    type: programTypeName(info.type) ?? info.type,
    name: name === '' ? undefined : name,
    tag: info.tag,
    gpl_compatible: info.gplCompatible,
    run_time_ns: counted ? info.runTimeNs : undefined,
    run_cnt: counted ? info.runCount : undefined,
    recursion_misses: info.recursionMisses > 0n ? info.recursionMisses : undefined,
  }
}

/** The same as a line of text. */
export function headText(info: ProgramInfo, name: string): string {
  const type = programTypeName(info.type) ?? `type ${info.type}`
  let out = `${info.id}: ${type}  ${name === '' ? '' : `name ${name}  `}tag ${info.tag}${info.gplCompatible ? '  gpl' : ''}`
  if (info.runTimeNs > 0n) out += ` run_time_ns ${info.runTimeNs} run_cnt ${info.runCount}`
  if (info.recursionMisses > 0n) out += ` recursion_misses ${info.recursionMisses}`
  return `${out}\n`
}
