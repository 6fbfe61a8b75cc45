import {
  array,
  be16,
  be32,
  bits,
  bytes,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  checksumFold,
  checksumReplace,
  FibLookup,
  i32,
  iter,
  kernelStruct,
  kprobe,
  kretsyscall,
  ksyscall,
  mac,
  map,
  perfEvent,
  ptr,
  skLookup,
  skMsg,
  skReuseport,
  skSkbParser,
  skSkbVerdict,
  sockOps,
  struct,
  syscallEnter,
  tc,
  text,
  tpBtf,
  tracepoint,
  u8,
  u32,
  u64,
  uprobe,
  usdt,
  xdp,
  xdpCpumap,
  xdpDevmap,
} from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Ipv4 = struct('iphdr', {
  versionIhl: u8,
  tos: u8,
  length: be16,
  id: be16,
  fragment: be16,
  ttl: u8,
  protocol: u8,
  checksum: be16,
  src: be32,
  dst: be32,
})
const Event = struct('event', { pid: u32, cpu: u32, comm: text(16) })
const Exec = struct('exec', { pid: u32, count: u32, size: u32, args: text(1024) })
const perf = map.perfEventArray('perf', { record: Event })
const frames = map.perfEventArray('frames', { record: struct('frame', { length: u32, verdict: u32 }) })
const execs = map.perfEventArray('execs', { record: Exec })
const stacks = map.stackTraces('stacks', { maxEntries: 1024 })
const latency = map.histogram('latency')
const sizes = map.histogram('sizes', { step: 100, slots: 16, from: 64 })
const byProcess = map.histogram('by_process', { key: u32, maxEntries: 64, slots: 27 })
const wideByProcess = map.histogram('wide', { key: u32, maxEntries: 64, perCpu: true })
const inner = map.hash('inner', { key: be32, value: u64, maxEntries: 64 })
const first = map.hash('first', { key: be32, value: u64, maxEntries: 64 })
const tables = map.hashOfMaps('tables', { key: u32, inner, maxEntries: 4, maps: [[1, first]] })
const byCpu = map.arrayOfMaps('by_cpu', { inner: map.array('cell', { value: u64, maxEntries: 4 }), maxEntries: 8 })
const devices = map.devmapHash('devices', { maxEntries: 8, programs: true })
const cpus = map.cpumap('cpus', { maxEntries: 8 })
const sockets = map.xskmap('sockets', { maxEntries: 8 })
const cgroups = map.cgroupArray('cgroups', { maxEntries: 4 })
const Flow = struct('flow', { packets: u64, bytes: u64 })
const bySocket = map.socketStorage('by_socket', { value: Flow })
const perCgroup = map.attachedCgroupStorage('per_cgroup', { value: Flow })

const bySlot = map.sockmap('by_slot', { maxEntries: 8 })
const byFlow = map.sockhash('by_flow', { key: struct('flow_key', { src: be32, port: u32 }), maxEntries: 8 })
const group = map.reuseportArray('group', { maxEntries: 4 })
const taskSlots = map.taskStorage('task_slots', { value: u64 })
const task = kernelStruct('task_struct', () => ({
  tgid: i32,
  comm: text(16),
  se: entity,
  in_execve: bits(u32, 1),
  mm: ptr(() => mm),
  real_parent: ptr(() => parent),
}))
const entity = kernelStruct('sched_entity', () => ({ exec_start: u64 }))
const mm = kernelStruct('mm_struct', () => ({ task_size: u64 }))
const parent = kernelStruct('task_struct', () => ({ tgid: i32 }))

