import { readFileSync } from 'node:fs'

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

/** What is missing, as lines for a person; empty when this process holds every capability that bpf(2) asks for. */
export function missingPrivileges(privileges: Privileges = readPrivileges()): string[] {
  const has = (name: Capability): boolean =>
    privileges.capabilities.has(name) || (name !== 'sys_resource' && privileges.capabilities.has('sys_admin'))
  const lines: string[] = []
  if (!has('bpf')) {
    const sysctl = privileges.unprivilegedBpfDisabled
    const why =
      sysctl === undefined || sysctl === 0 ? '' : ` (kernel.unprivileged_bpf_disabled is ${sysctl}, so it is needed)`
    lines.push(`CAP_BPF is missing${why}: run as root, or give it with setcap cap_bpf,cap_perfmon,cap_net_admin+ep`)
  }
  if (!has('perfmon')) lines.push('CAP_PERFMON is missing: tracing programs and kernel pointers need it')
  if (!has('net_admin')) lines.push('CAP_NET_ADMIN is missing: XDP, tc and most network programs need it')
  if (privileges.userNamespace)
    lines.push('this is a user namespace: its capabilities do not count for bpf(2), a BPF token or the host does')
  if (privileges.lockdown !== undefined && privileges.lockdown !== 'none')
    lines.push(`the kernel is locked down (${privileges.lockdown}): reading kernel memory is refused`)
  return lines
}

/** One line for a report: whether bpf(2) can be used here, and what to do when not. */
export function capabilitiesReport(privileges: Privileges = readPrivileges()): string {
  if (process.platform !== 'linux') return `bpf(2) needs Linux; this is ${process.platform}`
  const lines = missingPrivileges(privileges)
  return lines.length === 0 ? 'bpf(2) is permitted: every capability that it asks for is held' : lines.join('; ')
}
