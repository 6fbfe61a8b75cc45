import type { HostFacts } from './facts.ts'

/** `ok` works; `limited` works in part; `missing` does not work; `unknown` could not be found out. */
export type Status = 'ok' | 'limited' | 'missing' | 'unknown'

/** One finding: what was looked at, what was found, what follows, what to do. */
export interface Finding {
  /** Stable, for scripts: `capability.bpf`, `sysctl.kptr_restrict`, `config.BPF_SYSCALL` … */
  readonly id: string
  readonly area: 'system' | 'privilege' | 'kernel configuration' | 'sysctl' | 'file systems' | 'limits'
  readonly status: Status
  readonly found: string
  /** What this means for BPF programs; absent when all is well. */
  readonly effect?: string
  readonly cure?: string
}

interface CapabilityRow {
  readonly name: string
  readonly bit: bigint
  readonly lets: string
}

const CAPABILITIES: readonly CapabilityRow[] = [
  { name: 'CAP_BPF', bit: 39n, lets: 'load programs, create maps and BTF' },
  { name: 'CAP_NET_ADMIN', bit: 12n, lets: 'load and attach xdp, tc, socket and cgroup network programs' },
  { name: 'CAP_PERFMON', bit: 38n, lets: 'load and attach tracing programs' },
  {
    name: 'CAP_SYS_ADMIN',
    bit: 21n,
    lets: 'list all programs, maps and links, switch statistics on, read jited code',
  },
  { name: 'CAP_SYS_RESOURCE', bit: 24n, lets: 'raise RLIMIT_MEMLOCK (needed before Linux 5.11 only)' },
]

interface ConfigRow {
  readonly option: string
  readonly lets: string
  /** Without it the machine runs no BPF at all. */
  readonly vital?: boolean
}

const CONFIG: readonly ConfigRow[] = [
  { option: 'BPF_SYSCALL', lets: 'bpf(2)', vital: true },
  { option: 'BPF_JIT', lets: 'native code for programs' },
  { option: 'DEBUG_INFO_BTF', lets: 'kernel types for CO-RE, tp_btf, fentry, kfuncs' },
  { option: 'DEBUG_INFO_BTF_MODULES', lets: "types of the modules' functions" },
  { option: 'CGROUP_BPF', lets: 'programs on cgroups' },
  { option: 'BPF_EVENTS', lets: 'programs on tracepoints, kprobes, uprobes, perf events' },
  { option: 'KPROBES', lets: 'kprobe and kretprobe programs' },
  { option: 'UPROBES', lets: 'uprobe and uretprobe programs' },
  { option: 'FTRACE_SYSCALLS', lets: 'syscall tracepoints' },
  { option: 'DYNAMIC_FTRACE_WITH_DIRECT_CALLS', lets: 'fentry and fexit programs' },
  { option: 'FPROBE', lets: 'kprobe_multi links' },
  { option: 'BPF_LSM', lets: 'lsm programs' },
  { option: 'NET_CLS_BPF', lets: 'tc programs through netlink' },
  { option: 'NET_SCH_INGRESS', lets: 'clsact, the tc ingress and egress hooks' },
  { option: 'XDP_SOCKETS', lets: 'AF_XDP sockets' },
  { option: 'LWTUNNEL_BPF', lets: 'lwt programs' },
  { option: 'NETFILTER_BPF_LINK', lets: 'netfilter programs' },
  { option: 'BPF_STREAM_PARSER', lets: 'sk_skb and sk_msg programs' },
  { option: 'NETKIT', lets: 'netkit devices' },
  { option: 'SCHED_CLASS_EXT', lets: 'sched_ext schedulers' },
]

