import type { AttachSpec, AttachTarget } from '../spec/index.ts'
import { ATTACH_TYPES, matchSectionName, PROGRAM_FLAGS, PROGRAM_TYPES, type SectionMatch } from '../uapi/index.ts'

/** What a section's name says of a program in it. */
export interface SectionMeaning {
  readonly type: number
  readonly expectedAttachType: number
  readonly flags: number
  readonly attachTo?: AttachTarget
  readonly attach?: AttachSpec
  readonly autoload?: false
}

/** Type, attach type, flags and target from a section's name; type 0 when no convention knows the name. */
export function sectionMeaning(sectionName: string): SectionMeaning {
  const optional = sectionName.startsWith('?')
  const name = optional ? sectionName.slice(1) : sectionName
  const match = matchSectionName(name)
  const autoload = optional ? { autoload: false as const } : {}
  if (match === undefined) return { type: 0, expectedAttachType: 0, flags: 0, ...autoload }
  const { section, target } = match
  let flags = 0
  for (const flag of section.flags ?? []) flags |= PROGRAM_FLAGS[flag]
  const attach = attachOf(match)
  return {
    type: PROGRAM_TYPES[section.type],
    expectedAttachType: attachTypeOf(match),
    flags,
    ...(section.btfTarget && target !== '' ? { attachTo: targetOf(target) } : {}),
    ...(attach === undefined ? {} : { attach }),
    ...autoload,
  }
}

/** "module:function" or "module/function" names a module. */
function targetOf(target: string): AttachTarget {
  const split = /^([^:]+):(.+)$/.exec(target)
  return split === null ? { name: target } : { name: split[2], module: split[1] }
}

function attachTypeOf({ section }: SectionMatch): number {
  return section.attachType === undefined ? 0 : ATTACH_TYPES[section.attachType]
}

function attachOf({ section, target, exact }: SectionMatch): AttachSpec | undefined {
  const stem = section.pattern.replace(/\+$/, '')
  const retprobe = /^(kret|uret)/.test(stem) ? { retprobe: true as const } : {}
  const session = stem.includes('.session') ? { session: true as const } : {}
  const needsTarget = exact ? section.attach : 'none'
  if (needsTarget !== 'none' && target === '' && section.pattern.endsWith('+')) return undefined
  switch (section.attach) {
    case 'kprobe': {
      const split = /^([^+]+)(?:\+(0x[0-9a-fA-F]+|\d+))?$/.exec(target)
      if (split === null) return undefined
      return {
        kind: 'kprobe',
        function: split[1],
        ...(split[2] === undefined ? {} : { offset: Number(split[2]) }),
        ...retprobe,
      }
    }
    case 'kprobe_multi':
      return { kind: 'kprobe_multi', pattern: target, ...retprobe, ...session }
    case 'ksyscall':
      return { kind: 'ksyscall', syscall: target, ...retprobe }
    case 'uprobe': {
      const split = /^([^:]+):([a-zA-Z0-9_.@]+)(?:\+(0x[0-9a-fA-F]+|\d+))?$/.exec(target)
      if (split === null) return undefined
      const [, binary, fn, offset] = split
      return {
        kind: 'uprobe',
        binary,
        function: fn,
        ...(offset === undefined ? {} : { offset: Number(offset) }),
        ...retprobe,
      }
    }
    case 'uprobe_multi': {
      const at = target.lastIndexOf(':')
      if (at <= 0) return undefined
      return {
        kind: 'uprobe_multi',
        binary: target.slice(0, at),
        pattern: target.slice(at + 1),
        ...retprobe,
        ...session,
      }
    }
    case 'usdt': {
      const split = /^([^:]+):([^:]+):([^:]+)$/.exec(target)
      return split === null ? undefined : { kind: 'usdt', binary: split[1], provider: split[2], name: split[3] }
    }
    case 'tracepoint': {
      const split = /^([^/]+)\/(.+)$/.exec(target)
      return split === null ? undefined : { kind: 'tracepoint', category: split[1], name: split[2] }
    }
    case 'raw_tracepoint':
      return { kind: 'raw_tracepoint', name: target }
    case 'tracing':
    case 'tracing_multi': {
      const { name, module } = targetOf(target)
      return { kind: 'tracing', target: name, ...(module === undefined ? {} : { module }) }
    }
    case 'lsm_cgroup':
      return { kind: 'lsm_cgroup', hook: target }
    case 'iter':
      return { kind: 'iter', target }
    case 'freplace':
      return { kind: 'freplace', function: target }
    case 'xdp':
      return { kind: 'xdp' }
    case 'tcx':
      return { kind: 'tcx', direction: stem.endsWith('egress') ? 'egress' : 'ingress' }
    case 'netkit':
      return { kind: 'netkit', end: stem.endsWith('peer') ? 'peer' : 'primary' }
    case 'cgroup':
      return { kind: 'cgroup' }
    case 'netns':
      return { kind: 'netns' }
    case 'socket':
      return { kind: 'socket' }
    // these need numbers or names that a section's name does not give
    case 'struct_ops':
    case 'netfilter':
    case 'sockmap':
    case 'perf_event':
    case 'tc':
    case 'none':
      return undefined
    default:
      return section.attach satisfies never
  }
}
