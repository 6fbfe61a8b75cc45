import { SystemError } from '../../errors/index.ts'
import { choice } from '../sys/choice.ts'
import { ERRNO } from '../sys/errno.ts'
import type { Sys } from '../sys/sys.ts'
import { undoAtExit } from '../sys/undo.ts'
import { interfaceIndex } from './interface.ts'
import type { Link, ProgramHandle } from './link.ts'
import { LinklessAttachment } from './linkless.ts'
import { decodeAttributes, encodeAttributes, Netlink, NLM } from './netlink.ts'
import { attachTcx } from './tcx.ts'

/** Messages, handles and attributes of traffic control (include/uapi/linux/rtnetlink.h, pkt_sched.h, pkt_cls.h). */
const RTM = { newQdisc: 36, delQdisc: 37, newFilter: 44, delFilter: 45, getFilter: 46 } as const
const CLSACT = 0xffff_fff1
const PARENT = { ingress: 0xffff_fff2, egress: 0xffff_fff3 } as const
const TCA = { kind: 1, options: 2 } as const
const TCA_BPF = { fd: 6, name: 7, flags: 8, id: 11 } as const
const DIRECT_ACTION = 1
/** ETH_P_ALL in network order, the low half of a filter's info. */
const ALL_PROTOCOLS = 0x0300
const TCMSG = 20

export interface TcOptions {
  readonly interface: string | number
  readonly direction: 'ingress' | 'egress'
  /** Order among filters, lower first; default: the kernel chooses. */
  readonly priority?: number
  /** Default: the kernel chooses. */
  readonly handle?: number
  /** The filter's name, as `tc filter show` prints it. */
  readonly name?: string
}

interface Place {
  readonly ifindex: number
  readonly parent: number
  readonly handle: number
  readonly info: number
}

/** struct tcmsg, then attributes. */
function message(place: Place, attributes: Parameters<typeof encodeAttributes>[0]): Uint8Array {
  const tail = encodeAttributes(attributes)
  const bytes = new Uint8Array(TCMSG + tail.length)
  const view = new DataView(bytes.buffer)
  view.setInt32(4, place.ifindex, true)
  view.setUint32(8, place.handle, true)
  view.setUint32(12, place.parent, true)
  view.setUint32(16, place.info, true)
  bytes.set(tail, TCMSG)
  return bytes
}

const isErrno = (error: unknown, ...errnos: readonly number[]): boolean =>
  error instanceof SystemError && errnos.includes(error.errno)

/** Makes the qdisc that carries the filters; false when it was there. */
function addClsact(netlink: Netlink, ifindex: number): boolean {
  const place = { ifindex, parent: CLSACT, handle: 0xffff_0000, info: 0 }
  try {
    netlink.request(
      'a clsact qdisc (CONFIG_NET_SCH_INGRESS)',
      RTM.newQdisc,
      NLM.create | NLM.exclusive,
      message(place, [[TCA.kind, 'clsact']]),
    )
    return true
  } catch (error) {
    if (isErrno(error, ERRNO.EEXIST)) return false
    throw error
  }
}

/** Takes the qdisc away again when no filter is left in it. */
function removeEmptyClsact(netlink: Netlink, ifindex: number): void {
  const at = (parent: number, handle: number): Place => ({ ifindex, parent, handle, info: 0 })
  for (const parent of Object.values(PARENT)) {
    const left = netlink.request('filters', RTM.getFilter, NLM.dump, message(at(parent, 0), []))
    if (left.length > 0) return
  }
  netlink.request('the clsact qdisc', RTM.delQdisc, 0, message(at(CLSACT, 0xffff_0000), []))
}

/** A classic tc filter. It has no link: it outlives a process that is killed, `close` and a normal end remove it. */
export class TcFilter extends LinklessAttachment {
  readonly priority: number
  readonly handle: number
  readonly programId: number

  constructor(sys: Sys, what: string, place: Place, programId: number, undo: () => void) {
    super(sys, what, undo)
    this.priority = place.info >>> 16
    this.handle = place.handle
    this.programId = programId
  }
}

/**
 * Runs a sched_cls program as a direct-action filter of a clsact qdisc (Linux 4.5), for kernels without tcx. The kernel keeps
 * it until it is removed: this process does so when it closes it, ends normally or gets SIGINT, SIGTERM or SIGHUP.
 * The qdisc goes with the last filter when it was made here.
 */
export function attachTc(program: ProgramHandle, options: TcOptions): TcFilter {
  const { sys } = program
  const ifindex = interfaceIndex(sys, options.interface)
  const what = `tc ${options.direction} on ${options.interface}`
  const wanted: Place = {
    ifindex,
    parent: choice(PARENT, options.direction, 'tc direction'),
    handle: options.handle ?? 0,
    info: (((options.priority ?? 0) << 16) | ALL_PROTOCOLS) >>> 0,
  }
  using netlink = Netlink.open(sys)
  const made = addClsact(netlink, ifindex)
  const removeQdisc = (socket: Netlink): void => {
    if (made) removeEmptyClsact(socket, ifindex)
  }
  let place: Place
  let programId = 0
  try {
    const answers = netlink.request(
      what,
      RTM.newFilter,
      NLM.create | NLM.exclusive | NLM.echo,
      message(wanted, [
        [TCA.kind, 'bpf'],
        [
          TCA.options,
          [
            [TCA_BPF.fd, program.fd],
            [TCA_BPF.name, options.name ?? 'typebpf'],
            [TCA_BPF.flags, DIRECT_ACTION],
          ],
        ],
      ]),
    )
    const echo = answers.find(({ type }) => type === RTM.newFilter)?.payload
    if (echo === undefined || echo.length < TCMSG)
      throw new SystemError('sys.netlink', `${what}: the kernel did not say which filter it made`)
    const view = new DataView(echo.buffer, echo.byteOffset, echo.length)
    place = { ...wanted, handle: view.getUint32(8, true), info: view.getUint32(16, true) }
    const inner = decodeAttributes(decodeAttributes(echo.subarray(TCMSG)).get(TCA.options) ?? new Uint8Array())
    const id = inner.get(TCA_BPF.id)
    if (id !== undefined) programId = new DataView(id.buffer, id.byteOffset, id.length).getUint32(0, true)
  } catch (error) {
    removeQdisc(netlink)
    throw error
  }
  const undo = undoAtExit(() => {
    using socket = Netlink.open(sys)
    try {
      socket.request(what, RTM.delFilter, 0, message(place, []))
      removeQdisc(socket)
    } catch (error) {
      // somebody else removed the filter, the qdisc or the interface
      if (!isErrno(error, ERRNO.ENOENT, ERRNO.EINVAL, ERRNO.ENODEV)) throw error
    }
  })
  return new TcFilter(sys, what, place, programId, undo)
}

/** Runs a sched_cls program on an interface: through tcx where this kernel has it, else as a classic filter. */
export function attachTrafficControl(program: ProgramHandle, options: TcOptions): Link {
  try {
    return attachTcx(program, options)
  } catch (error) {
    if (!isErrno(error, ERRNO.EINVAL)) throw error
    return attachTc(program, options)
  }
}
