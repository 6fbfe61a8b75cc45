import { readFileSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import {
  fdInfo,
  type OwnedFd,
  objectIds,
  openById,
  type ProgramDetails,
  programDetails,
  realSys,
  type Sys,
} from '../../syscall/index.ts'
import { NO_PINS, type PinnedPaths, pinnedPaths } from '../objects/bpffs.ts'
import { type Holder, lazyHolders } from '../objects/holders.ts'
import type { Json } from '../objects/json.ts'
import { pidsText, pinnedText, printJson } from '../objects/options.ts'
import { select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { headJson, headText } from './head.ts'

/** Seconds since 1970 at which the machine started. */
function bootTime(): number {
  const uptime = Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0])
  return Date.now() / 1000 - uptime
}

function localTime(seconds: number): string {
  const date = new Date(seconds * 1000)
  const two = (value: number): string => String(Math.trunc(Math.abs(value))).padStart(2, '0')
  const offset = -date.getTimezoneOffset()
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  return `${day}T${time}${offset < 0 ? '-' : '+'}${two(offset / 60)}${two(offset % 60)}`
}

interface Row {
  readonly info: ProgramDetails
  readonly name: string
  readonly memlock: number
  readonly orphaned: boolean
  readonly loadedAt: number
  readonly pinned: readonly string[]
  readonly holders: readonly Holder[]
  readonly metadata?: Json
}

/** What is asked of the machine once for all rows. */
interface Surroundings {
  readonly boot: number
  readonly pins: PinnedPaths
  readonly holders: (id: number) => readonly Holder[]
}

async function rowOf(sys: Sys, fd: OwnedFd, around: Surroundings): Promise<Row> {
  const info = programDetails(sys, fd.fd)
  const kernel = fdInfo(fd.fd)
  // most programs have short names and no metadata: BTF is read for the others only
  const types =
    info.btfId !== 0 && (info.mapIds.length > 0 || info.name.length >= 15) ? await import('./types.ts') : undefined
  return {
    info,
    memlock: Number(kernel.get('memlock') ?? 0),
    orphaned: kernel.get('orphaned') === '1',
    loadedAt: Math.floor(around.boot + Number(info.loadTime) / 1e9),
    pinned: around.pins.prog_id.get(info.id) ?? [],
    holders: around.holders(info.id),
    ...(types?.described(sys, info) ?? { name: info.name }),
  }
}

function rowJson({ info, name, memlock, orphaned, loadedAt, pinned, holders, metadata }: Row): Json {
  return {
    ...headJson(info, name),
    loaded_at: info.loadTime > 0n ? loadedAt : undefined,
    uid: info.loadTime > 0n ? info.createdByUid : undefined,
    orphaned,
    bytes_xlated: info.xlatedBytes,
    jited: info.jitedBytes > 0,
    bytes_jited: info.jitedBytes > 0 ? info.jitedBytes : undefined,
    bytes_memlock: memlock,
    map_ids: info.mapIds.length > 0 ? info.mapIds : undefined,
    btf_id: info.btfId > 0 ? info.btfId : undefined,
    pinned: pinned.length > 0 ? pinned : undefined,
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
    metadata,
    verified_insns: info.verifiedInsns,
  }
}

function rowText({ info, name, memlock, orphaned, loadedAt, pinned, holders, metadata }: Row): string {
  let out = headText(info, name)
  if (info.loadTime > 0n) out += `\tloaded_at ${localTime(loadedAt)}  uid ${info.createdByUid}\n`
  out += `\txlated ${info.xlatedBytes}B  ${info.jitedBytes > 0 ? `jited ${info.jitedBytes}B` : 'not jited'}  memlock ${memlock}B${orphaned ? '  orphaned' : ''}`
  if (info.mapIds.length > 0) out += `  map_ids ${info.mapIds.join(',')}`
  out += pinnedText(pinned)
  if (info.btfId > 0) out += `\n\tbtf_id ${info.btfId}`
  out += pidsText(holders)
  if (metadata !== undefined) {
    out += '\n\tmetadata:'
    for (const [key, value] of Object.entries(metadata as Record<string, Json>))
      out += `\n\t\t${key} = ${typeof value === 'string' ? JSON.stringify(value) : String(value)}`
  }
  return `${out}\n`
}

/** `prog show [PROG]`. */
export async function show(words: readonly string[], context: Context): Promise<void> {
  const sys = realSys()
  const around: Surroundings = {
    boot: bootTime(),
    pins: context.bpffs === true ? pinnedPaths(sys) : NO_PINS,
    holders: lazyHolders('prog_id'),
  }
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds, rest } = select(sys, 'program', words)
    if (rest.length > 0)
      throw new UsageError('cli.words', `nothing is expected behind ${words.slice(0, 2).join(' ')}: ${rest.join(' ')}`)
    for (const owned of fds) {
      using fd = owned
      rows.push(await rowOf(sys, fd, around))
    }
  } else
    for (const id of objectIds(sys, 'program')) {
      using fd = openById(sys, 'program', id)
      if (fd !== undefined) rows.push(await rowOf(sys, fd, around))
    }
  if (context.json === true)
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), context)
  else print(rows.map(rowText).join(''))
}
