import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { assembleBytes } from '../../src/asm/index.ts'
import { u32, u64 } from '../../src/layout/index.ts'
import {
  bpf,
  btfInfo,
  capabilitiesReport,
  createJudge,
  createMap,
  createRawMap,
  ERRNO,
  enableStats,
  FakeSys,
  fdInfo,
  kernelMemory,
  loadImage,
  objectIds,
  openById,
  programDetails,
  programInfo,
  realSys,
  reasonLine,
  setTrace,
  stats,
  testRun,
} from '../../src/syscall/index.ts'
import { BPF_COMMANDS, MAP_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { counter, imageOf } from './programs.ts'

const bpfTest = testWith('bpf')
const bpftool = (...args: string[]): unknown =>
  JSON.parse(
    execFileSync('bpftool', ['-j', ...args], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` },
    }),
  )

describe('what the kernel says of programs', () => {
  testWith('bpf', 'program:bpftool')('equals what bpftool says', () => {
    const sys = realSys()
    using counted = counter('sched_cls', 0)
    const info = programDetails(sys, counted.program.fd)
    expect(bpftool('prog', 'show', 'id', String(info.id))).toMatchObject({
      id: info.id,
      type: 'sched_cls',
      name: info.name,
      tag: info.tag,
      gpl_compatible: info.gplCompatible,
      bytes_xlated: info.xlatedBytes,
      bytes_jited: info.jitedBytes,
      bytes_memlock: kernelMemory(counted.program.fd),
      map_ids: info.mapIds,
      uid: info.createdByUid,
    })
    expect(info.xlated.length).toBe(info.xlatedBytes)
    expect(info.jited.length).toBe(info.jitedBytes)
    expect(info.jitedLengths.reduce((a, b) => a + b)).toBe(info.jitedBytes)
    expect(info.verifiedInsns).toBe(counted.loaded.statistics.processed)
    expect([...objectIds(sys, 'program')]).toContain(info.id)
    using again = openById(sys, 'program', info.id)
    expect(programInfo(sys, again?.fd ?? -1).tag).toBe(info.tag)
    expect(openById(sys, 'program', 0x7fff_ffff)).toBeUndefined()
    expect(fdInfo(counted.program.fd).get('prog_id')).toBe(String(info.id))
  })

  bpfTest('run time and run count only while statistics are on', async () => {
    const sys = realSys()
    using counted = counter('sched_cls', 0)
    const run = (): unknown => testRun(sys, counted.program.fd, { data: new Uint8Array(64), repeat: 1000 })
    const { id } = programInfo(sys, counted.program.fd)
    {
      using _ = enableStats(sys)
      const sampler = stats(sys, { every: 20, ids: [id] })
      const next = sampler.next()
      await new Promise((resolve) => setTimeout(resolve, 5))
      run()
      const { value } = await next
      expect(value.programs).toMatchObject([{ id, runs: 1000 }])
      expect(value.programs[0].nsPerRun).toBeGreaterThan(0)
      expect(value.programs[0].runsPerSecond).toBeGreaterThan(1000)
      await sampler.return(undefined)
    }
    const { runCount } = programInfo(sys, counted.program.fd)
    run()
    expect(programInfo(sys, counted.program.fd).runCount).toBe(runCount)
  })
})

describe('test runs', () => {
  bpfTest('give back data, context, return value and duration', () => {
    const sys = realSys()
    // XDP: writes the first byte of the packet, returns XDP_TX
    const text = `r2 = *(u32 *)(r1 + 0)
r3 = *(u32 *)(r1 + 4)
r0 = 1
r4 = r2
r4 += 14
if r4 > r3 goto +3
r5 = 171
*(u8 *)(r2 + 0) = r5
r0 = 3
exit
`
    using loaded = createJudge(sys).load(imageOf('xdp', text))
    const fd = loaded.program?.fd ?? -1
    const output = testRun(sys, fd, { data: new Uint8Array(64).fill(1), repeat: 100 })
    expect([output.retval, output.data.length, output.data[0], output.data[1]]).toEqual([3, 64, 171, 1])
    expect(output.durationNs).toBeGreaterThanOrEqual(0)
    const short = testRun(sys, fd, { data: new Uint8Array(64), dataOutSize: 10 })
    expect([short.data.length, short.dataSize, short.retval]).toEqual([10, 64, 3])
    expect(() => testRun(sys, fd, { data: new Uint8Array(3) })).toThrow(/EINVAL/)
    using perf = counter('perf_event', 0)
    expect(() => testRun(sys, perf.program.fd)).toThrow(
      expect.objectContaining({ errno: 524, details: [expect.stringMatching(/no test run/)] }),
    )
  })
})

describe('refusals', () => {
  test('an errno comes with its cause', () => {
    const sys = new FakeSys(() => -ERRNO.E2BIG)
    expect(() => bpf(sys, 'map_update_elem', {}, 'map full')).toThrow(
      expect.objectContaining({ errno: 7, code: 'sys.e2big', details: [expect.stringMatching(/max_entries/)] }),
    )
    expect(() => bpf(new FakeSys(() => -524), 'map_lookup_elem', {})).toThrow(/ENOTSUPP/)
  })

  test('EPERM with an empty log is denied, EINVAL is invalid, a log is a rejection', () => {
    const answer = (errno: number, log: string) =>
      new FakeSys((command, attr, sys) => {
        if (command !== BPF_COMMANDS.prog_load) return -ERRNO.EPERM
        const bytes = new TextEncoder().encode(`${log}\0`)
        sys.at(attr.getBigUint64(32, true), bytes.length).set(bytes)
        attr.setUint32(140, bytes.length, true)
        return -errno
      })
    const image = imageOf('xdp', 'r0 = 0\nexit\n')
    expect(loadImage(answer(1, ''), image).verdict).toBe('denied')
    expect(loadImage(answer(22, ''), image).verdict).toBe('invalid')
    expect(loadImage(answer(22, 'bad thing\nprocessed 1 insns (limit 1000000)\n'), image)).toMatchObject({
      verdict: 'reject',
      message: 'bad thing',
    })
    const map = { name: 'm', type: MAP_TYPES.hash, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 }
    expect(loadImage(answer(22, ''), { ...image, maps: [map] })).toMatchObject({
      verdict: 'denied',
      message: expect.stringMatching(/map_create/),
    })
  })

  test('a kernel whose BTF has no name is asked without it', () => {
    const lengths: number[] = []
    const sys = new FakeSys((_, attr, own) => {
      const length = attr.getUint32(4, true)
      lengths.push(length)
      const info = own.at(attr.getBigUint64(8, true), 32)
      if (length > 16 && info.subarray(16).some((byte) => byte !== 0)) return -ERRNO.E2BIG
      new DataView(info.buffer, info.byteOffset, 32).setUint32(8, 77, true)
      new DataView(info.buffer, info.byteOffset, 32).setUint32(12, 5, true)
      return 0
    })
    expect(btfInfo(sys, 3)).toEqual({ id: 5, name: '', kernel: false, size: 77 })
    expect(lengths).toEqual([32, 16])
  })

  test('interrupted loads are repeated, a log that is too long is asked for again', () => {
    let calls = 0
    const sys = new FakeSys((_command, attr, fake) => {
      calls++
      if (calls <= 2) return -ERRNO.EAGAIN
      const log = new TextEncoder().encode(`${'x'.repeat(100_000)}\nthe reason\nprocessed 1 insns\n\0`)
      const size = attr.getUint32(28, true)
      attr.setUint32(140, log.length, true)
      if (size < log.length) return -ERRNO.ENOSPC
      fake.at(attr.getBigUint64(32, true), log.length).set(log)
      return -ERRNO.EACCES
    })
    const result = loadImage(sys, imageOf('xdp', 'r0 = 0\nexit\n'))
    expect(result).toMatchObject({ verdict: 'reject', errno: 13, message: 'the reason', logTruncated: false })
    expect(result.log.length).toBeGreaterThan(100_000)
    expect(calls).toBe(4)
  })

  test('the reason is the line before the statistics, in the old form and in that of 7.3', () => {
    const tail =
      'verification time 12 usec\nstack depth 0\nprocessed 3 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n'
    expect(reasonLine(`0: (95) exit\nR0 !read_ok\n${tail}`)).toBe('R0 !read_ok')
    expect(reasonLine('expected prog array map for tail callverification time 24 usec\nstack depth 0\n')).toBe(
      'expected prog array map for tail call',
    )
    expect(reasonLine(tail)).toBeUndefined()
    expect(reasonLine(`R0 !read_ok\n\nVerification failed: Register Type Safety: R0\nReason: x\n${tail}`)).toBe(
      'R0 !read_ok',
    )
  })

  test('one line says what bpf() lacks and how to get it', () => {
    const none = {
      capabilities: new Set<never>(),
      unprivilegedBpfDisabled: 2,
      lockdown: 'integrity',
      userNamespace: true,
    }
    expect(capabilitiesReport(none)).toMatch(
      /CAP_BPF is missing.*setcap.*CAP_PERFMON.*CAP_NET_ADMIN.*user namespace.*locked down/,
    )
    expect(
      capabilitiesReport({
        ...none,
        capabilities: new Set(['sys_admin' as const]),
        lockdown: undefined,
        userNamespace: false,
      }),
    ).toMatch(/permitted/)
  })

  test('a closed object says so instead of using a number that is another file now', () => {
    const sys = new FakeSys(() => 33)
    const map = createRawMap(sys, { name: 'gone', type: 1, keySize: 4, valueSize: 4, maxEntries: 1, flags: 0 })
    map.close()
    map.close()
    expect(() => map.lookup(new Uint8Array(4))).toThrow(/closed/)
    expect(sys.calls.filter(({ name }) => name === 'close')).toHaveLength(1)
  })
})

describe('the trace', () => {
  bpfTest('prints every command with its fields and answer', () => {
    const lines: string[] = []
    setTrace(true, (line) => lines.push(line))
    try {
      using map = createMap(
        realSys(),
        { name: 'traced', type: 1, keySize: 4, valueSize: 8, maxEntries: 3, flags: 0 },
        { key: u32, value: u64 },
      )
      map.get(1)
      using _ = loadImage(realSys(), { ...imageOf('xdp', 'r0 = 0\nexit\n'), insns: assembleBytes('exit\n') })
    } finally {
      setTrace(undefined, (line) => process.stderr.write(line))
    }
    expect(lines[0]).toMatch(
      /^bpf\(BPF_MAP_CREATE, \{map_type=hash, key_size=4, value_size=8, max_entries=3, .*map_name="traced".*\}, \d+\) = \d+\n$/,
    )
    expect(lines[1]).toMatch(
      /^bpf\(BPF_MAP_LOOKUP_ELEM, \{map_fd=\d+, key=\[01000000\], value=\[0{16}\]\}, 32\) = -1 ENOENT\n$/,
    )
    expect(lines[2]).toMatch(/^bpf\(BPF_PROG_LOAD, .*insn_cnt=1.*= -1 EACCES\n$/)
  })
})
