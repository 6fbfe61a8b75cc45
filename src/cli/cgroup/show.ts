import { closeSync, constants, type Dirent, lstatSync, openSync, readdirSync, readFileSync, statfsSync } from 'node:fs'
import { BpfError, SystemError, UsageError } from '../../errors/index.ts'
import { queryAttached, realSys, type Sys } from '../../syscall/index.ts'
import { ATTACH_TYPES, type AttachType } from '../../uapi/index.ts'
import type { Json } from '../objects/json.ts'
import { liveBtf } from '../objects/live-btf.ts'
import { printJson } from '../objects/options.ts'
import { namedProgram } from '../objects/program-name.ts'
import { fullWord } from '../objects/select.ts'
import { readFailure } from '../read-input.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

/** Attach types of cgroups, in the order of the listing. */
export const CGROUP_TYPES = [
  'cgroup_inet_ingress',
  'cgroup_inet_egress',
  'cgroup_inet_sock_create',
  'cgroup_inet_sock_release',
  'cgroup_inet4_bind',
  'cgroup_inet6_bind',
  'cgroup_inet4_post_bind',
  'cgroup_inet6_post_bind',
  'cgroup_inet4_connect',
  'cgroup_inet6_connect',
  'cgroup_unix_connect',
  'cgroup_inet4_getpeername',
  'cgroup_inet6_getpeername',
  'cgroup_unix_getpeername',
  'cgroup_inet4_getsockname',
  'cgroup_inet6_getsockname',
  'cgroup_unix_getsockname',
  'cgroup_udp4_sendmsg',
  'cgroup_udp6_sendmsg',
  'cgroup_unix_sendmsg',
  'cgroup_udp4_recvmsg',
  'cgroup_udp6_recvmsg',
  'cgroup_unix_recvmsg',
  'cgroup_sock_ops',
  'cgroup_device',
  'cgroup_sysctl',
  'cgroup_getsockopt',
  'cgroup_setsockopt',
  'lsm_cgroup',
] as const satisfies readonly AttachType[]

interface Attached {
  readonly id: number
  readonly type: AttachType
  /** undefined for effective lists, which have none. */
  readonly flags: string | undefined
  readonly name: string
  readonly btfName: string | undefined
  readonly btfObject: number
  readonly btfId: number
}

function flagText(flags: number): string {
  if (flags === 0) return ''
  return flags === 1 ? 'override' : flags === 2 ? 'multi' : `unknown(${flags.toString(16)})`
}

const EINVAL = 22

/** What one cgroup has, type by type; kernels without a type are asked no further about it. */
function attachedTo(sys: Sys, fd: number, path: string, effective: boolean): Attached[] {
  const rows: Attached[] = []
  let known = false
  let refusal: SystemError | undefined
  for (const type of CGROUP_TYPES) {
    let answer: ReturnType<typeof queryAttached>
    try {
      answer = queryAttached(sys, fd, ATTACH_TYPES[type], { effective })
    } catch (error) {
      if (!(error instanceof SystemError)) throw error
      refusal ??= error
      if (error.errno === EINVAL) continue
      throw new SystemError(error.code, `${path}: ${error.message}`, { errno: error.errno, details: error.details })
    }
    known = true
    for (const { programId, flags } of answer.programs) {
      const program = namedProgram(sys, programId)
      if (program === undefined) continue
      rows.push({
        id: programId,
        type,
        flags: effective ? undefined : flagText(flags || answer.flags),
        name: program.fullName,
        // type 0 is void: it has no name, and is told as such
        btfName: program.attachBtfId === 0 ? '' : hookName(sys, program.attachBtfObjId, program.attachBtfId),
        btfObject: program.attachBtfObjId,
        btfId: program.attachBtfId,
      })
    }
  }
  if (!known && refusal !== undefined) throw refusal
  return rows
}

const hookName = (sys: Sys, object: number, id: number): string | undefined => {
  try {
    return liveBtf(sys, object)?.name(id)
  } catch (error) {
    if (error instanceof BpfError) return undefined
    throw error
  }
}

const rowJson = ({ id, type, flags, name, btfName, btfObject, btfId }: Attached): Json => ({
  id,
  attach_type: type,
  attach_flags: flags,
  name,
  attach_btf_name: btfName,
  attach_btf_obj_id: btfObject,
  attach_btf_id: btfId,
})

