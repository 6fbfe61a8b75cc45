// What must not compile. Checked by tsc: an unused @ts-expect-error is an error. Grouped by the rule of the verifier (or of
// the builder) that the types hold.
import {
  array,
  be16,
  be32,
  bits,
  bytes,
  cgroupDevice,
  cgroupSkb,
  cgroupSock,
  cgroupSockAddr,
  checksumReplace,
  config,
  currentTask,
  enumeration,
  fentry,
  fn,
  globals,
  i32,
  kernelStruct,
  kfunc,
  kprobe,
  kretprobe,
  lsm,
  mac,
  map,
  ptr,
  rawTracepoint,
  ref,
  skLookup,
  skMsg,
  socketFilter,
  sockOps,
  spinLock,
  struct,
  structOpsMember,
  syscallEnter,
  tc,
  tcx,
  text,
  timer,
  timerCallback,
  tpBtf,
  tracepoint,
  u8,
  u16,
  u32,
  u64,
  uprobe,
  usdt,
  xdp,
  xdpDevmap,
} from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Pair = struct('pair', { a: u32, b: u64, small: u16, name: text(8), flags: bits(u8, 3), list: array(u32, 4) })
const counts = map.hash('counts', { key: u32, value: u64, maxEntries: 8 })
const pairs = map.hash('pairs', { key: u32, value: Pair, maxEntries: 8 })
const byPair = map.hash('by_pair', { key: struct('k', { x: u32, y: u16 }), value: u32, maxEntries: 8 })
const ring = map.ringBuffer('ring', { record: Pair, sizeBytes: 4096 })
const queue = map.queue('queue', { value: u32, maxEntries: 8 })
const limits = config('limits', { port: u16 })
const state = globals('state', { total: u64 })
const Color = enumeration('color', { RED: 0, GREEN: 1 })
const Paint = struct('paint', { color: Color })
const task = kernelStruct('task_struct', () => ({ pid: i32, parent: ptr(() => task2) }))
const task2 = kernelStruct('task_struct', () => ({ tgid: i32 }))
const twice = fn('twice', { a: u32 }, u32, (_b, { a }) => a.mul(2))

export const packetRules = xdp('packets', (b) => {
  const maybe = b.packet.at(0, Eth)
  // @ts-expect-error a header has no fields before its bounds check
  maybe.proto
  // @ts-expect-error no host condition makes it there
  if (maybe) maybe.dst
  const eth = maybe.orReturn(b.PASS)
  // @ts-expect-error the other byte order is not compared
  eth.proto.eq(u16(5))
  // @ts-expect-error network order has no arithmetic
  eth.proto.add(1)
  // @ts-expect-error network order has no ordering
  eth.proto.gt(5)
  // @ts-expect-error packets take no atomic operations
  b.packet.at(0, u32).orReturn(b.PASS).atomicAdd(1)
  // @ts-expect-error a 64-bit packet offset
  b.packet.at(u64(4), Eth)
  // @ts-expect-error a signed packet offset
  b.packet.at(i32(4), Eth)
  // @ts-expect-error no such header member
  eth.vlan
  // @ts-expect-error members are not assigned with =
  eth.proto = 5
  // @ts-expect-error an early return needs a return code of this kind of program
  b.packet.at(14, Eth).orReturn(b.OK)
  // @ts-expect-error XDP has no SHOT
  b.return(b.SHOT)
  // @ts-expect-error a string is no return code
  b.return('pass')
  // @ts-expect-error the cursor gives a Maybe too
  b.packet.cursor().take(Eth).proto
  return b.PASS
})

