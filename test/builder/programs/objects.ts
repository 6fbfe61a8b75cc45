import {
  context,
  each,
  fn,
  i32,
  kernelStruct,
  kfunc,
  kptr,
  map,
  ref,
  spinLock,
  struct,
  structOps,
  structOpsMember,
  syscallEnter,
  text,
  timer,
  timerCallback,
  tpBtf,
  u8,
  u32,
  u64,
  xdp,
} from 'typebpf'

const task = kernelStruct('task_struct', () => ({ tgid: i32, pid: i32 }))
const Cell = struct('cell', { lock: spinLock, pad: u32, a: u64, b: u64 })
const cells = map.hash('cells', { key: u32, value: Cell, maxEntries: 64 })
const Slot = struct('slot', { who: kptr(task), count: u64 })
const slots = map.array('slots', { value: Slot, maxEntries: 4 })
const Timed = struct('timed', { timer, expired: u64 })
const timed = map.hash('timed', { key: u32, value: Timed, maxEntries: 64 })
const fromPid = kfunc('bpf_task_from_pid', { pid: i32 }, task, { release: 'bpf_task_release', since: [6, 2] })
const expire = timerCallback('expire', timed, (b, key, value) => {
  value.expired.set(b.ktimeNs())
  expire.start(value.timer, 1000n)
  b.if(key.eq(3), () => b.return())
  value.expired.atomicAdd(1)
})
const Pair = struct('pair', { a: u64, b: u64 })
const sum = fn('sum', { p: ref(Pair), by: u64 }, 'void', (b, { p, by }) => {
  p.a.set(p.a.add(by))
  b.if(p.a.eq(7), () => b.return())
  p.b.set(p.a)
})
const check = fn('check', { p: ref(Pair, 'read') }, u32, (_b, { p: maybe }) => maybe.orReturn(0).a.to(u32), {
  global: true,
})
const head = fn('head', { ctx: context }, u32, (b) => b.cpu())
const sock = kernelStruct('sock', () => ({ __sk_common: common }))
const common = kernelStruct('sock_common', () => ({ skc_state: u8 }))
export const init = structOpsMember('my_init', { struct: 'tcp_congestion_ops', member: 'init' }, () => 0)
export const ssthresh = structOpsMember('my_ssthresh', { struct: 'tcp_congestion_ops', member: 'ssthresh' }, (b) => {
  const s = b.pointer(0, sock)
  return s.__sk_common.skc_state.to(u32)
})
const undo = structOpsMember('my_undo', { struct: 'tcp_congestion_ops', member: 'undo_cwnd' }, () => 10)
const avoid = structOpsMember('my_avoid', { struct: 'tcp_congestion_ops', member: 'cong_avoid' }, () => 0)
/** A congestion control that the running kernel takes as a whole. */
export const CONTROL = {
  ssthresh,
  undo,
  avoid,
  control: structOps('typebpf_cc', {
    struct: 'tcp_congestion_ops',
    members: { ssthresh, undo_cwnd: undo, cong_avoid: avoid },
    fields: { name: text(16) },
    values: { name: 'typebpf_cc' },
  }),
}

/** Programs with locks, timers, kernel objects and functions, each accepted by the running kernel. */
export const OBJECTS = {
  lock: xdp('o_lock', (b) => {
    const cell = cells.lookup(1).orReturn(b.PASS)
    b.lock(cell.lock, () => {
      cell.a.set(cell.a.add(1))
      b.if(cell.a.gt(5), () => b.return(b.DROP))
      cell.b.set(2)
    })
    return b.PASS
  }),
  timers: xdp('o_timer', (b) => {
    const it = timed.getOrInit(1).orReturn(b.PASS)
    expire.prepare(it.timer)
    expire.start(it.timer, 1_000_000n)
    return b.PASS
  }),
  kfunc: tpBtf('o_kfunc', { attachTo: 'sched_switch', target: '6.2' }, (b) => {
    fromPid.with({ pid: 1 }, (t) => {
      slots.lookup(0).match((s) => s.count.set(t.tgid.to(u64)))
      b.if(t.pid.eq(3), () => b.return(0))
    })
    return 0
  }),
  kptr: tpBtf('o_kptr', { attachTo: 'sched_switch', target: '6.2' }, () => {
    const s = slots.lookup(0).orReturn(0)
    s.who.fill(fromPid.acquired({ pid: 1 }))
    s.who.take(fromPid, (t) => {
      s.count.set(t.tgid.to(u64))
    })
    s.who.peek().match((t) => s.count.set(t.pid.to(u64)))
    return 0
  }),
  fns: xdp('o_fns', (b) => {
    const p = b.local(Pair, { a: b.ktimeNs() })
    sum({ p, by: 5 })
    b.if(check({ p }).eq(5), () => b.return(b.DROP))
    b.if(head({ ctx: b }).eq(5), () => b.return(b.DROP))
    b.if(p.a.eq(p.b), () => b.return(b.TX))
    return b.PASS
  }),
  structOps: ssthresh,
  structOpsInit: init,
  tasks: syscallEnter('o_tasks', { syscall: 'close', target: '6.7' }, (b) => {
    const s = slots.lookup(0).orReturn(0)
    each('task', { type: task, from: null }, (t) => {
      s.count.atomicAdd(t.tgid.to(u64))
      b.if(t.pid.eq(4), () => b.break())
    })
    return 0
  }),
}
