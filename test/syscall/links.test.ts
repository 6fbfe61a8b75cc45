import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect } from 'vitest'
import { readObject } from '../../src/elf/index.ts'
import {
  attachAll,
  attachCgroup,
  attachIterator,
  attachNetfilter,
  attachNetns,
  attachPerfEvent,
  attachRawTracepoint,
  attachSockmap,
  attachStructOps,
  attachTcx,
  attachTracepoint,
  attachUprobe,
  attachUprobeMulti,
  attachXdp,
  createJudge,
  createRawMap,
  functionOffset,
  interfaceIndex,
  loadObject,
  openById,
  queryAttached,
  queryTaskFd,
  readIterator,
  realSys,
} from '../../src/syscall/index.ts'
import { ATTACH_TYPES, MAP_TYPES } from '../../src/uapi/index.ts'
import { testWith, unmet } from '../requirements.ts'
import { enterOwnNamespace, type OwnNamespace, sendDatagrams } from './own-namespace.ts'
import { counter, imageOf } from './programs.ts'

const bpfTest = testWith('bpf', 'program:ip')
let folder = ''
let own: OwnNamespace | undefined

beforeAll(() => {
  if (unmet('bpf', 'program:ip') !== undefined) return
  own = enterOwnNamespace()
  folder = own.folder
})
afterAll(() => own?.close())

