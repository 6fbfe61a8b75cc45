import { bool, config, type Int, i32, map, perfEvent, struct, text, u32 } from 'typebpf'

/** What is counted; 0 stands for everything. */
export const only = config('only', { pid: u32, tid: u32, idle: bool, user: bool, kernel: bool })

/** Whether a filter is set, to something else. */
const isOther = (wanted: Int<'u32'>, value: () => Int<'u32'>) => wanted.ne(0).and(() => wanted.ne(value()))

export const Where = struct('where', { pid: u32, user: i32, kernel: i32, comm: text(16) })

export const stacks = map.stackTraces('stacks', { maxEntries: 16_384 })
/** Samples by process and stacks; a stack that is not there is -1, other negative numbers are errors. */
export const samples = map.hash('samples', { key: Where, value: u32, maxEntries: 40_960 })

export const sample = perfEvent('sample', (b) => {
  const isUnwanted = isOther(only.pid, () => b.pid())
    .or(() => isOther(only.tid, () => b.tid()))
    .or(() => only.idle.not().and(() => b.tid().eq(0)))
  b.if(isUnwanted, () => b.return(0))

  const where = b.local(Where, { pid: b.pid(), user: -1, kernel: -1 })
  b.comm(where.comm)
  b.if(only.kernel.not(), () => where.user.set(stacks.capture(b, { user: true }).to(i32)))
  b.if(only.user.not(), () => where.kernel.set(stacks.capture(b).to(i32)))
  samples.increment(where)
  return 0
})