export const widthRules = xdp('widths', (b) => {
  const narrow = b.cpu()
  const wide = b.ktimeNs()
  // @ts-expect-error widths do not mix
  narrow.add(wide)
  // @ts-expect-error nor the other way
  wide.add(narrow)
  // @ts-expect-error signedness does not mix
  narrow.eq(i32(1))
  // @ts-expect-error bigint is for 64 bits
  narrow.add(5n)
  // @ts-expect-error a text is no operand
  narrow.add('5')
  // @ts-expect-error no host arithmetic
  narrow + 1
  // @ts-expect-error no host comparison
  narrow < 5
  // @ts-expect-error no host equality with a number
  narrow === 5
  // @ts-expect-error a number is no condition
  b.if(narrow, () => {})
  // @ts-expect-error a host boolean of a comparison by === is none either
  b.if('yes', () => {})
  // @ts-expect-error select takes one type
  b.select(narrow.eq(1), narrow, wide)
  // @ts-expect-error a variable keeps its type
  b.let(u32, 0).set(wide)
  // @ts-expect-error so does its first value
  b.let(u16, narrow)
  // @ts-expect-error a running count needs a maximum
  b.range(narrow, () => {})
  // @ts-expect-error conditions are joined with conditions
  narrow.eq(1).and(narrow)
  // @ts-expect-error bool has no arithmetic
  narrow.eq(1).add(1)
  // @ts-expect-error conversion needs a type
  narrow.to('u64')
  // @ts-expect-error the same bytes in another width
  narrow.as(be16)
  // @ts-expect-error a function's parameters have types
  twice({ a: wide })
  // @ts-expect-error all parameters are needed
  twice({})
  return b.PASS
})

export const mapRules = xdp('maps', (b) => {
  // @ts-expect-error a lookup may fail: no fields before a match
  counts.lookup(1).atomicAdd(1)
  // @ts-expect-error keys have the map's type
  counts.lookup(b.ktimeNs())
  // @ts-expect-error values too
  counts.set(1, b.cpu())
  // @ts-expect-error a struct key needs its members
  byPair.lookup(5)
  // @ts-expect-error of the right names
  byPair.lookup({ x: 1, z: 2 })
  // @ts-expect-error all of them
  byPair.lookup({ x: 1 })
  // @ts-expect-error only counters count
  pairs.increment(1)
  const pair = pairs.lookup(1).orReturn(b.PASS)
  // @ts-expect-error 16-bit fields take no atomic operations
  pair.small.atomicAdd(1)
  // @ts-expect-error bytes are no number
  pair.name.add(1)
  // @ts-expect-error an index from the packet must be checked
  pair.list.at(b.cpu()).set(1)
  // @ts-expect-error an update mode is one of three
  counts.set(1, 1n, 'always')
  // @ts-expect-error an array has u32 keys, not structs
  map.array('a', { value: u32, maxEntries: 1 }).lookup({ x: 1 })
  // @ts-expect-error a ring buffer has no lookup
  ring.lookup(1)
  // @ts-expect-error records have the ring's members
  ring.emit({ nothing: 1 })
  // @ts-expect-error of their types
  ring.emit({ a: b.ktimeNs() })
  // @ts-expect-error popping may fail
  queue.pop().set(1)
  // @ts-expect-error a queue has values of one type
  queue.push(b.ktimeNs())
  // @ts-expect-error constants are not written
  limits.port.set(1)
  // @ts-expect-error globals have types
  state.total.set(b.cpu())
  // @ts-expect-error a hash needs its entries counted
  map.hash('h', { key: u32, value: u32 })
  // @ts-expect-error flags have names
  map.hash('h', { key: u32, value: u32, maxEntries: 1, flags: ['fast'] })
  const paint = b.local(Paint)
  // @ts-expect-error enumerations have names
  paint.color.is('BLUE')
  // @ts-expect-error initial members exist
  b.local(Paint, { colour: 'RED' })
  // @ts-expect-error an array's elements have one type
  b.local(Pair).list.at(0).set(b.ktimeNs())
  return b.PASS
})

export const formatRules = xdp('formats', (b) => {
  // @ts-expect-error a value is missing
  b.printk('a %d')
  // @ts-expect-error one too many
  b.printk('a', b.cpu())
  // @ts-expect-error 64 bits need %lld
  b.printk('a %d', b.ktimeNs())
  // @ts-expect-error four values are too many
  b.printk('%d %d %d %d', b.cpu(), b.cpu(), b.cpu(), b.cpu())
  // @ts-expect-error XDP has no current task
  b.pid()
  // @ts-expect-error nor user memory
  b.readUser(u32, u64(1))
  // @ts-expect-error nor a context field mark
  b.ctx.mark
  return b.PASS
})