describe('network hooks', () => {
  bpfTest('XDP: runs, is replaced, shows its info, leaves', () => {
    using first = counter('xdp', 2)
    using second = counter('xdp', 2)
    const link = attachXdp(first.program, { interface: 'lo', mode: 'generic' })
    sendDatagrams(3)
    expect(first.count()).toBeGreaterThanOrEqual(3n)
    expect(link.info()).toMatchObject({ typeName: 'xdp' })
    expect(() => attachXdp(second.program, { interface: 'lo', mode: 'generic' })).toThrow(/EBUSY|EEXIST/)
    link.update(second.program, { expected: first.program })
    expect(() => link.update(first.program, { expected: first.program })).toThrow(/EPERM/)
    const before = first.count()
    sendDatagrams(2)
    expect(first.count()).toBe(before)
    expect(second.count()).toBeGreaterThanOrEqual(2n)
    link.close()
    link.close()
    const after = second.count()
    sendDatagrams(2)
    expect(second.count()).toBe(after)
    expect(() => attachXdp(first.program, { interface: 'nope' })).toThrow(/no network interface/)
  })

  bpfTest('XDP: native mode on a veth', () => {
    using program = counter('xdp', 2)
    using link = attachXdp(program.program, { interface: 'left', mode: 'native' })
    expect(link.info().typeName).toBe('xdp')
  })

  bpfTest('tcx: an order of before and after', () => {
    using stop = counter('sched_cls', 2)
    using pass = counter('sched_cls', -1)
    using last = attachTcx(stop.program, { interface: 'lo', direction: 'egress' })
    sendDatagrams(2)
    expect([pass.count(), stop.count() >= 2n]).toEqual([0n, true])
    using first = attachTcx(pass.program, { interface: 'lo', direction: 'egress', before: last })
    sendDatagrams(2)
    expect(pass.count()).toBeGreaterThanOrEqual(2n)
    expect(first.info().typeName).toBe('tcx')
    const attached = queryAttached(realSys(), interfaceIndex(realSys(), 'lo'), ATTACH_TYPES.tcx_egress)
    expect(attached.programs.map(({ linkId }) => linkId)).toEqual([first.info().id, last.info().id])
    expect(() => attachTcx(pass.program, { interface: 'lo', direction: 'egress', expectedRevision: 99n })).toThrow(
      /ESTALE/,
    )
    expect(() => attachTcx(pass.program, { interface: 'lo', direction: 'egress', before: last, after: first })).toThrow(
      /not both/,
    )
  })

  bpfTest('netfilter, sk_lookup and flow_dissector in this namespace', () => {
    using hook = counter('netfilter', 1, { attach: 'netfilter' })
    const link = attachNetfilter(hook.program, { family: 'ipv4', hook: 'input', priority: -128 })
    sendDatagrams(2)
    expect(hook.count()).toBeGreaterThanOrEqual(2n)
    link.close()
    using lookup = counter('sk_lookup', 1, { attach: 'sk_lookup' })
    using lookups = attachNetns(lookup.program, { type: 'sk_lookup' })
    sendDatagrams(2)
    expect(lookup.count()).toBeGreaterThanOrEqual(2n)
    expect(lookups.info().typeName).toBe('netns')
    lookups.detach()
    using dissector = counter('flow_dissector', 0, { attach: 'flow_dissector' })
    using dissects = attachNetns(dissector.program, { type: 'flow_dissector' })
    expect(dissects.info().typeName).toBe('netns')
  })

  bpfTest('cgroup: only processes of that cgroup', () => {
    const cgroup = `${folder}/cgroup2/typebpf-${process.pid}`
    mkdirSync(cgroup)
    try {
      using sockets = counter('cgroup_sock', 1, { attach: 'cgroup_inet_sock_create' })
      using link = attachCgroup(sockets.program, { cgroup, type: 'cgroup_inet_sock_create' })
      sendDatagrams(1)
      expect(sockets.count()).toBe(0n)
      execFileSync('bash', ['-c', `echo $$ > ${cgroup}/cgroup.procs; exec 3<>/dev/udp/127.0.0.1/9`])
      expect(sockets.count()).toBe(1n)
      expect(link.info().typeName).toBe('cgroup')
      expect(() => attachCgroup(sockets.program, { cgroup: '/nope', type: 'cgroup_inet_sock_create' })).toThrow(
        /no cgroup/,
      )
    } finally {
      rmdirSync(cgroup)
    }
  })

  testWith('bpf', 'program:clang-19')('struct_ops: a TCP congestion control while the link lives', () => {
    const source = `
struct sock;
struct tcp_congestion_ops {
  unsigned int (*ssthresh)(struct sock *sk);
  void (*cong_avoid)(struct sock *sk, unsigned int ack, unsigned int acked);
  unsigned int (*undo_cwnd)(struct sock *sk);
  char name[16];
};
#define SECTION(name) __attribute__((section(name), used))
SECTION("license") char own_license[] = "GPL";
SECTION("struct_ops") unsigned int own_ssthresh(unsigned long long *ctx) { return 2; }
SECTION("struct_ops") void own_avoid(unsigned long long *ctx) { }
SECTION("struct_ops") unsigned int own_undo(unsigned long long *ctx) { return 2; }
SECTION(".struct_ops.link") struct tcp_congestion_ops own = {
  .ssthresh = (void *)own_ssthresh, .cong_avoid = (void *)own_avoid, .undo_cwnd = (void *)own_undo, .name = "typebpf_test" };`
    execFileSync('clang-19', ['-O2', '-g', '-target', 'bpf', '-x', 'c', '-c', '-', '-o', `${folder}/ops.o`], {
      input: source,
    })
    using loaded = loadObject(realSys(), readObject(readFileSync(`${folder}/ops.o`), { name: 'ops' }))
    const controls = (): string => readFileSync('/proc/sys/net/ipv4/tcp_available_congestion_control', 'utf8')
    const [link] = attachAll(loaded)
    expect(controls()).toContain('typebpf_test')
    expect(link.info().typeName).toBe('struct_ops')
    link.close()
    expect(controls()).not.toContain('typebpf_test')
    expect(() => attachStructOps(loaded, 'nope')).toThrow(/no struct_ops map/)
  })

  bpfTest('sockmap: a message verdict on a map', () => {
    using verdict = counter('sk_msg', 1, { attach: 'sk_msg_verdict' })
    using map = createRawMap(realSys(), {
      name: 'sockets',
      type: MAP_TYPES.sockmap,
      keySize: 4,
      valueSize: 4,
      maxEntries: 4,
      flags: 0,
    })
    using link = attachSockmap(verdict.program, { map, type: 'sk_msg_verdict' })
    expect(link.info().typeName).toBe('sockmap')
  })
})

