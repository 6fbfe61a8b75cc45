// The builder's twins of test/fixtures/c/tasks.c.
import {
  be16,
  be32,
  bytes,
  i32,
  iter,
  kernelStruct,
  map,
  struct,
  syscallEnter,
  tc,
  text,
  tpBtf,
  tracepoint,
  u8,
  u16,
  u32,
  u64,
} from 'typebpf'

const task = kernelStruct('task_struct', () => ({ pid: i32, tgid: i32, comm: text(16) }))
const waiting = map.hash('waiting', { key: u32, value: u64, maxEntries: 10240 })
const delays = map.histogram('delays', { step: 1, slots: 32 })
export const onWakeup = tpBtf('on_wakeup', { attachTo: 'sched_wakeup' }, (b) => {
  const pid = b.pointer(0, task).pid.to(u32)
  b.if(pid.ne(0), () => waiting.set(pid, b.ktimeNs()))
  return 0
})
export const onSwitch = tpBtf('on_switch', { attachTo: 'sched_switch' }, (b) => {
  const pid = b.pointer(2, task).pid.to(u32)
  const since = waiting.lookup(pid).orReturn(0)
  const delay = b.ktimeNs().sub(since).div(1000)
  waiting.delete(pid)
  delays.add(delay)
  return 0
})

const Line = struct('line', { pid: u32, tgid: u32, comm: text(16) })
export const listTasks = iter('list_tasks', { over: 'task' }, (b) => {
  const it = b.item(task).orReturn(0)
  const line = b.local(Line, { pid: it.pid.to(u32), tgid: it.tgid.to(u32) })
  line.comm.set(it.comm)
  b.write(line, Line.size)
  return 0
})

const Life = struct('life', { since: u64, pid: u32, comm: text(16) })
const LifeEvent = struct('life_event', {
  duration: u64,
  pid: u32,
  sport: u16,
  dport: u16,
  saddr: be32,
  daddr: be32,
  comm: text(16),
})
const lives = map.hash('lives', { key: u64, value: Life, maxEntries: 10240 })
const lifeEvents = map.ringBuffer('life_events', { record: LifeEvent, sizeBytes: 65536 })
const ESTABLISHED_BY = [2, 3] as const
const CLOSE = 7
export const tcpLife = tracepoint(
  'tcp_life',
  {
    event: 'sock:inet_sock_set_state',
    args: {
      skaddr: u64,
      oldstate: i32,
      newstate: i32,
      sport: u16,
      dport: u16,
      family: u16,
      protocol: u16,
      saddr: be32,
      daddr: be32,
    },
  },
  (b) => {
    const { skaddr, newstate, protocol, family } = b.args
    b.if(
      protocol.ne(6).or(() => family.ne(2)),
      () => b.return(0),
    )
    b.if(newstate.oneOf(...ESTABLISHED_BY), () => {
      const life = b.local(Life, { since: b.ktimeNs(), pid: b.pid() })
      b.comm(life.comm)
      lives.set(skaddr, life)
      b.return(0)
    })
    b.if(newstate.ne(CLOSE), () => b.return(0))
    const known = lives.lookup(skaddr).orReturn(0)
    lifeEvents.emit({
      duration: b.ktimeNs().sub(known.since),
      pid: known.pid,
      sport: b.args.sport,
      dport: b.args.dport,
      saddr: b.args.saddr,
      daddr: b.args.daddr,
      comm: known.comm,
    })
    lives.delete(skaddr)
    return 0
  },
)

const Arguments = struct('arguments', { pid: u32, size: u32, text: text(1024) })
const commands = map.ringBuffer('commands', { record: Arguments, sizeBytes: 65536 })
export const execArgs = syscallEnter('exec_args', { syscall: 'execve' }, (b) => {
  commands.reserve((event) => {
    const size = b.let(u32, 0)
    event.pid.set(b.pid())
    b.range(20, (i) => {
      const argument = b.readUser(u64, b.args.arg1.add(i.to(u64).mul(8))).orElse(() => b.break())
      b.if(argument.eq(0), () => b.break())
      const part = event.text.part(size.get(), 128).orElse(() => b.break())
      const length = b.readUserText(part, argument)
      b.if(length.le(0), () => b.break())
      size.update((now) => now.add(length.to(u32)))
    })
    event.size.set(size.get())
  })
  return 0
})

const Head = struct(
  'head',
  {
    macs: bytes(12),
    proto: be16,
    ip: bytes(9),
    protocol: u8,
    checksum: be16,
    src: be32,
    dst: be32,
    tcp: bytes(20),
  },
  { packed: true },
)
const nat = map.hash('nat', { key: be32, value: be32, maxEntries: 1024 })
export const rewriteDestination = tc('rewrite_destination', (b) => {
  const head = b.packet.at(0, Head).orReturn(b.OK)
  b.if(
    head.proto.ne(0x0800).or(() => head.protocol.ne(6)),
    () => b.return(b.OK),
  )
  const from = head.dst
  const to = nat.lookup(from).orReturn(b.OK)
  b.replaceL4Checksum(50, { from, to, pseudo: true })
  b.replaceL3Checksum(24, { from, to })
  b.store(30, be32, to)
  return b.OK
})
