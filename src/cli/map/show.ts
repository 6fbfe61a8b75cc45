import { UsageError } from '../../errors/index.ts'
import {
  fdInfo,
  type MapInfo,
  mapInfo,
  type OwnedFd,
  objectIds,
  openById,
  realSys,
  type Sys,
} from '../../syscall/index.ts'
import { mapTypeName, programTypeName } from '../../uapi/index.ts'
import { NO_PINS, type PinnedPaths, pinnedPaths } from '../objects/bpffs.ts'
import { type Holder, lazyHolders } from '../objects/holders.ts'
import type { Json } from '../objects/json.ts'
import { pidsText, pinnedText, printJson } from '../objects/options.ts'
import { select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

const typeText = (type: number): string | number => mapTypeName(type) ?? type

interface Row {
  readonly info: MapInfo
  readonly fd: ReadonlyMap<string, string>
  readonly pinned: readonly string[]
  readonly holders: readonly Holder[]
}

function rowOf(sys: Sys, fd: OwnedFd, pins: PinnedPaths, found: (id: number) => readonly Holder[]): Row {
  const info = mapInfo(sys, fd.fd)
  return { info, fd: fdInfo(fd.fd), pinned: pins.map_id.get(info.id) ?? [], holders: found(info.id) }
}

function rowJson({ info, fd, pinned, holders }: Row): Json {
  const owner = fd.get('owner_prog_type')
  const jited = fd.get('owner_jited')
  return {
    ...mapHead(info),
    bytes_key: info.key_size,
    bytes_value: info.value_size,
    max_entries: info.max_entries,
    bytes_memlock: Number(fd.get('memlock') ?? 0),
    owner_prog_type: owner === undefined ? undefined : (programTypeName(Number(owner)) ?? Number(owner)),
    owner_jited: jited === undefined ? undefined : jited !== '0',
    frozen: Number(fd.get('frozen') ?? 0),
    btf_id: info.btf_id > 0 ? info.btf_id : undefined,
    pinned: pinned.length > 0 ? pinned : undefined,
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  }
}

/** What says which map this is. */
export const mapHead = (info: MapInfo): { [key: string]: Json } => ({
  id: info.id,
  type: typeText(info.type),
  name: info.name === '' ? undefined : info.name,
  flags: info.map_flags,
})

/** The same as a line of text. */
export const mapHeadText = (info: MapInfo): string =>
  `${info.id}: ${mapTypeName(info.type) ?? `type ${info.type}`}  ${info.name === '' ? '' : `name ${info.name}  `}flags 0x${info.map_flags.toString(16)}\n`

function rowText({ info, fd, pinned, holders }: Row): string {
  let out = mapHeadText(info)
  out += `\tkey ${info.key_size}B  value ${info.value_size}B  max_entries ${info.max_entries}  memlock ${fd.get('memlock') ?? 0}B`
  const owner = fd.get('owner_prog_type')
  if (owner !== undefined)
    out += `\n\towner_prog_type ${programTypeName(Number(owner)) ?? owner}  owner${fd.get('owner_jited') === '0' ? ' not' : ''} jited`
  out += pinnedText(pinned)
  const frozen = fd.get('frozen') === '1'
  if (info.btf_id > 0 || frozen) out += '\n\t'
  if (info.btf_id > 0) out += `btf_id ${info.btf_id}`
  if (frozen) out += `${info.btf_id > 0 ? '  ' : ''}frozen`
  return `${out}${pidsText(holders)}\n`
}

/** `map show [MAP]`. */
export function show(words: readonly string[], context: Context): void {
  const sys = realSys()
  const found = lazyHolders('map_id')
  const pins = context.bpffs === true ? pinnedPaths(sys) : NO_PINS
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds, rest } = select(sys, 'map', words)
    if (rest.length > 0)
      throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
    for (const owned of fds) {
      using fd = owned
      rows.push(rowOf(sys, fd, pins, found))
    }
  } else
    for (const id of objectIds(sys, 'map')) {
      using fd = openById(sys, 'map', id)
      if (fd !== undefined) rows.push(rowOf(sys, fd, pins, found))
    }
  if (context.json === true)
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), context)
  else print(rows.map(rowText).join(''))
}
