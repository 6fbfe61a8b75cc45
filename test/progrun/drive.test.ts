import { existsSync } from 'node:fs'
import { map, u64, uprobe, xdp } from 'typebpf'
import { describe, expect, test } from 'vitest'
import { drive, driveOwn, harness, ownCgroup, ownNetns } from '../../src/progrun/index.ts'
import { attachCgroup, attachRawTracepoint } from '../../src/syscall/index.ts'
import { ATTACH_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { imageOf } from './cases.ts'

/** Connections to port 4444 are refused, all are counted. */
const firewall = imageOf({
  name: 'firewall',
  type: 'cgroup_sock_addr',
  attachType: ATTACH_TYPES.cgroup_inet4_connect,
  maps: [{ name: 'asked', type: 2, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0 }],
  text: `
  r6 = *(u32 *)(r1 + 24)
  *(u32 *)(r10 - 4) = 0
  r1 = map[asked]
  r2 = r10
  r2 += -4
  call bpf_map_lookup_elem
  if r0 == 0 goto allow
  r1 = 1
  lock *(u64 *)(r0 + 0) += r1
  r6 = be16 r6
  if r6 != 4444 goto allow
  r0 = 0
  exit
allow:
  r0 = 1
  exit`,
  runs: [],
})

/** getpid of one process, told through a ring. */
const tracer = (pid: number) =>
  imageOf({
    name: 'tracer',
    type: 'raw_tracepoint',
    maps: [{ name: 'seen', type: 27, keySize: 0, valueSize: 0, maxEntries: 4096, flags: 0 }],
    text: `
  call bpf_get_current_pid_tgid
  r0 >>= 32
  if r0 != ${pid} goto out
  *(u64 *)(r10 - 8) = r0
  r1 = map[seen]
  r2 = r10
  r2 += -8
  r3 = 8
  r4 = 0
  call bpf_ringbuf_output
out:
  r0 = 0
  exit`,
    runs: [],
  })

/** One datagram to the loopback. */
const SEND = "const s=require('dgram').createSocket('udp4');s.send('x',9,'127.0.0.1',()=>s.close())"

/** Tries to connect, prints the errno's name. */
const connect = (port: number): string[] => [
  '-e',
  `require('net').connect(${port},'127.0.0.1').on('error',(e)=>{console.log(e.code);process.exit(0)}).on('connect',()=>{console.log('connected');process.exit(0)})`,
]

describe('programs without BPF_PROG_RUN', () => {
  test('a cgroup program runs in the emulator on fields of its context', async () => {
    using t = await harness(firewall, { backend: 'emulator' })
    const swapped = (port: number): number => ((port & 255) << 8) | (port >> 8)
    expect(t.run('firewall', { ctx: { user_port: swapped(4444) } }).verdict).toBe('DENY')
    expect(t.run('firewall', { ctx: { user_port: swapped(80) } }).verdict).toBe('ALLOW')
    expect(t.map('asked').get(0)).toBe(2n)
  })

  testWith('bpf')('and in the kernel on a cgroup of the test', async () => {
    using t = await harness(firewall, { backend: 'kernel' })
    using cgroup = ownCgroup()
    const { triggered } = await drive(t, 'firewall', {
      attach: (program) => attachCgroup(program, { cgroup: cgroup.path, type: 'cgroup_inet4_connect' }),
      trigger: () => [4444, 4445].map((port) => cgroup.run(process.execPath, ...connect(port)).output.trim()),
    })
    expect(triggered).toEqual(['EPERM', 'ECONNREFUSED'])
    expect(t.map('asked').get(0)).toBe(2n)
    cgroup[Symbol.dispose]()
    expect(existsSync(cgroup.path)).toBe(false)
    // detached: nothing counts any more
    expect(t.map('asked').get(0)).toBe(2n)
  })

  testWith('bpf')('a tracer, filtered on the own process', async () => {
    using t = await harness(tracer(process.pid), { backend: 'kernel' })
    const { events } = await drive(t, 'tracer', {
      attach: (program) => attachRawTracepoint(program, { name: 'sys_enter' }),
      trigger: () => existsSync('/'),
    })
    expect(events.length).toBeGreaterThan(0)
    for (const { map, data } of events) {
      expect(map).toBe('seen')
      expect(new DataView(data.buffer, data.byteOffset).getBigUint64(0, true)).toBe(BigInt(process.pid))
    }
  })

  test('driving without the kernel says what to do', async () => {
    using t = await harness(firewall, { backend: 'emulator' })
    await expect(drive(t, 'firewall', { attach: () => t, trigger: () => undefined })).rejects.toThrow(
      /needs the backend "kernel"/,
    )
  })

  testWith('bpf')('a uprobe sees the own process where its builder call says', async () => {
    const calls = map.array('calls', { value: u64, maxEntries: 1 })
    const onGetenv = uprobe('on_getenv', { binary: 'libc.so.6', function: 'getenv' }, () => {
      calls.lookup(0).match((count) => count.atomicAdd(1))
      return 0
    })
    using t = await harness({ onGetenv }, { backend: 'kernel' })
    const { triggered } = await driveOwn(t, onGetenv, { trigger: () => process.env['TYPEBPF_NOT_SET'] })
    expect(triggered).toBeUndefined()
    const seen = t.map(calls).get(0) as bigint
    expect(seen).toBeGreaterThan(0n)
    expect(process.env['TYPEBPF_NOT_SET']).toBeUndefined()
    expect(t.map(calls).get(0)).toBe(seen)
  })

  testWith('bpf', 'program:ip')('an XDP program sees what passes in a network namespace of the test', async () => {
    const packets = map.array('packets', { value: u64, maxEntries: 1 })
    const count = xdp('count', (b) => {
      packets.lookup(0).match((value) => value.atomicAdd(1))
      return b.PASS
    })
    using t = await harness({ count }, { backend: 'kernel' })
    using netns = ownNetns()
    await netns.inside(() =>
      driveOwn(t, count, { interface: 'lo', trigger: () => netns.run(process.execPath, '-e', SEND) }),
    )
    expect(t.map(packets).get(0) as bigint).toBeGreaterThan(0n)
    const { path } = netns
    netns[Symbol.dispose]()
    expect(existsSync(path)).toBe(false)
  })

  testWith('bpf')('an image alone does not say where it belongs', async () => {
    using t = await harness(firewall, { backend: 'kernel' })
    await expect(driveOwn(t, 'firewall', { trigger: () => undefined })).rejects.toThrow(/where firewall attaches/)
  })
})
