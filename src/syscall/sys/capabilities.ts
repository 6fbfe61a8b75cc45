import { readFileSync } from 'node:fs'
import { attachTypeName, type BpfCommand, MAP_TYPES, PROGRAM_TYPES, type ProgramType } from '../../uapi/index.ts'

/** Capabilities that decide about bpf(2) (include/uapi/linux/capability.h). */
const CAPABILITIES = { net_admin: 12n, sys_admin: 21n, sys_resource: 24n, perfmon: 38n, bpf: 39n } as const
export type Capability = keyof typeof CAPABILITIES

export interface Privileges {
  /** Effective capabilities of this process that matter here. */
  readonly capabilities: ReadonlySet<Capability>
  /** kernel.unprivileged_bpf_disabled: 0 allowed, 1 and 2 not; undefined when it cannot be read. */
  readonly unprivilegedBpfDisabled: number | undefined
  /** The kernel's lockdown mode, undefined when there is none or it cannot be read. */
  readonly lockdown: string | undefined
  /** Inside a user namespace that is not the first one: its capabilities do not count for bpf(2). */
  readonly userNamespace: boolean
  /** RLIMIT_MEMLOCK in bytes where the kernel charges maps and programs to it (before 5.11), else undefined. */
  readonly lockedMemory?: number
}

function lockedMemory(limits: string | undefined, release: string | undefined): number | undefined {
  const [major, minor] = (release ?? '').split('.').map(Number)
  if (!(major < 5 || (major === 5 && minor < 11))) return undefined
  const limit = /^Max locked memory\s+(\d+)/m.exec(limits ?? '')?.[1]
  return limit === undefined ? undefined : Number(limit)
}

