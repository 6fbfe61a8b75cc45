// The builder's twins of test/fixtures/c/packets.c: same names, same maps, same answers.
import {
  be16,
  be32,
  bits,
  bytes,
  type Int,
  ipv6,
  mac,
  map,
  socketFilter,
  struct,
  tc,
  u8,
  u16,
  u32,
  u64,
  xdp,
} from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const Vlan = struct('vlan_hdr', { tci: be16, proto: be16 })
const Ipv4 = struct('iphdr', {
  versionIhl: u8,
  tos: u8,
  length: be16,
  id: be16,
  fragment: be16,
  ttl: u8,
  protocol: u8,
  checksum: u16,
  src: be32,
  dst: be32,
})
const Ipv6 = struct('ipv6hdr', { flow: bytes(4), length: be16, next: u8, hops: u8, src: ipv6, dst: ipv6 })
const Udp = struct('udphdr', { source: be16, dest: be16, length: be16, checksum: be16 })
const Tcp = struct('tcphdr', {
  source: be16,
  dest: be16,
  seq: be32,
  ack: be32,
  reserved: bits(u8, 4),
  offset: bits(u8, 4),
  fin: bits(u8, 1),
  syn: bits(u8, 1),
  others: bits(u8, 6),
  window: be16,
  checksum: be16,
  urgent: be16,
})
const Icmp = struct('icmp_hdr', { type: u8, code: u8, checksum: u16, rest: u32 })
const Extension = struct('ext_hdr', { next: u8, len: u8 })
const Option = struct('tcp_option', { kind: u8, length: u8, value: be16 }, { packed: true })
const EthIpv4 = struct('eth_ip', { eth: Eth, ip: Ipv4 }, { packed: true })
const EthIpv4Udp = struct('eth_ip_udp', { eth: Eth, ip: Ipv4, udp: Udp }, { packed: true })
const EthIpv4Tcp = struct('eth_ip_tcp', { eth: Eth, ip: Ipv4, tcp: Tcp }, { packed: true })
const EthIpv4Icmp = struct('eth_ip_icmp', { eth: Eth, ip: Ipv4, icmp: Icmp }, { packed: true })
const EthIpv6 = struct('eth_ipv6', { eth: Eth, ip: Ipv6 }, { packed: true })
const Counter = struct('counter', { packets: u64, bytes: u64 })
const [IPV4, IPV6, VLAN, QINQ] = [0x0800, 0x86dd, 0x8100, 0x88a8]
const [ICMP, TCP, UDP] = [1, 6, 17]

const protocols = map.percpuArray('protocols', { value: Counter, maxEntries: 256 })
export const countProtocol = xdp('count_protocol', (b) => {
  const { eth, ip } = b.packet.at(0, EthIpv4).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4), () => b.return(b.PASS))
  const counter = protocols.lookup(ip.protocol.to(u32)).orReturn(b.PASS)
  counter.packets.set(counter.packets.add(1))
  counter.bytes.set(counter.bytes.add(b.packet.length().to(u64)))
  return b.PASS
})

const rules = map.lpmTrie('rules', { address: be32, value: u32, maxEntries: 64 })
const verdicts = map.array('verdicts', { value: u64, maxEntries: 2 })
export const firewall = xdp('firewall', (b) => {
  const eth = b.packet.at(0, Eth).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4), () => b.return(b.PASS))
  const ip = b.packet.at(0, EthIpv4).orReturn(b.DROP).ip
  const denied = b.let(u32, 0)
  rules.lookup({ prefixLength: 32, data: ip.src }).match((rule) => b.if(rule.ne(0), () => denied.set(1)))
  verdicts.lookup(denied.get()).match((n) => n.atomicAdd(1))
  b.if(denied.get().ne(0), () => b.return(b.DROP))
  return b.PASS
})

export const vlanFilter = xdp('vlan_filter', (b) => {
  const eth = b.packet.at(0, Eth).orReturn(b.DROP)
  b.if(eth.proto.oneOf(VLAN, QINQ).not(), () => b.return(b.PASS))
  const vlan = b.packet.at(14, Vlan).orReturn(b.DROP)
  const id = vlan.tci.to(u16).and(0xfff)
  b.if(id.sub(10).gt(3990), () => b.return(b.DROP))
  return b.PASS
})

export const ipv6Upper = xdp('ipv6_upper', (b) => {
  const { eth, ip } = b.packet.at(0, EthIpv6).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV6), () => b.return(b.PASS))
  const next = b.let(u8, ip.next)
  const cursor = b.packet.cursor(54)
  b.range(6, () => {
    b.if(next.get().oneOf(0, 43, 60).not(), () => b.break())
    const extension = cursor.peek(Extension).orReturn(b.DROP)
    next.set(extension.next)
    cursor.skip(extension.len.to(u32).add(1).mul(8))
  })
  b.if(next.get().eq(TCP), () => b.return(b.DROP))
  return b.PASS
})

export const tcpSynMss = xdp('tcp_syn_mss', (b) => {
  const { eth, ip, tcp } = b.packet.at(0, EthIpv4Tcp).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4).or(ip.protocol.ne(TCP)), () => b.return(b.PASS))
  b.if(tcp.syn.eq(0), () => b.return(b.PASS))
  const cursor = b.packet.cursor(54)
  b.range(10, () => {
    const option = cursor.peek(Option).orReturn(b.PASS)
    b.if(option.kind.eq(0), () => b.return(b.PASS))
    b.if(option.kind.eq(1), () => {
      cursor.skip(1)
      b.continue()
    })
    b.if(option.kind.eq(2), () => {
      b.if(option.value.to(u16).lt(536), () => b.return(b.DROP))
      b.return(b.PASS)
    })
    b.if(option.length.lt(2), () => b.return(b.DROP))
    cursor.skip(option.length)
  })
  return b.PASS
})

