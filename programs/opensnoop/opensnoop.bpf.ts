import {
  bool,
  config,
  globals,
  type Int,
  i32,
  map,
  struct,
  syscallEnter,
  syscallExit,
  type TracingBody,
  text,
  u32,
  u64,
} from 'typebpf'

/** Of `uid`, where 0 is a user. */
const EVERYONE = 0xffff_ffff
/** What is shown: 0 stands for everything. */
export const only = config('only', { pid: u32, tid: u32, uid: u32, flags: u32, failed: bool }, { uid: EVERYONE })
/** Whether a filter is set, to something else. */
const isOther = (wanted: Int<'u32'>, value: () => Int<'u32'>, everything = 0) =>
  wanted.ne(everything).and(() => wanted.ne(value()))

/** How many events found no room in the ring. */
export const lost = globals('lost', { events: u64 })

const Call = struct('call', { path: u64, flags: u32 })
export const Open = struct('open', {
  timeNs: u64,
  pid: u32,
  tid: u32,
  uid: u32,
  result: i32,
  flags: u32,
  comm: text(16),
  path: text(256),
})

/** Calls that have begun, by thread. */
const calls = map.hash('calls', { key: u32, value: Call, maxEntries: 10_240 })
export const opens = map.ringBuffer('opens', { record: Open, sizeBytes: 1 << 22 })

/** Keeps what only the entry knows; the path is read at the exit, when its page is certainly there. */
function begin(b: TracingBody<unknown>, path: Int<'u64'>, flags: Int<'u32'>): void {
  const isUnwanted = isOther(only.pid, () => b.pid())
    .or(() => isOther(only.tid, () => b.tid()))
    .or(() => isOther(only.uid, () => b.uid(), EVERYONE))
    .or(() => only.flags.ne(0).and(() => flags.hasBits(only.flags).not()))
  b.if(isUnwanted, () => b.return(0))
  calls.set(b.tid(), { path, flags })
}

export const enterOpen = syscallEnter('enter_open', { syscall: 'open', args: ['path', 'flags'] }, (b) => {
  begin(b, b.args.path, b.args.flags.to(u32))
  return 0
})

const openat = ['directory', 'path', 'flags'] as const
export const enterOpenat = syscallEnter('enter_openat', { syscall: 'openat', args: openat }, (b) => {
  begin(b, b.args.path, b.args.flags.to(u32))
  return 0
})

const exit = (syscall: 'open' | 'openat') =>
  syscallExit(`exit_${syscall}`, { syscall }, (b) => {
    const call = calls.lookup(b.tid()).orReturn(0)
    const result = b.args.ret.to(i32)
    b.if(
      only.failed.not().or(() => result.lt(0)),
      () => {
        opens.record(
          (open) => {
            open.$set({ timeNs: b.ktimeNs(), pid: b.pid(), tid: b.tid(), uid: b.uid(), result, flags: call.flags })
            b.comm(open.comm)
            b.readUserText(open.path, call.path)
          },
          () => lost.events.atomicAdd(1),
        )
      },
    )
    calls.delete(b.tid())
    return 0
  })

export const exitOpen = exit('open')
export const exitOpenat = exit('openat')