// @ts-expect-error a program returns a code
export const noReturn = xdp('none', () => {})
// @ts-expect-error of its own kind
export const foreignReturn = tc('foreign', (b) => b.PASS)
// @ts-expect-error a callback is not async
export const asynchronous = xdp('async', async (b) => b.PASS)
// @ts-expect-error a target is a version
export const badTarget = xdp('target', { target: 'new' }, (b) => b.PASS)

export const tcRules = tc('tc', (b) => {
  // @ts-expect-error len is read-only
  b.ctx.len.set(1)
  // @ts-expect-error ifindex too
  b.ctx.ifindex.set(1)
  // @ts-expect-error an mtu is no field
  b.ctx.mtu
  return b.OK
})
export const cgroupRules = cgroupSkb('cg', { direction: 'ingress' }, (b) => {
  // @ts-expect-error packets of cgroup programs are read-only
  b.packet.at(0, u8).orReturn(b.ALLOW).set(1)
  // @ts-expect-error cgroup programs do not see tc's class
  b.ctx.tcClassid
  // @ts-expect-error 2 is no verdict here
  b.return(2)
  return b.ALLOW
})
export const sockRules = cgroupSock('sk', { hook: 'sock_create' }, (b) => {
  // @ts-expect-error the port exists only after bind
  b.ctx.srcPort
  return b.ALLOW
})
export const addressRules = cgroupSockAddr('addr', { hook: 'connect4' }, (b) => {
  // @ts-expect-error an IPv4 hook has no IPv6 address
  b.ctx.userIp60
  // @ts-expect-error family is read-only
  b.ctx.family.set(2)
  // @ts-expect-error no packet in an address hook
  b.packet
  return b.ALLOW
})
// @ts-expect-error no such hook
export const noHook = cgroupSockAddr('addr', { hook: 'listen4' }, (b) => b.ALLOW)
// @ts-expect-error tcx needs a direction
export const noDirection = tcx('t', {}, (b) => b.OK)
// @ts-expect-error ingress or egress
export const badDirection = tcx('t', { direction: 'in' }, (b) => b.OK)
// @ts-expect-error a tracepoint needs its event
export const noEvent = tracepoint('t', {}, () => 0)
// @ts-expect-error an event has a category
export const noCategory = tracepoint('t', { event: 'sched_switch' }, () => 0)
// @ts-expect-error a kprobe attaches to a function, not to a tracepoint
export const wrongAttach = kprobe('k', { event: 'sched:sched_switch' }, () => 0)
// @ts-expect-error a uprobe needs its binary
export const noBinary = uprobe('u', { function: 'main' }, () => 0)

export const traceRules = tracepoint('t', { event: 'sched:sched_switch', args: { pid: i32, comm: bytes(16) } }, (b) => {
  // @ts-expect-error only the event's fields
  b.args.tgid
  // @ts-expect-error which are read-only
  b.args.pid.set(1)
  // @ts-expect-error no packet in a tracepoint
  b.packet
  return 0
})
export const enterRules = syscallEnter('e', { syscall: 'openat' }, (b) => {
  // @ts-expect-error an address is not dereferenced: readUser does that
  b.args.arg1.name
  // @ts-expect-error reading may fail
  b.readUser(u32, b.args.arg1).add(1)
  // @ts-expect-error a text needs a text field
  b.readUserText(b.args.arg1, b.args.arg1)
  // @ts-expect-error addresses are 64 bits
  b.readKernel(u32, b.pid())
  return 0
})
export const probeRules = kretprobe('r', { function: 'f' }, (b) => {
  // @ts-expect-error a return probe has no arguments any more
  b.arg(0)
  return 0
})
export const entryRules = kprobe('p', { function: 'f' }, (b) => {
  // @ts-expect-error an entry has no result yet
  b.result()
  return 0
})
export const kernelRules = rawTracepoint('raw', { event: 'sys_enter' }, (b) => {
  const now = currentTask(task)
  // @ts-expect-error kernel memory is read-only
  now.pid.set(1)
  // @ts-expect-error only declared members
  now.mm
  // @ts-expect-error through the pointer too
  now.parent.pid
  return b.arg(0, u32)
})
export const lsmRules = lsm('l', { attachTo: 'file_open' }, (b) => {
  // @ts-expect-error 5 is no verdict of a security hook
  b.return(5)
  return b.ALLOW
})
export const opsRules = sockOps('s', (b) => {
  // @ts-expect-error op is read-only
  b.ctx.op.set(1)
  return b.ALLOW
})
export const deviceRules = cgroupDevice('d', (b) => {
  // @ts-expect-error device programs have no packet
  b.packet
  // @ts-expect-error major is read-only
  b.ctx.major.set(1)
  return b.ALLOW
})
export const lookupRules = skLookup('sl', (b) => {
  // @ts-expect-error the local port is read-only
  b.ctx.localPort.set(1)
  return b.PASS
})
export const msgRules = skMsg('m', (b) => {
  // @ts-expect-error sk_msg has no mark
  b.ctx.mark
  return b.PASS
})
export const socketRules = socketFilter('sf', (b) => {
  // @ts-expect-error a socket filter has no direct packet access
  b.packet
  // @ts-expect-error loading may fail
  b.load(0, be32).eq(1)
  return 0
})

