import { be16, be32, i32, u32, u64 } from '../types/types.ts'
import { ro, rw } from './context.ts'

// The uapi context structs (include/uapi/linux/bpf.h): offsets in bytes, what programs may write by kind.

/** struct xdp_md. */
export const XDP_MD = {
  ingressIfindex: ro(u32, 12),
  rxQueueIndex: ro(u32, 16),
} as const
export const XDP_DEVMAP_MD = { ...XDP_MD, egressIfindex: ro(u32, 20) } as const

/** struct __sk_buff as all socket-buffer programs read it. */
export const SK_BUFF = {
  len: ro(u32, 0),
  pktType: ro(u32, 4),
  queueMapping: ro(u32, 12),
  protocol: ro(be16, 16),
  vlanPresent: ro(u32, 20),
  vlanTci: ro(u32, 24),
  ifindex: ro(u32, 40),
  hash: ro(u32, 68),
  cb0: rw(u32, 48),
  cb1: rw(u32, 52),
  cb2: rw(u32, 56),
  cb3: rw(u32, 60),
  cb4: rw(u32, 64),
} as const
/** As traffic control programs see it. */
export const SK_BUFF_TC = {
  ...SK_BUFF,
  mark: rw(u32, 8),
  priority: rw(u32, 32),
  ingressIfindex: ro(u32, 36),
  tcIndex: rw(u32, 44),
  tcClassid: rw(u32, 72),
  tstamp: rw(u64, 152),
  wireLen: ro(u32, 160),
  gsoSegs: ro(u32, 164),
  gsoSize: ro(u32, 176),
} as const
/** As cgroup programs see it. */
export const SK_BUFF_CGROUP = {
  ...SK_BUFF,
  mark: rw(u32, 8),
  priority: rw(u32, 32),
  family: ro(u32, 88),
  remoteIp4: ro(be32, 92),
  localIp4: ro(be32, 96),
  remotePort: ro(be32, 132),
  localPort: ro(u32, 136),
} as const

/** struct bpf_sock of cgroup socket programs. */
export const SOCK = {
  boundDevIf: rw(u32, 0),
  family: ro(u32, 4),
  type: ro(u32, 8),
  protocol: ro(u32, 12),
  mark: rw(u32, 16),
  priority: rw(u32, 20),
} as const
const SOCK_POST_BIND = {
  ...SOCK,
  boundDevIf: ro(u32, 0),
  mark: ro(u32, 16),
  priority: ro(u32, 20),
  srcPort: ro(u32, 44),
} as const
export const SOCK_POST_BIND4 = { ...SOCK_POST_BIND, srcIp4: ro(be32, 24) } as const
export const SOCK_POST_BIND6 = {
  ...SOCK_POST_BIND,
  srcIp60: ro(be32, 28),
  srcIp61: ro(be32, 32),
  srcIp62: ro(be32, 36),
  srcIp63: ro(be32, 40),
} as const

/** A port in network order in the first half of a 32-bit member. */
const USER_PORT = { ...rw(be16, 24), stored: 4 } as const

/** struct bpf_sock_addr, IPv4 hooks. */
export const SOCK_ADDR4 = {
  userFamily: ro(u32, 0),
  userIp4: rw(be32, 4),
  userPort: USER_PORT,
  family: ro(u32, 28),
  type: ro(u32, 32),
  protocol: ro(u32, 36),
} as const
/** struct bpf_sock_addr, IPv6 hooks. */
export const SOCK_ADDR6 = {
  userFamily: ro(u32, 0),
  userIp60: rw(be32, 8),
  userIp61: rw(be32, 12),
  userIp62: rw(be32, 16),
  userIp63: rw(be32, 20),
  userPort: USER_PORT,
  family: ro(u32, 28),
  type: ro(u32, 32),
  protocol: ro(u32, 36),
} as const
/** sendmsg hooks may also change the source address. */
export const SOCK_ADDR4_SENDMSG = { ...SOCK_ADDR4, msgSrcIp4: rw(be32, 40) } as const