const Bucket = struct('bucket', { last: u64, tokens: u64 })
const buckets = map.lruHash('buckets', { key: be32, value: Bucket, maxEntries: 1024 })
export const rateLimit = xdp('rate_limit', (b) => {
  const { eth, ip } = b.packet.at(0, EthIpv4).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4), () => b.return(b.PASS))
  const src = ip.src
  const now = b.ktimeNs()
  const bucket = buckets.lookup(src).orElse(() => {
    buckets.set(src, { last: now, tokens: 99 })
    b.return(b.PASS)
  })
  const add = now.sub(bucket.last).shr(20)
  b.if(add.ne(0), () => {
    bucket.tokens.set(bucket.tokens.add(add).min(100))
    bucket.last.set(now)
  })
  b.if(bucket.tokens.eq(0), () => b.return(b.DROP))
  bucket.tokens.set(bucket.tokens.sub(1))
  return b.PASS
})

const Backend = struct('backend', { addr: be32, mac, pad: u16 })
const backends = map.array('backends', { value: Backend, maxEntries: 16 })
export const balance = xdp('balance', (b) => {
  const { eth, ip, udp } = b.packet.at(0, EthIpv4Udp).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4).or(ip.protocol.ne(UDP)), () => b.return(b.PASS))
  const hash = ip.src.raw().xor(udp.source.raw().to(u32)).mul(0x9e3779b1).shr(28)
  const to = backends.lookup(hash).orReturn(b.ABORTED)
  const halves = (address: Int<'u32'>): Int<'u32'> => address.and(0xffff).add(address.shr(16))
  const old = ip.dst.raw().not()
  const fold = (sum: Int<'u32'>): Int<'u32'> => sum.and(0xffff).add(sum.shr(16))
  const sum = ip.checksum.not().to(u32).add(halves(old)).add(halves(to.addr.raw()))
  ip.checksum.set(fold(fold(sum)).not().to(u16))
  ip.dst.set(to.addr)
  udp.checksum.set(0)
  eth.src.set(eth.dst)
  eth.dst.set(to.mac)
  return b.TX
})

export const echoReply = xdp('echo_reply', (b) => {
  const { eth, ip, icmp } = b.packet.at(0, EthIpv4Icmp).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4).or(ip.protocol.ne(ICMP)), () => b.return(b.PASS))
  b.if(icmp.type.ne(8), () => b.return(b.PASS))
  eth.src.swap(eth.dst)
  const src = ip.src
  ip.src.set(ip.dst)
  ip.dst.set(src)
  icmp.type.set(0)
  const sum = icmp.checksum.to(u32).add(0x0008)
  icmp.checksum.set(sum.add(sum.shr(16)).to(u16))
  return b.TX
})

export const markDscp = tc('mark_dscp', (b) => {
  const { eth, ip } = b.packet.at(0, EthIpv4).orReturn(b.OK)
  b.if(eth.proto.ne(IPV4), () => b.return(b.OK))
  const dscp = ip.tos.shr(2)
  b.ctx.priority.set(dscp.shr(3).to(u32))
  b.if(
    dscp.ge(46),
    () => b.ctx.mark.set(1),
    () => b.if(dscp.ne(0), () => b.ctx.mark.set(2)),
  )
  return b.OK
})

const ports = map.hash('ports', { key: u16, value: u64, maxEntries: 1024 })
export const countPorts = xdp('count_ports', (b) => {
  const { eth, ip, udp } = b.packet.at(0, EthIpv4Udp).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4), () => b.return(b.PASS))
  b.if(ip.protocol.oneOf(TCP, UDP).not(), () => b.return(b.PASS))
  const port = udp.dest.to(u16)
  ports.lookup(port).match(
    (n) => n.atomicAdd(1),
    () => ports.set(port, 1),
  )
  return b.PASS
})

export const keepDns = socketFilter('keep_dns', (b) => {
  b.if(b.load(12, be16).orReturn(0).ne(IPV4), () => b.return(0))
  b.if(b.load(14, Ipv4).orReturn(0).protocol.ne(UDP), () => b.return(0))
  const udp = b.load(34, Udp).orReturn(0)
  b.if(udp.source.ne(53).and(udp.dest.ne(53)), () => b.return(0))
  return b.ctx.len
})

export const hashPayload = xdp('hash_payload', (b) => {
  const hash = b.let(u32, 0x811c9dc5)
  const cursor = b.packet.cursor()
  b.range(64, () => {
    const byte = cursor.take(u8).orElse(() => b.break())
    hash.set(hash.get().xor(byte.to(u32)).mul(0x01000193))
  })
  return hash.get().and(1).add(1)
})

const Flow = struct('flow', { src: be32, dst: be32, sport: be16, dport: be16, proto: u32 })
const flows = map.lruHash('flows', { key: Flow, value: Counter, maxEntries: 1024 })
export const countFlows = xdp('count_flows', (b) => {
  const { eth, ip, udp } = b.packet.at(0, EthIpv4Udp).orReturn(b.PASS)
  b.if(eth.proto.ne(IPV4), () => b.return(b.PASS))
  const key = b.local(Flow, {
    src: ip.src,
    dst: ip.dst,
    sport: udp.source,
    dport: udp.dest,
    proto: ip.protocol.to(u32),
  })
  const length = b.packet.length().to(u64)
  const counter = flows.lookup(key).orElse(() => {
    flows.set(key, { packets: 1, bytes: length }, 'noexist')
    b.return(b.PASS)
  })
  counter.packets.atomicAdd(1)
  counter.bytes.atomicAdd(length)
  return b.PASS
})
