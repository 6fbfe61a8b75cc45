import type { AttachType } from './attach-types.ts'
import type { ProgramFlag } from './flags.ts'
import type { ProgramType } from './program-types.ts'

/** How a program of a section attaches; `none`: only by hand or not at all. */
export type SectionAttach =
  | 'none'
  | 'cgroup'
  | 'freplace'
  | 'iter'
  | 'kprobe'
  | 'kprobe_multi'
  | 'ksyscall'
  | 'lsm_cgroup'
  | 'netfilter'
  | 'netkit'
  | 'netns'
  | 'perf_event'
  | 'raw_tracepoint'
  | 'socket'
  | 'sockmap'
  | 'struct_ops'
  | 'tc'
  | 'tcx'
  | 'tracepoint'
  | 'tracing'
  | 'tracing_multi'
  | 'uprobe'
  | 'uprobe_multi'
  | 'usdt'
  | 'xdp'

/** One section name of libbpf's convention. */
export interface SectionName {
  /** A trailing `+`: exactly this name, or this name followed by `/` and a target. */
  readonly pattern: string
  readonly type: ProgramType
  readonly attachType?: AttachType
  readonly flags?: readonly ProgramFlag[]
  /** The target is found by name in the BTF of the kernel or of another program. */
  readonly btfTarget?: boolean
  readonly attach: SectionAttach
}

const row = (
  pattern: string,
  type: ProgramType,
  attachType: AttachType | null,
  attach: SectionAttach = 'none',
  flags: readonly ProgramFlag[] = [],
  btfTarget = false,
): SectionName => ({
  pattern,
  type,
  attach,
  ...(attachType === null ? {} : { attachType }),
  ...(flags.length === 0 ? {} : { flags }),
  ...(btfTarget ? { btfTarget } : {}),
})

