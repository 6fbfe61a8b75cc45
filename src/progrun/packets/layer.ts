import type { ByteReader } from '../../bytes/index.ts'

/** A checksum field when building: absent computes it, `wrong` computes it and flips every bit, a number is written as it is. */
export type Checksum = number | 'wrong'

export type TcpFlag = 'FIN' | 'SYN' | 'RST' | 'PSH' | 'ACK' | 'URG' | 'ECE' | 'CWR' | 'AE'

export type TcpOption =
  | { readonly kind: 'nop' }
  /** End of the list; `data`: what follows it in the header. */
  | { readonly kind: 'end'; readonly data?: Uint8Array }
  | { readonly kind: 'mss'; readonly value: number }
  | { readonly kind: 'windowScale'; readonly shift: number }
  | { readonly kind: 'sackPermitted' }
  | { readonly kind: 'sack'; readonly blocks: readonly (readonly [left: number, right: number])[] }
  | { readonly kind: 'timestamps'; readonly value: number; readonly echo: number }
  | { readonly kind: 'unknown'; readonly type: number; readonly data: Uint8Array }
  /** Bytes that do not parse as an option. */
  | { readonly kind: 'malformed'; readonly data: Uint8Array }

/** A type-length-value record of ICMPv6 (length in units of 8 bytes on the wire) or Geneve. */
export interface TypedData {
  readonly type: number
  readonly data: Uint8Array
}

export interface GeneveOption extends TypedData {
  /** Option class, 16 bits. */
  readonly class: number
}

export interface SctpChunk {
  readonly type: number
  readonly flags: number
  readonly value: Uint8Array
}

export interface DnsQuestion {
  readonly name: string
  /** 1 A, 28 AAAA, 15 MX, … */
  readonly type: number
  readonly class: number
}

export interface DnsRecord extends DnsQuestion {
  /** Seconds. */
  readonly ttl: number
  /** An address of A and AAAA, a name of NS, CNAME and PTR, else the bytes. */
  readonly data: string | Uint8Array
}

