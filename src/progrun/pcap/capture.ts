import { InputError } from '../../errors/index.ts'

/** Link types that are met often (https://www.tcpdump.org/linktypes.html). */
export const LINK_TYPES = {
  null: 0,
  ethernet: 1,
  raw: 101,
  linuxSll: 113,
  linuxSll2: 276,
  ipv4: 228,
  ipv6: 229,
} as const

export interface CapturedPacket {
  /** Nanoseconds since 1970. */
  readonly timeNs: bigint
  readonly data: Uint8Array
  /** Bytes on the wire; more than `data.length` where the capture cut the packet. */
  readonly originalLength: number
  /** pcapng: a comment on this packet. */
  readonly comment?: string
  /** pcapng: index into `interfaces`. */
  readonly interfaceIndex?: number
}

export interface CaptureInterface {
  readonly linkType: number
  readonly name?: string
  readonly snapLength: number
}

export interface Capture {
  readonly format: 'pcap' | 'pcapng'
  /** Link type of the first interface. */
  readonly linkType: number
  readonly interfaces: readonly CaptureInterface[]
  readonly packets: readonly CapturedPacket[]
}

/** A packet to write: `timeNs` counts up by one microsecond from 0 where it is absent. */
export type PacketToWrite =
  | Uint8Array
  | {
      readonly data: Uint8Array
      readonly timeNs?: bigint
      readonly originalLength?: number
      readonly comment?: string
    }

/**
 * The capture itself when every packet is of this link type.
 * @throws InputError `pcap.link-type`
 */
export function requireLinkType(capture: Capture, linkType: number, what = 'capture'): Capture {
  const other = capture.interfaces.find((each) => each.linkType !== linkType)
  if (other === undefined) return capture
  const name = (type: number): string =>
    `${type}${Object.entries(LINK_TYPES)
      .filter(([, value]) => value === type)
      .map(([key]) => ` (${key})`)
      .join('')}`
  throw new InputError('pcap.link-type', `${what}: link type ${name(other.linkType)}, ${name(linkType)} is needed`)
}

export function normalize(
  each: PacketToWrite,
  index: number,
): { data: Uint8Array; timeNs: bigint; originalLength: number; comment?: string } {
  const entry = each instanceof Uint8Array ? { data: each } : each
  return {
    ...entry,
    timeNs: entry.timeNs ?? BigInt(index) * 1000n,
    originalLength: entry.originalLength ?? entry.data.length,
  }
}