function rowText({ id, type, flags, name, btfName, btfObject, btfId }: Attached, indent: string): string {
  const hook =
    btfName !== undefined
      ? ` ${btfName.padEnd(15)}`
      : btfId !== 0
        ? ` attach_btf_obj_id=${btfObject} attach_btf_id=${btfId}`
        : ''
  return `${indent}${String(id).padEnd(8)} ${type.padEnd(15)}${flags === undefined ? '' : ` ${flags.padEnd(15)}`} ${name.padEnd(15)}${hook}\n`
}

const heading = (effective: boolean): string =>
  `${['ID      ', 'AttachType     ', ...(effective ? [] : ['AttachFlags    ']), 'Name           '].join(' ')}\n`

function isEffective(words: readonly string[]): boolean {
  if (words.length > 1)
    throw new UsageError('cli.words', `nothing is expected behind 'effective': ${words.slice(1).join(' ')}`)
  if (words.length === 1 && fullWord(words[0], ['effective']) === undefined)
    throw new UsageError('cli.words', `expected effective, got ${JSON.stringify(words[0])}`)
  return words.length === 1
}

const CGROUP2_MAGIC = 0x63677270

/** @throws UsageError `cgroup.path` */
export function openCgroup(path: string): number {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY)
  } catch (cause) {
    throw new UsageError('cgroup.path', `cgroup ${path}: ${readFailure(cause)}`, { cause })
  }
  if (statfsSync(path).type === CGROUP2_MAGIC) return fd
  closeSync(fd)
  throw new UsageError('cgroup.path', `${path} is no cgroup: no folder of the cgroup2 file system`)
}

/** `cgroup show CGROUP [effective]`. */
export function show(words: readonly string[], context: Context): void {
  const [path, ...rest] = words
  if (path === undefined) throw new UsageError('cli.words', 'which cgroup? A path is needed')
  const effective = isEffective(rest)
  const sys = realSys()
  const fd = openCgroup(path)
  try {
    const rows = attachedTo(sys, fd, path, effective)
    if (context.json === true) printJson(rows.map(rowJson), context)
    else if (rows.length > 0) print(heading(effective) + rows.map((row) => rowText(row, '')).join(''))
  } finally {
    closeSync(fd)
  }
}

function cgroupRoot(): string {
  for (const line of readFileSync('/proc/mounts', 'utf8').split('\n')) {
    const [, path, type] = line.split(' ')
    if (type === 'cgroup2') return path
  }
  throw new SystemError('cgroup.none', 'cgroup v2 is not mounted')
}

/** The folder and all below it on the same file system. */
function* cgroupsBelow(path: string, device: number): Generator<string> {
  yield path
  let entries: Dirent[]
  try {
    entries = readdirSync(path, { withFileTypes: true })
  } catch {
    return // it was removed meanwhile
  }
  for (const entry of entries) {
    if (!entry.isDirectory()) continue
    const child = `${path === '/' ? '' : path}/${entry.name}`
    if (lstatSync(child, { throwIfNoEntry: false })?.dev === device) yield* cgroupsBelow(child, device)
  }
}

/** `cgroup tree [ROOT] [effective]`. */
export function tree(words: readonly string[], context: Context): void {
  const root = words[0] ?? cgroupRoot()
  const effective = isEffective(words.slice(1))
  const sys = realSys()
  closeSync(openCgroup(root))
  const documents: Json[] = []
  let text = `CgroupPath\n${heading(effective)}`
  for (const path of cgroupsBelow(root, lstatSync(root).dev)) {
    let fd: number
    try {
      fd = openCgroup(path)
    } catch (error) {
      if (path === root) throw error
      continue // it was removed meanwhile
    }
    try {
      const rows = attachedTo(sys, fd, path, effective)
      if (rows.length === 0) continue
      documents.push({ cgroup: path, programs: rows.map(rowJson) })
      text += `${path}\n${rows.map((row) => rowText(row, path === root ? '' : '    ')).join('')}`
    } finally {
      closeSync(fd)
    }
  }
  if (context.json === true) printJson(documents, context)
  else print(text)
}
