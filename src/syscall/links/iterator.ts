import { readSync } from 'node:fs'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { bpf } from '../command.ts'
import { OwnedFd } from '../fd.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

export interface IteratorOptions {
  /** For map element iterators (bpf_map_elem, bpf_sk_storage_map, sockmap): the map. */
  readonly map?: { readonly fd: number }
  /** For task iterators: only this process, or this thread. Linux 6.1. */
  readonly pid?: number
  readonly tid?: number
}

/** Links an iterator program; {@link openIterator} then runs it. Linux 5.9. */
export function attachIterator(program: ProgramHandle, options: IteratorOptions = {}): Link {
  using info = program.sys.alloc(16)
  // union bpf_iter_link_info: map_fd, or task { tid, pid, pid_fd }
  const length = options.map !== undefined || options.tid !== undefined || options.pid !== undefined ? 16 : 0
  if (options.map !== undefined) info.view.setUint32(0, options.map.fd, true)
  if (options.tid !== undefined) info.view.setUint32(0, options.tid, true)
  if (options.pid !== undefined) info.view.setUint32(4, options.pid, true)
  return createLink(program, 'iterator', '5.9', {
    attach_type: ATTACH_TYPES.trace_iter,
    iter_info: length === 0 ? 0 : info.address,
    iter_info_len: length,
  })
}

/** Runs the iterator once: what the program writes comes out of the fd. */
export function openIterator(link: Link): OwnedFd {
  return new OwnedFd(link.sys, bpf(link.sys, 'iter_create', { link_fd: link.fd }), 'iterator')
}

/** Runs the iterator once and collects all that it writes, at most `limit` bytes. */
export function readIterator(link: Link, limit = 64 * 1024 * 1024): Uint8Array {
  using iterator = openIterator(link)
  const chunks: Buffer[] = []
  let total = 0
  for (;;) {
    const chunk = Buffer.alloc(64 * 1024)
    const count = readSync(iterator.fd, chunk)
    if (count === 0 || total >= limit) return new Uint8Array(Buffer.concat(chunks)).subarray(0, limit)
    chunks.push(chunk.subarray(0, count))
    total += count
  }
}
