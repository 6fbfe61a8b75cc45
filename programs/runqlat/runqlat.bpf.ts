import {
  bool,
  config,
  core,
  type Int,
  kernelAt,
  kernelStruct,
  map,
  rawTracepoint,
  type TracingBody,
  u32,
  u64,
} from 'typebpf'

/** `process` 0: all; `unitNs` nanoseconds are one step of the histogram. */
export const only = config('only', { process: u32, unitNs: u64, byProcess: bool, byThread: bool }, { unitNs: 1000n })

const task = kernelStruct('task_struct', () => ({ pid: u32, tgid: u32 }))
/** The state, from Linux 5.14 on and before. */
const newTask = kernelStruct('task_struct', () => ({ __state: u32 }))
const oldTask = kernelStruct('task_struct', () => ({ state: u64 }))

/** When threads became ready to run. */
const ready = map.hash('ready', { key: u32, value: u64, maxEntries: 10_240 })
/** By process or thread, or all under 0. */
export const latencies = map.histogram('latencies', { key: u32, slots: 27, maxEntries: 10_240 })

/** A thread waits for a CPU from now on. */
function enqueue(b: TracingBody<unknown>, address: Int<'u64'>): void {
  const { pid, tgid } = kernelAt(task, address)
  b.if(
    pid.ne(0).and(() => only.process.eq(0).or(() => only.process.eq(tgid))),
    () => {
      ready.set(pid, b.ktimeNs())
    },
  )
}

export const wakeup = rawTracepoint('wakeup', { event: 'sched_wakeup' }, (b) => {
  enqueue(b, b.arg(0))
  return 0
})
export const wakeupNew = rawTracepoint('wakeup_new', { event: 'sched_wakeup_new' }, (b) => {
  enqueue(b, b.arg(0))
  return 0
})

/** One thread leaves a CPU, another one gets it. */
export const switched = rawTracepoint('switched', { event: 'sched_switch' }, (b) => {
  const previous = b.arg(1)
  const state = b.let(u64, 0)
  b.if(
    core.hasMember(newTask, '__state'),
    () => state.set(kernelAt(newTask, previous).__state.to(u64)),
    () => state.set(kernelAt(oldTask, previous).state),
  )
  // 0 is TASK_RUNNING: it did not want to leave
  b.if(state.get().eq(0), () => enqueue(b, previous))

  const { pid, tgid } = kernelAt(task, b.arg(2))
  const since = ready.lookup(pid).orReturn(0)
  const waited = b.ktimeNs().sub(since)
  ready.delete(pid)
  const key = b.select(only.byProcess, tgid, b.select(only.byThread, pid, 0))
  latencies.add(key, waited.div(only.unitNs))
  return 0
})
