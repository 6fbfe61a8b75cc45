import {
  bytes,
  config,
  globals,
  type Int,
  ipv6,
  kernelAt,
  kernelStruct,
  map,
  struct,
  text,
  tracepoint,
  u16,
  u32,
  u64,
} from 'typebpf'

/** What is shown; 0 stands for everything. Ports as numbers, the family as in `struct sockaddr` (2 IPv4, 10 IPv6). */
export const only = config('only', { pid: u32, localPort: u16, remotePort: u16, family: u16 })

/** Whether a filter is set, to something else. */
const isOther = <N extends 'u16' | 'u32'>(wanted: Int<N>, value: () => Int<N>) =>
  wanted.ne(0).and(() => wanted.ne(value()))

/** How many events found no room in the ring. */
export const lost = globals('lost', { events: u64 })

const Owner = struct('owner', { pid: u32, comm: text(16) })
export const Life = struct('life', {
  timeNs: u64,
  spanNs: u64,
  received: u64,
  sent: u64,
  pid: u32,
  family: u16,
  localPort: u16,
  remotePort: u16,
  comm: text(16),
  local4: bytes(4),
  remote4: bytes(4),
  local6: ipv6,
  remote6: ipv6,
})

/** enum tcp states (include/net/tcp_states.h). */
const SYN_SENT = 2
const FIN_WAIT1 = 4
const CLOSE = 7
const LAST_ACK = 9
const IPPROTO_TCP = 6

const tcpSock = kernelStruct('tcp_sock', () => ({ bytes_received: u64, bytes_acked: u64 }))

/** When sockets began, and whose they are: their end runs in no process's name. */
const births = map.hash('births', { key: u64, value: u64, maxEntries: 10_240 })
const owners = map.hash('owners', { key: u64, value: Owner, maxEntries: 10_240 })
export const lives = map.ringBuffer('lives', { record: Life, sizeBytes: 1 << 20 })

const change = {
  socket: u64,
  from: u32,
  to: u32,
  localPort: u16,
  remotePort: u16,
  family: u16,
  protocol: u16,
  local4: bytes(4),
  remote4: bytes(4),
  local6: ipv6,
  remote6: ipv6,
} as const

export const setState = tracepoint('set_state', { event: 'sock:inet_sock_set_state', args: change }, (b) => {
  const { socket, to, localPort, remotePort, family, protocol, local4, remote4, local6, remote6 } = b.args
  const isUnwanted = protocol
    .ne(IPPROTO_TCP)
    .or(() => isOther(only.family, () => family))
    .or(() => isOther(only.localPort, () => localPort))
    .or(() => isOther(only.remotePort, () => remotePort))
  b.if(isUnwanted, () => b.return(0))

  // the earliest state that is seen: a server's sockets begin with their connection, not with listen
  b.if(to.lt(FIN_WAIT1), () => births.set(socket, b.ktimeNs()))
  b.if(to.oneOf(SYN_SENT, LAST_ACK), () => {
    const owner = b.local(Owner, { pid: b.pid() })
    b.comm(owner.comm)
    owners.set(socket, owner)
  })
  b.if(to.ne(CLOSE), () => b.return(0))

  const birth = births.lookup(socket).orElse(() => {
    owners.delete(socket)
    b.return(0)
  })
  const now = b.ktimeNs()
  const spanNs = now.sub(birth)
  births.delete(socket)
  const tcp = kernelAt(tcpSock, socket)
  const pid = b.let(u32, b.pid())
  owners.lookup(socket).match((owner) => pid.set(owner.pid))
  const isUnwantedProcess = isOther(only.pid, () => pid.get())
  b.if(isUnwantedProcess, () => {
    owners.delete(socket)
    b.return(0)
  })
  lives.record(
    (life) => {
      life.$set({ timeNs: now, spanNs, received: tcp.bytes_received, sent: tcp.bytes_acked })
      life.$set({ pid: pid.get(), family, localPort, remotePort, local4, remote4, local6, remote6 })
      owners.lookup(socket).match(
        (owner) => life.comm.set(owner.comm),
        () => b.comm(life.comm),
      )
    },
    () => lost.events.atomicAdd(1),
  )
  owners.delete(socket)
  return 0
})
