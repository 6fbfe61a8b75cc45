import type { Btf } from '../btf/index.ts'
import { NegativeError, SystemError, UsageError } from '../errors/index.ts'
import { bpf, type MapInfo, mapInfo, type OwnedFd, objectIds, openById, realSys, type Sys } from '../syscall/index.ts'
import { MAP_TYPES } from '../uapi/index.ts'
import { btfValue } from './objects/btf-value.ts'
import { type Json, toJson } from './objects/json.ts'
import { liveBtf } from './objects/live-btf.ts'
import { mapOf } from './objects/live-map.ts'
import { printJson } from './objects/options.ts'
import { namedProgram } from './objects/program-name.ts'
import { fullWord, selectOne } from './objects/select.ts'
import { prototypeText } from './objects/signature.ts'
import type { Context } from './words/noun.ts'
import { print } from './words/output.ts'

const PREFIX = 'bpf_struct_ops_'

function kernelTypes(sys: Sys): Btf {
  const btf = liveBtf(sys, 1)
  if (btf === undefined)
    throw new SystemError('struct-ops.btf', 'struct_ops need a kernel with BTF (CONFIG_DEBUG_INFO_BTF)')
  return btf
}

/** The kernel's struct that a map implements, without the wrapper's prefix. */
function structName(btf: Btf, info: MapInfo): string {
  const id = info.btf_vmlinux_value_type_id
  const name = id !== 0 && btf.has(id) ? btf.name(id) : ''
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name
}

/** Uses each struct_ops map that the words name (all without words), one after the other; how many there were. */
function each(sys: Sys, words: readonly string[], use: (fd: OwnedFd, info: MapInfo) => void): number {
  if (words.length > 0 && fullWord(words[0], ['id', 'name']) === 'id') {
    const { fd: owned, rest } = selectOne(sys, 'map', words)
    using fd = owned
    const info = mapInfo(sys, fd.fd)
    if (info.type !== MAP_TYPES.struct_ops)
      throw new NegativeError('struct-ops.type', `map ${info.id} ${info.name} is no struct_ops map`)
    if (rest.length > 0) throw new UsageError('cli.words', `nothing is expected behind the map: ${rest.join(' ')}`)
    use(fd, info)
    return 1
  }
  if (words.length > 0 && (words.length !== 2 || fullWord(words[0], ['id', 'name']) !== 'name'))
    throw new UsageError('cli.words', `expected id ID or name NAME, got ${JSON.stringify(words.join(' '))}`)
  let count = 0
  for (const id of objectIds(sys, 'map')) {
    using fd = openById(sys, 'map', id)
    if (fd === undefined) continue
    const info = mapInfo(sys, fd.fd)
    if (info.type !== MAP_TYPES.struct_ops || (words.length > 0 && info.name !== words[1].slice(0, 15))) continue
    use(fd, info)
    count++
  }
  if (count === 0 && words.length > 0)
    throw new NegativeError('cli.not-found', `there is no struct_ops map with name ${words[1]}`)
  return count
}

/** `struct_ops show [id ID|name NAME]`. */
export function show(words: readonly string[], context: Context): void {
  const sys = realSys()
  const btf = kernelTypes(sys)
  const rows: Json[] = []
  let text = ''
  each(sys, words, (_fd, info) => {
    const struct = structName(btf, info)
    rows.push({ id: info.id, name: info.name, kernel_struct_ops: struct })
    text += `${info.id}: ${info.name.padEnd(15)} ${struct.padEnd(32)}\n`
  })
  if (context.json === true) printJson(rows, context)
  else print(text)
}

/** BPF_OBJ_GET_INFO_BY_FD with room for all that this kernel knows. */
function rawMapInfo(sys: Sys, fd: OwnedFd, size: number): DataView {
  using block = sys.alloc(size)
  bpf(sys, 'obj_get_info_by_fd', { bpf_fd: fd.fd, info_len: size, info: block.address })
  return new DataView(block.bytes.slice(0, size).buffer)
}

/** The kernel's own struct bpf_map_info with its members by name. */
function mapInfoValue(btf: Btf, sys: Sys, fd: OwnedFd, plain: boolean): Json {
  const id = btf.idByName('bpf_map_info', 'struct')
  const size = id === undefined ? undefined : btf.sizeOf(id)
  if (id === undefined || size === undefined) return null
  return btfValue(btf, id, rawMapInfo(sys, fd, size), plain)
}

/** `struct_ops dump [id ID|name NAME]`: members by the kernel's types, programs by name and id. */
export function dump(words: readonly string[], context: Context): void {
  const sys = realSys()
  const btf = kernelTypes(sys)
  const plain = context.json !== true
  const documents: Json[] = []
  each(sys, words, (owned, info) => {
    const head = mapInfoValue(btf, sys, owned, plain)
    using map = mapOf(sys, owned)
    const value = map.lookup(new Uint8Array(4))
    if (value === undefined) return
    const view = new DataView(value.buffer, value.byteOffset, value.byteLength)
    // where the struct has a function, the value is the program's id
    const pointer = (targetId: number, address: bigint): string | undefined => {
      const prototype = prototypeText(btf, targetId)
      if (prototype === undefined) return undefined
      if (address === 0n) return `${prototype} 0`
      const program = namedProgram(sys, Number(address))
      return `${prototype} ${program?.fullName ?? '<unknown_prog_name>'}/prog_id:${address}`
    }
    documents.push(
      { bpf_map_info: head },
      {
        [`${PREFIX}${structName(btf, info)}`]: btfValue(btf, info.btf_vmlinux_value_type_id, view, plain, pointer),
      },
    )
  })
  if (context.json === true) printJson(documents, context)
  else if (documents.length > 0) print(`${toJson(documents, true)}\n`)
}

/** `struct_ops unregister id ID|name NAME`: of maps without a link. */
export function unregister(words: readonly string[], context: Context): void {
  if (words.length === 0) throw new UsageError('cli.words', 'which struct_ops? id ID or name NAME')
  const sys = realSys()
  const btf = kernelTypes(sys)
  each(sys, words, (owned, info) => {
    using map = mapOf(sys, owned)
    try {
      if (!map.delete(new Uint8Array(4)))
        throw new NegativeError('struct-ops.idle', `${info.name} id ${info.id} is not in force`)
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      throw new SystemError(error.code, `${info.name} id ${info.id}: ${error.message}`, {
        errno: error.errno,
        details: ['a struct_ops that a link holds is taken out of force by detaching the link'],
      })
    }
    if (context.json !== true)
      process.stderr.write(`Unregistered ${structName(btf, info)} ${info.name} id ${info.id}\n`)
  })
  if (context.json === true) print('null\n')
}