/** Every ELF section name that libbpf 1.8 knows, in its order of matching. */
export const SECTION_NAMES: readonly SectionName[] = [
  row('socket', 'socket_filter', null, 'socket'),
  row('sk_reuseport/migrate', 'sk_reuseport', 'sk_reuseport_select_or_migrate', 'socket'),
  row('sk_reuseport', 'sk_reuseport', 'sk_reuseport_select', 'socket'),
  row('kprobe+', 'kprobe', null, 'kprobe'),
  row('uprobe+', 'kprobe', null, 'uprobe'),
  row('uprobe.s+', 'kprobe', null, 'uprobe', ['sleepable']),
  row('kretprobe+', 'kprobe', null, 'kprobe'),
  row('uretprobe+', 'kprobe', null, 'uprobe'),
  row('uretprobe.s+', 'kprobe', null, 'uprobe', ['sleepable']),
  row('kprobe.multi+', 'kprobe', 'trace_kprobe_multi', 'kprobe_multi'),
  row('kretprobe.multi+', 'kprobe', 'trace_kprobe_multi', 'kprobe_multi'),
  row('kprobe.session+', 'kprobe', 'trace_kprobe_session', 'kprobe_multi'),
  row('uprobe.multi+', 'kprobe', 'trace_uprobe_multi', 'uprobe_multi'),
  row('uretprobe.multi+', 'kprobe', 'trace_uprobe_multi', 'uprobe_multi'),
  row('uprobe.session+', 'kprobe', 'trace_uprobe_session', 'uprobe_multi'),
  row('uprobe.multi.s+', 'kprobe', 'trace_uprobe_multi', 'uprobe_multi', ['sleepable']),
  row('uretprobe.multi.s+', 'kprobe', 'trace_uprobe_multi', 'uprobe_multi', ['sleepable']),
  row('uprobe.session.s+', 'kprobe', 'trace_uprobe_session', 'uprobe_multi', ['sleepable']),
  row('ksyscall+', 'kprobe', null, 'ksyscall'),
  row('kretsyscall+', 'kprobe', null, 'ksyscall'),
  row('usdt+', 'kprobe', null, 'usdt'),
  row('usdt.s+', 'kprobe', null, 'usdt', ['sleepable']),
  row('tc/ingress', 'sched_cls', 'tcx_ingress', 'tcx'),
  row('tc/egress', 'sched_cls', 'tcx_egress', 'tcx'),
  row('tcx/ingress', 'sched_cls', 'tcx_ingress', 'tcx'),
  row('tcx/egress', 'sched_cls', 'tcx_egress', 'tcx'),
  row('tc', 'sched_cls', null, 'tc'),
  row('classifier', 'sched_cls', null, 'tc'),
  row('action', 'sched_act', null, 'tc'),
  row('netkit/primary', 'sched_cls', 'netkit_primary', 'netkit'),
  row('netkit/peer', 'sched_cls', 'netkit_peer', 'netkit'),
  row('tracepoint+', 'tracepoint', null, 'tracepoint'),
  row('tp+', 'tracepoint', null, 'tracepoint'),
  row('tracepoint.s+', 'tracepoint', null, 'tracepoint', ['sleepable']),
  row('tp.s+', 'tracepoint', null, 'tracepoint', ['sleepable']),
  row('raw_tracepoint+', 'raw_tracepoint', null, 'raw_tracepoint'),
  row('raw_tp+', 'raw_tracepoint', null, 'raw_tracepoint'),
  row('raw_tracepoint.s+', 'raw_tracepoint', null, 'raw_tracepoint', ['sleepable']),
  row('raw_tp.s+', 'raw_tracepoint', null, 'raw_tracepoint', ['sleepable']),
  row('raw_tracepoint.w+', 'raw_tracepoint_writable', null, 'raw_tracepoint'),
  row('raw_tp.w+', 'raw_tracepoint_writable', null, 'raw_tracepoint'),
  row('tp_btf+', 'tracing', 'trace_raw_tp', 'tracing', [], true),
  row('tp_btf.s+', 'tracing', 'trace_raw_tp', 'tracing', ['sleepable'], true),
  row('fentry+', 'tracing', 'trace_fentry', 'tracing', [], true),
  row('fmod_ret+', 'tracing', 'modify_return', 'tracing', [], true),
  row('fexit+', 'tracing', 'trace_fexit', 'tracing', [], true),
  row('fentry.s+', 'tracing', 'trace_fentry', 'tracing', ['sleepable'], true),
  row('fmod_ret.s+', 'tracing', 'modify_return', 'tracing', ['sleepable'], true),
  row('fexit.s+', 'tracing', 'trace_fexit', 'tracing', ['sleepable'], true),
  row('fsession+', 'tracing', 'trace_fsession', 'tracing', [], true),
  row('fsession.s+', 'tracing', 'trace_fsession', 'tracing', ['sleepable'], true),
  row('fsession.multi+', 'tracing', 'trace_fsession_multi', 'tracing_multi'),
  row('fsession.multi.s+', 'tracing', 'trace_fsession_multi', 'tracing_multi', ['sleepable']),
  row('fentry.multi+', 'tracing', 'trace_fentry_multi', 'tracing_multi'),
  row('fexit.multi+', 'tracing', 'trace_fexit_multi', 'tracing_multi'),
  row('fentry.multi.s+', 'tracing', 'trace_fentry_multi', 'tracing_multi', ['sleepable']),
  row('fexit.multi.s+', 'tracing', 'trace_fexit_multi', 'tracing_multi', ['sleepable']),
  row('freplace+', 'ext', null, 'freplace', [], true),
  row('lsm+', 'lsm', 'lsm_mac', 'tracing', [], true),
  row('lsm.s+', 'lsm', 'lsm_mac', 'tracing', ['sleepable'], true),
  row('lsm_cgroup+', 'lsm', 'lsm_cgroup', 'lsm_cgroup', [], true),
  row('iter+', 'tracing', 'trace_iter', 'iter', [], true),
  row('iter.s+', 'tracing', 'trace_iter', 'iter', ['sleepable'], true),
  row('syscall', 'syscall', null, 'none', ['sleepable']),
  row('xdp.frags/devmap', 'xdp', 'xdp_devmap', 'xdp', ['xdp_has_frags']),
  row('xdp/devmap', 'xdp', 'xdp_devmap', 'xdp'),
  row('xdp.frags/cpumap', 'xdp', 'xdp_cpumap', 'xdp', ['xdp_has_frags']),
  row('xdp/cpumap', 'xdp', 'xdp_cpumap', 'xdp'),
  row('xdp.frags', 'xdp', 'xdp', 'xdp', ['xdp_has_frags']),
  row('xdp', 'xdp', 'xdp', 'xdp'),
  row('perf_event', 'perf_event', null, 'perf_event'),
  row('lwt_in', 'lwt_in', null),
  row('lwt_out', 'lwt_out', null),
  row('lwt_xmit', 'lwt_xmit', null),
  row('lwt_seg6local', 'lwt_seg6local', null),
  row('sockops', 'sock_ops', 'cgroup_sock_ops', 'cgroup'),
  row('sk_skb/stream_parser', 'sk_skb', 'sk_skb_stream_parser', 'sockmap'),
  row('sk_skb/stream_verdict', 'sk_skb', 'sk_skb_stream_verdict', 'sockmap'),
  row('sk_skb/verdict', 'sk_skb', 'sk_skb_verdict', 'sockmap'),
  row('sk_skb', 'sk_skb', null),
  row('sk_msg', 'sk_msg', 'sk_msg_verdict', 'sockmap'),
  row('lirc_mode2', 'lirc_mode2', 'lirc_mode2'),
  row('flow_dissector', 'flow_dissector', 'flow_dissector', 'netns'),
  row('cgroup_skb/ingress', 'cgroup_skb', 'cgroup_inet_ingress', 'cgroup'),
  row('cgroup_skb/egress', 'cgroup_skb', 'cgroup_inet_egress', 'cgroup'),
  row('cgroup/skb', 'cgroup_skb', null, 'cgroup'),
  row('cgroup/sock_create', 'cgroup_sock', 'cgroup_inet_sock_create', 'cgroup'),
  row('cgroup/sock_release', 'cgroup_sock', 'cgroup_inet_sock_release', 'cgroup'),
  row('cgroup/sock', 'cgroup_sock', 'cgroup_inet_sock_create', 'cgroup'),
  row('cgroup/post_bind4', 'cgroup_sock', 'cgroup_inet4_post_bind', 'cgroup'),
  row('cgroup/post_bind6', 'cgroup_sock', 'cgroup_inet6_post_bind', 'cgroup'),
  row('cgroup/bind4', 'cgroup_sock_addr', 'cgroup_inet4_bind', 'cgroup'),
  row('cgroup/bind6', 'cgroup_sock_addr', 'cgroup_inet6_bind', 'cgroup'),
  row('cgroup/connect4', 'cgroup_sock_addr', 'cgroup_inet4_connect', 'cgroup'),
  row('cgroup/connect6', 'cgroup_sock_addr', 'cgroup_inet6_connect', 'cgroup'),
  row('cgroup/connect_unix', 'cgroup_sock_addr', 'cgroup_unix_connect', 'cgroup'),
  row('cgroup/sendmsg4', 'cgroup_sock_addr', 'cgroup_udp4_sendmsg', 'cgroup'),
  row('cgroup/sendmsg6', 'cgroup_sock_addr', 'cgroup_udp6_sendmsg', 'cgroup'),
  row('cgroup/sendmsg_unix', 'cgroup_sock_addr', 'cgroup_unix_sendmsg', 'cgroup'),
  row('cgroup/recvmsg4', 'cgroup_sock_addr', 'cgroup_udp4_recvmsg', 'cgroup'),
  row('cgroup/recvmsg6', 'cgroup_sock_addr', 'cgroup_udp6_recvmsg', 'cgroup'),
  row('cgroup/recvmsg_unix', 'cgroup_sock_addr', 'cgroup_unix_recvmsg', 'cgroup'),
  row('cgroup/getpeername4', 'cgroup_sock_addr', 'cgroup_inet4_getpeername', 'cgroup'),
  row('cgroup/getpeername6', 'cgroup_sock_addr', 'cgroup_inet6_getpeername', 'cgroup'),
  row('cgroup/getpeername_unix', 'cgroup_sock_addr', 'cgroup_unix_getpeername', 'cgroup'),
  row('cgroup/getsockname4', 'cgroup_sock_addr', 'cgroup_inet4_getsockname', 'cgroup'),
  row('cgroup/getsockname6', 'cgroup_sock_addr', 'cgroup_inet6_getsockname', 'cgroup'),
  row('cgroup/getsockname_unix', 'cgroup_sock_addr', 'cgroup_unix_getsockname', 'cgroup'),
  row('cgroup/sysctl', 'cgroup_sysctl', 'cgroup_sysctl', 'cgroup'),
  row('cgroup/getsockopt', 'cgroup_sockopt', 'cgroup_getsockopt', 'cgroup'),
  row('cgroup/setsockopt', 'cgroup_sockopt', 'cgroup_setsockopt', 'cgroup'),
  row('cgroup/dev', 'cgroup_device', 'cgroup_device', 'cgroup'),
  row('struct_ops+', 'struct_ops', null, 'struct_ops'),
  row('struct_ops.s+', 'struct_ops', null, 'struct_ops', ['sleepable']),
  row('sk_lookup', 'sk_lookup', 'sk_lookup', 'netns'),
  row('netfilter', 'netfilter', 'netfilter', 'netfilter'),
]

