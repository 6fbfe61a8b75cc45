/** The function that runs when a program throws, named by a tag of its main function (exception_callback of Linux 6.18). */
import { EINVAL, ENOENT, type Env } from '../state/env.ts'

const TAG = 'exception_callback:'
const EEXIST = 17
const GLOBAL = 1

/** First instruction of the exception callback; 0 without one. */
export function findExceptionCallback(env: Env): number {
  const { btf, image } = env
  const bytes = image.funcInfo
  if (btf === undefined || bytes === undefined || bytes.length < 8) return 0
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const main = view.getUint32(4, true)
  let name: string | undefined
  for (let id = 1; id < btf.endId; id++) {
    const type = btf.has(id) && btf.kind(id) === 'decl_tag' ? btf.type(id) : undefined
    if (type?.kind !== 'decl_tag' || type.type !== main || type.component !== -1 || !type.name.startsWith(TAG)) continue
    if (name !== undefined) env.reject('multiple exception callback tags for main subprog', EEXIST)
    name = type.name.slice(TAG.length)
  }
  if (name === undefined) return 0
  const id = btf.idByName(name, 'func')
  if (id === undefined) env.reject(`exception callback '${name}' could not be found in BTF`, ENOENT)
  const func = btf.type(id)
  if (func.kind !== 'func' || func.linkage !== GLOBAL)
    env.reject(`exception callback '${name}' must have global linkage`)
  let start = 0
  for (let at = 0; at + 8 <= view.byteLength; at += 8) {
    if (view.getUint32(at + 4, true) !== id) continue
    start = view.getUint32(at, true)
    if (start === 0) env.reject('invalid exception callback insn_off in func_info: 0', EINVAL)
  }
  return start
}
