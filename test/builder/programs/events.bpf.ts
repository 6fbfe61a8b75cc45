// The builder's twins of test/fixtures/c/events.c.
import {
  be16,
  be32,
  cgroupSkb,
  cgroupSockAddr,
  map,
  rawTracepoint,
  sockOps,
  struct,
  syscallEnter,
  syscallExit,
  text,
  tracepoint,
  u8,
  u32,
  u64,
} from 'typebpf'

const OpenEvent = struct('open_event', { pid: u32, uid: u32, flags: u64, comm: text(16), path: text(64) })
const opens = map.ringBuffer('opens', { record: OpenEvent, sizeBytes: 65536 })
export const openSnoop = syscallEnter('open_snoop', { syscall: 'openat' }, (b) => {
  opens.record((event) => {
    event.pid.set(b.pid())
    event.uid.set(b.uid())
    event.flags.set(b.args.arg2)
    b.comm(event.comm)
    b.readUserText(event.path, b.args.arg1)
  })
  return 0
})

const started = map.hash('started', { key: u32, value: u64, maxEntries: 1024 })
const latencies = map.array('latencies', { value: u64, maxEntries: 64 })
export const readStart = syscallEnter('read_start', { syscall: 'read' }, (b) => {
  started.set(b.tid(), b.ktimeNs())
  return 0
})
export const readLatency = syscallExit('read_latency', { syscall: 'read' }, (b) => {
  const tid = b.tid()
  const start = started.lookup(tid).orReturn(0)
  const delta = b.ktimeNs().sub(start)
  started.delete(tid)
  latencies.lookup(b.log2(delta.div(1000))).match((n) => n.atomicAdd(1))
  return 0
})

const CallKey = struct('call_key', { pid: u32, nr: u32 })
const calls = map.hash('calls', { key: CallKey, value: u64, maxEntries: 4096 })
export const countCalls = rawTracepoint('count_calls', { event: 'sys_enter' }, (b) => {
  const key = b.local(CallKey, { pid: b.pid(), nr: b.arg(1, u32) })
  calls.lookup(key).match(
    (n) => n.atomicAdd(1),
    () => calls.set(key, 1, 'noexist'),
  )
  return 0
})

const allowed = map.hash('allowed', { key: be32, value: u32, maxEntries: 64 })
export const connectFilter = cgroupSockAddr('connect_filter', { hook: 'connect4' }, (b) => {
  const ip = b.ctx.userIp4
  b.if(ip.and(0xff000000).eq(0x7f000000), () => b.return(b.ALLOW))
  const port = allowed.lookup(ip).orReturn(b.REJECT)
  b.if(
    port.ne(0).and(() => port.to(be16).ne(b.ctx.userPort)),
    () => b.return(b.REJECT),
  )
  return b.ALLOW
})

const tcpEvents = map.array('tcp_events', { value: u64, maxEntries: 32 })
export const tcpOps = sockOps('tcp_ops', (b) => {
  const op = b.ctx.op
  b.if(op.gt(31), () => b.return(b.ALLOW))
  tcpEvents.lookup(op).match((n) => n.atomicAdd(1))
  b.if(op.oneOf(1, 2), () =>
    b.if(
      b.ctx.remotePort.ne(0),
      () => b.ctx.reply.set(10),
      () => b.ctx.reply.set(0xffffffff),
    ),
  )
  return b.ALLOW
})

export const egressAccount = cgroupSkb('egress_account', { direction: 'egress' }, (b) => {
  const version = b.packet.at(0, u8).orReturn(b.ALLOW).shr(4).to(u32)
  b.if(version.oneOf(4, 6).not(), () => b.return(b.REJECT))
  tcpEvents.lookup(version).match((n) => n.atomicAdd(b.ctx.len.to(u64)))
  return b.ALLOW
})

const ExecEvent = struct('exec_event', { time: u64, pid: u32, tid: u32, comm: text(16) })
const execs = map.ringBuffer('execs', { record: ExecEvent, sizeBytes: 65536 })
export const execSnoop = tracepoint('exec_snoop', { event: 'sched:sched_process_exec' }, (b) => {
  execs.record((event) => {
    event.time.set(b.ktimeNs())
    event.pid.set(b.pid())
    event.tid.set(b.tid())
    b.comm(event.comm)
  })
  return 0
})
