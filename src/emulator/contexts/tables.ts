/**
 * The contexts as programs see them (include/uapi/linux/bpf.h; pt_regs of x86-64): fields with offset and size in bytes. `w`: names of
 * the fields that programs of some type may write. Facts only.
 */
export interface ContextField {
  readonly name: string
  readonly offset: number
  readonly size: 1 | 2 | 4 | 8
}

export interface ContextTable {
  readonly kind: string
  readonly size: number
  readonly fields: readonly ContextField[]
  /** Bytes of a context given by the test that may be longer or shorter than `size` (raw arguments, records). */
  readonly open?: boolean
}

type Row = readonly [name: string, size: 1 | 2 | 4 | 8, count?: number]

/** Fields in order; `pad` rows only take room. Counted rows become name0, name1, … */
function table(kind: string, rows: readonly Row[], options: { open?: boolean } = {}): ContextTable {
  const fields: ContextField[] = []
  let offset = 0
  for (const [name, size, count] of rows) {
    for (let i = 0; i < (count ?? 1); i++) {
      if (name !== 'pad') fields.push({ name: count === undefined ? name : `${name}${i}`, offset, size })
      offset += size
    }
  }
  return { kind, size: offset, fields, ...options }
}

export const XDP_MD = table('xdp_md', [
  ['data', 4],
  ['data_end', 4],
  ['data_meta', 4],
  ['ingress_ifindex', 4],
  ['rx_queue_index', 4],
  ['egress_ifindex', 4],
])

export const SK_BUFF = table('__sk_buff', [
  ['len', 4],
  ['pkt_type', 4],
  ['mark', 4],
  ['queue_mapping', 4],
  ['protocol', 4],
  ['vlan_present', 4],
  ['vlan_tci', 4],
  ['vlan_proto', 4],
  ['priority', 4],
  ['ingress_ifindex', 4],
  ['ifindex', 4],
  ['tc_index', 4],
  ['cb', 4, 5],
  ['hash', 4],
  ['tc_classid', 4],
  ['data', 4],
  ['data_end', 4],
  ['napi_id', 4],
  ['family', 4],
  ['remote_ip4', 4],
  ['local_ip4', 4],
  ['remote_ip6_', 4, 4],
  ['local_ip6_', 4, 4],
  ['remote_port', 4],
  ['local_port', 4],
  ['data_meta', 4],
  ['flow_keys', 8],
  ['tstamp', 8],
  ['wire_len', 4],
  ['gso_segs', 4],
  ['sk', 8],
  ['gso_size', 4],
  ['tstamp_type', 1],
  ['pad', 1, 3],
  ['hwtstamp', 8],
])

export const SK_LOOKUP = table('bpf_sk_lookup', [
  ['sk', 8],
  ['family', 4],
  ['protocol', 4],
  ['remote_ip4', 4],
  ['remote_ip6_', 4, 4],
  ['remote_port', 2],
  ['pad', 2],
  ['local_ip4', 4],
  ['local_ip6_', 4, 4],
  ['local_port', 4],
  ['ingress_ifindex', 4],
  ['pad', 4],
])

export const SOCK_ADDR = table('bpf_sock_addr', [
  ['user_family', 4],
  ['user_ip4', 4],
  ['user_ip6_', 4, 4],
  ['user_port', 4],
  ['family', 4],
  ['type', 4],
  ['protocol', 4],
  ['msg_src_ip4', 4],
  ['msg_src_ip6_', 4, 4],
  ['pad', 4],
  ['sk', 8],
])

export const SOCK = table('bpf_sock', [
  ['bound_dev_if', 4],
  ['family', 4],
  ['type', 4],
  ['protocol', 4],
  ['mark', 4],
  ['priority', 4],
  ['src_ip4', 4],
  ['src_ip6_', 4, 4],
  ['src_port', 4],
  ['dst_port', 2],
  ['pad', 2],
  ['dst_ip4', 4],
  ['dst_ip6_', 4, 4],
  ['state', 4],
  ['rx_queue_mapping', 4],
])

