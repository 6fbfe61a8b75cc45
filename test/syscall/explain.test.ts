import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { bpf, createRawMap, ERRNO, FakeSys, readPrivileges, testRun } from '../../src/syscall/index.ts'
import { errnoCauses } from '../../src/syscall/sys/explain.ts'
import { newerThanThis } from '../../src/syscall/sys/since.ts'
import { ATTACH_TYPES, type BpfCommand, MAP_TYPES, PROGRAM_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'

const ALL = (1n << 12n) | (1n << 21n) | (1n << 38n) | (1n << 39n)

/** A machine as /proc and /sys describe it. */
function machine(files: Record<string, string>, capabilities = ALL) {
  const all: Record<string, string> = {
    '/proc/self/status': `Name:\tnode\nCapEff:\t${capabilities.toString(16).padStart(16, '0')}\n`,
    '/proc/self/uid_map': '         0          0 4294967295\n',
    '/proc/sys/kernel/osrelease': '6.18.44\n',
    ...files,
  }
  const sys = new FakeSys(undefined, undefined, all)
  return readPrivileges((path) => sys.readText(path))
}

const MEMLOCK = 'Max locked memory         65536                65536                bytes     \n'

describe('EPERM says which of its causes it is', () => {
  const rows: readonly [string, Parameters<typeof machine>, BpfCommand, RegExp][] = [
    [
      'no CAP_BPF, and unprivileged bpf is off',
      [{ '/proc/sys/kernel/unprivileged_bpf_disabled': '2\n' }, 0n],
      'map_create',
      /CAP_BPF is missing \(kernel.unprivileged_bpf_disabled is 2/,
    ],
    ['CAP_BPF alone cannot trace', [{}, 1n << 39n], 'prog_load', /CAP_PERFMON is missing/],
    ['nor XDP', [{}, (1n << 39n) | (1n << 38n)], 'prog_load', /CAP_NET_ADMIN is missing/],
    ['a user namespace', [{ '/proc/self/uid_map': '0 1000 1\n' }], 'prog_load', /user namespace/],
    [
      'lockdown',
      [{ '/sys/kernel/security/lockdown': 'none integrity [confidentiality]\n' }],
      'prog_load',
      /locked down \(confidentiality\)/,
    ],
    ['nothing missing: a policy', [{}], 'prog_load', /a policy of this machine/],
    ['a frozen map', [{}], 'map_update_elem', /frozen/],
    ['a write-only map', [{}], 'map_lookup_elem', /write-only/],
    [
      'RLIMIT_MEMLOCK before 5.11',
      [{ '/proc/sys/kernel/osrelease': '5.10.0-30\n', '/proc/self/limits': MEMLOCK }],
      'map_create',
      /RLIMIT_MEMLOCK \(65536 bytes\)/,
    ],
  ]
  for (const [name, given, command, expected] of rows)
    test(name, () => {
      expect(errnoCauses(command, ERRNO.EPERM, machine(...given)).join('\n')).toMatch(expected)
    })

  const typed: readonly [BpfCommand, number, bigint, string[]][] = [
    ['prog_load', PROGRAM_TYPES.xdp, 1n << 39n, ['CAP_NET_ADMIN']],
    ['prog_load', PROGRAM_TYPES.tracing, 1n << 39n, ['CAP_PERFMON']],
    ['prog_load', PROGRAM_TYPES.socket_filter, 1n << 12n, ['CAP_BPF']],
    ['map_create', MAP_TYPES.hash, 1n << 12n, ['CAP_BPF']],
    ['map_create', MAP_TYPES.devmap, 1n << 39n, ['CAP_NET_ADMIN']],
    ['link_create', ATTACH_TYPES.cgroup_device, 1n << 39n, ['CAP_NET_ADMIN']],
    ['link_create', ATTACH_TYPES.perf_event, 1n << 39n, ['CAP_PERFMON']],
    ['prog_get_next_id', 0, ALL & ~(1n << 21n), ['CAP_SYS_ADMIN']],
    ['enable_stats', 0, ALL & ~(1n << 21n), ['CAP_SYS_ADMIN']],
  ]
  for (const [command, type, capabilities, missing] of typed)
    test(`only what is needed is missing: ${command} ${type}`, () => {
      const lines = errnoCauses(command, ERRNO.EPERM, machine({}, capabilities), { type })
      expect(lines.map((line) => line.split(' ')[0])).toEqual(missing)
    })

  testWith('bpf', 'program:setpriv')('as a user without privileges, and with CAP_BPF alone', () => {
    const script = `
      import { createRawMap, objectIds, realSys } from ${JSON.stringify(new URL('../../src/syscall/index.ts', import.meta.url).href)}
      const spec = { name: 'm', keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }
      const uses = [() => createRawMap(realSys(), { ...spec, type: 1 }), () => createRawMap(realSys(), { ...spec, type: 14 }),
        () => [...objectIds(realSys(), 'map')]]
      for (const use of uses) try { use(); console.log('done') } catch ({ code, details }) { console.log(code, details.join(' ')) }`
    const run = (...privileges: string[]): string[] =>
      execFileSync(
        'setpriv',
        [
          ...privileges,
          process.execPath,
          '--conditions=typebpf-source',
          '--import',
          'tsx',
          '--input-type=module',
          '-e',
          script,
        ],
        { encoding: 'utf8', cwd: new URL('../..', import.meta.url).pathname },
      )
        .trim()
        .split('\n')
    const ids = expect.stringMatching(/^sys.eperm CAP_SYS_ADMIN is missing: objects by id/)
    const [hash, devices, maps] = run('--reuid=65534', '--regid=65534', '--clear-groups')
    expect([hash, devices, maps]).toEqual([
      expect.stringMatching(/^sys.eperm CAP_BPF is missing/),
      expect.stringMatching(/^sys.eperm CAP_BPF is missing.*CAP_NET_ADMIN is missing/),
      ids,
    ])
    expect(run('--bounding-set=-all,+bpf', '--inh-caps=-all,+bpf')).toEqual([
      'done',
      expect.stringMatching(/^sys.eperm CAP_NET_ADMIN is missing/),
      ids,
    ])
  })

  test('RLIMIT_MEMLOCK is not blamed where it does not count', () => {
    const late = machine({ '/proc/self/limits': MEMLOCK })
    expect(errnoCauses('map_create', ERRNO.EPERM, late).join()).not.toContain('MEMLOCK')
    const unlimited = {
      '/proc/sys/kernel/osrelease': '5.4.0\n',
      '/proc/self/limits': 'Max locked memory unlimited unlimited bytes',
    }
    expect(errnoCauses('map_create', ERRNO.EPERM, machine(unlimited)).join()).not.toContain('MEMLOCK')
  })
})

describe('other errnos are explained by command', () => {
  const rows: readonly [BpfCommand, keyof typeof ERRNO, RegExp][] = [
    ['prog_load', 'E2BIG', /more instructions|attribute that this kernel does not know/],
    ['map_create', 'E2BIG', /attribute that this kernel does not know/],
    ['map_update_elem', 'E2BIG', /full/],
    ['link_create', 'E2BIG', /attribute that this kernel does not know/],
    ['prog_load', 'ENOSPC', /log buffer/],
    ['prog_test_run', 'ENOSPC', /data_out/],
    ['map_lookup_batch', 'ENOSPC', /bucket/],
    ['map_create', 'EINVAL', /this kernel lacks the map type/],
    ['link_create', 'EINVAL', /this kernel lacks the attach type/],
    ['prog_load', 'EINVAL', /newer than this kernel/],
    ['btf_load', 'EINVAL', /newer than this kernel/],
    ['prog_test_run', 'ENOTSUPP', /no test run/],
    ['map_get_next_key', 'ENOTSUPP', /does not have this operation/],
    ['map_create', 'ENOMEM', /RLIMIT_MEMLOCK/],
    ['raw_tracepoint_open', 'ENOENT', /no such tracepoint/],
    ['map_get_fd_by_id', 'ENOENT', /no object has this id/],
    ['obj_pin', 'EEXIST', /there already/],
    ['link_create', 'EBUSY', /in use/],
    ['map_create', 'EMFILE', /ulimit -n/],
    ['map_create', 'ENOSYS', /without bpf/],
  ]
  for (const [command, errno, expected] of rows)
    test(`${command}: ${errno}`, () => {
      const sys = new FakeSys(() => -ERRNO[errno])
      let thrown: unknown
      try {
        bpf(sys, command, {})
      } catch (error) {
        thrown = error
      }
      expect(thrown).toMatchObject({ code: `sys.${errno.toLowerCase()}`, errno: ERRNO[errno], exitCode: 3 })
      expect((thrown as { details: string[] }).details.join()).toMatch(expected)
    })

  test('objects are named in the message, and an unknown errno has its number', () => {
    const sys = new FakeSys(() => -ERRNO.ENOMEM)
    const spec = { name: 'counts', type: 1, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }
    expect(() => createRawMap(sys, spec)).toThrow('map_create of map counts (hash): ENOMEM')
    expect(() => testRun(new FakeSys(() => -133), 3)).toThrow(/errno 133/)
  })
})

describe('locked memory', () => {
  const spec = { name: 'm', type: 1, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }
  /** A kernel that makes maps when the limit is lifted. */
  const old = (release: string, mayLift: boolean) => {
    let lifted = 0
    const sys = new FakeSys(
      () => (lifted > 0 ? 5 : -ERRNO.EPERM),
      (name, args, own) => {
        if (name !== 'prlimit64') return 0
        expect([args[1], [...own.at(args[2], 16)]]).toEqual([8, new Array(16).fill(255)])
        if (mayLift) lifted++
        return mayLift ? 0 : -ERRNO.EPERM
      },
      { '/proc/sys/kernel/osrelease': release },
    )
    const lifts = () => sys.calls.filter(({ name }) => name === 'prlimit64').length
    return { sys, lifts }
  }

  test('its limit is lifted once on kernels that charge maps to it', () => {
    const { sys, lifts } = old('5.10.0-46', true)
    expect(createRawMap(sys, spec).fd).toBe(5)
    expect(createRawMap(sys, spec).fd).toBe(5)
    expect(lifts()).toBe(1)
  })

  test('what cannot be lifted stays an error, and no newer kernel is asked', () => {
    for (const [release, mayLift, expected] of [
      ['5.10.0-46', false, 1],
      ['5.11.0', true, 0],
      ['6.18.44', true, 0],
    ] as const) {
      const { sys, lifts } = old(release, mayLift)
      for (let i = 0; i < 2; i++) expect(() => createRawMap(sys, spec)).toThrow(/EPERM/)
      expect([release, lifts()]).toEqual([release, expected])
    }
  })
})

test('what is newer than the running kernel is named with its version', () => {
  expect(newerThanThis('it', '99.1')).toMatch(/^it came with Linux 99.1, this is \d+\./)
  expect([newerThanThis('it', '3.18'), newerThanThis('it', undefined)]).toEqual([undefined, undefined])
})