/** The fields of every protocol that is known. Multi-byte values are plain numbers; addresses are text. */
export interface LayerFields {
  ethernet: { dst: string; src: string; etherType: number }
  /** 802.1Q and 802.1ad tag: what follows the tag protocol identifier. */
  vlan: { priority: number; dropEligible: boolean; id: number; etherType: number }
  /** ARP for Ethernet and IPv4. */
  arp: {
    operation: number
    senderMac: string
    senderIp: string
    targetMac: string
    targetIp: string
    hardwareType: number
    protocolType: number
  }
  ipv4: {
    /** Bytes, options included: a multiple of 4. */
    headerLength: number
    tos: number
    /** Bytes, header included. */
    length: number
    id: number
    reservedFlag: boolean
    dontFragment: boolean
    moreFragments: boolean
    /** Bytes: a multiple of 8. */
    fragmentOffset: number
    ttl: number
    protocol: number
    checksum: Checksum
    src: string
    dst: string
    options: Uint8Array
  }
  ipv6: {
    trafficClass: number
    flowLabel: number
    /** Bytes after the fixed header. */
    payloadLength: number
    nextHeader: number
    hopLimit: number
    src: string
    dst: string
  }
  /** Hop-by-hop options, destination options or routing header; `data` is what follows the length byte. */
  ipv6Extension: { header: 'hopByHop' | 'destination' | 'routing'; nextHeader: number; data: Uint8Array }
  ipv6Fragment: {
    nextHeader: number
    reserved: number
    /** Bytes: a multiple of 8. */
    fragmentOffset: number
    reservedBits: number
    moreFragments: boolean
    id: number
  }
  icmp: {
    type: number
    code: number
    checksum: Checksum
    /** The 32 bits after the checksum where they are no echo identifier and sequence number. */
    rest?: number
    id?: number
    sequence?: number
  }
  icmpv6: {
    type: number
    code: number
    checksum: Checksum
    rest?: number
    id?: number
    sequence?: number
    /** Neighbour solicitation and advertisement. */
    target?: string
    options?: readonly TypedData[]
  }
  tcp: {
    srcPort: number
    dstPort: number
    sequence: number
    acknowledgement: number
    /** Bytes, options included: a multiple of 4. */
    headerLength: number
    reserved: number
    flags: readonly TcpFlag[]
    window: number
    checksum: Checksum
    urgentPointer: number
    options: readonly TcpOption[]
  }
  udp: {
    srcPort: number
    dstPort: number
    /** Bytes, header included. */
    length: number
    /** 0 over IPv4: none. */
    checksum: Checksum
  }
  sctp: {
    srcPort: number
    dstPort: number
    verificationTag: number
    /** CRC-32C, as the number read little-endian. */
    checksum: Checksum
    chunks: readonly SctpChunk[]
  }
  gre: {
    /** Ethertype of what is inside. */
    protocol: number
    version: number
    checksum?: Checksum
    key?: number
    sequence?: number
    /** Flag bits that are neither checksum, key nor sequence. */
    otherFlags: number
  }
  vxlan: { flags: number; reserved: number; vni: number; reserved2: number }
  geneve: {
    version: number
    /** Control packet and critical options bits and the six reserved bits. */
    flags: number
    protocol: number
    vni: number
    reserved: number
    options: readonly GeneveOption[]
  }
  dns: {
    id: number
    /** The 16 flag bits: QR, opcode, AA, TC, RD, RA, Z, rcode. */
    flags: number
    questions: readonly DnsQuestion[]
    answers: readonly DnsRecord[]
    authorities: readonly DnsRecord[]
    additionals: readonly DnsRecord[]
    /** The message as it was, where writing the fields again would give other bytes (an unusual compression). */
    raw?: Uint8Array
  }
  /** Bytes of no known protocol, or of one whose header is cut short. */
  payload: { data: Uint8Array }
  /** Bytes after the end that a length field tells: Ethernet padding. `after`: index of the layer with that length field. */
  trailer: { data: Uint8Array; after: number }
}

export type Protocol = keyof LayerFields

/** A header to build: absent fields are filled in from its neighbours. */
export type Layer<K extends Protocol = Protocol> = {
  [P in K]: { readonly protocol: P; readonly fields: Readonly<Partial<LayerFields[P]>> }
}[K]

/** A header as it was found. */
export type DecodedLayer<K extends Protocol = Protocol> = {
  [P in K]: {
    readonly protocol: P
    /** Bytes from the packet's start. */
    readonly offset: number
    /** Bytes of this header. */
    readonly length: number
    readonly fields: Readonly<LayerFields[P]>
    /** What is wrong here: a bad checksum, a length beyond the end, a header cut short. */
    readonly problems: readonly string[]
  }
}[K]

export interface BuildContext {
  readonly next: Layer | undefined
  readonly afterNext: Layer | undefined
  /** Everything inside, already built. */
  readonly payload: Uint8Array
  /** Headers around this one, outermost first. */
  readonly outer: readonly Layer[]
}

export interface DecodeStep<K extends Protocol> {
  readonly fields: LayerFields[K]
  /** Protocol of what follows; absent: payload. */
  readonly next?: Protocol
  /** Bytes that follow this header and belong to it; absent: all. */
  readonly payloadLength?: number
  readonly problems?: readonly string[]
}

export interface Codec<K extends Protocol> {
  encode(fields: Partial<LayerFields[K]>, context: BuildContext): Uint8Array
  /**
   * Reads the header at the reader's offset, which is left behind it.
   * @throws InputError when it is cut short or is none
   */
  decode(reader: ByteReader, outer: readonly DecodedLayer[]): DecodeStep<K>
}

export const concat = (...parts: readonly Uint8Array[]): Uint8Array => {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export const EMPTY: Uint8Array = new Uint8Array(0)
