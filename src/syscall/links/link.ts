import { UsageError } from '../../errors/index.ts'
import { type AttrValues, LINK_TYPES, type LinkType } from '../../uapi/index.ts'
import { type LinkInfo, linkInfo } from '../inspect/info.ts'
import { openPinned, pin } from '../inspect/objects.ts'
import { bpf, tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { type Circumstances, explainErrno } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import { newerThanThis } from '../sys/since.ts'
import type { Sys } from '../sys/sys.ts'

/** Anything with a program's fd. */
export interface ProgramHandle {
  readonly sys: Sys
  readonly fd: number
}

const TYPE_NAMES = new Map<number, LinkType>(
  Object.entries(LINK_TYPES).map(([name, number]) => [number, name as LinkType]),
)

/**
 * An attachment that lives as long as its fd: closing it, or the end of the process, detaches, unless it was pinned.
 */
export class Link extends OwnedFd {
  /** Linux 5.8. */
  info(): LinkInfo & { readonly typeName: LinkType | undefined } {
    const info = linkInfo(this.sys, this.fd)
    return { ...info, typeName: TYPE_NAMES.get(info.type) }
  }

  /** Puts another program in its place at once (XDP, tcx, cgroup, netns, iter and others; Linux 5.7). */
  update(program: ProgramHandle, options: { expected?: ProgramHandle } = {}): void {
    const replace = options.expected === undefined ? 0 : 4
    bpf(
      this.sys,
      'link_update',
      { link_fd: this.fd, new_prog_fd: program.fd, flags: replace, old_prog_fd: options.expected?.fd ?? 0 },
      this.what,
    )
  }

  /** Detaches while the link stays (Linux 5.9; XDP, cgroup, netns, tcx, netfilter, struct_ops, sockmap). */
  detach(): void {
    bpf(this.sys, 'link_detach', { link_fd: this.fd }, this.what)
  }

  /** From now on the attachment outlives this process, until the file is removed. */
  pin(path: string): void {
    pin(this.sys, this.fd, path)
  }

  static openPinned(sys: Sys, path: string): Link {
    return new Link(sys, openPinned(sys, path).release(), `link ${path}`)
  }
}

/** A kernel that is older than a hook says EINVAL, as it does for much else. */
function circumstances(errno: number, needs: string, type: number): Circumstances {
  const unknown = errno === ERRNO.EINVAL || errno === ERRNO.EOPNOTSUPP
  return { type, hint: unknown ? newerThanThis('it', needs) : undefined }
}

/** BPF_LINK_CREATE. @param needs the first kernel that has this link, for the error */
export function createLink(
  program: ProgramHandle,
  what: string,
  needs: string,
  values: Omit<AttrValues<'link_create'>, 'prog_fd'>,
): Link {
  const fd = tryBpf(program.sys, 'link_create', { prog_fd: program.fd, ...values })
  if (fd < 0)
    throw explainErrno(
      'link_create',
      -fd,
      `${what} (Linux ${needs})`,
      circumstances(-fd, needs, Number(values.attach_type ?? 0)),
    )
  return new Link(program.sys, fd, what)
}

/** Where a new link stands among those that are there: tcx from Linux 6.6, cgroups from 6.17. */
export interface Anchor {
  /** Before or after this one; without it first or last. */
  readonly before?: Link | ProgramHandle | 'all'
  readonly after?: Link | ProgramHandle | 'all'
  /** Refused with ESTALE when the list changed since this revision was read. */
  readonly expectedRevision?: bigint
}

const F_BEFORE = 1 << 3
const F_AFTER = 1 << 4
const F_LINK = 1 << 13

/** Anchor as flags and fd of BPF_LINK_CREATE. */
export function anchorAttributes(anchor: Anchor = {}): { flags: number; relativeFd: number; revision: bigint } {
  const { before, after } = anchor
  if (before !== undefined && after !== undefined)
    throw new UsageError('link.anchor', 'a link stands before or after another one, not both')
  const other = before ?? after
  const side = before !== undefined ? F_BEFORE : after !== undefined ? F_AFTER : 0
  const isObject = other !== undefined && other !== 'all'
  return {
    flags: side | (isObject && other instanceof Link ? F_LINK : 0),
    relativeFd: isObject ? other.fd : 0,
    revision: anchor.expectedRevision ?? 0n,
  }
}