function readFile(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

/** What this process may do, read from /proc and /sys. */
export function readPrivileges(readText: (path: string) => string | undefined = readFile): Privileges {
  const effective = BigInt(`0x${/CapEff:\s*([0-9a-f]+)/.exec(readText('/proc/self/status') ?? '')?.[1] ?? '0'}`)
  const held = Object.entries(CAPABILITIES).filter(([, bit]) => ((effective >> bit) & 1n) === 1n)
  const disabled = readText('/proc/sys/kernel/unprivileged_bpf_disabled')
  const map = (readText('/proc/self/uid_map') ?? '0 0 4294967295').trim().split(/\s+/)
  return {
    capabilities: new Set(held.map(([name]) => name as Capability)),
    unprivilegedBpfDisabled: disabled === undefined ? undefined : Number(disabled),
    lockdown: /\[(\w+)\]/.exec(readText('/sys/kernel/security/lockdown') ?? '')?.[1],
    userNamespace: !(map[0] === '0' && map[1] === '0' && map[2] === '4294967295'),
    lockedMemory: lockedMemory(readText('/proc/self/limits'), readText('/proc/sys/kernel/osrelease')),
  }
}

/** What each capability is for, in a line about its absence. */
const PURPOSES: { readonly [C in Capability]?: string } = {
  perfmon: 'tracing programs and kernel pointers need it',
  net_admin: 'XDP, tc and most network programs need it',
  sys_admin: 'objects by id, run-time statistics and queries of other processes need it',
}

/** What most of bpf(2) asks for. */
const USUAL: readonly Capability[] = ['bpf', 'perfmon', 'net_admin']

/**
 * What is missing, as lines for a person; empty when this process holds every capability that bpf(2) asks for.
 * @param wanted only these capabilities; default those of loading and attaching
 */
export function missingPrivileges(
  privileges: Privileges = readPrivileges(),
  wanted: readonly Capability[] = USUAL,
): string[] {
  const { capabilities, unprivilegedBpfDisabled: sysctl } = privileges
  const has = (name: Capability): boolean =>
    capabilities.has(name) || (name !== 'sys_resource' && capabilities.has('sys_admin'))
  const lines: string[] = []
  for (const name of wanted) {
    if (has(name)) continue
    if (name === 'bpf') {
      const why =
        sysctl === undefined || sysctl === 0 ? '' : ` (kernel.unprivileged_bpf_disabled is ${sysctl}, so it is needed)`
      lines.push(`CAP_BPF is missing${why}: run as root, or give it with setcap cap_bpf,cap_perfmon,cap_net_admin+ep`)
    } else lines.push(`CAP_${name.toUpperCase()} is missing: ${PURPOSES[name] ?? 'it is needed'}`)
  }
  if (privileges.userNamespace)
    lines.push('this is a user namespace: its capabilities do not count for bpf(2), a BPF token or the host does')
  if (privileges.lockdown !== undefined && privileges.lockdown !== 'none')
    lines.push(`the kernel is locked down (${privileges.lockdown}): reading kernel memory is refused`)
  return lines
}

const names = (...list: readonly ProgramType[]): ReadonlySet<number> => new Set(list.map((name) => PROGRAM_TYPES[name]))
/** Program types by the capability that loading them needs besides CAP_BPF (kernel/bpf/syscall.c). */
const TRACING_TYPES = names(
  'kprobe',
  'tracepoint',
  'perf_event',
  'raw_tracepoint',
  'raw_tracepoint_writable',
  'tracing',
  'lsm',
  'struct_ops',
  'ext',
)
const NETWORK_TYPES = names(
  'sched_cls',
  'sched_act',
  'xdp',
  'lwt_in',
  'lwt_out',
  'lwt_xmit',
  'lwt_seg6local',
  'sk_skb',
  'sk_msg',
  'flow_dissector',
  'cgroup_device',
  'cgroup_sock',
  'cgroup_sock_addr',
  'cgroup_sockopt',
  'cgroup_sysctl',
  'sock_ops',
  'ext',
  'netfilter',
)
/** Map types that need CAP_NET_ADMIN. */
const NETWORK_MAPS: ReadonlySet<number> = new Set([
  MAP_TYPES.sockmap,
  MAP_TYPES.sockhash,
  MAP_TYPES.devmap,
  MAP_TYPES.devmap_hash,
  MAP_TYPES.xskmap,
])

const TRACING_ATTACHMENTS = /^(trace_|perf_event$|modify_return$|lsm_mac$)/

/** Commands that look at what others made. */
const ADMIN_COMMANDS: readonly BpfCommand[] = [
  'prog_get_next_id',
  'map_get_next_id',
  'btf_get_next_id',
  'link_get_next_id',
  'prog_get_fd_by_id',
  'map_get_fd_by_id',
  'btf_get_fd_by_id',
  'link_get_fd_by_id',
  'enable_stats',
  'task_fd_query',
]

/**
 * The capabilities that a command asks for. @param type the number of the program's, map's or attach type, for prog_load, map_create and link_create
 */
export function neededCapabilities(command: BpfCommand, type?: number): readonly Capability[] {
  if (ADMIN_COMMANDS.includes(command)) return ['sys_admin']
  if (command === 'btf_load') return ['bpf']
  if (command === 'prog_query') return ['net_admin']
  if (command === 'raw_tracepoint_open') return ['bpf', 'perfmon']
  if (type === undefined) return USUAL
  if (command === 'map_create') return NETWORK_MAPS.has(type) ? ['bpf', 'net_admin'] : ['bpf']
  if (command === 'link_create')
    return TRACING_ATTACHMENTS.test(attachTypeName(type) ?? '') ? ['bpf', 'perfmon'] : ['bpf', 'net_admin']
  if (command !== 'prog_load') return USUAL
  const more: Capability[] = []
  if (TRACING_TYPES.has(type)) more.push('perfmon')
  if (NETWORK_TYPES.has(type)) more.push('net_admin')
  return ['bpf', ...more]
}

/** One line for a report: whether bpf(2) can be used here, and what to do when not. */
export function capabilitiesReport(privileges: Privileges = readPrivileges()): string {
  if (process.platform !== 'linux') return `bpf(2) needs Linux; this is ${process.platform}`
  const lines = missingPrivileges(privileges)
  return lines.length === 0 ? 'bpf(2) is permitted: every capability that it asks for is held' : lines.join('; ')
}
