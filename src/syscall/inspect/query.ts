import { BPF_ATTRS } from '../../uapi/index.ts'
import { attrBlock, bpf, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { explainErrno } from '../sys/explain.ts'
import type { Sys } from '../sys/sys.ts'

/** A program that is attached somewhere. */
export interface AttachedProgram {
  readonly programId: number
  /** 0 where it is attached without a link. */
  readonly linkId: number
  readonly flags: number
}

export interface AttachedPrograms {
  readonly programs: readonly AttachedProgram[]
  readonly flags: number
  /** Counts the changes of the list: an anchor can ask for it. tcx, netkit, cgroup from 6.17; else 0. */
  readonly revision: bigint
}

/**
 * BPF_PROG_QUERY: what is attached to a cgroup, interface, network namespace or sockmap, in the order in which it runs.
 * @param target an fd, or an interface's index for tcx and netkit
 * @param options.effective of a cgroup also what its parents attach
 */
export function queryAttached(
  sys: Sys,
  target: number,
  attachType: number,
  options: { effective?: boolean } = {},
): AttachedPrograms {
  const layout = BPF_ATTRS.prog_query
  for (let room = 64; ; room *= 2) {
    using lists = sys.alloc(16 * room)
    // Cgroups and namespaces know no link ids: they refuse the addresses.
    const extended = {
      prog_attach_flags: lists.address + 4 * room,
      link_ids: lists.address + 8 * room,
      link_attach_flags: lists.address + 12 * room,
    }
    const values = {
      target_fd: target,
      attach_type: attachType,
      query_flags: options.effective === true ? 1 : 0,
      prog_ids: lists.address,
      prog_cnt: room,
    }
    let result = tryBpf(sys, 'prog_query', { ...values, ...extended })
    if (result === -ERRNO.EINVAL) result = tryBpf(sys, 'prog_query', values)
    const { view } = attrBlock(sys)
    const count = view.getUint32(layout.prog_cnt[0], true)
    if (result === -ERRNO.ENOSPC && count > room) continue
    if (result < 0) throw explainErrno('prog_query', -result)
    return {
      flags: view.getUint32(layout.attach_flags[0], true),
      revision: view.getBigUint64(layout.revision[0], true),
      programs: Array.from({ length: count }, (_, i) => ({
        programId: lists.view.getUint32(4 * i, true),
        linkId: lists.view.getUint32(4 * (2 * room + i), true),
        flags: lists.view.getUint32(4 * (room + i), true),
      })),
    }
  }
}

/** Kinds of BPF_TASK_FD_QUERY (enum bpf_task_fd_type). */
const FD_TYPES = ['raw_tracepoint', 'tracepoint', 'kprobe', 'kretprobe', 'uprobe', 'uretprobe'] as const

export interface TaskFd {
  readonly programId: number
  readonly kind: (typeof FD_TYPES)[number] | undefined
  /** The tracepoint's or function's name, the file of a uprobe. */
  readonly name: string
  readonly offset: bigint
  /** Of a kprobe without a name. */
  readonly address: bigint
}

/** BPF_TASK_FD_QUERY: what a perf event or raw tracepoint fd of a process runs. Linux 4.18. */
export function queryTaskFd(sys: Sys, pid: number, fd: number): TaskFd {
  using name = sys.alloc(4096)
  bpf(sys, 'task_fd_query', { pid, fd, buf_len: name.size, buf: name.address })
  const layout = BPF_ATTRS.task_fd_query
  const { view } = attrBlock(sys)
  return {
    programId: view.getUint32(layout.prog_id[0], true),
    kind: FD_TYPES[view.getUint32(layout.fd_type[0], true)],
    name: new TextDecoder().decode(name.bytes.slice(0, name.bytes.indexOf(0))),
    offset: view.getBigUint64(layout.probe_offset[0], true),
    address: view.getBigUint64(layout.probe_addr[0], true),
  }
}

/** BPF_PROG_BIND_MAP: the map lives as long as the program although no instruction names it. Linux 5.10. */
export function bindMap(sys: Sys, programFd: number, mapFd: number): void {
  bpf(sys, 'prog_bind_map', { prog_fd: programFd, map_fd: mapFd })
}
