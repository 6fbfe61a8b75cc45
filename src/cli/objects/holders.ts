import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/** A process that has an object open. */
export interface Holder {
  readonly pid: number
  readonly comm: string
}

/** Process ids by object id, from /proc/PID/fdinfo. Processes that may not be looked at are left out. */
export type Holders = Readonly<
  Record<'prog_id' | 'map_id' | 'link_id' | 'btf_id', ReadonlyMap<number, readonly Holder[]>>
>

const FIELD = /^(prog_id|map_id|link_id|btf_id):\s*(\d+)$/gm
/** What /proc/PID/fd links to for fds of bpf(2). */
const BPF_FD = /^anon_inode:\[?bpf[-_]/

/** The same for one kind, looked for when the first id is asked about: with nothing to list, nobody is asked. */
export function lazyHolders(kind: keyof Holders): (id: number) => readonly Holder[] {
  let found: ReadonlyMap<number, readonly Holder[]> | undefined
  return (id) => {
    found ??= holders()[kind]
    return (found.get(id) ?? []).filter(({ pid }) => pid !== process.pid)
  }
}

/** Looks through all processes: who has which object open. Never throws. */
export function holders(): Holders {
  const found = { prog_id: new Map(), map_id: new Map(), link_id: new Map(), btf_id: new Map() } as Record<
    keyof Holders,
    Map<number, Holder[]>
  >
  for (const pid of list('/proc').filter((name) => /^\d+$/.test(name))) {
    let comm: string | undefined
    for (const fd of list(`/proc/${pid}/fd`)) {
      let text: string
      try {
        if (!BPF_FD.test(readlinkSync(`/proc/${pid}/fd/${fd}`))) continue
        text = readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8')
        comm ??= readFileSync(`/proc/${pid}/comm`, 'utf8').trimEnd()
      } catch {
        continue // it ended meanwhile
      }
      const own = objectIdsOf(text)
      for (const [kind, id] of own) {
        const rows = found[kind].get(id) ?? []
        if (!rows.some((row) => row.pid === Number(pid))) rows.push({ pid: Number(pid), comm })
        found[kind].set(id, rows)
      }
    }
  }
  return found
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

/** The ids of one fd: of a link its own id only, not its program's. */
function objectIdsOf(text: string): [keyof Holders, number][] {
  const ids = [...text.matchAll(FIELD)].map((match): [keyof Holders, number] => [
    match[1] as keyof Holders,
    Number(match[2]),
  ])
  return ids.some(([kind]) => kind === 'link_id') ? ids.filter(([kind]) => kind === 'link_id') : ids
}