export const SOCK_OPS = table('bpf_sock_ops', [
  ['op', 4],
  ['args', 4, 4],
  ['family', 4],
  ['remote_ip4', 4],
  ['local_ip4', 4],
  ['remote_ip6_', 4, 4],
  ['local_ip6_', 4, 4],
  ['remote_port', 4],
  ['local_port', 4],
  ['is_fullsock', 4],
  ['snd_cwnd', 4],
  ['srtt_us', 4],
  ['bpf_sock_ops_cb_flags', 4],
  ['state', 4],
  ['rtt_min', 4],
  ['snd_ssthresh', 4],
  ['rcv_nxt', 4],
  ['snd_nxt', 4],
  ['snd_una', 4],
  ['mss_cache', 4],
  ['ecn_flags', 4],
  ['rate_delivered', 4],
  ['rate_interval_us', 4],
  ['packets_out', 4],
  ['retrans_out', 4],
  ['total_retrans', 4],
  ['segs_in', 4],
  ['data_segs_in', 4],
  ['segs_out', 4],
  ['data_segs_out', 4],
  ['lost_out', 4],
  ['sacked_out', 4],
  ['sk_txhash', 4],
  ['bytes_received', 8],
  ['bytes_acked', 8],
  ['sk', 8],
  ['skb_data', 8],
  ['skb_data_end', 8],
  ['skb_len', 4],
  ['skb_tcp_flags', 4],
  ['skb_hwtstamp', 8],
])

export const SK_MSG = table('sk_msg_md', [
  ['data', 8],
  ['data_end', 8],
  ['family', 4],
  ['remote_ip4', 4],
  ['local_ip4', 4],
  ['remote_ip6_', 4, 4],
  ['local_ip6_', 4, 4],
  ['remote_port', 4],
  ['local_port', 4],
  ['size', 4],
  ['sk', 8],
])

export const SK_REUSEPORT = table('sk_reuseport_md', [
  ['data', 8],
  ['data_end', 8],
  ['len', 4],
  ['eth_protocol', 4],
  ['ip_protocol', 4],
  ['bind_inany', 4],
  ['hash', 4],
  ['pad', 4],
  ['sk', 8],
  ['migrating_sk', 8],
])

export const SOCKOPT = table('bpf_sockopt', [
  ['sk', 8],
  ['optval', 8],
  ['optval_end', 8],
  ['level', 4],
  ['optname', 4],
  ['optlen', 4],
  ['retval', 4],
])

export const SYSCTL = table('bpf_sysctl', [
  ['write', 4],
  ['file_pos', 4],
])

export const CGROUP_DEVICE = table('bpf_cgroup_dev_ctx', [
  ['access_type', 4],
  ['major', 4],
  ['minor', 4],
])

export const PT_REGS = table('pt_regs', [
  ['r15', 8],
  ['r14', 8],
  ['r13', 8],
  ['r12', 8],
  ['bp', 8],
  ['bx', 8],
  ['r11', 8],
  ['r10', 8],
  ['r9', 8],
  ['r8', 8],
  ['ax', 8],
  ['cx', 8],
  ['dx', 8],
  ['si', 8],
  ['di', 8],
  ['orig_ax', 8],
  ['ip', 8],
  ['cs', 8],
  ['flags', 8],
  ['sp', 8],
  ['ss', 8],
])

export const PERF_EVENT = table('bpf_perf_event_data', [
  ...PT_REGS.fields.map((field): Row => [field.name, 8]),
  ['sample_period', 8],
  ['addr', 8],
])

/** Arguments of raw tracepoints, BTF-typed programs and callbacks: words. */
export const ARGUMENTS = table('arguments', [['arg', 8, 12]], { open: true })
/** A tracepoint's record, a syscall program's argument: whatever bytes the test gives. */
export const BYTES = table('bytes', [], { open: true })

const SKB_WRITABLE = [
  'mark',
  'queue_mapping',
  'priority',
  'tc_index',
  'cb0',
  'cb1',
  'cb2',
  'cb3',
  'cb4',
  'tc_classid',
  'tstamp',
]
const SOCK_ADDR_WRITABLE = SOCK_ADDR.fields
  .map(({ name }) => name)
  .filter((name) => /^(?:user_ip|user_port|msg_src_ip)/.test(name))
const CB = ['cb0', 'cb1', 'cb2', 'cb3', 'cb4']

/** By program type: the context's table and the fields that the verifier lets programs write. `all`: every byte. */
export interface ContextRow {
  readonly table: ContextTable
  readonly writable: readonly string[] | 'all'
  /** Packets: `l2` data starts at the Ethernet header, `l3` after it, `hidden` as l3 but only through helpers, `message` bytes as they are behind 64-bit pointers. */
  readonly packet?: 'xdp' | 'l2' | 'l3' | 'hidden' | 'message'
}

