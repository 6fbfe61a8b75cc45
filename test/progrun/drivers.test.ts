// Every kind of program without a test run that a process can make happen by itself, driven in the kernel.
import { readFileSync } from 'node:fs'
import {
  cgroupDevice,
  cgroupGetsockopt,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  cgroupSysctl,
  iter,
  map,
  netfilter,
  perfEvent,
  rawTracepoint,
  skLookup,
  sockOps,
  tcx,
  tracepoint,
  u64,
  uretprobe,
} from 'typebpf'
import { attachPerfEvent, readIterator } from 'typebpf/kernel'
import { drive, driveOwn, type Harness, harness, ownCgroup, ownNetns } from 'typebpf/progrun'
import { describe, expect } from 'vitest'
import { testWith } from '../requirements.ts'

const hits = map.array('hits', { value: u64, maxEntries: 1 })
const hit = (): void => hits.lookup(0).match((count) => void count.atomicAdd(1))
const seen = (t: Harness): bigint => t.map(hits).get(0) ?? 0n

const CONNECT =
  "const n=require('net');const s=n.createServer((c)=>c.end()).listen(0,'127.0.0.1',()=>n.connect(s.address().port,'127.0.0.1').on('close',()=>s.close()))"

const PROCESS = [
  {
    program: tracepoint('on_open', { event: 'syscalls:sys_enter_openat' }, () => {
      hit()
      return 0
    }),
    trigger: () => readFileSync('/etc/hostname'),
  },
  {
    program: rawTracepoint('on_enter', { event: 'sys_enter' }, () => {
      hit()
      return 0
    }),
    trigger: () => readFileSync('/etc/hostname'),
  },
  {
    program: uretprobe('after_getenv', { binary: 'libc.so.6', function: 'getenv' }, () => {
      hit()
      return 0
    }),
    trigger: () => process.env['TYPEBPF_NOT_SET'],
  },
]

const CGROUP = [
  {
    program: cgroupSkb('packets', { direction: 'egress' }, (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['node', '-e', CONNECT],
  },
  {
    program: cgroupSock('sockets', { hook: 'sock_create' }, (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['node', '-e', CONNECT],
  },
  {
    program: cgroupSockAddr('connects', { hook: 'connect4' }, (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['node', '-e', CONNECT],
  },
  {
    program: sockOps('events', (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['node', '-e', CONNECT],
  },
  {
    program: cgroupDevice('devices', (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['head', '-c1', '/dev/zero'],
  },
  {
    program: cgroupSysctl('sysctls', (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['cat', '/proc/sys/kernel/ostype'],
  },
  {
    program: cgroupGetsockopt('options', (b) => {
      hit()
      return b.ALLOW
    }),
    run: ['node', '-e', CONNECT],
  },
]

describe('programs that are driven in the kernel', () => {
  for (const { program, trigger } of PROCESS)
    testWith('bpf')(`${program.name} on the own process`, async () => {
      using t = await harness([program, hits], { backend: 'kernel' })
      await driveOwn(t, program, { trigger })
      expect(seen(t)).toBeGreaterThan(0n)
    })

  for (const { program, run } of CGROUP)
    testWith('bpf')(`${program.name} in a cgroup of the test`, async () => {
      using t = await harness([program, hits], { backend: 'kernel' })
      using cgroup = ownCgroup()
      const command = run[0] === 'node' ? process.execPath : run[0]
      const { triggered } = await driveOwn(t, program, {
        cgroup: cgroup.path,
        trigger: () => cgroup.run(command, ...run.slice(1)),
      })
      expect(triggered).toMatchObject({ code: 0 })
      expect(seen(t)).toBeGreaterThan(0n)
    })

  testWith('bpf', 'program:ip')('sk_lookup, netfilter and tcx in a network namespace of the test', async () => {
    using netns = ownNetns()
    const connect = () => netns.run(process.execPath, '-e', CONNECT)
    const lookup = skLookup('lookups', (b) => {
      hit()
      return b.PASS
    })
    using a = await harness([lookup, hits], { backend: 'kernel' })
    await driveOwn(a, lookup, { netns: netns.path, trigger: connect })
    expect(seen(a)).toBeGreaterThan(0n)

    const filter = netfilter('filter', { family: 'ipv4', hook: 'input', priority: 1 }, (b) => {
      hit()
      return b.ACCEPT
    })
    using c = await harness([filter, hits], { backend: 'kernel' })
    await netns.inside(() => driveOwn(c, filter, { trigger: connect }))
    expect(seen(c)).toBeGreaterThan(0n)

    const shaper = tcx('shaper', { direction: 'ingress' }, (b) => {
      hit()
      return b.OK
    })
    using d = await harness([shaper, hits], { backend: 'kernel' })
    await netns.inside(() => driveOwn(d, shaper, { interface: 'lo', trigger: connect }))
    expect(seen(d)).toBeGreaterThan(0n)
  })

  testWith('bpf')('perf_event: samples of the own process, attached by hand', async () => {
    const sampler = perfEvent('sampler', () => {
      hit()
      return 0
    })
    using t = await harness([sampler, hits], { backend: 'kernel' })
    await drive(t, sampler, {
      attach: (program) => attachPerfEvent(program, { type: 1, config: 0n, frequency: 1000n, pid: process.pid }),
      trigger: () => {
        const until = performance.now() + 100
        while (performance.now() < until) Math.sqrt(until)
      },
    })
    expect(seen(t)).toBeGreaterThan(0n)
  })

  testWith('bpf')('iter: read from the link', async () => {
    const tasks = iter('tasks', { over: 'task' }, () => {
      hit()
      return 0
    })
    using t = await harness([tasks, hits], { backend: 'kernel' })
    await driveOwn(t, tasks, { iterator: { pid: process.pid }, trigger: (link) => readIterator(link) })
    expect(seen(t)).toBeGreaterThan(0n)
  })
})