const Locked = struct('locked', { lock: spinLock, pad: u32, count: u64 })
const Timed = struct('timed', { timer, count: u64 })
const locked = map.hash('locked', { key: u32, value: Locked, maxEntries: 4 })
const timed = map.hash('timed', { key: u32, value: Timed, maxEntries: 4 })
const expire = timerCallback('expire', timed, (_b, _key, value) => value.count.atomicAdd(1))
const nested = map.hashOfMaps('nested', { key: u32, inner: counts, maxEntries: 4 })
const storage = map.socketStorage('storage', { value: Pair })
const tasks = map.taskStorage('tasks', { value: u64 })
const flows = map.sockhash('flows', { key: struct('flow', { a: u32 }), maxEntries: 4 })
const latency = map.histogram('latency')
const byPid = map.histogram('by_pid', { key: u32, maxEntries: 4 })
const perf = map.perfEventArray('perf', { record: Pair })
const fill = fn('fill', { p: ref(Pair), q: ref(Pair, 'read') }, 'void', (_b, { p, q }) => {
  p.a.set(q.a)
  // @ts-expect-error memory that is read is not written
  q.a.set(1)
})
const checked = fn(
  'checked',
  { p: ref(Pair) },
  u32,
  // @ts-expect-error memory of a global function may be missing
  (_b, { p }) => p.a,
  { global: true },
)
const pidOf = kfunc('bpf_task_from_pid', { pid: i32 }, task, { release: 'bpf_task_release' })

export const objectRules = xdp('objects', (b) => {
  const cell = locked.lookup(1).orReturn(b.PASS)
  // @ts-expect-error a lock has no value
  cell.lock.set(0)
  // @ts-expect-error only a lock is locked
  b.lock(cell.count, () => {})
  // @ts-expect-error a timer is no lock
  b.lock(timed.lookup(1).orReturn(b.PASS).timer, () => {})
  // @ts-expect-error a lock is no timer
  expire.start(cell.lock, 1)
  // @ts-expect-error an entry of a map of maps is a map, and may be missing
  nested.lookup(1).increment(1)
  // @ts-expect-error maps of maps are not written by programs
  nested.set(1, counts)
  // @ts-expect-error a histogram counts numbers
  latency.add('5')
  // @ts-expect-error a histogram by key needs the key
  byPid.add(b.ktimeNs())
  // @ts-expect-error perf records have the type of their map
  perf.emit(b, { wrong: 1 })
  // @ts-expect-error no context
  perf.emit({ a: 1 })
  const pair = b.local(Pair)
  // @ts-expect-error a missing argument
  fill({ p: pair })
  // @ts-expect-error packet memory takes no atomic operations: it is not shared memory
  fill({ p: b.packet.at(0, Pair).orReturn(b.PASS), q: pair })
  // @ts-expect-error memory of another type
  checked({ p: cell })
  // @ts-expect-error a socket storage belongs to sockets, not to numbers
  storage.getOrInit(b.cpu())
  // @ts-expect-error a task storage belongs to tasks
  tasks.get(b.ktimeNs())
  b.withTcpSocket({ saddr: 1, daddr: 2, sport: 3, dport: 4 }, (sk) => {
    // @ts-expect-error sockets are read
    sk.mark.set(1)
    // @ts-expect-error no such member
    sk.cookie
  })
  // @ts-expect-error a tuple needs its ports
  b.withTcpSocket({ saddr: 1, daddr: 2 }, () => {})
  // @ts-expect-error XDP has no sockets of its own
  b.socket()
  // @ts-expect-error XDP does not redirect socket data
  flows.redirect(b, { a: 1 })
  // @ts-expect-error the room is a number of bytes
  b.adjustHead(b.ktimeNs())
  // @ts-expect-error a checksum changes between values of one width
  checksumReplace(b.packet.at(0, be16).orReturn(b.PASS), be16(1), be32(1))
  // @ts-expect-error a callback's index is no host number
  b.loop(4, (i) => 4 * i)
  // @ts-expect-error a running count needs max
  b.range(b.cpu(), () => {})
  // @ts-expect-error no such form of loop
  b.range(4, { as: 'goto' }, () => {})
  // @ts-expect-error a kernel function's argument has its type
  pidOf.with({ pid: b.ktimeNs() }, () => {})
  counts.forEach((key) => {
    // @ts-expect-error keys of entries are read
    key.set(1)
  })
  return b.PASS
})