/** Programs that use what tools need, each accepted by the running kernel and the model. */
export const FEATURES = {
  perfEvents: tracepoint('f_perf', { event: 'sched:sched_process_exec', args: { filename: u32, pid: i32 } }, (b) => {
    const event = b.local(Event, { pid: b.pid(), cpu: b.cpu() })
    b.dynamicText(event.comm, b.args.filename)
    perf.send(b, event)
    perf.emit(b, { pid: 1, cpu: 2, comm: event.comm })
    return 0
  }),
  stacks: perfEvent('f_stacks', (b) => {
    const kernel = stacks.capture(b, { fastCompare: true })
    const user = stacks.capture(b, { user: true, skip: 1 })
    const trace = b.scratch(array(u64, 64)).orReturn(0)
    b.if(kernel.ge(0).and(user.ge(0)), () => latency.add(b.stack(trace).to(u64)))
    return 0
  }),
  histograms: kprobe('f_histograms', { function: 'vfs_read' }, (b) => {
    const size = b.arg(2)
    latency.add(size)
    sizes.add(size)
    byProcess.add(b.pid(), size)
    wideByProcess.add(b.pid(), size.to(u32))
    return 0
  }),
  argv: syscallEnter('f_argv', { syscall: 'execve' }, (b) => {
    const event = b.scratch(Exec).orReturn(0)
    event.pid.set(b.pid())
    event.count.set(0)
    const size = b.let(u32, 0)
    b.range(20, (i) => {
      const pointer = b.readUser(u64, b.args.arg1.add(i.to(u64).mul(8))).orElse(() => b.break())
      b.if(pointer.eq(0), () => b.break())
      const part = event.args.part(size.get(), 128).orElse(() => b.break())
      const length = b.readUserText(part, pointer)
      b.if(length.le(0), () => b.break())
      size.update((now) => now.add(length.to(u32)))
      event.count.set(i.add(1))
    })
    event.size.set(size.get())
    execs.send(b, event)
    return 0
  }),
  nested: xdp('f_nested', (b) => {
    const ip = b.packet.at(14, Ipv4).orReturn(b.PASS)
    const table = tables.lookup(1).orReturn(b.PASS)
    table.increment(ip.src)
    const cell = byCpu.lookup(b.cpu()).orReturn(b.PASS)
    cell.lookup(0).match((count) => count.atomicAdd(1))
    return b.PASS
  }),
  redirects: xdp('f_redirects', (b) => {
    b.if(devices.has(1), () => b.return(devices.redirect(1)))
    b.if(sockets.has(b.rxQueueIndex), () => b.return(sockets.redirect(b.rxQueueIndex, b.PASS)))
    b.if(b.rxQueueIndex.eq(7), () => b.return(devices.broadcast({ exceptIngress: true })))
    b.if(b.rxQueueIndex.eq(8), () => b.return(b.redirect(1)))
    return cpus.redirect(0, b.PASS)
  }),
  rewrite: xdp('f_rewrite', (b) => {
    const meta = b.adjustMeta(-4)
    b.if(meta.eq(0), () => {
      b.metadata.at(0, u32).match((mark) => mark.set(7))
    })
    b.if(b.adjustHead(-20).ne(0), () => b.return(b.DROP))
    const outer = b.packet.at(0, struct('outer', { eth: Eth, ip: Ipv4 })).orReturn(b.DROP)
    outer.ip.$set({ versionIhl: 0x45, ttl: 64, protocol: 4, checksum: 0, src: 0x0a000001, dst: 0x0a000002 })
    const from = outer.ip.ttl
    outer.ip.checksum.set(checksumFold(b.checksumDiff({ to: outer.ip })))
    b.if(from.eq(1), () => {
      b.adjustTail(-10)
    })
    return b.TX
  }),
  increments: xdp('f_increments', (b) => {
    const ip = b.packet.at(14, Ipv4).orReturn(b.PASS)
    const before = ip.dst
    ip.dst.set(0x0a000009)
    checksumReplace(ip.checksum, before, ip.dst)
    const fib = b.local(FibLookup, { family: 2, ifindex: b.ingressIfindex })
    fib.src.ip4.set(ip.src)
    fib.dst.ip4.set(ip.dst)
    b.if(b.fibLookup(fib).ne(0), () => b.return(b.PASS))
    const eth = b.packet.at(0, Eth).orReturn(b.PASS)
    eth.dst.set(fib.dmac)
    eth.src.set(fib.smac)
    return b.redirect(fib.ifindex)
  }),
  buffers: xdp('f_buffers', { frags: true, target: '5.18' }, (b) => {
    const eth = b.load(0, Eth).orReturn(b.PASS)
    sizes.add(b.totalLength())
    b.if(eth.proto.eq(0x0800), () => b.store(0, mac, eth.src))
    frames.emit(b, { length: b.totalLength(), verdict: 2 }, { packetBytes: 64 })
    return b.PASS
  }),
  tcEdits: tc('f_tc', (b) => {
    b.pull(34)
    const ip = b.packet.at(14, Ipv4).orReturn(b.OK)
    const [from, to] = [ip.dst, ip.src]
    b.store(30, be32, to)
    b.replaceL3Checksum(24, { from, to })
    b.replaceL4Checksum(36, { from, to, pseudo: true, udp: true })
    const bytesOf = b.load(34, bytes(8)).orReturn(b.OK)
    b.replaceL4Checksum(40, { sum: b.checksumDiff({ from: bytesOf, seed: 1 }) })
    b.if(b.adjustRoom(-20, 'mac').ne(0), () => b.return(b.SHOT))
    b.changeHead(14)
    b.changeTail(60)
    b.vlanPush(7)
    b.vlanPop()
    b.cloneRedirect(1)
    b.ctx.mark.set(b.flowHash())
    cgroups.hasPacket(b, 0).match((is) => b.if(is, () => b.return(b.SHOT)))
    b.if(b.markCongestion(), () => b.return(b.OK))
    const sk = b.socket().orReturn(b.OK)
    const full = sk.full().orReturn(b.OK)
    bySocket.getOrInit(full).match((flow) => flow.packets.atomicAdd(1))
    full.tcp().match((tcp) => latency.add(tcp.srttUs))
    return b.redirect(1)
  }),
  storage: cgroupSkb('f_storage', { direction: 'egress' }, (b) => {
    const sk = b.socket().orReturn(b.ALLOW)
    const full = sk.full().orReturn(b.ALLOW)
    bySocket.getOrInit(full, { packets: 1, bytes: 2 }).match((flow) => flow.bytes.atomicAdd(b.ctx.len.to(u64)))
    perCgroup.value().packets.atomicAdd(1)
    b.if(full.srcPort.eq(22), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  connect: cgroupSockAddr('f_connect', { hook: 'connect4' }, (b) => {
    const event = b.local(Event, { pid: b.pid() })
    b.comm(event.comm)
    cgroups.hasCurrentTask(0).match((is) => b.if(is, () => b.return(b.REJECT)))
    b.if(b.socketCookie().eq(0), () => b.return(b.REJECT))
    b.socket().match((sk) => bySocket.getOrInit(sk).match((flow) => flow.packets.set(1)))
    b.ctx.userIp4.set(0x7f000001)
    b.ctx.userPort.set(8080)
    b.setSockopt(1, 9, 1)
    return b.ALLOW
  }),
  peername: cgroupSockAddr('f_peername', { hook: 'getpeername4' }, (b) => {
    b.ctx.userIp4.set(0x0a000001)
    return b.ALLOW
  }),
  create: cgroupSock('f_create', { hook: 'sock_create' }, (b) => {
    bySocket.getOrInit(b.socket()).match((flow) => flow.packets.set(b.socketCookie()))
    b.if(b.uid().eq(1000), () => b.return(b.REJECT))
    return b.ALLOW
  }),
  operations: sockOps('f_operations', (b) => {
    b.setCallbacks(4)
    b.socket().match((sk) => {
      bySocket.getOrInit(sk).match((flow) => flow.bytes.set(b.ctx.bytesAcked))
      sk.tcp().match((tcp) => latency.add(tcp.srttUs))
    })
    sizes.add(b.ctx.totalRetrans)
    return b.ALLOW
  }),
  sockets: xdp('f_sockets', (b) => {
    const ip = b.packet.at(14, Ipv4).orReturn(b.PASS)
    const ports = b.packet.at(34, struct('ports', { sport: be16, dport: be16 })).orReturn(b.PASS)
    b.withTcpSocket(
      { saddr: ip.src, daddr: ip.dst, sport: ports.sport, dport: ports.dport },
      (sk) => {
        b.if(sk.state.eq(10), () => b.return(b.DROP))
        latency.add(sk.mark)
      },
      () => b.return(b.TX),
    )
    return b.PASS
  }),
  steering: tc('f_steering', (b) => {
    b.withUdpSocket({ saddr: 0x0a000001, daddr: 0x0a000002, sport: 1, dport: 2 }, (sk) => b.assign(sk))
    return b.OK
  }),
  lookupSockets: skLookup('f_sk_lookup', (b) => {
    bySlot.withSocket(0, (sk) => {
      b.if(b.assign(sk).ne(0), () => b.return(b.DROP))
    })
    return b.PASS
  }),
  messages: skMsg('f_messages', (b) => {
    b.if(b.pull(0, 16).ne(0), () => b.return(b.DROP))
    const first = b.packet.at(0, u8).orReturn(b.PASS)
    b.applyBytes(16)
    b.corkBytes(first.to(u32))
    return byFlow.redirect(b, { src: b.ctx.remoteIp4, port: b.ctx.localPort }, { ingress: true })
  }),
  stream: skSkbVerdict(
    'f_stream',
    (b) => {
      b.if(b.pull(4).ne(0), () => b.return(b.DROP))
      return bySlot.redirect(b, 1)
    },
    { stream: true },
  ),
  parser: skSkbParser('f_parser', (b) => b.ctx.len),
  inserts: sockOps('f_inserts', (b) => {
    b.if(b.ctx.op.eq(4), () => {
      byFlow.insert(b, { src: b.ctx.remoteIp4, port: b.ctx.localPort })
      bySlot.insert(b, 1)
    })
    return b.ALLOW
  }),
  reuseport: skReuseport('f_reuseport', (b) => {
    b.packet.at(0, u8).orReturn(b.DROP)
    b.if(group.select(b, b.ctx.hash.mod(4)).ne(0), () => b.return(b.DROP))
    return b.PASS
  }),
  direct: tpBtf('f_direct', { attachTo: 'sched_switch' }, (b) => {
    const previous = b.pointer(1, task)
    b.if(previous.tgid.eq(0), () => b.return(0))
    latency.add(previous.real_parent.tgid.to(u32))
    taskSlots.getOrInit(previous).match((slot) => slot.set(b.ktimeNs()))
    const event = b.local(Event, { pid: previous.se.exec_start.to(u32) })
    event.comm.set(previous.comm)
    perf.send(b, event)
    return 0
  }),
  current: syscallEnter('f_current', { syscall: 'close' }, (b) => {
    const now = b.task(task)
    sizes.add(now.mm.task_size)
    sizes.add(now.in_execve.to(u32))
    return 0
  }),
  iterator: iter('f_iter', { over: 'task' }, (b) => {
    const it = b.item(task).orReturn(0)
    const line = b.local(Event, { pid: it.tgid.to(u32) })
    b.write(line, 8)
    return 0
  }),
  syscallEntry: ksyscall('f_ksyscall', { syscall: 'openat' }, (b) => {
    latency.add(b.arg(3))
    return 0
  }),
  syscallReturn: kretsyscall('f_kretsyscall', { syscall: 'openat' }, (b) => {
    latency.add(b.result())
    return 0
  }),
  devmapEntry: xdpDevmap('f_devmap', (b) => {
    sizes.add(b.egressIfindex)
    return b.PASS
  }),
  cpumapEntry: xdpCpumap('f_cpumap', { frags: true }, (b) => b.PASS),
  sleepableProbe: uprobe('f_sleep', { binary: '/bin/sh', function: 'main', sleepable: true, target: '6.0' }, (b) => {
    b.copyFromUser(u64, b.arg(1)).match((argument) => latency.add(argument))
    latency.add(b.attachCookie())
    return 0
  }),
  callbackLoop: xdp('f_callback', { target: '5.17' }, (b) => {
    const sum = b.let(u32, 0)
    const first = b.packet.at(0, u8).orReturn(b.PASS)
    b.range(b.packet.length(), { max: 9000 }, (i) => {
      const byte = b.packet.at(i, u8).orElse(() => b.break())
      b.if(byte.eq(first), () => b.continue())
      b.if(byte.eq(7), () => b.return(b.TX))
      sum.update((now) => now.add(byte.to(u32)))
    })
    b.if(sum.get().eq(5), () => b.return(b.DROP))
    return b.PASS
  }),
  numberLoop: xdp('f_numbers', { target: '6.4' }, (b) => {
    const sum = b.let(u32, 0)
    b.range(b.packet.length(), { max: 9000 }, (i) => {
      const byte = b.packet.at(i, u8).orReturn(b.DROP)
      b.if(byte.eq(9), () => b.continue())
      sum.update((now) => now.add(byte.to(u32)))
    })
    b.if(sum.get().eq(5), () => b.return(b.DROP))
    return b.PASS
  }),
  everyEntry: xdp('f_each', (b) => {
    const total = b.let(u64, 0)
    first.forEach((key, count) => {
      total.update((now) => now.add(count))
      b.if(key.eq(0x0a000001), () => b.break())
    })
    b.if(total.get().gt(5), () => b.return(b.DROP))
    return b.PASS
  }),
  usdtProbe: usdt('f_usdt', { binary: '/bin/x', provider: 'p', probe: 'q' }, (b) => {
    latency.add(b.arg(0, u64).add(b.arg(11, u64)))
    sizes.add(b.cookie())
    return 0
  }),
}
