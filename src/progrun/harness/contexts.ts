import { array, be16, pointer, struct, u8, u16, u32, u64 } from '../../layout/index.ts'

// The context structs of include/uapi/linux/bpf.h that BPF_PROG_RUN takes and gives back.

/** struct xdp_md. */
export const xdpMd = struct('xdp_md', {
  data: u32,
  data_end: u32,
  data_meta: u32,
  ingress_ifindex: u32,
  rx_queue_index: u32,
  egress_ifindex: u32,
})

/** struct __sk_buff. */
export const skBuff = struct('__sk_buff', {
  len: u32,
  pkt_type: u32,
  mark: u32,
  queue_mapping: u32,
  protocol: u32,
  vlan_present: u32,
  vlan_tci: u32,
  vlan_proto: u32,
  priority: u32,
  ingress_ifindex: u32,
  ifindex: u32,
  tc_index: u32,
  cb: array(u32, 5),
  hash: u32,
  tc_classid: u32,
  data: u32,
  data_end: u32,
  napi_id: u32,
  family: u32,
  remote_ip4: u32,
  local_ip4: u32,
  remote_ip6: array(u32, 4),
  local_ip6: array(u32, 4),
  remote_port: u32,
  local_port: u32,
  data_meta: u32,
  flow_keys: u64,
  tstamp: u64,
  wire_len: u32,
  gso_segs: u32,
  sk: u64,
  gso_size: u32,
  tstamp_type: u8,
  reserved1: u8,
  reserved2: u16,
  hwtstamp: u64,
})

/** struct bpf_sk_lookup. */
export const skLookup = struct('bpf_sk_lookup', {
  cookie: u64,
  family: u32,
  protocol: u32,
  remote_ip4: u32,
  remote_ip6: array(u32, 4),
  remote_port: be16,
  reserved: u16,
  local_ip4: u32,
  local_ip6: array(u32, 4),
  local_port: u32,
  ingress_ifindex: u32,
})

/** struct bpf_flow_keys, what a flow dissector leaves in data_out (56 bytes). */
export const flowKeys = struct('bpf_flow_keys', {
  nhoff: u16,
  thoff: u16,
  addr_proto: u16,
  is_frag: u8,
  is_first_frag: u8,
  is_encap: u8,
  ip_proto: u8,
  n_proto: be16,
  sport: be16,
  dport: be16,
  addresses: array(u32, 8),
  flags: u32,
  flow_label: u32,
})

/** struct bpf_nf_ctx: two pointers that a test run makes itself. */
export const netfilterContext = struct('bpf_nf_ctx', { state: pointer(), skb: pointer() })

/** Context fields of a packet program on struct __sk_buff that a test may set; all others must stay 0. */
export interface SkbContext {
  readonly mark?: number
  readonly priority?: number
  readonly ingress_ifindex?: number
  readonly ifindex?: number
  /** Five words. */
  readonly cb?: readonly number[]
  readonly tstamp?: bigint
  /** From the packet's length to 65536. */
  readonly wire_len?: number
  /** At most 65535. */
  readonly gso_segs?: number
  readonly gso_size?: number
  readonly hwtstamp?: bigint
}

export const SKB_SETTABLE = [
  'mark',
  'priority',
  'ingress_ifindex',
  'ifindex',
  'cb',
  'tstamp',
  'wire_len',
  'gso_segs',
  'gso_size',
  'hwtstamp',
] as const

/** Fields of struct xdp_md that a test may set. The interface and queue must exist in the kernel. */
export interface XdpContext {
  readonly ingress_ifindex?: number
  /** Of the interface that `ingress_ifindex` names: it must be given too. */
  readonly rx_queue_index?: number
}

/** The connection that an sk_lookup program is asked about. */
export interface SkLookupContext {
  /** 2 or `ipv4`, 10 or `ipv6`. */
  readonly family: 'ipv4' | 'ipv6'
  /** 6 TCP, 17 UDP. Default 6. */
  readonly protocol?: number
  readonly remoteAddress: string
  readonly remotePort: number
  readonly localAddress: string
  readonly localPort: number
  readonly ingressIfindex?: number
  /** A socket's cookie: the program starts with this socket selected. */
  readonly cookie?: bigint
}
