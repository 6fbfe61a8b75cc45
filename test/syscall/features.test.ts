import { describe, expect, test } from 'vitest'
import {
  attachTypeFeature,
  ERRNO,
  FakeSys,
  helperFeature,
  INSTRUCTION_FEATURES,
  instructionFeature,
  mapFlagFeature,
  mapTypeFeature,
  PROBED_MAP_FLAGS,
  programTypeFeature,
  realSys,
} from '../../src/syscall/index.ts'
import { kernelBtf } from '../../src/syscall/prog/kernel-btf.ts'
import {
  ATTACH_TYPES,
  BPF_ATTRS,
  BPF_COMMANDS,
  MAP_TYPES,
  type MapType,
  PROGRAM_TYPES,
  type ProgramType,
} from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { isOlderThan } from './programs.ts'

const bpfTest = testWith('bpf')

/** Names of an enum of the running kernel: what it can possibly have. */
function kernelEnum(name: string, prefix: string): Set<string> {
  const type = kernelBtf()?.find(name, 'enum')
  if (type?.kind !== 'enum') throw new Error(`no enum ${name}`)
  return new Set(type.values.map((row) => row.name.replace(prefix, '').toLowerCase()))
}

describe('feature probes', () => {
  bpfTest('program types: unknown numbers only where the kernel does not name them', () => {
    const known = kernelEnum('bpf_prog_type', 'BPF_PROG_TYPE_')
    const unsupported = (Object.keys(PROGRAM_TYPES) as ProgramType[]).filter(
      (type) => type !== 'unspec' && programTypeFeature(realSys(), type).answer === 'unsupported',
    )
    // lirc_mode2 needs CONFIG_BPF_LIRC_MODE2
    expect(unsupported.filter((type) => known.has(type) && type !== 'lirc_mode2')).toEqual([])
    if (isOlderThan('6.4')) expect(programTypeFeature(realSys(), 'netfilter').answer).toBe('unsupported')
    for (const type of ['xdp', 'sched_cls', 'kprobe', 'tracing', 'syscall'] as const)
      expect([type, programTypeFeature(realSys(), type).answer]).toEqual([type, 'supported'])
  })

  bpfTest('map types: what the kernel names can be made, what it does not cannot', () => {
    const known = kernelEnum('bpf_map_type', 'BPF_MAP_TYPE_')
    for (const type of Object.keys(MAP_TYPES) as MapType[]) {
      if (type === 'unspec' || type === 'struct_ops' || type === 'insn_array') continue
      const { answer } = mapTypeFeature(realSys(), type)
      expect([type, answer]).toEqual([
        type,
        known.has(type) || ['cgroup_storage', 'percpu_cgroup_storage'].includes(type) ? 'supported' : 'unsupported',
      ])
    }
  })

  bpfTest('helpers: per program type, whatever the wording of the refusal', () => {
    const sys = realSys()
    expect(helperFeature(sys, 'socket_filter', 1).answer).toBe('supported')
    expect(helperFeature(sys, 'socket_filter', 44).answer).toBe('unsupported')
    expect(helperFeature(sys, 'xdp', 44).answer).toBe('supported')
    expect(helperFeature(sys, 'xdp', 9999).answer).toBe('unsupported')
    // refused by policy on some machines, supported on others: never a guess
    expect(helperFeature(sys, 'lsm', 1).answer).not.toBe('unsupported')
  })

  bpfTest('instruction levels and attach types', () => {
    const sys = realSys()
    for (const name of INSTRUCTION_FEATURES) {
      const feature = instructionFeature(sys, name)
      // A distribution's kernel may have it earlier; none that is new enough may lack it.
      if (feature.answer === 'unsupported') expect(isOlderThan(feature.since ?? '0'), name).toBe(true)
      else expect([name, feature]).toEqual([name, { answer: 'supported' }])
    }
    const unix = attachTypeFeature(sys, 'cgroup_sock_addr', ATTACH_TYPES.cgroup_unix_connect).answer
    expect(unix).toBe(isOlderThan('6.7') ? 'unsupported' : 'supported')
    expect(attachTypeFeature(sys, 'cgroup_sock_addr', ATTACH_TYPES.xdp).answer).toBe('unsupported')
  })

  bpfTest('map flags', () => {
    expect(PROBED_MAP_FLAGS.map((flag) => [flag, mapFlagFeature(realSys(), flag).answer])).toEqual(
      PROBED_MAP_FLAGS.map((flag) => [flag, 'supported']),
    )
    const old = new FakeSys((command) => (command === BPF_COMMANDS.map_create ? -ERRNO.EINVAL : 0))
    expect(mapFlagFeature(old, 'mmapable')).toEqual({ answer: 'unsupported', since: '5.5' })
  })

  const refusals = [
    'invalid func unknown#999',
    'unknown func bpf_probe_read_kernel#113',
    'program of this type cannot use helper bpf_probe_read#4',
    'helper call is not allowed in probe',
    'kernel subsystem misconfigured func bpf_get_stack#67',
  ]
  /** A kernel that refuses every program with a log. */
  const saying = (log: string) =>
    new FakeSys((command, attr, sys) => {
      if (command !== BPF_COMMANDS.prog_load) return -ERRNO.EINVAL
      const bytes = new TextEncoder().encode(`0: (85) call 4\n${log}\nprocessed 1 insns\n\0`)
      sys.at(attr.getBigUint64(BPF_ATTRS.prog_load.log_buf[0], true), bytes.length).set(bytes)
      return -ERRNO.EINVAL
    })
  for (const log of refusals)
    test(`a helper is refused by "${log}"`, () => {
      expect(helperFeature(saying(log), 'xdp', 4)).toEqual({ answer: 'unsupported' })
    })
  for (const log of [
    'R1 type=ctx expected=fp',
    'R2 !read_ok',
    'sleepable helper bpf_copy_from_user#148 in non-sleepable prog',
  ])
    test(`a helper is there when only its arguments are refused: "${log}"`, () => {
      expect(helperFeature(saying(log), 'kprobe', 4)).toEqual({ answer: 'supported' })
    })

  test('a refusal by policy is inconclusive and asked again', () => {
    let asked = 0
    const sys = new FakeSys((command) => {
      if (command === BPF_COMMANDS.map_create) asked++
      return -ERRNO.EPERM
    })
    expect(mapTypeFeature(sys, 'hash')).toMatchObject({ answer: 'inconclusive', why: expect.stringMatching(/EPERM/) })
    mapTypeFeature(sys, 'hash')
    expect(asked).toBe(2)
    expect(programTypeFeature(sys, 'xdp').answer).toBe('inconclusive')
  })
})
