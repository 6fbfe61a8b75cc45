import { SystemError } from '../../errors/index.ts'
import { errnoName } from '../sys/errno.ts'
import { callError } from '../sys/explain.ts'
import { OwnedFd } from '../sys/fd.ts'
import type { Sys } from '../sys/sys.ts'

const AF_NETLINK = 16
const SOCK_RAW_CLOEXEC = 3 | 0o2000000
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const HEADER = 16
const ERROR_ATTR_MESSAGE = 1
const ROOM = 65536
const NESTED = 0x8000

/** Flags of a request (include/uapi/linux/netlink.h). */
export const NLM = { request: 1, multi: 2, ack: 4, echo: 8, dump: 0x300, exclusive: 0x200, create: 0x400 } as const

/** An attribute: its type and its bytes, a u32, text, or attributes inside it. */
export type Attribute = readonly [type: number, value: Uint8Array | number | string | readonly Attribute[]]

const encoder = new TextEncoder()

function valueBytes(value: Attribute[1]): Uint8Array {
  if (typeof value === 'string') return encoder.encode(`${value}\0`)
  if (value instanceof Uint8Array) return value
  if (typeof value !== 'number') return encodeAttributes(value)
  const bytes = new Uint8Array(4)
  new DataView(bytes.buffer).setUint32(0, value, true)
  return bytes
}

/** Attributes one behind the other, each padded to four bytes. */
export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const parts = attributes.map(([type, value]) => {
    const bytes = valueBytes(value)
    const part = new Uint8Array((4 + bytes.length + 3) & ~3)
    const view = new DataView(part.buffer)
    view.setUint16(0, 4 + bytes.length, true)
    view.setUint16(2, type | (Array.isArray(value) ? NESTED : 0), true)
    part.set(bytes, 4)
    return part
  })
  const all = new Uint8Array(parts.reduce((total, { length }) => total + length, 0))
  let at = 0
  for (const part of parts) {
    all.set(part, at)
    at += part.length
  }
  return all
}

/** Attributes by type; of a type that comes twice the last. What does not fit ends the walk. */
export function decodeAttributes(bytes: Uint8Array): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>()
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  for (let at = 0; at + 4 <= bytes.length; ) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > bytes.length) break
    found.set(view.getUint16(at + 2, true) & 0x3fff, bytes.subarray(at + 4, at + length))
    at += (length + 3) & ~3
  }
  return found
}

/** A message that came back: what follows its header. */
export interface Answer {
  readonly type: number
  readonly payload: Uint8Array
}

/** A netlink socket for routing messages (interfaces, traffic control) of this thread's network namespace. */
export class Netlink extends OwnedFd {
  #sequence = 1

  static open(sys: Sys): Netlink {
    const fd = sys.call('socket', AF_NETLINK, SOCK_RAW_CLOEXEC, 0)
    if (fd < 0) throw callError('socket(AF_NETLINK)', -fd)
    const netlink = new Netlink(sys, fd, 'netlink')
    // Reasons in words; kernels before 4.12 have none.
    using one = sys.alloc(4)
    one.view.setUint32(0, 1, true)
    for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK])
      sys.call('setsockopt', fd, SOL_NETLINK, option, one.address, 4)
    return netlink
  }

  /** Sends one request and collects its answers. @throws SystemError with the kernel's own words where it has some */
  request(what: string, type: number, flags: number, body: Uint8Array): Answer[] {
    const { sys } = this
    using block = sys.alloc(Math.max(ROOM, HEADER + body.length))
    const sequence = this.#sequence++
    block.view.setUint32(0, HEADER + body.length, true)
    block.view.setUint16(4, type, true)
    block.view.setUint16(6, flags | NLM.request | NLM.ack, true)
    block.view.setUint32(8, sequence, true)
    block.bytes.set(body, HEADER)
    const sent = sys.call('sendto', this.fd, block.address, HEADER + body.length, 0, 0, 0)
    if (sent < 0) throw callError(`netlink: ${what}`, -sent)
    const answers: Answer[] = []
    for (;;) {
      const size = sys.call('recvfrom', this.fd, block.address, block.size, 0, 0, 0)
      if (size < 0) throw callError(`netlink: ${what}`, -size)
      if (size < HEADER) throw new SystemError('sys.netlink', `netlink: ${what}: the kernel closed the conversation`)
      for (let at = 0; at + HEADER <= size; ) {
        const length = block.view.getUint32(at, true)
        if (length < HEADER || at + length > size) break
        const kind = block.view.getUint16(at + 4, true)
        if (block.view.getUint32(at + 8, true) === sequence) {
          const payload = block.bytes.slice(at + HEADER, at + length)
          if (kind === NLMSG_DONE) return answers
          if (kind === NLMSG_ERROR) {
            throwRefusal(what, payload)
            return answers
          }
          answers.push({ type: kind, payload })
        }
        at += (length + 3) & ~3
      }
    }
  }
}

/** Throws unless the acknowledgement is a success. */
function throwRefusal(what: string, payload: Uint8Array): void {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.length)
  const errno = payload.length < 4 ? 0 : -view.getInt32(0, true)
  if (errno === 0) return
  // error, the header of the request (its body was cut off), attributes
  const message = decodeAttributes(payload.subarray(4 + HEADER)).get(ERROR_ATTR_MESSAGE)
  const words = message === undefined ? undefined : new TextDecoder().decode(message).replace(/\0.*$/, '')
  const { code } = callError(what, errno)
  throw new SystemError(code, `${what}: ${errnoName(errno)}${words === undefined ? '' : ` (${words})`}`, { errno })
}
