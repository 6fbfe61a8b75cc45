import { bool, config, globals, type Int, i32, map, struct, syscallEnter, syscallExit, text, u32, u64 } from 'typebpf'

/** What is shown; 0 stands for everything. */
export const only = config('only', { pid: u32, target: u32, signal: u32, failed: bool })

/** How many events found no room in the ring. */
export const lost = globals('lost', { events: u64 })

const Call = struct('call', { target: i32, signal: u32 })
export const Kill = struct('kill', {
  timeNs: u64,
  pid: u32,
  target: i32,
  signal: u32,
  result: i32,
  comm: text(16),
})

/** Calls that have begun, by thread. */
const calls = map.hash('calls', { key: u32, value: Call, maxEntries: 10_240 })
export const kills = map.ringBuffer('kills', { record: Kill, sizeBytes: 1 << 20 })

/** Whether a filter is set, to something else. */
const isOther = (wanted: Int<'u32'>, value: () => Int<'u32'>) => wanted.ne(0).and(() => wanted.ne(value()))

export const enter = syscallEnter('enter_kill', { syscall: 'kill', args: ['target', 'signal'] }, (b) => {
  const target = b.args.target.to(i32)
  const signal = b.args.signal.to(u32)
  const isUnwanted = isOther(only.pid, () => b.pid())
    .or(() => isOther(only.target, () => target.to(u32)))
    .or(() => isOther(only.signal, () => signal))
  b.if(isUnwanted, () => b.return(0))
  calls.set(b.tid(), { target, signal })
  return 0
})

export const exit = syscallExit('exit_kill', { syscall: 'kill' }, (b) => {
  const call = calls.lookup(b.tid()).orReturn(0)
  const result = b.args.ret.to(i32)
  b.if(
    only.failed.not().or(() => result.lt(0)),
    () => {
      kills.record(
        (kill) => {
          kill.$set({ timeNs: b.ktimeNs(), pid: b.pid(), target: call.target, signal: call.signal, result })
          b.comm(kill.comm)
        },
        () => lost.events.atomicAdd(1),
      )
    },
  )
  calls.delete(b.tid())
  return 0
})
