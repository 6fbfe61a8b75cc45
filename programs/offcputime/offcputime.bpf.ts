import { bool, config, i32, i64, map, struct, text, tracepoint, u32, u64 } from 'typebpf'

/** What is counted; 0 (of `state`: -1, of `longestUs`: all ones) stands for everything. */
export const only = config(
  'only',
  { pid: u32, tid: u32, shortestUs: u64, longestUs: u64, state: i64, user: bool, kernel: bool },
  { shortestUs: 1n, longestUs: 0xffff_ffff_ffff_ffffn, state: -1n },
)

export const Where = struct('where', { pid: u32, user: i32, kernel: i32, comm: text(16) })
const Off = struct('off', { sinceNs: u64, where: Where })

export const stacks = map.stackTraces('stacks', { maxEntries: 16_384 })
/** Threads that are off their CPU. */
const off = map.hash('off', { key: u32, value: Off, maxEntries: 10_240 })
/** Microseconds off the CPU, by process and stacks. */
export const times = map.hash('times', { key: Where, value: u64, maxEntries: 10_240 })

const change = {
  previousComm: text(16),
  previous: u32,
  previousPriority: i32,
  previousState: i64,
  nextComm: text(16),
  next: u32,
} as const

export const switched = tracepoint('switched', { event: 'sched:sched_switch', args: change }, (b) => {
  const { previous, previousState, next } = b.args
  const nowNs = b.ktimeNs()

  // the current task is still the one that leaves: its stacks say why
  const wanted = previous
    .ne(0)
    .and(() => only.pid.eq(0).or(() => only.pid.eq(b.pid())))
    .and(() => only.tid.eq(0).or(() => only.tid.eq(previous)))
    .and(() => only.state.eq(-1).or(() => only.state.eq(previousState)))
  b.if(wanted, () => {
    const leaving = b.local(Off, { sinceNs: nowNs })
    leaving.where.$set({ pid: b.pid(), user: -1, kernel: -1 })
    b.comm(leaving.where.comm)
    b.if(only.kernel.not(), () => leaving.where.user.set(stacks.capture(b, { user: true }).to(i32)))
    b.if(only.user.not(), () => leaving.where.kernel.set(stacks.capture(b).to(i32)))
    off.set(previous, leaving)
  })

  const back = off.lookup(next).orReturn(0)
  const spentUs = nowNs.sub(back.sinceNs).div(1000)
  b.if(
    spentUs.ge(only.shortestUs).and(() => spentUs.le(only.longestUs)),
    () => {
      times.increment(back.where, spentUs)
    },
  )
  off.delete(next)
  return 0
})
