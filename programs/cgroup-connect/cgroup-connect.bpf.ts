import {
  be32,
  bool,
  cgroupSockAddr,
  config,
  type Init,
  LookupMap,
  map,
  struct,
  text,
  u16,
  u32,
  u64,
  type Wire,
} from 'typebpf'

const Ip6 = struct('ip6', { a: be32, b: be32, c: be32, d: be32 })
/** A rule is a prefix of port and address together; the port stands in its upper half, 0 for all ports. */
export const Key4 = struct('key4', { prefixLength: u32, port: be32, address: be32 })
export const Key6 = struct('key6', { prefixLength: u32, port: be32, address: Ip6 })
/** With how many connections each rule let through. Room for twice what user space takes: old and new rules together. */
export const allowed4 = new LookupMap('lpm_trie', 'allowed4', Key4, u64, 16_384, { flags: ['no_prealloc'] })
export const allowed6 = new LookupMap('lpm_trie', 'allowed6', Key6, u64, 16_384, { flags: ['no_prealloc'] })

/** A connection that no rule allows. IPv4 addresses are mapped: ::ffff:192.0.2.1. */
export const Denied = struct('denied', { pid: u32, uid: u32, comm: text(16), address: Ip6, port: u16, protocol: u16 })
export const denied = map.ringBuffer('denied', { record: Denied, sizeBytes: 262_144 })
/** `dryRun`: report only. */
export const options = config('options', { dryRun: bool })

type Body = Parameters<Parameters<typeof cgroupSockAddr<'connect4'>>[2]>[0]
type Body6 = Parameters<Parameters<typeof cgroupSockAddr<'connect6'>>[2]>[0]
type Address = Wire<'be32'>
type Address6 = { readonly [K in 'a' | 'b' | 'c' | 'd']: Address }

/** Leaves the program where a rule allows the connection. */
function passAllowed4(b: Body | Body6, port: Wire<'be32'>, address: Address): void {
  for (const rule of [port, 0])
    allowed4.lookup({ prefixLength: 64, port: rule, address }).match((hits) => {
      hits.atomicAdd(1)
      b.return(b.ALLOW)
    })
}
function passAllowed6(b: Body6, port: Wire<'be32'>, address: Address6): void {
  for (const rule of [port, 0])
    allowed6.lookup({ prefixLength: 160, port: rule, address }).match((hits) => {
      hits.atomicAdd(1)
      b.return(b.ALLOW)
    })
}

/** Reports the connection and refuses it. */
function refuse(b: Body | Body6, port: Wire<'be32'>, address: Init<typeof Ip6.fields>) {
  denied.record((event) => {
    event.pid.set(b.pid())
    event.uid.set(b.uid())
    b.comm(event.comm)
    event.address.$set(address)
    event.port.set(port.to(u32).shr(16).to(u16))
    event.protocol.set(b.ctx.protocol.to(u16))
  })
  b.if(options.dryRun, () => b.return(b.ALLOW))
  return b.REJECT
}

/** The port as rules have it: followed by two bytes of 0. */
const upperHalf = (port: Wire<'be16'>): Wire<'be32'> => port.raw().to(u32).as(be32)

const guard4 = (b: Body) => {
  const { userIp4: address } = b.ctx
  const port = upperHalf(b.ctx.userPort)
  passAllowed4(b, port, address)
  return refuse(b, port, { a: 0, b: 0, c: 0xffff, d: address })
}
const guard6 = (b: Body6) => {
  const port = upperHalf(b.ctx.userPort)
  const { userIp60, userIp61, userIp62, userIp63 } = b.ctx
  const address = { a: userIp60, b: userIp61, c: userIp62, d: userIp63 }
  // an IPv6 socket reaches IPv4 by mapped addresses, and the kernel asks no IPv4 program then
  b.if(
    address.a.eq(0).and(address.b.eq(0)).and(address.c.eq(0xffff)),
    () => passAllowed4(b, port, address.d),
    () => passAllowed6(b, port, address),
  )
  return refuse(b, port, address)
}

/** Connections of all kinds, and datagrams that are sent without one. */
export const connect4 = cgroupSockAddr('allow_connect4', { hook: 'connect4' }, (b) => guard4(b))
export const connect6 = cgroupSockAddr('allow_connect6', { hook: 'connect6' }, (b) => guard6(b))
export const sendmsg4 = cgroupSockAddr('allow_sendmsg4', { hook: 'sendmsg4' }, (b) => guard4(b))
export const sendmsg6 = cgroupSockAddr('allow_sendmsg6', { hook: 'sendmsg6' }, (b) => guard6(b))
