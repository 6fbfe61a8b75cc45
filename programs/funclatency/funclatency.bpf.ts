import { config, map, struct, u32, u64, uprobe, uretprobe } from 'typebpf'

/** `unitNs` nanoseconds are one step of the histogram. */
export const only = config('only', { unitNs: u64 }, { unitNs: 1n })

const Call = struct('call', { sinceNs: u64, depth: u32 })

/** Calls that have begun, by thread. */
const calls = map.hash('calls', { key: u32, value: Call, maxEntries: 10_240 })
export const latencies = map.histogram('latencies', { slots: 64 })
/** Counts and sums, for the average. */
export const totals = map.array('totals', { value: struct('total', { calls: u64, ns: u64 }), maxEntries: 1 })

/** The function is chosen when the program is attached. */
export const enter = uprobe('enter', { binary: 'libc', function: 'malloc' }, (b) => {
  // a function that calls itself is timed from its outermost call to that one's return
  const call = calls.getOrInit(b.tid()).orReturn(0)
  b.if(call.depth.eq(0), () => call.sinceNs.set(b.ktimeNs()))
  call.depth.set(call.depth.add(1))
  return 0
})

export const leave = uretprobe('leave', { binary: 'libc', function: 'malloc' }, (b) => {
  const nowNs = b.ktimeNs()
  const call = calls.lookup(b.tid()).orReturn(0)
  b.if(call.depth.gt(1), () => {
    call.depth.set(call.depth.sub(1))
    b.return(0)
  })
  const elapsed = nowNs.sub(call.sinceNs)
  calls.delete(b.tid())
  latencies.add(elapsed.div(only.unitNs))
  totals.lookup(0).match((total) => {
    total.calls.atomicAdd(1)
    total.ns.atomicAdd(elapsed)
  })
  return 0
})
