import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { interfaceIndex } from './interface.ts'
import { type Anchor, anchorAttributes, createLink, type Link, type ProgramHandle } from './link.ts'

const ENDS = { primary: ATTACH_TYPES.netkit_primary, peer: ATTACH_TYPES.netkit_peer } as const

export interface NetkitOptions extends Anchor {
  /** The primary device of the pair, also for programs of its peer. */
  readonly interface: string | number
  readonly end: keyof typeof ENDS
}

/** Runs a sched_cls program for what one end of a netkit pair sends. Linux 6.7. */
export function attachNetkit(program: ProgramHandle, options: NetkitOptions): Link {
  const { flags, relativeFd, revision } = anchorAttributes(options)
  return createLink(program, `netkit ${options.end} of ${options.interface}`, '6.7', {
    target_fd: interfaceIndex(program.sys, options.interface),
    attach_type: choice(ENDS, options.end, 'netkit end'),
    flags,
    'netkit.relative_fd': relativeFd,
    'netkit.expected_revision': revision,
  })
}
