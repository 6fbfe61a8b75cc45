import { UsageError } from '../../errors/index.ts'
import {
  btfInfo,
  mapInfo,
  type OwnedFd,
  objectIds,
  openById,
  programInfo,
  realSys,
  type Sys,
} from '../../syscall/index.ts'
import { type Holder, lazyHolders } from '../objects/holders.ts'
import type { Json } from '../objects/json.ts'
import { pidsText, printJson } from '../objects/options.ts'
import { select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'

interface Row {
  readonly info: ReturnType<typeof btfInfo>
  readonly programs: readonly number[]
  readonly maps: readonly number[]
  readonly holders: readonly Holder[]
}

/** Object ids by the BTF that they use. */
function users(sys: Sys, kind: 'program' | 'map'): Map<number, number[]> {
  const found = new Map<number, number[]>()
  for (const id of objectIds(sys, kind)) {
    using fd = openById(sys, kind, id)
    if (fd === undefined) continue
    const btf = kind === 'program' ? programInfo(sys, fd.fd).btfId : mapInfo(sys, fd.fd).btf_id
    if (btf !== 0) found.set(btf, [...(found.get(btf) ?? []), id])
  }
  return found
}

const rowJson = ({ info, programs, maps, holders }: Row): Json => ({
  id: info.id,
  size: info.size,
  prog_ids: programs,
  map_ids: maps,
  pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  kernel: info.kernel,
  name: info.name === '' ? undefined : info.name,
})

function rowText({ info, programs, maps, holders }: Row): string {
  const name = info.kernel ? `[${info.name}]` : info.name || '<anon>'
  const list = (what: string, ids: readonly number[]): string => (ids.length === 0 ? '' : `  ${what} ${ids.join(',')}`)
  return `${info.id}: name ${name}  size ${info.size}B${list('prog_ids', programs)}${list('map_ids', maps)}${pidsText(holders)}\n`
}

/** `btf show [id ID]`. */
export function show(words: readonly string[], context: Context): void {
  const sys = realSys()
  const chosen = words.length === 0 ? undefined : select(sys, 'btf', words)
  if (chosen !== undefined && chosen.rest.length > 0)
    throw new UsageError('cli.words', `nothing is expected behind the BTF object: ${chosen.rest.join(' ')}`)
  const programs = users(sys, 'program')
  const maps = users(sys, 'map')
  const found = lazyHolders('btf_id')
  const rowOf = (fd: OwnedFd): Row => {
    const info = btfInfo(sys, fd.fd)
    return {
      info,
      programs: programs.get(info.id) ?? [],
      maps: maps.get(info.id) ?? [],
      holders: found(info.id),
    }
  }
  const rows: Row[] = []
  if (chosen !== undefined) {
    for (const owned of chosen.fds) {
      using fd = owned
      rows.push(rowOf(fd))
    }
  } else
    for (const id of objectIds(sys, 'btf')) {
      using fd = openById(sys, 'btf', id)
      if (fd !== undefined) rows.push(rowOf(fd))
    }
  if (context.json === true)
    printJson(chosen !== undefined && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), context)
  else print(rows.map(rowText).join(''))
}
