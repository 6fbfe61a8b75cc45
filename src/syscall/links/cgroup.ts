import { closeSync, openSync } from 'node:fs'
import { UsageError } from '../../errors/index.ts'
import { ATTACH_TYPES, type AttachType } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { type Anchor, anchorAttributes, createLink, type Link, type ProgramHandle } from './link.ts'

const CGROUP_TYPES: Readonly<Record<string, number>> = Object.fromEntries(
  Object.entries(ATTACH_TYPES).filter(([name]) => name.startsWith('cgroup_') || name === 'lsm_cgroup'),
)

export interface CgroupOptions extends Anchor {
  /** A folder of a cgroup2 file system. */
  readonly cgroup: string
  /** The attach type the program was loaded for. */
  readonly type: AttachType
}

/** What came later than cgroup links themselves. */
function neededKernel({ type, before, after, expectedRevision }: CgroupOptions): string {
  if (before !== undefined || after !== undefined || expectedRevision !== undefined) return '6.17'
  if (type.startsWith('cgroup_unix_')) return '6.7'
  return type === 'lsm_cgroup' ? '6.0' : '5.7'
}

/** Runs a program for all processes of a cgroup and those below. Linux 5.7; ordering 6.17. */
export function attachCgroup(program: ProgramHandle, options: CgroupOptions): Link {
  const attach_type = choice(CGROUP_TYPES, options.type, 'cgroup attach type')
  let folder: number
  try {
    folder = openSync(options.cgroup, 'r')
  } catch (cause) {
    throw new UsageError('link.cgroup', `there is no cgroup ${options.cgroup}`, { cause })
  }
  try {
    const { flags, relativeFd, revision } = anchorAttributes(options)
    return createLink(program, `${options.type} on ${options.cgroup}`, neededKernel(options), {
      target_fd: folder,
      attach_type,
      flags,
      'cgroup.relative_fd': relativeFd,
      'cgroup.expected_revision': revision,
    })
  } finally {
    closeSync(folder)
  }
}
