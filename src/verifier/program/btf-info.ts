/** Function and line records of the program's own BTF (check_btf_info of Linux 6.18). */
import type { Env } from '../state/env.ts'

const LINKAGES = ['static', 'global'] as const

function records(bytes: Uint8Array | undefined, size: number): DataView | undefined {
  if (bytes === undefined || bytes.length < size) return undefined
  return new DataView(bytes.buffer, bytes.byteOffset, Math.floor(bytes.length / size) * size)
}

function abnormalReturn(env: Env): void {
  for (const subprogram of env.subprograms.slice(1)) {
    if (subprogram.hasLdAbs) env.reject('LD_ABS is not allowed in subprogs without BTF')
    if (subprogram.hasTailCall) env.reject('tail_call is not allowed in subprogs without BTF')
  }
}

/** The function records by themselves. */
export function checkBtfInfoEarly(env: Env): void {
  const view = records(env.image.funcInfo, 8)
  const btf = env.btf
  if (view === undefined || btf === undefined) return
  let previous = 0
  for (let at = 0; at < view.byteLength; at += 8) {
    const insn = view.getUint32(at, true)
    const type = view.getUint32(at + 4, true)
    if (at === 0 && insn !== 0) env.rejectUnended(`nonzero insn_off ${insn} for the first func info record`)
    if (at > 0 && insn <= previous)
      env.rejectUnended(`same or smaller insn offset (${insn}) than previous func info record (${previous})`)
    if (!btf.has(type) || btf.kind(type) !== 'func') env.rejectUnended(`invalid type id ${type} in func info`)
    previous = insn
  }
}

function returnsInt(env: Env, id: number): boolean {
  const btf = env.btf
  const func = btf?.type(id)
  if (btf === undefined || func?.kind !== 'func') return false
  const proto = btf.type(func.type)
  if (proto.kind !== 'func_proto') return false
  const result = btf.type(btf.skipModifiers(proto.returnType))
  return (result.kind === 'int' && result.size <= 8) || result.kind === 'enum' || result.kind === 'enum64'
}

/** The records against the subprograms. */
export function checkBtfInfo(env: Env): void {
  const view = records(env.image.funcInfo, 8)
  const btf = env.btf
  if (btf === undefined || (view === undefined && records(env.image.lineInfo, 16) === undefined)) {
    abnormalReturn(env)
    return
  }
  if (view === undefined) abnormalReturn(env)
  else checkFunctions(env, view)
  checkLines(env)
}

function checkFunctions(env: Env, view: DataView): void {
  const btf = env.btf
  if (btf === undefined) return
  if (view.byteLength / 8 !== env.subprograms.length)
    env.reject("number of funcs in func_info doesn't match number of subprogs")
  for (const [index, subprogram] of env.subprograms.entries()) {
    if (view.getUint32(index * 8, true) !== subprogram.start)
      env.reject("func_info BTF section doesn't match subprog layout in BPF program")
    const id = view.getUint32(index * 8 + 4, true)
    const func = btf.type(id)
    if (func.kind !== 'func') continue
    subprogram.btfType = id
    subprogram.name = func.name
    subprogram.linkage = LINKAGES[func.linkage] ?? 'static'
    if (index > 0 && !returnsInt(env, id)) {
      if (subprogram.hasLdAbs) env.reject("LD_ABS is only allowed in functions that return 'int'.")
      if (subprogram.hasTailCall) env.reject("tail_call is only allowed in functions that return 'int'.")
    }
  }
}

function checkLines(env: Env): void {
  const view = records(env.image.lineInfo, 16)
  const btf = env.btf
  if (view === undefined || btf === undefined) return
  const count = view.byteLength / 16
  const insnOf = (i: number) => view.getUint32(i * 16, true)
  let previous = 0
  let s = 0
  for (let i = 0; i < count; i++) {
    const insn = insnOf(i)
    if ((i > 0 && insn <= previous) || insn >= env.code.length)
      env.reject(`Invalid line_info[${i}].insn_off:${insn} (prev_offset:${previous} prog->len:${env.code.length})`)
    if (env.code.op[insn] === 0) env.reject(`Invalid insn code at line_info[${i}].insn_off`)
    if (!hasString(env, view.getUint32(i * 16 + 8, true)) || !hasString(env, view.getUint32(i * 16 + 4, true)))
      env.reject(`Invalid line_info[${i}].line_off or .file_name_off`)
    const subprogram = env.subprograms[s]
    if (subprogram !== undefined) {
      if (insn === subprogram.start) s++
      else if (subprogram.start < insn) env.reject(`missing bpf_line_info for func#${s}`)
    }
    previous = insn
  }
  if (s !== env.subprograms.length)
    env.reject(`missing bpf_line_info for ${env.subprograms.length - s} funcs starting from func#${s}`)
  env.lines = {
    at(insn) {
      let low = 0
      let high = count - 1
      if (insnOf(0) > insn) return -1
      while (low < high) {
        const middle = (low + high + 1) >> 1
        if (insnOf(middle) <= insn) low = middle
        else high = middle - 1
      }
      return low
    },
    file: (record) => btf.string(view.getUint32(record * 16 + 4, true)),
    text: (record) => btf.string(view.getUint32(record * 16 + 8, true)),
    line: (record) => view.getUint32(record * 16 + 12, true) >>> 10,
  }
}

function hasString(env: Env, offset: number): boolean {
  try {
    env.btf?.string(offset)
    return true
  } catch {
    return false
  }
}