export const CONTEXTS: Readonly<Record<string, ContextRow>> = {
  xdp: { table: XDP_MD, writable: [], packet: 'xdp' },
  sched_cls: { table: SK_BUFF, writable: SKB_WRITABLE, packet: 'l2' },
  sched_act: { table: SK_BUFF, writable: SKB_WRITABLE, packet: 'l2' },
  socket_filter: { table: SK_BUFF, writable: CB, packet: 'hidden' },
  cgroup_skb: { table: SK_BUFF, writable: ['mark', 'priority', 'tstamp', ...CB], packet: 'l3' },
  lwt_in: { table: SK_BUFF, writable: ['mark', 'priority', ...CB], packet: 'l3' },
  lwt_out: { table: SK_BUFF, writable: ['mark', 'priority', ...CB], packet: 'l3' },
  lwt_xmit: { table: SK_BUFF, writable: ['mark', 'priority', ...CB], packet: 'l3' },
  lwt_seg6local: { table: SK_BUFF, writable: ['mark', 'priority', ...CB], packet: 'l3' },
  sk_skb: { table: SK_BUFF, writable: ['tc_index', 'priority'], packet: 'l3' },
  flow_dissector: { table: SK_BUFF, writable: [], packet: 'l2' },
  sk_lookup: { table: SK_LOOKUP, writable: [] },
  sk_msg: { table: SK_MSG, writable: [], packet: 'message' },
  sk_reuseport: { table: SK_REUSEPORT, writable: [], packet: 'message' },
  cgroup_sock_addr: { table: SOCK_ADDR, writable: SOCK_ADDR_WRITABLE },
  cgroup_sock: { table: SOCK, writable: ['bound_dev_if', 'mark', 'priority'] },
  // args0 is the reply as well
  sock_ops: { table: SOCK_OPS, writable: ['args0', 'sk_txhash'] },
  cgroup_sockopt: { table: SOCKOPT, writable: ['level', 'optname', 'optlen', 'retval'] },
  cgroup_sysctl: { table: SYSCTL, writable: ['file_pos'] },
  cgroup_device: { table: CGROUP_DEVICE, writable: [] },
  kprobe: { table: PT_REGS, writable: [] },
  perf_event: { table: PERF_EVENT, writable: [] },
  raw_tracepoint: { table: ARGUMENTS, writable: [] },
  raw_tracepoint_writable: { table: ARGUMENTS, writable: [] },
  tracing: { table: ARGUMENTS, writable: [] },
  lsm: { table: ARGUMENTS, writable: [] },
  struct_ops: { table: ARGUMENTS, writable: [] },
  ext: { table: ARGUMENTS, writable: 'all' },
  netfilter: { table: ARGUMENTS, writable: [] },
  tracepoint: { table: BYTES, writable: [] },
  syscall: { table: BYTES, writable: 'all' },
}

const XDP = { 0: 'XDP_ABORTED', 1: 'XDP_DROP', 2: 'XDP_PASS', 3: 'XDP_TX', 4: 'XDP_REDIRECT' }
const TC = {
  0: 'TC_ACT_OK',
  1: 'TC_ACT_RECLASSIFY',
  2: 'TC_ACT_SHOT',
  3: 'TC_ACT_PIPE',
  4: 'TC_ACT_STOLEN',
  5: 'TC_ACT_QUEUED',
  6: 'TC_ACT_REPEAT',
  7: 'TC_ACT_REDIRECT',
  8: 'TC_ACT_TRAP',
  4294967295: 'TC_ACT_UNSPEC',
}
const LWT = { 0: 'BPF_OK', 2: 'BPF_DROP', 7: 'BPF_REDIRECT', 128: 'BPF_LWT_REROUTE' }
const SK = { 0: 'SK_DROP', 1: 'SK_PASS' }
const FLOW = { 0: 'BPF_OK', 2: 'BPF_DROP', 129: 'BPF_FLOW_DISSECTOR_CONTINUE' }
const NETFILTER = { 0: 'NF_DROP', 1: 'NF_ACCEPT' }

/** Names of return values by program type. */
export const RETURN_NAMES: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  xdp: XDP,
  sched_cls: TC,
  sched_act: TC,
  lwt_in: LWT,
  lwt_out: LWT,
  lwt_xmit: LWT,
  sk_lookup: SK,
  sk_skb: SK,
  sk_msg: SK,
  sk_reuseport: SK,
  flow_dissector: FLOW,
  netfilter: NETFILTER,
}