function* system(facts: HostFacts): Generator<Finding> {
  const { platform, arch, release } = facts
  if (platform !== 'linux') {
    yield {
      id: 'system.platform',
      area: 'system',
      status: 'missing',
      found: `${platform} ${arch}`,
      effect: 'no kernel here runs BPF; the builder, the verifier model and the emulator work',
      cure: 'run the kernel tests on Linux',
    }
    return
  }
  const [major, minor] = release.split('.').map(Number)
  const old = major < 5 || (major === 5 && minor < 8)
  yield {
    id: 'system.kernel',
    area: 'system',
    status: old ? 'limited' : 'ok',
    found: `Linux ${release} ${arch}`,
    ...(old && {
      effect: 'no CAP_BPF, ring buffer or BPF links for all hooks before 5.8',
      cure: 'use Linux 5.8 or newer',
    }),
  }
  yield facts.btfBytes === undefined
    ? {
        id: 'system.btf',
        area: 'system',
        status: 'missing',
        found: 'no readable /sys/kernel/btf/vmlinux',
        effect: 'CO-RE, tp_btf, fentry, iterators and kfuncs need it',
        cure: 'a kernel built with CONFIG_DEBUG_INFO_BTF=y, or --btf FILE for CO-RE',
      }
    : { id: 'system.btf', area: 'system', status: 'ok', found: `kernel BTF, ${facts.btfBytes} bytes` }
  if (facts.seccomp === 2)
    yield {
      id: 'system.seccomp',
      area: 'system',
      status: 'limited',
      found: 'a seccomp filter is active',
      effect: 'a container runtime may refuse bpf(2) and perf_event_open(2) with EPERM whatever the capabilities are',
      cure: "allow bpf and perf_event_open in the container's seccomp profile",
    }
  if (facts.lockdown !== undefined && facts.lockdown !== 'none')
    yield {
      id: 'system.lockdown',
      area: 'system',
      status: 'limited',
      found: `kernel lockdown: ${facts.lockdown}`,
      effect:
        facts.lockdown === 'confidentiality'
          ? 'helpers that read kernel memory are refused, tracing programs with them do not load'
          : 'bpf_probe_write_user is refused',
      cure: 'boot without lockdown where that is acceptable',
    }
  if (facts.lsm !== undefined) {
    const bpf = facts.lsm.split(',').includes('bpf')
    yield {
      id: 'system.lsm',
      area: 'system',
      status: bpf ? 'ok' : 'limited',
      found: `security modules: ${facts.lsm}`,
      ...(!bpf && { effect: 'lsm programs load but are never called', cure: "add bpf to the kernel's lsm= parameter" }),
    }
  }
}

function* privilege(facts: HostFacts): Generator<Finding> {
  if (facts.capabilities === undefined) {
    yield { id: 'capability', area: 'privilege', status: 'unknown', found: 'capabilities cannot be read' }
    return
  }
  const has = (bit: bigint): boolean => ((facts.capabilities ?? 0n) >> bit) % 2n === 1n
  const admin = has(21n)
  for (const { name, bit, lets } of CAPABILITIES) {
    const own = has(bit)
    const through = !own && admin && bit !== 24n
    const needed = name !== 'CAP_SYS_RESOURCE' || kernelBefore(facts.release, 5, 11)
    yield {
      id: `capability.${name.slice(4).toLowerCase()}`,
      area: 'privilege',
      status: own || through || !needed ? 'ok' : 'missing',
      found: own ? name : through ? `${name} through CAP_SYS_ADMIN` : `no ${name}`,
      ...(!own &&
        !through &&
        needed && {
          effect: `it lets a process ${lets}`,
          cure: `run as root, or grant it: setpriv, systemd's AmbientCapabilities=${name}`,
        }),
    }
  }
  const disabled = facts.sysctls.get('kernel.unprivileged_bpf_disabled')
  if (disabled !== undefined && !has(39n) && !admin)
    yield {
      id: 'sysctl.unprivileged_bpf_disabled',
      area: 'privilege',
      status: disabled === '0' ? 'limited' : 'missing',
      found: `kernel.unprivileged_bpf_disabled = ${disabled}`,
      effect:
        disabled === '0'
          ? 'without CAP_BPF only socket_filter and cgroup_skb programs load, under stricter rules'
          : 'every bpf(2) command of an unprivileged process is EPERM',
      cure: disabled === '1' ? 'run privileged; the setting cannot be undone until reboot' : 'run privileged',
    }
}

function kernelBefore(release: string, major: number, minor: number): boolean {
  const [a, b] = release.split('.').map(Number)
  return a < major || (a === major && b < minor)
}

function* configuration(facts: HostFacts): Generator<Finding> {
  const { config } = facts
  if (config === undefined) {
    yield {
      id: 'config',
      area: 'kernel configuration',
      status: 'unknown',
      found: 'no readable /proc/config.gz or /boot/config-*',
      effect: 'what the kernel was built with is not known',
      cure: 'typebpf feature probe asks the kernel itself',
    }
    return
  }
  for (const { option, lets, vital } of CONFIG) {
    const value = config.get(option)
    yield {
      id: `config.${option}`,
      area: 'kernel configuration',
      status: value === 'y' ? 'ok' : value === 'm' ? 'limited' : vital === true ? 'missing' : 'limited',
      found: `CONFIG_${option}${value === undefined ? ' is not set' : `=${value}`}`,
      ...(value !== 'y' && { effect: value === 'm' ? `${lets}: needs its module loaded` : `no ${lets}` }),
    }
  }
}