export const hookRules = [
  // @ts-expect-error recvmsg hooks cannot reject
  cgroupSockAddr('recv', { hook: 'recvmsg4' }, (b) => b.REJECT),
  // @ts-expect-error no such hook
  cgroupSockAddr('listen', { hook: 'listen4' }, (b) => b.ALLOW),
  cgroupSockAddr('connect', { hook: 'connect4' }, (b) => {
    // @ts-expect-error the message's source is of sendmsg hooks
    b.ctx.msgSrcIp4
    // @ts-expect-error the family is not written
    b.ctx.userFamily.set(2)
    return b.ALLOW
  }),
  // @ts-expect-error trace events do not sleep
  tpBtf('sleep', { attachTo: 'sched_switch', sleepable: true }, () => 0),
  // @ts-expect-error a device map's program has no direction
  xdpDevmap('dev', { direction: 'egress' }, (b) => b.PASS),
  // @ts-expect-error only programs of device maps know where the packet goes out
  xdp('egress', (b) => b.select(b.egressIfindex.eq(1), u32(1), 2)),
  // @ts-expect-error a raw trace event has numbers, not typed pointers
  rawTracepoint('raw', { event: 'sched_switch' }, (b) => b.pointer(1, task).pid.to(u32)),
  // @ts-expect-error a sleepable read is of probes, not of packets
  tc('read', (b) => b.copyFromUser(i32, b.ktimeNs()).orReturn(b.OK)),
  // @ts-expect-error sk_lookup passes or drops
  skLookup('lookup', (b) => b.ALLOW),
  // @ts-expect-error a USDT probe has a provider
  usdt('probe', { binary: '/bin/x', probe: 'p' }, () => 0),
  // @ts-expect-error a struct_ops program names its member
  structOpsMember('init', { struct: 'tcp_congestion_ops' }, () => 0),
]

