import {
  array,
  be16,
  be32,
  bool,
  bytes,
  cgroupDevice,
  cgroupGetsockopt,
  cgroupSetsockopt,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  cgroupSysctl,
  config,
  core,
  currentTask,
  fentry,
  fexit,
  flowDissector,
  fmodRet,
  fn,
  globals,
  i32,
  iter,
  kernelStruct,
  kprobe,
  kprobeMulti,
  kretprobe,
  lsm,
  lwt,
  mac,
  map,
  netfilter,
  perfEvent,
  ptr,
  rawTracepoint,
  skLookup,
  skMsg,
  skReuseport,
  skSkbVerdict,
  socketFilter,
  sockOps,
  struct,
  syscall,
  syscallEnter,
  syscallExit,
  tc,
  tcx,
  text,
  tpBtf,
  tracepoint,
  u8,
  u32,
  u64,
  uprobe,
  uretprobe,
  xdp,
} from 'typebpf'

const instruction = (opcode: number, dst: number, src: number) => ({ opcode, dst, src, offset: 0, imm: 0 })
const movReg = (dst: number, src: number) => instruction(0xbf, dst, src)
const addReg = (dst: number, src: number) => instruction(0x0f, dst, src)
const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 64 })
const Event = struct('event', { pid: u32, uid: u32, comm: text(16), path: text(64) })
const events = map.ringBuffer('events', { record: Event, sizeBytes: 65536 })
const limits = config('limits', { port: u32, debug: bool }, { port: 80 })
const state = globals('state', { total: u64, last: u32 })
const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const routes = map.lpmTrie('routes', { address: be32, value: u32, maxEntries: 16 })
const lifo = map.stack('lifo', { value: u32, maxEntries: 8 })
const seen = map.bloomFilter('seen', { value: u32, maxEntries: 64 })
const mix = fn('mix', { a: u32, c: u32 }, u32, (_b, { a, c }) => a.mul(31).add(c))
const shared = fn('shared', { a: u64 }, u64, (b, { a }) => b.select(a.gt(10), a.shr(1), 7), { global: true })
export const after = xdp('after', { frags: true }, (b) => b.DROP)
const next = map.programArray('next', { maxEntries: 4, programs: { 1: after } })
const devices = map.devmap('devices', { maxEntries: 4 })
const stacks = map.stackTraces('stacks', { maxEntries: 32 })

const task = kernelStruct('task_struct', () => ({ pid: i32, tgid: i32, comm: text(16), mm: ptr(() => mm) }))
const mm = kernelStruct('mm_struct', () => ({ pgd: u64, owner: ptr(() => owner) }))
const owner = kernelStruct('task_struct', () => ({ real_parent: ptr(() => parent), exit_code: i32 }))
const parent = kernelStruct('task_struct', () => ({ tgid: i32 }))

