import { execFileSync } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { SystemError } from '../../errors/index.ts'
import { realSys } from '../../syscall/sys/real.ts'

const CLONE_NEWNET = 0x4000_0000
let made = 0

/** A network namespace of the test's own: what is attached inside sees no one else's packets. */
export interface OwnNetns extends Disposable {
  /** As `ip netns` calls it. */
  readonly name: string
  /** For links that take a namespace by path. */
  readonly path: string
  /** What `action` does on this thread happens inside, programs that it starts included. Not for waiting: `action` ends before others run. */
  inside<T>(action: () => T): T
  /** Runs a command inside and answers its exit code and output. */
  run(command: string, ...args: readonly string[]): { readonly code: number; readonly output: string }
}

function ip(...args: readonly string[]): void {
  try {
    execFileSync('ip', args, { stdio: 'pipe' })
  } catch (cause) {
    throw new SystemError(
      'progrun.netns',
      `ip ${args.join(' ')} failed: ${String((cause as { stderr?: unknown }).stderr ?? cause).trim()}`,
      {
        cause,
        details: ['it needs iproute2 and CAP_SYS_ADMIN'],
      },
    )
  }
}

/** Makes a network namespace with its loopback up, gone again when it is disposed of. @throws SystemError `progrun.netns` */
export function ownNetns(): OwnNetns {
  const name = `typebpf-test-${process.pid}-${made++}`
  ip('netns', 'add', name)
  const path = `/run/netns/${name}`
  let fd: number
  try {
    ip('-n', name, 'link', 'set', 'lo', 'up')
    fd = openSync(path, 'r')
  } catch (error) {
    ip('netns', 'del', name)
    throw error
  }
  let gone = false
  return {
    name,
    path,
    inside(action) {
      const sys = realSys()
      const home = openSync('/proc/thread-self/ns/net', 'r')
      try {
        const errno = -sys.call('setns', fd, CLONE_NEWNET)
        if (errno > 0) throw new SystemError('progrun.netns', `the namespace ${name} cannot be entered`, { errno })
        try {
          return action()
        } finally {
          sys.call('setns', home, CLONE_NEWNET)
        }
      } finally {
        closeSync(home)
      }
    },
    run(command, ...args) {
      try {
        const all = ['netns', 'exec', name, command, ...args]
        return { code: 0, output: execFileSync('ip', all, { encoding: 'utf8', stdio: 'pipe' }) }
      } catch (error) {
        const { status, stdout, stderr } = error as { status?: number; stdout?: string; stderr?: string }
        return { code: status ?? -1, output: `${stdout ?? ''}${stderr ?? ''}` }
      }
    },
    [Symbol.dispose]() {
      if (gone) return
      gone = true
      closeSync(fd)
      ip('netns', 'del', name)
    },
  }
}
