import { bool, config, type Int, i64, map, struct, type TracingBody, text, tracepoint, u32, u64 } from 'typebpf'

/** Of `syscall`, where 0 is a call. */
const EVERY_CALL = 0xffff_ffff
/** What is counted; 0 stands for everything. `byProcess`: a row a process instead of one a system call. */
export const only = config(
  'only',
  { pid: u32, tid: u32, syscall: u32, errno: u32, failed: bool, byProcess: bool, latency: bool },
  { syscall: EVERY_CALL },
)
/** Whether a filter is set, to something else. */
const isOther = (wanted: Int<'u32'>, value: () => Int<'u32'>, everything = 0) =>
  wanted.ne(everything).and(() => wanted.ne(value()))
/** Whether the current thread's calls are not counted. */
const isOtherTask = (b: TracingBody<unknown>) =>
  isOther(only.pid, () => b.pid()).or(() => isOther(only.tid, () => b.tid()))

export const Row = struct('row', { calls: u64, totalNs: u64, comm: text(16) })

/** By system call number or process. */
export const rows = map.hash('rows', { key: u32, value: Row, maxEntries: 10_240 })
/** When each thread entered the kernel. */
const entered = map.hash('entered', { key: u32, value: u64, maxEntries: 10_240 })

/** Only there when times are asked for. */
export const enter = tracepoint('enter', { event: 'raw_syscalls:sys_enter', args: { id: i64 } }, (b) => {
  b.if(isOtherTask(b), () => b.return(0))
  entered.set(b.tid(), b.ktimeNs())
  return 0
})

export const exit = tracepoint('exit', { event: 'raw_syscalls:sys_exit', args: { id: i64, result: i64 } }, (b) => {
  const { id, result } = b.args
  const isUnwanted = isOtherTask(b)
    .or(() => isOther(only.syscall, () => id.to(u32), EVERY_CALL))
    .or(() => only.failed.and(() => result.ge(0)))
    .or(() => only.errno.ne(0).and(() => result.ne(only.errno.to(i64).neg())))
    // -1: the tracer of a process took the call away
    .or(() => id.lt(0))
  b.if(isUnwanted, () => b.return(0))

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
