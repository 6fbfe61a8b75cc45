import { ATTACH_TYPES } from '../../uapi/index.ts'
import { choice } from '../sys/choice.ts'
import { createLink, type Link, type ProgramHandle } from './link.ts'

/** NFPROTO_* and NF_INET_* of include/uapi/linux/netfilter.h. */
const FAMILIES = { ipv4: 2, ipv6: 10 } as const
const HOOKS = { prerouting: 0, input: 1, forward: 2, output: 3, postrouting: 4 } as const
const DEFRAG = 1

export interface NetfilterOptions {
  readonly family: keyof typeof FAMILIES
  readonly hook: keyof typeof HOOKS
  /** Order among other hooks, lower first. */
  readonly priority: number
  /** Reassemble fragments before. Linux 6.6. */
  readonly defrag?: boolean
}

/** Runs a netfilter program at a hook of this network namespace. Linux 6.4. */
export function attachNetfilter(program: ProgramHandle, options: NetfilterOptions): Link {
  return createLink(program, `netfilter ${options.family} ${options.hook}`, '6.4', {
    attach_type: ATTACH_TYPES.netfilter,
    'netfilter.pf': choice(FAMILIES, options.family, 'netfilter family'),
    'netfilter.hooknum': choice(HOOKS, options.hook, 'netfilter hook'),
    'netfilter.priority': options.priority >>> 0,
    'netfilter.flags': options.defrag === true ? DEFRAG : 0,
  })
}