describe('tracing hooks', () => {
  const parent = (): void => {
    for (let i = 0; i < 5; i++) realSys().call('getpid')
  }

  bpfTest('tracepoint, raw tracepoint and tp_btf', () => {
    using plain = counter('tracepoint', 0, { pid: process.pid })
    using link = attachTracepoint(plain.program, {
      category: 'raw_syscalls',
      name: 'sys_enter',
      tracefs: `${folder}/tracefs`,
    })
    parent()
    expect(plain.count()).toBeGreaterThanOrEqual(5n)
    expect(link.info().typeName).toBe('perf_event')
    using raw = counter('raw_tracepoint', 0, { pid: process.pid })
    using rawLink = attachRawTracepoint(raw.program, { name: 'sys_enter' })
    using typed = counter('tracing', 0, {
      attach: 'trace_raw_tp',
      pid: process.pid,
      image: { attachTo: { name: 'sys_enter' } },
    })
    using typedLink = attachRawTracepoint(typed.program)
    parent()
    expect([raw.count() >= 5n, typed.count() >= 5n]).toEqual([true, true])
    expect([rawLink.info().typeName, typedLink.info().typeName]).toEqual(['raw_tracepoint', 'raw_tracepoint'])
    expect(() => attachRawTracepoint(raw.program, { name: 'no_such_thing' })).toThrow(/ENOENT/)
    expect(() => attachTracepoint(plain.program, { category: 'a', name: 'b', tracefs: `${folder}/tracefs` })).toThrow(
      /no tracepoint a\/b/,
    )
  })

  bpfTest('perf event: samples of the CPU clock', () => {
    using samples = counter('perf_event', 0)
    using link = attachPerfEvent(samples.program, { type: 1, config: 0n, frequency: 1000n, pid: process.pid })
    // Time of its own is what is sampled: on a busy machine it takes longer until there was enough.
    const end = performance.now() + 10_000
    while (samples.count() <= 5n && performance.now() < end);
    expect(samples.count()).toBeGreaterThan(5n)
    expect(link.info().typeName).toBe('perf_event')
  })

  bpfTest('uprobe, uretprobe and uprobe_multi on the C library', () => {
    const libc = /(\/\S*libc\.so\S*|\/\S*ld-musl\S*)/.exec(readFileSync('/proc/self/maps', 'utf8'))?.[1] ?? ''
    expect(existsSync(libc)).toBe(true)
    expect(functionOffset(libc, 'getppid')).toBeGreaterThan(0)
    using entry = counter('kprobe', 0)
    using exit = counter('kprobe', 0)
    const links = [
      attachUprobe(entry.program, { binary: libc, function: 'getppid', pid: process.pid }),
      attachUprobe(exit.program, { binary: libc, function: 'getppid', pid: process.pid, returns: true }),
    ]
    expect(process.ppid).toBeGreaterThan(0)
    expect([entry.count(), exit.count()]).toEqual([1n, 1n])
    for (const link of links) link.close()
    expect(process.ppid).toBeGreaterThan(0)
    expect(entry.count()).toBe(1n)
    using many = counter('kprobe', 0, { attach: 'trace_uprobe_multi' })
    using multi = attachUprobeMulti(many.program, { binary: libc, functions: 'getpp?d', pid: process.pid })
    expect(process.ppid).toBeGreaterThan(0)
    expect(many.count()).toBe(1n)
    expect(multi.info().typeName).toBe('uprobe_multi')
    expect(() => attachUprobe(entry.program, { binary: libc, function: 'no_such_function' })).toThrow(/no function/)
  })

  bpfTest('iterator: reads the elements of a map', () => {
    const sys = realSys()
    using map = createRawMap(sys, {
      name: 'walked',
      type: MAP_TYPES.hash,
      keySize: 4,
      valueSize: 8,
      maxEntries: 8,
      flags: 0,
    })
    for (let i = 1; i <= 3; i++)
      map.update(new Uint8Array([i, 0, 0, 0]), new Uint8Array([0x10 + i, 0, 0, 0, 0, 0, 0, 0]))
    // bpf_iter__bpf_map_elem: meta, map, key, value; meta->seq is the output
    const text = `
r6 = *(u64 *)(r1 + 24)
if r6 == 0 goto +7
r1 = *(u64 *)(r1 + 0)
r1 = *(u64 *)(r1 + 0)
r7 = *(u64 *)(r6 + 0)
*(u64 *)(r10 - 8) = r7
r2 = r10
r2 += -8
r3 = 8
call 127
r0 = 0
exit`.replace('goto +7', 'goto +8')
    using loaded = createJudge(sys).load(
      imageOf('tracing', text, { expectedAttachType: ATTACH_TYPES.trace_iter, attachTo: { name: 'bpf_map_elem' } }),
    )
    expect(loaded.message).toBeUndefined()
    if (loaded.program === undefined) return
    using link = attachIterator(loaded.program, { map })
    const bytes = readIterator(link)
    expect(bytes.filter((_, i) => i % 8 === 0).sort()).toEqual(new Uint8Array([0x11, 0x12, 0x13]))
    using again = openById(sys, 'link', link.info().id)
    expect(again?.closed).toBe(false)
  })

  bpfTest('a killed process leaves nothing attached', async () => {
    const script = `
      import { attachRawTracepoint } from ${JSON.stringify(new URL('../../src/syscall/index.ts', import.meta.url).href)}
      import { counter } from ${JSON.stringify(new URL('./programs.ts', import.meta.url).href)}
      const raw = counter('raw_tracepoint', 0)
      console.log(attachRawTracepoint(raw.program, { name: 'xdp_exception' }).info().id)
      setInterval(() => {}, 1000)`
    const child = spawn(process.execPath, [
      '--conditions=typebpf-source',
      '--import',
      'tsx',
      '--input-type=module',
      '-e',
      script,
    ])
    const [line] = (await once(child.stdout, 'data')) as [Buffer]
    const id = Number(line.toString())
    {
      using there = openById(realSys(), 'link', id)
      expect(there?.closed).toBe(false)
    }
    child.kill('SIGKILL')
    await once(child, 'exit')
    let gone = false
    for (let i = 0; i < 50 && !gone; i++) {
      await new Promise((resolve) => setTimeout(resolve, 20))
      using still = openById(realSys(), 'link', id)
      gone = still === undefined
    }
    expect(gone).toBe(true)
  })

  testWith(
    'bpf',
    'program:ip',
    'program:bpftool',
  )('bpftool sees the link that we made', () => {
    using raw = counter('raw_tracepoint', 0, { pid: process.pid })
    using link = attachRawTracepoint(raw.program, { name: 'sys_enter' })
    const { id, programId } = link.info()
    const env = { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin` }
    const shown = execFileSync('bpftool', ['-j', 'link', 'show', 'id', String(id)], { encoding: 'utf8', env })
    expect(JSON.parse(shown)).toMatchObject({ id, type: 'raw_tracepoint', prog_id: programId, tp_name: 'sys_enter' })
  })

  bpfTest('what a perf event runs can be asked', () => {
    using raw = counter('raw_tracepoint', 0, { pid: process.pid })
    using link = attachRawTracepoint(raw.program, { name: 'sys_enter' })
    expect(queryTaskFd(realSys(), process.pid, link.fd)).toMatchObject({
      kind: 'raw_tracepoint',
      name: 'sys_enter',
      programId: link.info().programId,
    })
  })

  bpfTest('a link that is pinned outlives its fd', () => {
    using raw = counter('raw_tracepoint', 0, { pid: process.pid })
    const link = attachRawTracepoint(raw.program, { name: 'sys_enter' })
    const path = `${folder}/bpf/kept`
    link.pin(path)
    link.close()
    const before = raw.count()
    parent()
    expect(raw.count()).toBeGreaterThan(before)
    execFileSync('rm', [path])
  })
})
