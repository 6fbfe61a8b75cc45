import { describe, expect, test } from 'vitest'
import { diagnose } from '../../src/cli/doctor/checks.ts'
import { collectFacts, type HostFacts } from '../../src/cli/doctor/facts.ts'

const HEALTHY: HostFacts = {
  platform: 'linux',
  arch: 'x64',
  release: '6.18.44',
  capabilities: (1n << 41n) - 1n,
  euid: 0,
  config: new Map([['BPF_SYSCALL', 'y']]),
  configFile: '/proc/config.gz',
  sysctls: new Map([
    ['net.core.bpf_jit_enable', '1'],
    ['kernel.unprivileged_bpf_disabled', '2'],
  ]),
  lockdown: 'none',
  lsm: 'capability,bpf',
  btfBytes: 5_000_000,
  mounts: new Map([
    ['bpf', '/sys/fs/bpf'],
    ['tracefs', '/sys/kernel/tracing'],
    ['cgroup2', '/sys/fs/cgroup'],
  ]),
  memlock: 8 << 20,
  seccomp: 0,
}

const status = (facts: Partial<HostFacts>, id: string) =>
  diagnose({ ...HEALTHY, ...facts }).find((finding) => finding.id === id)?.status

describe('doctor', () => {
  test('finds nothing missing on a healthy root', () => {
    expect(diagnose(HEALTHY).filter((finding) => finding.status === 'missing')).toEqual([])
  })

  test('says why an unprivileged process gets EPERM and what to do', () => {
    const findings = diagnose({ ...HEALTHY, capabilities: 0n })
    const disabled = findings.find((finding) => finding.id === 'sysctl.unprivileged_bpf_disabled')
    expect(disabled).toMatchObject({ status: 'missing', effect: expect.stringContaining('EPERM') })
    expect(findings.find((finding) => finding.id === 'capability.bpf')).toMatchObject({
      status: 'missing',
      cure: expect.stringContaining('root'),
    })
  })

  test('CAP_SYS_ADMIN stands in for the newer capabilities', () => {
    expect(status({ capabilities: 1n << 21n }, 'capability.bpf')).toBe('ok')
    expect(status({ capabilities: 1n << 39n }, 'capability.perfmon')).toBe('missing')
  })

  test('the memory lock limit matters before 5.11 only', () => {
    expect(status({ memlock: 65536 }, 'limit.memlock')).toBe('ok')
    expect(status({ memlock: 65536, release: '5.10.0' }, 'limit.memlock')).toBe('limited')
  })

  test('a missing bpf(2) is vital, a missing kprobe is not', () => {
    expect(status({ config: new Map() }, 'config.BPF_SYSCALL')).toBe('missing')
    expect(status({ config: new Map() }, 'config.KPROBES')).toBe('limited')
  })

  test('says so on a system that is not Linux', () => {
    expect(diagnose({ ...HEALTHY, platform: 'darwin' })).toMatchObject([{ id: 'system.platform', status: 'missing' }])
  })

  test('every finding that is not well says what follows from it', () => {
    for (const finding of diagnose({
      ...HEALTHY,
      config: new Map(),
      sysctls: new Map(),
      mounts: new Map(),
      capabilities: 0n,
    }))
      if (finding.status === 'missing' || finding.status === 'limited') expect(finding.effect, finding.id).toBeTruthy()
  })

  test('collects the facts of this machine without throwing', () => {
    expect(collectFacts().platform).toBe(process.platform)
  })
})