/** One program of each kind; together they use every feature. */
export const KINDS = {
  xdp: xdp('k_xdp', { frags: true }, (b) => {
    const eth = b.packet.at(0, Eth).orReturn(b.PASS)
    b.if(eth.dst.eq('ff:ff:ff:ff:ff:ff'), () => b.return(b.DROP))
    eth.proto.set(0x0800)
    counts.increment(b.cpu())
    state.total.atomicAdd(1)
    b.if(limits.debug, () => b.printk('packet of %u bytes, proto %x', b.packet.length(), eth.proto.to(u32)))
    routes.lookup({ prefixLength: 32, data: 0x0a000001 }).match((route) => route.atomicAdd(1))
    lifo.push(mix({ a: 1, c: b.cpu() }))
    lifo.pop().match((top) => state.last.set(top))
    b.if(seen.mayHave(b.cpu()), () => state.total.set(shared({ a: b.ktimeNs() })))
    next.tailCall(b, 1)
    return devices.redirect(0, b.PASS)
  }),
  tc: tc('k_tc', (b) => {
    b.ctx.mark.set(7)
    const eth = b.packet.at(0, Eth).orReturn(b.OK)
    return b.select(eth.proto.eq(0x0806), i32(2), 0)
  }),
  tcx: tcx('k_tcx', { direction: 'ingress', target: '6.6' }, (b) => {
    b.pull(34)
    const byte = b.packet.at(33, u8).orReturn(b.OK)
    b.if(byte.eq(7), () => b.return(b.SHOT))
    return b.UNSPEC
  }),
  socketFilter: socketFilter('k_socket', (b) => {
    const type = b.load(12, be16).orReturn(0)
    return b.select(type.eq(0x0800), b.ctx.len, 0)
  }),
  cgroupSkb: cgroupSkb('k_cgroup_skb', { direction: 'egress' }, (b) => {
    const first = b.packet.at(0, u8).orReturn(b.ALLOW)
    b.if(first.shr(4).ne(4), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  cgroupSock: cgroupSock('k_cgroup_sock', { hook: 'sock_create' }, (b) => {
    b.ctx.mark.set(1)
    return b.ALLOW
  }),
  postBind: cgroupSock('k_post_bind', { hook: 'post_bind4' }, (b) => {
    b.if(b.ctx.srcPort.lt(1024), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  connect4: cgroupSockAddr('k_connect4', { hook: 'connect4' }, (b) => {
    b.if(b.ctx.userIp4.eq(0x0a000001), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  connect6: cgroupSockAddr('k_connect6', { hook: 'connect6' }, (b) => {
    b.ctx.userIp63.set(1)
    return b.ALLOW
  }),
  sockOps: sockOps('k_sock_ops', (b) => {
    counts.increment(b.ctx.op)
    b.if(b.ctx.op.eq(4), () => b.ctx.reply.set(10))
    return b.ALLOW
  }),
  cgroupDevice: cgroupDevice('k_device', (b) => {
    b.if(b.ctx.major.eq(1).and(b.ctx.minor.eq(3)), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  cgroupSysctl: cgroupSysctl('k_sysctl', (b) => {
    b.if(b.ctx.write.ne(0), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  cgroupGetsockopt: cgroupGetsockopt('k_getsockopt', (b) => {
    counts.increment(b.ctx.level.to(u32))
    return b.ALLOW
  }),
  cgroupSetsockopt: cgroupSetsockopt('k_setsockopt', (b) => {
    b.if(b.ctx.optname.eq(3), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  skMsg: skMsg('k_sk_msg', (b) => {
    counts.increment(b.ctx.size)
    return b.PASS
  }),
  skLookup: skLookup('k_sk_lookup', (b) => {
    counts.increment(b.ctx.localPort)
    return b.PASS
  }),
  skReuseport: skReuseport('k_reuseport', (b) => {
    counts.increment(b.ctx.hash)
    return b.PASS
  }),
  skSkb: skSkbVerdict('k_sk_skb', (b) => {
    counts.increment(b.ctx.len)
    return b.PASS
  }),
  tracepoint: tracepoint(
    'k_tracepoint',
    { event: 'sched:sched_switch', args: { prevComm: bytes(16), prevPid: i32, prevPrio: i32 } },
    (b) => {
      counts.increment(b.args.prevPid.to(u32))
      return 0
    },
  ),
  syscallEnter: syscallEnter('k_enter', { syscall: 'openat' }, (b) => {
    events.record((event) => {
      event.pid.set(b.pid())
      event.uid.set(b.uid())
      b.comm(event.comm)
      return b.readUserText(event.path, b.args.arg1).gt(0)
    })
    return 0
  }),
  syscallExit: syscallExit('k_exit', { syscall: 'openat' }, (b) => {
    b.if(b.args.ret.lt(0), () => counts.increment(b.args.ret.neg().to(u32)))
    return 0
  }),
  core: rawTracepoint('k_core', { event: 'sched_process_exit' }, (b) => {
    const now = currentTask(task)
    b.if(now.comm.ne('systemd'), () => counts.increment(now.mm.owner.real_parent.tgid.to(u32)))
    b.if(core.hasMember(owner, 'exit_code'), () => counts.increment(core.sizeOf(task)))
    return 0
  }),
  rawTracepoint: rawTracepoint('k_raw', { event: 'sys_enter' }, (b) => {
    counts.increment(b.arg(1, u32))
    return 0
  }),
  tpBtf: tpBtf('k_tp_btf', { attachTo: 'sched_switch' }, (b) => {
    counts.increment(b.tid())
    return 0
  }),
  fentry: fentry('k_fentry', { attachTo: 'bpf_fentry_test1' }, (b) => {
    counts.increment(b.arg(0, u32))
    return 0
  }),
  fexit: fexit('k_fexit', { attachTo: 'bpf_fentry_test1' }, (b) => {
    counts.increment(b.arg(1, u32))
    return 0
  }),
  fmodRet: fmodRet('k_fmod_ret', { attachTo: 'bpf_modify_return_test' }, () => 0),
  lsm: lsm('k_lsm', { attachTo: 'file_open' }, (b) => {
    b.if(b.uid().eq(1234), () => b.return(b.EPERM))
    return b.ALLOW
  }),
  kprobe: kprobe('k_kprobe', { function: 'do_unlinkat' }, (b) => {
    const value = b.readKernel(u64, b.arg(1)).orReturn(0)
    counts.increment(value.to(u32))
    stacks.capture(b)
    return 0
  }),
  kretprobe: kretprobe('k_kretprobe', { function: 'do_unlinkat' }, (b) => {
    counts.increment(b.result(u32))
    return 0
  }),
  uprobe: uprobe('k_uprobe', { binary: '/bin/sh', function: 'main' }, (b) => {
    counts.increment(b.arg(0, u32))
    return 0
  }),
  uretprobe: uretprobe('k_uretprobe', { binary: '/bin/sh', function: 'main' }, (b) => {
    counts.increment(b.result(u32))
    return 0
  }),
  references: syscallEnter('k_references', { syscall: 'close' }, (b) => {
    b.range(4, (i) => {
      events.record((event) => {
        event.pid.set(i)
        b.if(b.pid().eq(1), () => b.break())
        b.if(b.pid().eq(2), () => b.continue())
        b.if(b.pid().eq(3), () => b.return(0))
        counts.lookup(1).orReturn(0)
      })
    })
    return 0
  }),
  netfilter: netfilter('k_netfilter', { family: 'ipv4', hook: 'input', priority: 0, target: '6.4' }, (b) => {
    counts.increment(b.cpu())
    return b.ACCEPT
  }),
  lwt: lwt('k_lwt', { hook: 'in' }, (b) => {
    const first = b.packet.at(0, u8).orReturn(b.OK)
    b.if(first.eq(0), () => b.return(b.DROP))
    return b.OK
  }),
  flowDissector: flowDissector('k_flow', (b) => {
    b.packet.at(0, u8).orReturn(b.DROP)
    return b.OK
  }),
  iter: iter('k_iter', { over: 'task' }, (b) => {
    const line = b.local(Event, { pid: b.sequence().to(u32) })
    b.if(b.object().ne(0), () => b.write(line.path, 8))
    return 0
  }),
  kprobeMulti: kprobeMulti('k_multi', { pattern: 'tcp_*' }, (b) => {
    counts.increment(b.arg(0, u32))
    return 0
  }),
  scratch: xdp('k_scratch', (b) => {
    const big = b.scratch(array(u64, 512)).orReturn(b.PASS)
    big.masked(b.cpu()).set(b.ktimeNs())
    const doubled = b.asm([movReg(0, 1), addReg(0, 0)], b.cpu())
    b.if(doubled.eq(5), () => b.return(b.DROP))
    return b.PASS
  }),
  perfEvent: perfEvent('k_perf', (b) => {
    counts.increment(b.ctx.samplePeriod.to(u32))
    return 0
  }),
  syscall: syscall('k_syscall', { args: { a: u32, b: u32, sum: u64 } }, (b) => {
    b.args.sum.set(b.args.a.to(u64).add(b.args.b.to(u64)))
    return 0
  }),
}
