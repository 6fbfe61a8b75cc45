import { bool, config, map, struct, tracepoint, u32, u64 } from 'typebpf'

/** `device` 0: all disks; `unitNs` nanoseconds are one step of the histogram. */
export const only = config('only', { device: u32, unitNs: u64, perDisk: bool, queued: bool }, { unitNs: 1000n })

/** What the block tracepoints have in common. */
const request = { device: u32, sector: u64, sectors: u32 } as const
const Request = struct('request', { device: u32, sector: u64 })

/** When requests began. */
const begun = map.hash('begun', { key: Request, value: u64, maxEntries: 10_240 })
/** By disk, or all under 0. */
export const latencies = map.histogram('latencies', { key: u32, slots: 27, maxEntries: 256 })

/** A request goes to the disk. */
export const issue = tracepoint('issue', { event: 'block:block_rq_issue', args: request }, (b) => {
  const { device, sector } = b.args
  b.if(
    only.device.ne(0).and(() => only.device.ne(device)),
    () => b.return(0),
  )
  // with the time in the queue: insert knows better
  b.if(
    only.queued.and(() => begun.has({ device, sector })),
    () => b.return(0),
  )
  begun.set({ device, sector }, b.ktimeNs())
  return 0
})

/** A request goes into the queue of its disk's scheduler. */
export const insert = tracepoint('insert', { event: 'block:block_rq_insert', args: request }, (b) => {
  const { device, sector } = b.args
  b.if(
    only.device.ne(0).and(() => only.device.ne(device)),
    () => b.return(0),
  )
  begun.set({ device, sector }, b.ktimeNs())
  return 0
})

export const complete = tracepoint('complete', { event: 'block:block_rq_complete', args: request }, (b) => {
  const { device, sector } = b.args
  const since = begun.lookup({ device, sector }).orReturn(0)
  const now = b.ktimeNs()
  const elapsed = now.sub(since)
  begun.delete({ device, sector })
  latencies.add(b.select(only.perDisk, device, 0), elapsed.div(only.unitNs))
  return 0
})
