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

/** Starts a bpftrace program. Its own output is flushed line by line. */
export function startBpftrace(program: string): Bpftrace {
  const mount = 'mount -t tracefs tracefs /sys/kernel/tracing && mount -t debugfs debugfs /sys/kernel/debug'
  const script = `${mount}; exec bpftrace -B line -e "$1"`
  // unshare replaces itself, sh does, too: the pid is bpftrace's in the end
  const child = spawn('unshare', ['-m', 'sh', '-c', script, 'sh', program], {
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

/** What execsnoop does, for the children of one process: bpftrace knows no parent here, so all calls with a mark in an argument. */
export const execsWith = (): string => 'tracepoint:syscalls:sys_enter_execve { printf("%d ", pid); join(args->argv); }'
