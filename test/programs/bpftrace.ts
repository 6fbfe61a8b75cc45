// bpftrace beside a tool: in a mount namespace of its own, where it finds tracefs.
import { spawn } from 'node:child_process'

export interface Bpftrace extends Disposable {
  readonly pid: number
  /** Lines so far. */
  lines(): string[]
  /** Waits for a line. @throws Error with what it said instead */
  said(what: RegExp): Promise<void>
  /** Ctrl-C; answers when it has ended, with all its lines. */
  interrupt(): Promise<string[]>
}

/** Starts a bpftrace program, behind a prefix such as chrt. Its own output is flushed line by line. */
export function startBpftrace(program: string, prefix: readonly string[] = []): Bpftrace {
  const mount = 'mount -t tracefs tracefs /sys/kernel/tracing && mount -t debugfs debugfs /sys/kernel/debug'
  const script = `${mount}; exec bpftrace -B line -e "$1"`
  // unshare replaces itself, sh does, too: the pid is bpftrace's in the end
  const [command, ...args] = [...prefix, 'unshare', '-m', 'sh', '-c', script, 'sh', program]
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, BPFTRACE_STRLEN: '64' },
  })
  let [out, err] = ['', '']
  child.stdout.on('data', (data) => {
    out += data
  })
  child.stderr.on('data', (data) => {
    err += data
  })
  const ended = new Promise<string[]>((resolve) => {
    child.on('close', () => resolve(out.split('\n')))
  })
  return {
    pid: child.pid ?? 0,
    lines: () => out.split('\n'),
    async said(what) {
      for (let tries = 0; tries < 6000 && child.exitCode === null; tries++) {
        if (what.test(out)) return
        await new Promise((resolve) => setTimeout(resolve, 2))
      }
      throw new Error(`bpftrace did not say ${what}; it said:\n${out}${err}`)
    },
    interrupt() {
      child.kill('SIGINT')
      return ended
    },
    [Symbol.dispose]: () => {
      child.kill('SIGKILL')
    },
  }
}

/** What opensnoop does, for one process. */
export const opensOf = (pid: number): string =>
  ['open', 'openat']
    .map(
      (call) =>
        `tracepoint:syscalls:sys_enter_${call} /pid == ${pid}/ { @path[tid] = args->filename }
         tracepoint:syscalls:sys_exit_${call} /@path[tid]/ {
           printf("%d %s %d %s\\n", pid, comm, args->ret, str(@path[tid])); delete(@path[tid]);
         }`,
    )
    .join('\n')

/** What killsnoop does, for one process. */
export const killsOf = (pid: number): string =>
  `tracepoint:syscalls:sys_enter_kill /pid == ${pid}/ { @tpid[tid] = args->pid; @tsig[tid] = args->sig; }
   tracepoint:syscalls:sys_exit_kill /@tpid[tid]/ {
     printf("%d %s %d %d %d\\n", pid, comm, @tsig[tid], @tpid[tid], args->ret); delete(@tpid[tid]); delete(@tsig[tid]);
   }`

/** What syscount does, for one process: counts by number, printed at the end. */
export const syscallsOf = (pid: number): string =>
  `tracepoint:raw_syscalls:sys_exit /pid == ${pid}/ { @[args->id] = count(); }`

/** All calls with their arguments, as bpftrace's own execsnoop.bt shows them: without parent and result. */
export const execsWith = (): string => 'tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }'

/** What execsnoop does, for the children of one process: parent and result, too. */
export const execsOf = (parent: number): string =>
  ['execve', 'execveat']
    .map(
      (call) =>
        `tracepoint:syscalls:sys_enter_${call} /((struct task_struct *)curtask)->real_parent->tgid == ${parent}/ {
           @ppid[pid] = ((struct task_struct *)curtask)->real_parent->tgid; printf("%d ", pid); join(args->argv);
         }
         tracepoint:syscalls:sys_exit_${call} /@ppid[pid]/ {
           printf("%d %d %s %d\\n", pid, @ppid[pid], comm, args->ret); delete(@ppid[pid]);
         }`,
    )
    .join('\n')
