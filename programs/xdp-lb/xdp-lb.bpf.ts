import { be16, be32, type Int, mac, map, struct, u8, u16, u32, u64, type View, xdp } from 'typebpf'

const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
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
const Ports = struct('ports', { source: be16, dest: be16 })
const Headers = struct('headers', { eth: Eth, ip: Ipv4, ports: Ports }, { packed: true })
const [ETH_P_IP, TCP, UDP] = [0x0800, 6, 17]
/** Where the checksums of TCP and UDP stand in the frame. */
const CHECKSUM_AT = { tcp: 14 + 20 + 16, udp: 14 + 20 + 6 }

export const Endpoint = struct('endpoint', { addr: be32, port: be16, protocol: u16 })
/** A virtual address: its share of `table` starts at `first` and has `size` entries. */
export const Service = struct('service', { first: u32, size: u32 })
export const services = map.hash('services', { key: Endpoint, value: Service, maxEntries: 256 })
/** Numbers of backends; user space fills it so that a change of the backends moves few connections. */
export const table = map.array('table', { value: u32, maxEntries: 65_536 })

/** Where a backend is: its address, its MAC, the interface it is behind and that interface's own MAC. */
export const Backend = struct('backend', { addr: be32, port: be16, mac, ownMac: mac, pad: u16, ifindex: u32 })
export const backends = map.array('backends', { value: Backend, maxEntries: 1024 })
export const devices = map.devmapHash('devices', { maxEntries: 256 })

const Tuple = struct('tuple', { src: be32, dst: be32, source: be16, dest: be16, protocol: u32 })
/** What packets of one direction of a connection become. The sums are what their checksums change by (RFC 1624). */
const Flow = struct('flow', {
  src: be32,
  dst: be32,
  source: be16,
  dest: be16,
  ipSum: u16,
  sum: u16,
  ethDst: mac,
  ethSrc: mac,
  ifindex: u32,
  counter: u32,
})
/** Both directions of every connection. When it is full, the one that was quiet for the longest time is forgotten. */
export const flows = map.lruHash('flows', { key: Tuple, value: Flow, maxEntries: 131_072 })

/** Number 2n: packets to backend n; 2n + 1: its answers. */
export const Counter = struct('counter', { packets: u64, bytes: u64 })
export const counters = map.percpuArray('counters', { value: Counter, maxEntries: 2048 })

const fold = (sum: Int<'u32'>) => sum.and(0xffff).add(sum.shr(16))
const halves = (address: Int<'u32'>) => address.and(0xffff).add(address.shr(16))
const changed = (checksum: Int<'u16'>, by: Int<'u16'>) =>
  fold(checksum.not().to(u32).add(by.to(u32)))
    .not()
    .to(u16)

/** Spreads connections to virtual addresses over backends: the whole way out and back, without the network stack. */
export const xdpLb = xdp('xdp_lb', (b) => {
  const { eth, ip, ports } = b.packet.at(0, Headers).orReturn(b.PASS)
  b.if(eth.proto.ne(ETH_P_IP), () => b.return(b.PASS))
  // options and fragments are left to the stack
  b.if(ip.versionIhl.ne(0x45).or(ip.fragment.hasBits(0x3fff)), () => b.return(b.PASS))
  b.if(ip.protocol.oneOf(TCP, UDP).not(), () => b.return(b.PASS))

  const send = (flow: View<typeof Flow, 'shared'>) => {
    b.if(
      ip.protocol.eq(TCP),
      () => {
        const checksum = b.packet.at(CHECKSUM_AT.tcp, u16).orReturn(b.DROP)
        checksum.set(changed(checksum, flow.sum))
      },
      () => {
        const checksum = b.packet.at(CHECKSUM_AT.udp, u16).orReturn(b.DROP)
        // 0 says that there is none
        b.if(checksum.ne(0), () => {
          const sum = b.let(u16, changed(checksum, flow.sum))
          b.if(sum.get().eq(0), () => sum.set(0xffff))
          checksum.set(sum.get())
        })
      },
    )
    ip.checksum.set(changed(ip.checksum, flow.ipSum))
    ip.src.set(flow.src)
    ip.dst.set(flow.dst)
    ports.source.set(flow.source)
    ports.dest.set(flow.dest)
    eth.dst.set(flow.ethDst)
    eth.src.set(flow.ethSrc)
    counters.lookup(flow.counter).match((c) => {
      c.packets.set(c.packets.add(1))
      c.bytes.set(c.bytes.add(b.packet.length().to(u64)))
    })
    b.return(devices.redirect(flow.ifindex, b.DROP))
  }

  const tuple = b.local(Tuple, {
    src: ip.src,
    dst: ip.dst,
    source: ports.source,
    dest: ports.dest,
    protocol: ip.protocol.to(u32),
  })
  flows.lookup(tuple).match(send)

  // the first packet of a connection
  const service = services.lookup({ addr: ip.dst, port: ports.dest, protocol: ip.protocol.to(u16) }).orReturn(b.PASS)
  const mixed = ip.src.raw().xor(ports.source.raw().to(u32).mul(0x9e37_79b1)).mul(0x85eb_ca6b)
  const slot = service.first.add(mixed.xor(mixed.shr(15)).mod(service.size))
  const number = table.lookup(slot).orReturn(b.ABORTED)
  const backend = backends.lookup(number).orReturn(b.ABORTED)

  const ipSum = fold(fold(halves(ip.dst.raw().not()).add(halves(backend.addr.raw()))))
  const sum = fold(fold(ipSum.add(ports.dest.raw().not().to(u32)).add(backend.port.raw().to(u32))))
  flows.set(
    { src: backend.addr, dst: ip.src, source: backend.port, dest: ports.source, protocol: ip.protocol.to(u32) },
    {
      src: ip.dst,
      dst: ip.src,
      source: ports.dest,
      dest: ports.source,
      ipSum: ipSum.not().to(u16),
      sum: sum.not().to(u16),
      ethDst: eth.src,
      ethSrc: eth.dst,
      ifindex: b.ingressIfindex,
      counter: number.shl(1).or(1),
    },
  )
  flows.set(tuple, {
    src: ip.src,
    dst: backend.addr,
    source: ports.source,
    dest: backend.port,
    ipSum: ipSum.to(u16),
    sum: sum.to(u16),
    ethDst: backend.mac,
    ethSrc: backend.ownMac,
    ifindex: backend.ifindex,
    counter: number.shl(1),
  })
  flows.lookup(tuple).match(send)
  return b.ABORTED
})
