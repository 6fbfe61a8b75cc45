import { InputError, SystemError } from '../../errors/index.ts'
import { errnoName, type Sys } from '../../syscall/index.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const NETLINK_ROUTE = 0
const NLMSG_ERROR = 2
const NLMSG_DONE = 3
const NLM_F_REQUEST = 1
const NLM_F_ACK = 4
const NLM_F_DUMP = 0x300
const HEADER = 16
const BUFFER = 256 * 1024

/** Message types of rtnetlink (include/uapi/linux/rtnetlink.h). */
export const RTM = { getLink: 18, setLink: 19, getQdisc: 38, getClass: 42, getFilter: 46 } as const

const align = (size: number): number => (size + 3) & ~3

/** One message of an answer: its fixed part and the attributes behind it, by type. */
export interface Message {
  readonly fixed: DataView
  readonly attributes: Attributes
}

/** Attributes by type; of several with the same one, the last. */
export type Attributes = ReadonlyMap<number, DataView>

/** @throws InputError `netlink.truncated` */
export function parseAttributes(view: DataView): Attributes {
  const found = new Map<number, DataView>()
  for (let at = 0; at + 4 <= view.byteLength; ) {
    const length = view.getUint16(at, true)
    if (length < 4 || at + length > view.byteLength)
      throw new InputError('netlink.truncated', `a netlink attribute of ${length} bytes does not fit its message`)
    // the upper two bits are flags (nested, byte order)
    found.set(view.getUint16(at + 2, true) & 0x3fff, new DataView(view.buffer, view.byteOffset + at + 4, length - 4))
    at += align(length)
  }
  return found
}

/** A text attribute, without its NUL. */
export function textOf(view: DataView | undefined): string {
  if (view === undefined) return ''
  const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
  const end = bytes.indexOf(0)
  return new TextDecoder().decode(bytes.slice(0, end < 0 ? bytes.length : end))
}

/** An attribute as bytes, padded to four. */
export function attribute(type: number, payload: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(align(4 + payload.length))
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4 + payload.length, true)
  view.setUint16(2, type, true)
  bytes.set(payload, 4)
  return bytes
}

/** A socket to rtnetlink in this network namespace. */
export class Netlink {
  readonly #sys: Sys
  readonly #fd: number
  #sequence = 0

  /** @throws SystemError `netlink.open` */
  constructor(sys: Sys) {
    this.#sys = sys
    this.#fd = sys.call('socket', AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)
    if (this.#fd < 0) throw refused('socket', -this.#fd)
    using address = sys.alloc(12)
    address.view.setUint16(0, AF_NETLINK, true)
    const result = sys.call('bind', this.#fd, address.address, 12)
    if (result < 0) {
      this[Symbol.dispose]()
      throw refused('bind', -result)
    }
  }

  /** All messages that answer a dump request. @param fixedSize bytes of each answer's fixed part */
  dump(type: number, fixed: Uint8Array, fixedSize: number): Message[] {
    this.#send(type, NLM_F_REQUEST | NLM_F_DUMP, fixed)
    const messages: Message[] = []
    this.#receive((payload) => {
      if (payload.byteLength < fixedSize)
        throw new InputError('netlink.truncated', `a netlink message of ${payload.byteLength} bytes is too short`)
      const start = align(fixedSize)
      messages.push({
        fixed: new DataView(payload.buffer, payload.byteOffset, fixedSize),
        attributes: parseAttributes(
          new DataView(payload.buffer, payload.byteOffset + start, payload.byteLength - start),
        ),
      })
    })
    return messages
  }

  /** A request that changes something. @throws SystemError `netlink.refused` */
  request(type: number, payload: Uint8Array): void {
    this.#send(type, NLM_F_REQUEST | NLM_F_ACK, payload)
    this.#receive(() => {})
  }

  #send(type: number, flags: number, payload: Uint8Array): void {
    const size = HEADER + payload.length
    using block = this.#sys.alloc(size)
    block.view.setUint32(0, size, true)
    block.view.setUint16(4, type, true)
    block.view.setUint16(6, flags, true)
    block.view.setUint32(8, ++this.#sequence, true)
    block.bytes.set(payload, HEADER)
    const result = this.#sys.call('sendto', this.#fd, block.address, size, 0, 0, 0)
    if (result < 0) throw refused('sendto', -result)
  }

  /** Reads until the answer ends: an error message (0 is an acknowledgement) or the end of a dump. */
  #receive(use: (payload: DataView) => void): void {
    using buffer = this.#sys.alloc(BUFFER)
    for (;;) {
      const length = this.#sys.call('recvfrom', this.#fd, buffer.address, BUFFER, 0, 0, 0)
      if (length < 0) throw refused('recvfrom', -length)
      const view = new DataView(buffer.bytes.slice(0, length).buffer)
      for (let at = 0; at + HEADER <= length; ) {
        const size = view.getUint32(at, true)
        if (size < HEADER || at + size > length)
          throw new InputError('netlink.truncated', `a netlink message of ${size} bytes does not fit its answer`)
        const type = view.getUint16(at + 4, true)
        if (type === NLMSG_DONE) return
        if (type === NLMSG_ERROR) {
          const errno = -view.getInt32(at + HEADER, true)
          if (errno === 0) return
          throw refused('the request', errno)
        }
        if (view.getUint32(at + 8, true) === this.#sequence) use(new DataView(view.buffer, at + HEADER, size - HEADER))
        at += align(size)
      }
    }
  }

  [Symbol.dispose](): void {
    this.#sys.call('close', this.#fd)
  }
}

const refused = (what: string, errno: number): SystemError =>
  new SystemError('netlink.refused', `netlink: ${what}: ${errnoName(errno)}`, { errno })
