import { UsageError } from '../../errors/index.ts'
import { type OwnedFd, objectIds, openById, realSys, type Sys } from '../../syscall/index.ts'
import { NO_PINS, type PinnedPaths, pinnedPaths } from '../objects/bpffs.ts'
import { type Holder, lazyHolders } from '../objects/holders.ts'
import type { Json } from '../objects/json.ts'
import { kernelSymbols } from '../objects/kallsyms.ts'
import { pidsText, pinnedText, printJson } from '../objects/options.ts'
import { select } from '../objects/select.ts'
import type { Context } from '../words/noun.ts'
import { print } from '../words/output.ts'
import { type LinkDetails, linkDetails, type SymbolAt } from './details.ts'
import { type FullLinkInfo, fullLinkInfo } from './info.ts'

interface Row {
  readonly info: FullLinkInfo
  readonly details: LinkDetails
  readonly pinned: readonly string[]
  readonly holders: readonly Holder[]
}

function rowJson({ info, details, pinned, holders }: Row): Json {
  return {
    id: info.id,
    type: info.typeName ?? info.type,
    prog_id: info.programId,
    ...details.json,
    pinned: pinned.length > 0 ? pinned : undefined,
    pids: holders.length > 0 ? holders.map(({ pid, comm }) => ({ pid, comm })) : undefined,
  }
}

function rowText({ info, details, pinned, holders }: Row): string {
  const owner = info.typeName === 'struct_ops' ? `map ${info.u32(16)}` : `prog ${info.programId}`
  return `${info.id}: ${info.typeName ?? `type ${info.type}`}  ${owner}  ${details.text}${pinnedText(pinned)}${pidsText(holders)}\n`
}

/** /proc/kallsyms, read when the first symbol is asked for. */
function lazySymbols(): SymbolAt {
  let symbols: ReturnType<typeof kernelSymbols> | undefined
  return (address) => {
    symbols ??= kernelSymbols()
    return symbols.symbolAt(address)
  }
}

/** `link show [LINK]`. */
export function show(words: readonly string[], context: Context): void {
  const sys = realSys()
  const found = lazyHolders('link_id')
  const pins: PinnedPaths = context.bpffs === true ? pinnedPaths(sys) : NO_PINS
  const symbolAt = lazySymbols()
  const rowOf = (fd: OwnedFd): Row => {
    const info = fullLinkInfo(sys, fd)
    return {
      info,
      details: linkDetails(info, sys, symbolAt),
      pinned: pins.link_id.get(info.id) ?? [],
      holders: found(info.id),
    }
  }
  const rows: Row[] = []
  if (words.length > 0) {
    const { fds, rest } = select(sys, 'link', words)
    if (rest.length > 0) throw new UsageError('cli.words', `nothing is expected behind the link: ${rest.join(' ')}`)
    for (const owned of fds) {
      using fd = owned
      rows.push(rowOf(fd))
    }
  } else for (const fd of liveLinks(sys)) rows.push(rowOf(fd))
  if (context.json === true)
    printJson(words.length > 0 && rows.length === 1 ? rowJson(rows[0]) : rows.map(rowJson), context)
  else print(rows.map(rowText).join(''))
}

/** All links, each open until the next is asked for. */
export function* liveLinks(sys: Sys): Generator<OwnedFd> {
  for (const id of objectIds(sys, 'link')) {
    using fd = openById(sys, 'link', id)
    if (fd !== undefined) yield fd
  }
}