interface SysctlRow {
  readonly name: string
  readonly judge: (value: number) => Pick<Finding, 'status' | 'effect' | 'cure'>
}

const SYSCTLS: readonly SysctlRow[] = [
  {
    name: 'net.core.bpf_jit_enable',
    judge: (value) =>
      value === 0
        ? {
            status: 'limited',
            effect: 'programs are interpreted, several times slower',
            cure: 'sysctl net.core.bpf_jit_enable=1',
          }
        : { status: 'ok' },
  },
  {
    name: 'net.core.bpf_jit_harden',
    judge: (value) =>
      value === 2
        ? {
            status: 'limited',
            effect: 'jited code of privileged programs is blinded too: slower, no jited dump',
            cure: 'sysctl net.core.bpf_jit_harden=1',
          }
        : { status: 'ok' },
  },
  {
    name: 'kernel.kptr_restrict',
    judge: (value) =>
      value === 2
        ? {
            status: 'limited',
            effect: 'kernel addresses are hidden: no jited dump, no kernel symbols in stacks',
            cure: 'sysctl kernel.kptr_restrict=1',
          }
        : { status: 'ok' },
  },
  {
    name: 'kernel.perf_event_paranoid',
    judge: (value) =>
      value >= 2
        ? {
            status: 'limited',
            effect: 'without CAP_PERFMON no perf events of the kernel',
            cure: 'run with CAP_PERFMON',
          }
        : { status: 'ok' },
  },
  {
    name: 'kernel.bpf_stats_enabled',
    judge: (value) =>
      value === 1
        ? {
            status: 'limited',
            effect: 'run time statistics are on for all programs: about 20 ns a run',
            cure: 'sysctl kernel.bpf_stats_enabled=0; typebpf switches them on only while it measures',
          }
        : { status: 'ok' },
  },
]

function* sysctls(facts: HostFacts): Generator<Finding> {
  for (const { name, judge } of SYSCTLS) {
    const value = facts.sysctls.get(name)
    const id = `sysctl.${name.split('.').at(-1)}`
    if (value === undefined) yield { id, area: 'sysctl', status: 'unknown', found: `${name} cannot be read` }
    else yield { id, area: 'sysctl', found: `${name} = ${value}`, ...judge(Number(value)) }
  }
}

const FILE_SYSTEMS = [
  { type: 'bpf', name: 'bpffs', lets: 'pinning', mount: 'mount -t bpf bpf /sys/fs/bpf' },
  {
    type: 'tracefs',
    name: 'tracefs',
    lets: 'tracepoint ids and formats, the trace pipe',
    mount: 'mount -t tracefs tracefs /sys/kernel/tracing',
  },
  { type: 'cgroup2', name: 'cgroup2', lets: 'cgroup programs', mount: 'mount -t cgroup2 cgroup2 /sys/fs/cgroup' },
] as const

function* fileSystems(facts: HostFacts): Generator<Finding> {
  for (const { type, name, lets, mount } of FILE_SYSTEMS) {
    const point = facts.mounts.get(type)
    yield {
      id: `mount.${name}`,
      area: 'file systems',
      status: point === undefined ? 'limited' : 'ok',
      found: point === undefined ? `${name} is not mounted` : `${name} at ${point}`,
      ...(point === undefined && { effect: `needed for ${lets}`, cure: mount }),
    }
  }
}

function* limits(facts: HostFacts): Generator<Finding> {
  if (facts.memlock === undefined) return
  const matters = kernelBefore(facts.release, 5, 11) && facts.memlock < 64 << 20
  yield {
    id: 'limit.memlock',
    area: 'limits',
    status: matters ? 'limited' : 'ok',
    found: `RLIMIT_MEMLOCK ${facts.memlock === Number.POSITIVE_INFINITY ? 'unlimited' : `${facts.memlock} bytes`}`,
    ...(matters && {
      effect: 'maps and programs are counted against it before Linux 5.11',
      cure: 'ulimit -l unlimited',
    }),
  }
}

/** All findings, in the order they are shown. A pure function of the facts. */
export function diagnose(facts: HostFacts): Finding[] {
  if (facts.platform !== 'linux') return [...system(facts)]
  return [
    ...system(facts),
    ...privilege(facts),
    ...configuration(facts),
    ...sysctls(facts),
    ...fileSystems(facts),
    ...limits(facts),
  ]
}
