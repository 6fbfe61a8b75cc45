import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { interfaceIndex } from './interface.ts'
import { type Anchor, anchorAttributes, createLink, type Link, type ProgramHandle } from './link.ts'

const DIRECTIONS = { ingress: ATTACH_TYPES.tcx_ingress, egress: ATTACH_TYPES.tcx_egress } as const

export interface TcxOptions extends Anchor {
  readonly interface: string | number
  readonly direction: keyof typeof DIRECTIONS
}

/** Runs a sched_cls program on an interface, in an order among others. Linux 6.6. */
export function attachTcx(program: ProgramHandle, options: TcxOptions): Link {
  const { flags, relativeFd, revision } = anchorAttributes(options)
  return createLink(program, `tcx ${options.direction} on ${options.interface}`, '6.6', {
    target_fd: interfaceIndex(program.sys, options.interface),
    attach_type: choice(DIRECTIONS, options.direction, 'tcx direction'),
    flags,
    'tcx.relative_fd': relativeFd,
    'tcx.expected_revision': revision,
  })
}