/** Names of older conventions (libbpf before 1.0 and loaders of their own): a prefix tells the type. */
export const LEGACY_SECTION_PREFIXES: readonly (readonly [
  prefix: string,
  type: ProgramType,
  attachType?: AttachType,
])[] = [
  ['socket', 'socket_filter'],
  ['filter', 'socket_filter'],
  ['kprobe/', 'kprobe'],
  ['kretprobe/', 'kprobe'],
  ['uprobe/', 'kprobe'],
  ['uretprobe/', 'kprobe'],
  ['tracepoint', 'tracepoint'],
  ['raw_tracepoint', 'raw_tracepoint'],
  ['xdp', 'xdp', 'xdp'],
  ['classifier', 'sched_cls'],
  ['tc', 'sched_cls'],
  ['action', 'sched_act'],
  ['perf_event', 'perf_event'],
  ['lwt_in', 'lwt_in'],
  ['lwt_out', 'lwt_out'],
  ['lwt_xmit', 'lwt_xmit'],
  ['lwt_seg6local', 'lwt_seg6local'],
  ['cgroup_skb', 'cgroup_skb'],
  ['cgroup/skb', 'cgroup_skb'],
  ['cgroup/sock', 'cgroup_sock', 'cgroup_inet_sock_create'],
  ['cgroup/dev', 'cgroup_device', 'cgroup_device'],
  ['cgroup/sysctl', 'cgroup_sysctl', 'cgroup_sysctl'],
  ['sockops', 'sock_ops', 'cgroup_sock_ops'],
  ['sk_skb', 'sk_skb'],
  ['sk_msg', 'sk_msg', 'sk_msg_verdict'],
  ['sk_lookup', 'sk_lookup', 'sk_lookup'],
  ['sk_reuseport', 'sk_reuseport', 'sk_reuseport_select'],
  ['lirc_mode2', 'lirc_mode2', 'lirc_mode2'],
  ['flow_dissector', 'flow_dissector', 'flow_dissector'],
  ['freplace', 'ext'],
  ['fentry', 'tracing', 'trace_fentry'],
  ['fexit', 'tracing', 'trace_fexit'],
  ['syscall', 'syscall'],
]

/** What a section's name says of its programs. */
export interface SectionMatch {
  readonly section: SectionName
  /** What follows the `/` of a name with a target. */
  readonly target: string
  /** False when only an older convention's prefix matched: the type is a guess. */
  readonly exact: boolean
}

/** The row of a section name (without a leading `?`), undefined when no convention knows it. */
export function matchSectionName(name: string): SectionMatch | undefined {
  for (const section of SECTION_NAMES) {
    const { pattern } = section
    if (!pattern.endsWith('+')) {
      if (name === pattern) return { section, target: '', exact: true }
      continue
    }
    const stem = pattern.slice(0, -1)
    if (name === stem) return { section, target: '', exact: true }
    if (name.startsWith(`${stem}/`)) return { section, target: name.slice(stem.length + 1), exact: true }
  }
  for (const [prefix, type, attachType] of LEGACY_SECTION_PREFIXES)
    if (name.startsWith(prefix)) {
      const section: SectionName = {
        pattern: prefix,
        type,
        attach: 'none',
        ...(attachType === undefined ? {} : { attachType }),
      }
      return { section, target: name.slice(prefix.length).replace(/^\//, ''), exact: false }
    }
  return undefined
}