// What options take away, or bring.
export const optionRules = [
  xdp('licence', { license: 'MIT' }, (b) => {
    // @ts-expect-error printing is for GPL-compatible programs
    b.printk('x')
    return b.PASS
  }),
  xdp('dual', { license: 'Dual MIT/GPL' }, (b) => {
    b.printk('x')
    return b.PASS
  }),
  kprobe('closed', { function: 'f', license: 'Proprietary' }, (b) => {
    // @ts-expect-error reading the kernel too
    b.readKernel(u32, b.arg(0))
    return b.cpu()
  }),
  tc('old', { target: '5.1' }, (b) => {
    // @ts-expect-error loops are of Linux 5.3
    b.while(
      () => b.cpu().eq(1),
      () => {},
    )
    // @ts-expect-error redirection to a peer is of Linux 5.10
    return b.redirectPeer(1)
  }),
  xdp('older', { target: '5.10' }, (b) => {
    // @ts-expect-error callbacks are of Linux 5.17
    b.loop(4, () => {})
    b.while(
      () => b.cpu().eq(1),
      () => {},
    )
    return b.PASS
  }),
  xdp('newer', { target: '6.1' }, (b) => {
    b.loop(4, () => {})
    return b.PASS
  }),
  tpBtf('task', { attachTo: 'sched_switch', target: '5.10' }, (b) => {
    // @ts-expect-error the current task as a typed pointer is of Linux 5.11
    b.task(task)
    return 0
  }),
  fentry('awake', { attachTo: 'f' }, (b) => {
    // @ts-expect-error only sleepable programs bring pages in
    b.copyFromUser(i32, b.arg(0))
    return 0
  }),
  fentry('asleep', { attachTo: 'f', sleepable: true }, (b) => b.copyFromUser(u32, b.arg(0)).orReturn(0)),
  lsm('asleep', { attachTo: 'file_open', sleepable: true }, (b) => {
    b.copyFromUser(i32, b.arg(0)).orReturn(b.ALLOW)
    return b.ALLOW
  }),
  // @ts-expect-error a misspelt option
  kprobe('offset', { function: 'f', ofset: 8 }, () => 0),
  // @ts-expect-error an LSM program has a hook, not a function
  lsm('hook', { function: 'file_open' }, (b) => b.ALLOW),
  // @ts-expect-error a uprobe has no event
  uprobe('event', { binary: '/bin/sh', event: 'a:b' }, () => 0),
]

// Kernel structs may point to themselves; events may be found by CO-RE.
const chain = kernelStruct('task_struct', {
  tgid: i32,
  get real_parent() {
    return ptr(chain)
  },
})
const Switch = kernelStruct('trace_event_raw_sched_switch', { next_pid: i32, next_comm: text(16) })
export const shapeRules = [
  tpBtf('chain', { attachTo: 'sched_switch' }, (b) => {
    const one = b.pointer(1, chain).real_parent.real_parent
    // @ts-expect-error only declared members, at any depth
    one.pid
    return one.tgid.to(u32)
  }),
  tracepoint('switch', { event: 'sched:sched_switch', args: Switch }, (b) => {
    // @ts-expect-error only declared members of the event
    b.args.prev_pid
    // @ts-expect-error an event's members are read
    b.args.next_pid.set(1)
    return b.args.next_pid.to(u32)
  }),
  cgroupSockAddr('port', { hook: 'connect4' }, (b) => {
    b.ctx.userPort.set(8080)
    // @ts-expect-error a port has 16 bits in network order
    b.ctx.userPort.set(b.cpu())
    return b.ALLOW
  }),
  sockOps('events', (b) => {
    b.setCallbacks(['rtt', 'state'])
    // @ts-expect-error no such event
    b.setCallbacks(['rtx'])
    return b.ALLOW
  }),
]
export const lostRules = xdp('lost', (b) => {
  // @ts-expect-error a return code that a branch gives to nobody
  b.if(b.cpu().eq(1), () => b.DROP)
  // @ts-expect-error nor a case
  b.switch(b.cpu(), [[1, () => b.DROP]])
  // @ts-expect-error nor a match
  counts.lookup(1).match(() => b.DROP)
  // @ts-expect-error nor a round
  b.range(4, () => b.DROP)
  b.if(b.cpu().eq(2), () => b.return(b.DROP))
  b.if(b.cpu().eq(3), () => counts.set(1, 1))
  b.packet.at(0, be32).match((address) => b.if(address.eq('10.0.0.1'), () => b.return(b.DROP)))
  // @ts-expect-error four numbers
  b.packet.at(0, be32).orReturn(b.PASS).eq('10.0.0')
  return b.PASS
})
export const initRules = xdp('init', (b) => {
  pairs.getOrInit(1, { a: 1 }).match((pair) => pair.small.set(2))
  locked.getOrInit(1, { count: 7 }).match((cell) => cell.pad.set(1))
  // @ts-expect-error a lock has no first value
  locked.getOrInit(1, { lock: 1 })
  // @ts-expect-error a new value is whole
  pairs.set(1, { a: 1 })
  return b.PASS
})