export const SOCK_ADDR6_SENDMSG = {
  ...SOCK_ADDR6,
  msgSrcIp60: rw(be32, 44),
  msgSrcIp61: rw(be32, 48),
  msgSrcIp62: rw(be32, 52),
  msgSrcIp63: rw(be32, 56),
} as const
/** Where struct bpf_sock_addr has its socket. */
export const SOCK_ADDR_SOCKET = 64

/** struct bpf_sock_ops. */
export const SOCK_OPS = {
  op: ro(u32, 0),
  arg0: ro(u32, 4),
  arg1: ro(u32, 8),
  arg2: ro(u32, 12),
  reply: rw(u32, 4),
  family: ro(u32, 20),
  remoteIp4: ro(be32, 24),
  localIp4: ro(be32, 28),
  remoteIp60: ro(be32, 32),
  remoteIp61: ro(be32, 36),
  remoteIp62: ro(be32, 40),
  remoteIp63: ro(be32, 44),
  localIp60: ro(be32, 48),
  localIp61: ro(be32, 52),
  localIp62: ro(be32, 56),
  localIp63: ro(be32, 60),
  remotePort: ro(be32, 64),
  localPort: ro(u32, 68),
  isFullsock: ro(u32, 72),
  sndCwnd: ro(u32, 76),
  srttUs: ro(u32, 80),
  callbackFlags: ro(u32, 84),
  state: ro(u32, 88),
  rttMin: ro(u32, 92),
  sndSsthresh: ro(u32, 96),
  rcvNxt: ro(u32, 100),
  sndNxt: ro(u32, 104),
  sndUna: ro(u32, 108),
  mssCache: ro(u32, 112),
  ecnFlags: ro(u32, 116),
  rateDelivered: ro(u32, 120),
  rateIntervalUs: ro(u32, 124),
  packetsOut: ro(u32, 128),
  retransOut: ro(u32, 132),
  totalRetrans: ro(u32, 136),
  segsIn: ro(u32, 140),
  dataSegsIn: ro(u32, 144),
  segsOut: ro(u32, 148),
  dataSegsOut: ro(u32, 152),
  lostOut: ro(u32, 156),
  sackedOut: ro(u32, 160),
  skTxhash: rw(u32, 164),
  bytesReceived: ro(u64, 168),
  bytesAcked: ro(u64, 176),
} as const
/** Where struct bpf_sock_ops has its socket. */
export const SOCK_OPS_SOCKET = 184

/** struct sk_msg_md (without its data pointers). */
export const SK_MSG = {
  family: ro(u32, 16),
  remoteIp4: ro(be32, 20),
  localIp4: ro(be32, 24),
  remotePort: ro(be32, 60),
  localPort: ro(u32, 64),
  size: ro(u32, 68),
} as const

/** struct bpf_sk_lookup. */
export const SK_LOOKUP = {
  family: ro(u32, 8),
  protocol: ro(u32, 12),
  remoteIp4: ro(be32, 16),
  remotePort: ro(be16, 36),
  localIp4: ro(be32, 40),
  localPort: ro(u32, 60),
  ingressIfindex: ro(u32, 64),
} as const

/** struct bpf_cgroup_dev_ctx. */
export const CGROUP_DEVICE = { accessType: ro(u32, 0), major: ro(u32, 4), minor: ro(u32, 8) } as const
/** struct bpf_sysctl. */
export const CGROUP_SYSCTL = { write: ro(u32, 0), filePosition: rw(u32, 4) } as const
/** struct bpf_sockopt. */
export const CGROUP_GETSOCKOPT = {
  level: ro(i32, 24),
  optname: ro(i32, 28),
  optlen: rw(i32, 32),
  retval: rw(i32, 36),
} as const
export const CGROUP_SETSOCKOPT = { level: rw(i32, 24), optname: rw(i32, 28), optlen: rw(i32, 32) } as const
/** struct bpf_perf_event_data behind the registers (x86-64: 168 bytes). */
export const PERF_EVENT = { samplePeriod: ro(u64, 168), address: ro(u64, 176) } as const
/** struct sk_reuseport_md. */
export const SK_REUSEPORT = {
  len: ro(u32, 16),
  ethProtocol: ro(be32, 20),
  ipProtocol: ro(u32, 24),
  bindInany: ro(u32, 28),
  hash: ro(u32, 32),
} as const
export const NONE = {} as const
