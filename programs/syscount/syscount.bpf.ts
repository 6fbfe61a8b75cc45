import { bool, config, i64, map, struct, text, tracepoint, u32, u64 } from 'typebpf'

/** What is counted; 0 stands for everything. `byProcess`: a row a process instead of one a system call. */
export const only = config('only', { pid: u32, errno: u32, failed: bool, byProcess: bool, latency: bool })

export const Row = struct('row', { calls: u64, totalNs: u64, comm: text(16) })

/** By system call number or process. */
export const rows = map.hash('rows', { key: u32, value: Row, maxEntries: 10_240 })
/** When each thread entered the kernel. */
const entered = map.hash('entered', { key: u32, value: u64, maxEntries: 10_240 })

/** Only there when times are asked for. */
export const enter = tracepoint('enter', { event: 'raw_syscalls:sys_enter', args: { id: i64 } }, (b) => {
  b.if(
    only.pid.ne(0).and(() => only.pid.ne(b.pid())),
    () => b.return(0),
  )
  entered.set(b.tid(), b.ktimeNs())
  return 0
})

export const exit = tracepoint('exit', { event: 'raw_syscalls:sys_exit', args: { id: i64, result: i64 } }, (b) => {
  const { id, result } = b.args
  b.if(
    only.pid.ne(0).and(() => only.pid.ne(b.pid())),
    () => b.return(0),
  )
  b.if(
    only.failed.and(() => result.ge(0)),
    () => b.return(0),
  )
  b.if(
    only.errno.ne(0).and(() => result.ne(only.errno.to(i64).neg())),
    () => b.return(0),
  )
  // -1: the tracer of a process took the call away
  b.if(id.lt(0), () => b.return(0))

  const spent = b.let(u64, 0)
  b.if(only.latency, () => {
    const since = entered.lookup(b.tid()).orReturn(0)
    spent.set(b.ktimeNs().sub(since))
    entered.delete(b.tid())
  })
  const row = rows.getOrInit(b.select(only.byProcess, b.pid(), id.to(u32))).orReturn(0)
  b.if(
    only.byProcess.and(() => row.calls.eq(0)),
    () => b.comm(row.comm),
  )
  row.calls.atomicAdd(1)
  b.if(only.latency, () => row.totalNs.atomicAdd(spent.get()))
  return 0
})
