import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SystemError } from 'typebpf'

/** A cgroup for one command and all that it starts; it goes away with them. */
export class CommandCgroup implements Disposable {
  readonly path: string
  /** @throws SystemError `cgroup.none`, `cgroup.make` */
  constructor() {
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n')
    const root = mounts.map((line) => line.split(' ')).find(([, , type]) => type === 'cgroup2')?.[1]
    if (root === undefined)
      throw new SystemError('cgroup.none', 'no cgroup2 file system is mounted', {
        details: ['mount one: mount -t cgroup2 none /sys/fs/cgroup'],
      })
    try {
      this.path = mkdtempSync(join(root, 'cgroup-connect-'))
    } catch (cause) {
      throw new SystemError('cgroup.make', `no cgroup can be made in ${root}: ${(cause as Error).message}`, {
        cause,
        details: ['run it with sudo, or name a cgroup that is there: --cgroup PATH'],
      })
    }
  }
  start(command: readonly string[]): ChildProcess {
    // joins before it becomes the command: nothing runs outside
    return spawn('sh', ['-c', 'echo $$ > "$0/cgroup.procs" && exec "$@"', this.path, ...command], { stdio: 'inherit' })
  }
  [Symbol.dispose](): void {
    try {
      writeFileSync(join(this.path, 'cgroup.kill'), '1')
    } catch {
      // Linux before 5.14 has no such file; then the command has ended or its cgroup stays
    }
    for (let tries = 0; tries < 100; tries++) {
      try {
        rmdirSync(this.path)
        return
      } catch {
        Atomics.wait(PAUSE, 0, 0, 10)
      }
    }
  }
}
const PAUSE = new Int32Array(new SharedArrayBuffer(4))
