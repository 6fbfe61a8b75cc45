import { ATTACH_TYPES } from '../../uapi/index.ts'
import { tryBpf } from '../sys/command.ts'
import { ERRNO } from '../sys/errno.ts'
import { callError } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'
import { createLink, Link, type ProgramHandle } from './link.ts'

/** Offsets in struct perf_event_attr (include/uapi/linux/perf_event.h); its size is that of version 5. */
const ATTR = {
  type: 0,
  size: 4,
  config: 8,
  samplePeriod: 16,
  sampleType: 24,
  readFormat: 32,
  flags: 40,
  wakeup: 48,
  config1: 56,
  config2: 64,
} as const
const ATTR_BYTES = 112
const F_FREQUENCY = 1n << 10n
const F_DISABLED = 1n
const PERF_FLAG_FD_CLOEXEC = 8
const IOC_ENABLE = 0x2400
const IOC_SET_BPF = 0x4004_2408

export interface PerfEventSpec {
  /** PERF_TYPE_* or a dynamic PMU's number. */
  readonly type: number
  readonly config: bigint
  readonly config1?: bigint
  readonly config2?: bigint
  readonly period?: bigint
  /** Samples a second instead of a period. */
  readonly frequency?: bigint
  readonly sampleType?: bigint
  /** PERF_FORMAT_*: what read(2) of it answers. */
  readonly readFormat?: bigint
  readonly wakeupEvents?: number
  /** -1: every process. */
  readonly pid?: number
  /** -1: every CPU (only with a pid). */
  readonly cpu?: number
}

/** What an errno of perf_event_open(2) means, as lines for a person. */
function refusalOf(sys: Sys, errno: number, pid: number, cpu: number): string[] {
  const whose = pid >= 0 ? `process ${pid}` : `CPU ${cpu}`
  switch (errno) {
    case ERRNO.ENOENT:
    case ERRNO.EOPNOTSUPP:
      return ['this machine or kernel has no such event (virtual machines often have no hardware counters)']
    case ERRNO.EACCES:
    case ERRNO.EPERM: {
      const level = sys.readText('/proc/sys/kernel/perf_event_paranoid')?.trim()
      return [
        `CAP_PERFMON${level === undefined ? '' : `, or a lower kernel.perf_event_paranoid than ${level},`} is needed`,
      ]
    }
    case ERRNO.ESRCH:
      return [`there is no ${whose}`]
    case ERRNO.ENODEV:
      return [`${whose} is not online`]
    case ERRNO.EMFILE:
      return ['this process has too many open files (ulimit -n)']
    case ERRNO.EINVAL:
      return [
        `${whose}, the period, a frequency over kernel.perf_event_max_sample_rate, or an offset past the end of the file does not fit`,
      ]
    default:
      return []
  }
}

/** perf_event_open(2). @throws SystemError ENOENT when this machine has no such event, EACCES with the reason */
export function openPerfEvent(sys: Sys, spec: PerfEventSpec): OwnedFd {
  using attr = sys.alloc(ATTR_BYTES)
  const { view } = attr
  view.setUint32(ATTR.type, spec.type, true)
  view.setUint32(ATTR.size, ATTR_BYTES, true)
  view.setBigUint64(ATTR.config, spec.config, true)
  view.setBigUint64(ATTR.samplePeriod, spec.frequency ?? spec.period ?? 0n, true)
  view.setBigUint64(ATTR.sampleType, spec.sampleType ?? 0n, true)
  view.setBigUint64(ATTR.readFormat, spec.readFormat ?? 0n, true)
  view.setBigUint64(ATTR.flags, F_DISABLED | (spec.frequency === undefined ? 0n : F_FREQUENCY), true)
  view.setUint32(ATTR.wakeup, spec.wakeupEvents ?? 0, true)
  view.setBigUint64(ATTR.config1, spec.config1 ?? 0n, true)
  view.setBigUint64(ATTR.config2, spec.config2 ?? 0n, true)
  const pid = spec.pid ?? -1
  const cpu = spec.cpu ?? (pid >= 0 ? -1 : 0)
  const fd = sys.call('perf_event_open', attr.address, pid, cpu, -1, PERF_FLAG_FD_CLOEXEC)
  if (fd < 0) throw callError('perf_event_open', -fd, refusalOf(sys, -fd, pid, cpu))
  return new OwnedFd(sys, fd, 'perf event')
}

/** The dynamic event source of kprobes or uprobes: its type, and the bit of `config` that means the return. */
export function probeEventSource(
  sys: Sys,
  name: 'kprobe' | 'uprobe',
): { readonly type: number; readonly returnBit: bigint } | undefined {
  const folder = `/sys/bus/event_source/devices/${name}`
  const type = sys.readText(`${folder}/type`)
  if (type === undefined) return undefined
  const bit = /config:(\d+)/.exec(sys.readText(`${folder}/format/retprobe`) ?? '')?.[1] ?? '0'
  return { type: Number(type), returnBit: 1n << BigInt(bit) }
}

export function enablePerfEvent(event: OwnedFd): void {
  const result = event.sys.call('ioctl', event.fd, IOC_ENABLE, 0)
  if (result < 0) throw callError('ioctl(PERF_EVENT_IOC_ENABLE)', -result)
}

/** A link and the perf event under it: both go when it is closed. */
export class PerfEventLink extends Link {
  #event: OwnedFd

  constructor(sys: Sys, fd: number, what: string, event: OwnedFd) {
    super(sys, fd, what)
    this.#event = event
  }

  override close(): void {
    super.close()
    this.#event.close()
  }
}

/**
 * Attaches a program to a perf event and enables it. A BPF link from Linux 5.15; before, the event itself holds the
 * program (and the answer has no link fd of its own: info, update and pin are not there).
 */
export function attachToPerfEvent(program: ProgramHandle, event: OwnedFd, what: string, cookie = 0n): Link {
  const { sys } = program
  try {
    const fd = tryBpf(sys, 'link_create', {
      prog_fd: program.fd,
      target_fd: event.fd,
      attach_type: ATTACH_TYPES.perf_event,
      'perf_event.bpf_cookie': cookie,
    })
    if (fd >= 0) {
      const link = new PerfEventLink(sys, fd, what, event)
      enablePerfEvent(event)
      return link
    }
    if (fd !== -22 || cookie !== 0n) {
      return createLink(program, what, '5.15', {
        target_fd: event.fd,
        attach_type: ATTACH_TYPES.perf_event,
        'perf_event.bpf_cookie': cookie,
      })
    }
    const result = sys.call('ioctl', event.fd, IOC_SET_BPF, program.fd)
    if (result < 0) throw callError(`ioctl(PERF_EVENT_IOC_SET_BPF) for ${what}`, -result)
    enablePerfEvent(event)
    return new Link(sys, event.release(), what)
  } catch (error) {
    event.close()
    throw error
  }
}

export interface PerfEventOptions extends PerfEventSpec {
  readonly cookie?: bigint
}

/** Runs a perf_event program at every sample. Linux 4.9. `{ type: 1, config: 0n, frequency: 99n }` is the CPU clock. */
export function attachPerfEvent(program: ProgramHandle, options: PerfEventOptions): Link {
  const event = openPerfEvent(program.sys, options)
  return attachToPerfEvent(program, event, `perf event ${options.type}/${options.config}`, options.cookie)
}
