import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { BpfError, SystemError } from '../../errors/index.ts'
import { errnoName, fdInfo, type OwnedFd, openPinned, pin, type Sys } from '../../syscall/index.ts'

/** Where BPF file systems are mounted. */
function mounts(): string[] {
  let text: string
  try {
    text = readFileSync('/proc/self/mounts', 'utf8')
  } catch {
    return []
  }
  const octal = (path: string): string =>
    path.replace(/\\(\d{3})/g, (_, code) => String.fromCharCode(Number.parseInt(code, 8)))
  return text.split('\n').flatMap((line) => {
    const [, path, type] = line.split(' ')
    return type === 'bpf' ? [octal(path)] : []
  })
}

/** Paths by object id. */
export type PinnedPaths = Readonly<Record<'prog_id' | 'map_id' | 'link_id', ReadonlyMap<number, readonly string[]>>>

/** Nothing was looked for. */
export const NO_PINS: PinnedPaths = { prog_id: new Map(), map_id: new Map(), link_id: new Map() }

/** Looks through all BPF file systems: what is pinned where. What may not be opened is left out. */
export function pinnedPaths(sys: Sys): PinnedPaths {
  const found = { prog_id: new Map(), map_id: new Map(), link_id: new Map() } as Record<
    keyof PinnedPaths,
    Map<number, string[]>
  >
  const visit = (folder: string, depth: number): void => {
    if (depth > 32) return
    let entries: import('node:fs').Dirent[]
    try {
      entries = readdirSync(folder, { withFileTypes: true })
    } catch {
      return
    }
    for (const entry of entries) {
      const path = `${folder}/${entry.name}`
      if (entry.isDirectory()) visit(path, depth + 1)
      else if (entry.isFile()) remember(path)
    }
  }
  const remember = (path: string): void => {
    try {
      using fd = openPinned(sys, path)
      const info = fdInfo(fd.fd)
      // a link's fdinfo names its program too: what it is stands first
      const kind = (['link_id', 'prog_id', 'map_id'] as const).find((key) => info.has(key))
      if (kind === undefined) return
      const id = Number(info.get(kind))
      found[kind].set(id, [...(found[kind].get(id) ?? []), path])
    } catch (error) {
      if (!(error instanceof BpfError)) throw error
    }
  }
  for (const mount of new Set(mounts())) visit(mount, 0)
  return found
}

/** True of a path below a BPF file system. */
export function onBpffs(path: string): boolean {
  return mounts().some((mount) => path === mount || path.startsWith(mount === '/' ? '/' : `${mount}/`))
}

const STANDARD = '/sys/fs/bpf'

/**
 * Pins an object. The standard place is mounted when it is not yet, as bpftool does, unless `nomount` is set.
 * @throws SystemError `pin.no-bpffs` for a path on another file system
 */
export function pinAt(sys: Sys, fd: OwnedFd, path: string, options: { nomount?: boolean } = {}): void {
  if (!onBpffs(path)) {
    if (!path.startsWith(`${STANDARD}/`) || options.nomount === true)
      throw new SystemError('pin.no-bpffs', `${path} is on no BPF file system: objects are pinned there only`, {
        details: [`mount one: mount -t bpf bpf ${path.startsWith(`${STANDARD}/`) ? STANDARD : dirname(path)}`],
      })
    mountBpffs(sys, STANDARD)
  }
  mkdirSync(dirname(path), { recursive: true })
  pin(sys, fd.fd, path)
}

function mountBpffs(sys: Sys, folder: string): void {
  const text = new TextEncoder().encode(`bpf\0${folder}\0`)
  using block = sys.alloc(text.length)
  block.bytes.set(text)
  const result = sys.call('mount', block.address, block.address + 4, block.address, 0, 0)
  if (result < 0)
    throw new SystemError('pin.mount', `mounting a BPF file system at ${folder}: ${errnoName(-result)}`, {
      errno: -result,
    })
}
