import { SystemError, UsageError } from '../../errors/index.ts'
import { bpf, interfaceIndex, realSys, type Sys } from '../../syscall/index.ts'
import { ATTACH_TYPES } from '../../uapi/index.ts'
import { fullWord, selectOne } from '../objects/select.ts'
import { attribute, Netlink, RTM } from './netlink.ts'

/** How each kind of attachment is made: XDP modes through netlink, tcx through bpf(2). Both outlive the process. */
const TYPES = {
  xdp: { xdp: 0 },
  xdpgeneric: { xdp: 1 << 1 },
  xdpdrv: { xdp: 1 << 2 },
  xdpoffload: { xdp: 1 << 3 },
  tcx_ingress: { tcx: ATTACH_TYPES.tcx_ingress },
  tcx_egress: { tcx: ATTACH_TYPES.tcx_egress },
} as const
type TypeName = keyof typeof TYPES

const XDP_IF_NOEXIST = 1
const EBUSY = 16
const F_BEFORE = 1 << 3
const IFLA_XDP = 43
const XDP_FD = 1
const XDP_FLAGS = 3
const AF_UNSPEC = 0

function typeOf(word: string | undefined): TypeName {
  const name = fullWord(word ?? '', Object.keys(TYPES))
  if (name === undefined)
    throw new UsageError(
      'cli.attach-type',
      `expected ${Object.keys(TYPES).join(', ')}, got ${JSON.stringify(word ?? '')}`,
    )
  return name as TypeName
}

/** `dev NAME`, and what is left. */
function device(sys: Sys, words: readonly string[]): { index: number; rest: readonly string[] } {
  if (fullWord(words[0] ?? '', ['dev']) === undefined || words[1] === undefined)
    throw new UsageError('cli.words', `expected dev NAME, got ${JSON.stringify(words.slice(0, 2).join(' '))}`)
  return { index: interfaceIndex(sys, words[1]), rest: words.slice(2) }
}

const word32 = (value: number): Uint8Array => {
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setInt32(0, value, true)
  return bytes
}

/** RTM_SETLINK with IFLA_XDP; an fd of -1 takes away what is there. */
function setXdp(sys: Sys, index: number, fd: number, flags: number): void {
  const parts = [attribute(XDP_FD, word32(fd)), attribute(XDP_FLAGS, word32(flags))]
  const nested = attribute(IFLA_XDP | 0x8000, Buffer.concat(parts))
  const message = new Uint8Array(16 + nested.length)
  message[0] = AF_UNSPEC
  new DataView(message.buffer).setInt32(4, index, true)
  message.set(nested, 16)
  using netlink = new Netlink(sys)
  try {
    netlink.request(RTM.setLink, message)
  } catch (error) {
    if (!(error instanceof SystemError) || error.errno !== EBUSY) throw error
    throw new SystemError('net.busy', 'another program is attached there already (EBUSY)', {
      errno: EBUSY,
      details: ["'overwrite' takes its place, unless a link holds it"],
    })
  }
}

/** `net attach TYPE PROG dev NAME [overwrite|prepend]`. */
export function attach(words: readonly string[]): void {
  const name = typeOf(words[0])
  const type = TYPES[name]
  const sys = realSys()
  const { fd: owned, rest } = selectOne(sys, 'program', words.slice(1))
  using program = owned
  const { index, rest: left } = device(sys, rest)
  const extra = left.length === 0 ? undefined : fullWord(left[0], ['overwrite', 'prepend'])
  if (left.length > 1 || (left.length === 1 && extra === undefined))
    throw new UsageError('cli.words', `expected overwrite or prepend, got ${JSON.stringify(left.join(' '))}`)
  if (extra === 'overwrite' && !('xdp' in type)) throw new UsageError('cli.words', "'overwrite' is for xdp types")
  if (extra === 'prepend' && !('tcx' in type)) throw new UsageError('cli.words', "'prepend' is for tcx types")
  if ('xdp' in type) setXdp(sys, index, program.fd, type.xdp | (extra === 'overwrite' ? 0 : XDP_IF_NOEXIST))
  else
    bpf(
      sys,
      'prog_attach',
      {
        target_fd: index,
        attach_bpf_fd: program.fd,
        attach_type: type.tcx,
        attach_flags: extra === 'prepend' ? F_BEFORE : 0,
      },
      name,
    )
}

/** `net detach TYPE dev NAME`. */
export function detach(words: readonly string[]): void {
  const name = typeOf(words[0])
  const type = TYPES[name]
  const sys = realSys()
  const { index, rest } = device(sys, words.slice(1))
  if (rest.length > 0) throw new UsageError('cli.words', `nothing is expected behind the device: ${rest.join(' ')}`)
  if ('xdp' in type) setXdp(sys, index, -1, type.xdp)
  else bpf(sys, 'prog_detach', { target_fd: index, attach_type: type.tcx }, name)
}
