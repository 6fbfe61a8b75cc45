import { existsSync } from 'node:fs'
import { SystemError } from '../../errors/index.ts'
import { callError } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'

const FOLDERS = ['/sys/kernel/tracing', '/sys/kernel/debug/tracing']
const FSOPEN_CLOEXEC = 1
const FSMOUNT_CLOEXEC = 1
const FSCONFIG_CMD_CREATE = 6

/**
 * Where tracefs is mounted. @param folder a private mount, looked at first
 * @throws SystemError `sys.no-tracefs` with the command that mounts it
 */
export function tracefs(folder?: string): string {
  const found = [folder, ...FOLDERS].find((path) => path !== undefined && existsSync(`${path}/events`))
  if (found === undefined)
    throw new SystemError('sys.no-tracefs', 'tracefs is not mounted, tracepoints cannot be found', {
      details: ['mount -t tracefs tracefs /sys/kernel/tracing'],
    })
  return found
}

/** A tracefs of this process alone. Closing it unmounts. */
export class PrivateTracefs extends OwnedFd {
  /** Its folder, valid in this process until it is closed. */
  get path(): string {
    return `/proc/self/fd/${this.fd}`
  }
}

/**
 * Mounts tracefs without putting it anywhere: no folder, no mount namespace, nobody else sees it. Linux 5.2, CAP_SYS_ADMIN.
 * @throws SystemError with the errno: ENODEV where the kernel has no tracefs, EPERM without the capability
 */
export function privateTracefs(sys: Sys): PrivateTracefs {
  const name = new TextEncoder().encode('tracefs\0')
  using block = sys.alloc(name.length)
  block.bytes.set(name)
  const opened = sys.call('fsopen', block.address, FSOPEN_CLOEXEC)
  if (opened < 0) throw callError('fsopen(tracefs)', -opened)
  using context = new OwnedFd(sys, opened, 'tracefs')
  const created = sys.call('fsconfig', context.fd, FSCONFIG_CMD_CREATE, 0, 0, 0)
  if (created < 0) throw callError('fsconfig(tracefs)', -created)
  const mounted = sys.call('fsmount', context.fd, FSMOUNT_CLOEXEC, 0)
  if (mounted < 0) throw callError('fsmount(tracefs)', -mounted)
  return new PrivateTracefs(sys, mounted, 'private tracefs')
}

let own: PrivateTracefs | undefined

/**
 * The folder of tracefs: where it is mounted, else a mount of this process alone, made once.
 * @throws SystemError `sys.no-tracefs` with the command that mounts it
 */
export function findTracefs(sys: Sys, folder?: string): string {
  try {
    return tracefs(folder)
  } catch (cause) {
    if (own !== undefined && !own.closed && existsSync(`${own.path}/events`)) return own.path
    try {
      own = privateTracefs(sys)
      return own.path
    } catch (reason) {
      if (!(cause instanceof SystemError)) throw cause
      const why = reason instanceof Error ? reason.message : String(reason)
      throw new SystemError(cause.code, cause.message, {
        cause: reason,
        details: [...cause.details, `mounting one for this process alone failed too: ${why}`],
      })
    }
  }
}
