import { closeSync, openSync, readSync } from 'node:fs'
import { UnsupportedError, UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { kernelBtf } from '../prog/kernel-btf.ts'
import { choice } from '../sys/choice.ts'
import { bpf } from '../sys/command.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

/** Order of a walk over cgroups (enum bpf_cgroup_iter_order). `children` is newer than 6.18. */
const CGROUP_ORDERS = { self: 1, descendantsPre: 2, descendantsPost: 3, ancestors: 4, children: 5 } as const

/** What an iterator walks; without a target everything. One at most. */
export interface IteratorOptions {
  /** For bpf_map_elem, bpf_sk_storage_map, sockmap: the map. Linux 5.9. */
  readonly map?: { readonly fd: number }
  /** For task, task_file, task_vma: only the threads of this process. Linux 6.1. */
  readonly pid?: number
  /** Only this thread. Linux 6.1. */
  readonly tid?: number
  /** Only the process of this pidfd. Linux 6.1. */
  readonly pidfd?: number
  /** For cgroup: where the walk starts, and which way it goes (default: down, parents first). Linux 6.1. */
  readonly cgroup?: { readonly path: string; readonly order?: keyof typeof CGROUP_ORDERS }
}

/**
 * A kernel without a kind of target would walk everything and say nothing of it.
 * @throws UnsupportedError `link.iterator-target`
 */
function mustKnow(sys: Sys, target: 'task' | 'cgroup' | 'map', options: IteratorOptions): void {
  if (target === 'map' || sys.kind !== 'kernel' || Object.values(options).every((value) => value === undefined)) return
  const targets = kernelBtf()?.find('bpf_iter_link_info', 'union')
  if (targets?.kind !== 'union' || targets.members.some(({ name }) => name === target)) return
  throw new UnsupportedError('link.iterator-target', `this kernel's iterators have no ${target} as target (Linux 6.1)`)
}

/** Links an iterator program; {@link readIterator} and {@link openIterator} then run it. Linux 5.9. */
export function attachIterator(program: ProgramHandle, options: IteratorOptions = {}): Link {
  const { map, pid, tid, pidfd, cgroup } = options
  if ([map, pid, tid, pidfd, cgroup].filter((target) => target !== undefined).length > 1)
    throw new UsageError('link.iterator', 'an iterator has one target: a map, a process, a thread or a cgroup')
  mustKnow(program.sys, cgroup !== undefined ? 'cgroup' : map === undefined ? 'task' : 'map', options)
  // union bpf_iter_link_info: map_fd; task { tid, pid, pid_fd }; cgroup { order, cgroup_fd, cgroup_id }
  using info = program.sys.alloc(16)
  const { view } = info
  let folder: number | undefined
  if (map !== undefined) view.setUint32(0, map.fd, true)
  if (tid !== undefined) view.setUint32(0, tid, true)
  if (pid !== undefined) view.setUint32(4, pid, true)
  if (pidfd !== undefined) view.setUint32(8, pidfd, true)
  if (cgroup !== undefined) {
    try {
      folder = openSync(cgroup.path, 'r')
    } catch (cause) {
      throw new UsageError('link.cgroup', `there is no cgroup ${cgroup.path}`, { cause })
    }
    view.setUint32(0, choice(CGROUP_ORDERS, cgroup.order ?? 'descendantsPre', 'order of cgroups'), true)
    view.setUint32(4, folder, true)
  }
  try {
    const targeted = [map, pid, tid, pidfd, cgroup].some((target) => target !== undefined)
    return createLink(program, 'iterator', map === undefined && targeted ? '6.1' : '5.9', {
      attach_type: ATTACH_TYPES.trace_iter,
      iter_info: targeted ? info.address : 0,
      iter_info_len: targeted ? info.size : 0,
    })
  } finally {
    if (folder !== undefined) closeSync(folder)
  }
}

/** Runs the iterator once: what the program writes comes out of the fd. */
export function openIterator(link: Link): OwnedFd {
  return new OwnedFd(link.sys, bpf(link.sys, 'iter_create', { link_fd: link.fd }), 'iterator')
}

/** The kernel answers EAGAIN after a million objects without output: the walk goes on where it was. */
function readSome(fd: number, buffer: Uint8Array): number {
  for (;;)
    try {
      return readSync(fd, buffer)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EAGAIN') throw error
    }
}

/** Runs the iterator once and gives what it writes, piece by piece. */
export function* iteratorChunks(link: Link): Generator<Uint8Array> {
  using iterator = openIterator(link)
  const buffer = new Uint8Array(64 * 1024)
  for (;;) {
    const count = readSome(iterator.fd, buffer)
    if (count === 0) return
    yield buffer.slice(0, count)
  }
}

/** Runs the iterator once and collects all that it writes, at most `limit` bytes. */
export function readIterator(link: Link, limit = 64 * 1024 * 1024): Uint8Array {
  const chunks: Uint8Array[] = []
  let total = 0
  for (const chunk of iteratorChunks(link)) {
    chunks.push(chunk)
    total += chunk.length
    if (total >= limit) break
  }
  return new Uint8Array(Buffer.concat(chunks)).subarray(0, limit)
}

/** Runs the iterator once: the text that it prints with bpf_seq_printf. */
export function readIteratorText(link: Link, limit?: number): string {
  return new TextDecoder().decode(readIterator(link, limit))
}
