import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { interfaceIndex } from './interface.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

/** XDP_FLAGS_* of include/uapi/linux/if_link.h. */
const MODES = { generic: 2, native: 4, offload: 8 } as const

export interface XdpOptions {
  /** Name or index. */
  readonly interface: string | number
  /** Default: native where the driver has it, else generic. */
  readonly mode?: keyof typeof MODES
}

/** Runs an XDP program for every packet that an interface receives. Linux 5.9. */
export function attachXdp(program: ProgramHandle, options: XdpOptions): Link {
  return createLink(program, `xdp on ${options.interface}`, '5.9', {
    target_fd: interfaceIndex(program.sys, options.interface),
    attach_type: ATTACH_TYPES.xdp,
    flags: options.mode === undefined ? 0 : choice(MODES, options.mode, 'XDP mode'),
  })
}
