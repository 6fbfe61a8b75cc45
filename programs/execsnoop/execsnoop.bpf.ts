import {
  bool,
  bytes,
  config,
  currentTask,
  globals,
  type Int,
  i32,
  kernelStruct,
  map,
  ptr,
  struct,
  syscallEnter,
  syscallExit,
  type TracingBody,
  text,
  u32,
  u64,
} from 'typebpf'

/** At most so many arguments, each of so many bytes. */
const MOST = 60
const LONGEST = 128

/** Of `uid`, where 0 is a user. */
const EVERYONE = 0xffff_ffff
/** What is shown; 0 stands for everything. */
export const only = config(
  'only',
  { parent: u32, uid: u32, arguments: u32, failed: bool },
  { uid: EVERYONE, arguments: 20 },
)
/** Whether a filter is set, to something else. */
const isOther = (wanted: Int<'u32'>, value: () => Int<'u32'>, everything = 0) =>
  wanted.ne(everything).and(() => wanted.ne(value()))

/** How many events found no room. */
export const lost = globals('lost', { events: u64 })

export const Exec = struct('exec', {
  timeNs: u64,
  pid: u32,
  ppid: u32,
  uid: u32,
  result: i32,
  /** How many arguments there are, and their bytes with a NUL behind each. */
  count: u32,
  size: u32,
  comm: text(16),
  arguments: bytes(MOST * LONGEST),
})
const HEAD = Exec.size - MOST * LONGEST

const parent = kernelStruct('task_struct', () => ({ tgid: u32 }))
const task = kernelStruct('task_struct', () => ({ real_parent: ptr(() => parent) }))

/** Calls that have begun, by process. */
const begun = map.hash('begun', { key: u32, value: Exec, maxEntries: 10_240, flags: ['no_prealloc'] })
export const execs = map.ringBuffer('execs', { record: Exec, sizeBytes: 1 << 22 })

function begin(b: TracingBody<unknown>, argv: Int<'u64'>): void {
  const ppid = currentTask(task).real_parent.tgid
  const isUnwanted = isOther(only.uid, () => b.uid(), EVERYONE).or(() => isOther(only.parent, () => ppid))
  b.if(isUnwanted, () => b.return(0))

  const exec = begun.getOrInit(b.pid()).orReturn(0)
  const size = b.let(u32, 0)
  const count = b.let(u32, 0)
  b.range(MOST + 1, (i) => {
    const argument = b.readUser(u64, argv.add(i.to(u64).mul(8))).orElse(() => b.break())
    b.if(argument.eq(0), () => b.break())
    count.set(i.add(1))
    b.if(i.ge(only.arguments), () => b.break())
    const place = exec.arguments.part(size.get(), LONGEST).orElse(() => b.break())
    const length = b.readUserText(place, argument)
    b.if(length.le(0), () => b.break())
    size.update((now) => now.add(length.to(u32)))
  })
  exec.$set({ timeNs: b.ktimeNs(), pid: b.pid(), ppid, uid: b.uid(), count: count.get(), size: size.get() })
}

export const enterExecve = syscallEnter('enter_execve', { syscall: 'execve', args: ['path', 'argv'] }, (b) => {
  begin(b, b.args.argv)
  return 0
})

const execveat = ['directory', 'path', 'argv'] as const
export const enterExecveat = syscallEnter('enter_execveat', { syscall: 'execveat', args: execveat }, (b) => {
  begin(b, b.args.argv)
  return 0
})

const exit = (syscall: 'execve' | 'execveat') =>
  syscallExit(`exit_${syscall}`, { syscall }, (b) => {
    const exec = begun.lookup(b.pid()).orReturn(0)
    const result = b.args.ret.to(i32)
    b.if(
      only.failed.or(() => result.ge(0)),
      () => {
        exec.result.set(result)
        b.comm(exec.comm)
        b.if(execs.send(exec, exec.size.add(HEAD)).ne(0), () => lost.events.atomicAdd(1))
      },
    )
    begun.delete(b.pid())
    return 0
  })

export const exitExecve = exit('execve')
export const exitExecveat = exit('execveat')
