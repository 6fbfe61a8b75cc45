import { existsSync, readFileSync, statSync } from 'node:fs'
import { release } from 'node:os'
import { gunzipSync } from 'node:zlib'

/** What this machine says of itself; `undefined` where it does not say. */
export interface HostFacts {
  readonly platform: string
  readonly arch: string
  /** `uname -r`. */
  readonly release: string
  /** Effective capabilities of this process as a bit mask. */
  readonly capabilities: bigint | undefined
  readonly euid: number | undefined
  /** Kernel configuration (`CONFIG_` dropped) and the file it came from. */
  readonly config: ReadonlyMap<string, string> | undefined
  readonly configFile: string | undefined
  /** sysctl values by their dotted names; only those that could be read. */
  readonly sysctls: ReadonlyMap<string, string>
  /** The active lockdown mode: none, integrity, confidentiality. */
  readonly lockdown: string | undefined
  readonly lsm: string | undefined
  /** Size of /sys/kernel/btf/vmlinux in bytes. */
  readonly btfBytes: number | undefined
  /** Mount points by file system type. */
  readonly mounts: ReadonlyMap<string, string>
  /** Soft limit in bytes, Infinity when unlimited. */
  readonly memlock: number | undefined
  /** Seccomp mode of this process: 0 none, 1 strict, 2 filter. */
  readonly seccomp: number | undefined
}

const SYSCTLS = [
  'kernel.unprivileged_bpf_disabled',
  'kernel.bpf_stats_enabled',
  'kernel.kptr_restrict',
  'kernel.perf_event_paranoid',
  'net.core.bpf_jit_enable',
  'net.core.bpf_jit_harden',
  'net.core.bpf_jit_kallsyms',
  'net.core.bpf_jit_limit',
] as const

function text(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}

function kernelConfig(kernel: string): [ReadonlyMap<string, string>, string] | undefined {
  for (const path of ['/proc/config.gz', `/boot/config-${kernel}`, `/lib/modules/${kernel}/config`]) {
    if (!existsSync(path)) continue
    try {
      const bytes = readFileSync(path)
      const lines = (path.endsWith('.gz') ? gunzipSync(bytes, { maxOutputLength: 16 << 20 }) : bytes).toString('utf8')
      const config = new Map<string, string>()
      for (const match of lines.matchAll(/^CONFIG_(\w+)=(.*)$/gm)) config.set(match[1], match[2])
      return [config, path]
    } catch {
      // unreadable or damaged: try the next place
    }
  }
  return undefined
}

function memlockLimit(): number | undefined {
  const soft = /^Max locked memory\s+(\S+)/m.exec(text('/proc/self/limits') ?? '')?.[1]
  if (soft === undefined) return undefined
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft)
}

function mountPoints(): ReadonlyMap<string, string> {
  const mounts = new Map<string, string>()
  for (const line of (text('/proc/self/mounts') ?? '').split('\n')) {
    const [, point, type] = line.split(' ')
    if (type !== undefined && !mounts.has(type)) mounts.set(type, point)
  }
  return mounts
}

/** Reads the facts of the machine this runs on. Never throws. */
export function collectFacts(): HostFacts {
  const kernel = release()
  const status = text('/proc/self/status') ?? ''
  const capabilities = /^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1]
  const seccomp = /^Seccomp:\s*(\d)/m.exec(status)?.[1]
  const config = kernelConfig(kernel)
  const sysctls = new Map<string, string>()
  for (const name of SYSCTLS) {
    const value = text(`/proc/sys/${name.replaceAll('.', '/')}`)?.trim()
    if (value !== undefined) sysctls.set(name, value)
  }
  let btfBytes: number | undefined
  try {
    btfBytes = statSync('/sys/kernel/btf/vmlinux').size
  } catch {
    btfBytes = undefined
  }
  return {
    platform: process.platform,
    arch: process.arch,
    release: kernel,
    capabilities: capabilities === undefined ? undefined : BigInt(`0x${capabilities}`),
    euid: process.geteuid?.(),
    config: config?.[0],
    configFile: config?.[1],
    sysctls,
    lockdown: /\[(\w+)\]/.exec(text('/sys/kernel/security/lockdown') ?? '')?.[1],
    lsm: text('/sys/kernel/security/lsm')?.trim(),
    btfBytes,
    mounts: mountPoints(),
    memlock: memlockLimit(),
    seccomp: seccomp === undefined ? undefined : Number(seccomp),
  }
}
