import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { UsageError } from '../../errors/index.ts'
import { attrOut, bpf, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'

export type ObjectKind = 'program' | 'map' | 'btf' | 'link'

const NEXT = {
  program: 'prog_get_next_id',
  map: 'map_get_next_id',
  btf: 'btf_get_next_id',
  link: 'link_get_next_id',
} as const

/** Ids of all objects of a kind, ascending. Needs CAP_SYS_ADMIN. */
export function* objectIds(sys: Sys, kind: ObjectKind): Generator<number> {
  for (let id = 0; ; ) {
    const result = tryBpf(sys, NEXT[kind], { start_id: id })
    if (result === -ERRNO.ENOENT) return
    if (result < 0) throw explainErrno(NEXT[kind], -result)
    id = attrOut(sys, 4)
    yield id
  }
}

/**
 * An fd for the object with that id; undefined when there is none (any more).
 * @throws SystemError `sys.eperm` without CAP_SYS_ADMIN
 */
export function openById(sys: Sys, kind: ObjectKind, id: number): OwnedFd | undefined {
  const [command, result] =
    kind === 'program'
      ? (['prog_get_fd_by_id', tryBpf(sys, 'prog_get_fd_by_id', { prog_id: id })] as const)
      : kind === 'map'
        ? (['map_get_fd_by_id', tryBpf(sys, 'map_get_fd_by_id', { map_id: id })] as const)
        : kind === 'btf'
          ? (['btf_get_fd_by_id', tryBpf(sys, 'btf_get_fd_by_id', { btf_id: id })] as const)
          : (['link_get_fd_by_id', tryBpf(sys, 'link_get_fd_by_id', { link_id: id })] as const)
  // EAGAIN: a link whose creation is still under way in another process
  if (result === -ERRNO.ENOENT || (kind === 'link' && result === -ERRNO.EAGAIN)) return undefined
  if (result < 0) throw explainErrno(command, -result, `${kind} ${id}`)
  return new OwnedFd(sys, result, `${kind} ${id}`)
}

function withPath<T>(sys: Sys, path: string, use: (address: number) => T): T {
  if (path.includes('\0')) throw new UsageError('pin.path', `${JSON.stringify(path)}: a path has no NUL`)
  const text = new TextEncoder().encode(`${path}\0`)
  using block = sys.alloc(text.length)
  block.bytes.set(text)
  return use(block.address)
}

/** BPF_OBJ_PIN: the object outlives this process under a path of a BPF file system. Folders are made. */
export function pin(sys: Sys, fd: number, path: string): void {
  if (sys.kind === 'kernel') mkdirSync(dirname(path), { recursive: true })
  withPath(sys, path, (pathname) => bpf(sys, 'obj_pin', { pathname, bpf_fd: fd }, path))
}

/** BPF_OBJ_GET: the object that is pinned at a path. */
export function openPinned(sys: Sys, path: string): OwnedFd {
  const fd = withPath(sys, path, (pathname) => bpf(sys, 'obj_get', { pathname }, path))
  return new OwnedFd(sys, fd, path)
}
