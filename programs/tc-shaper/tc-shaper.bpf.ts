import { be16, be32, bool, bytes, config, globals, mac, map, struct, tcx, u64 } from 'typebpf'

const Host = struct('host', { a: be32, b: be32, c: be32, d: be32 })
const Eth = struct('ethhdr', { dst: mac, src: mac, proto: be16 })
const EthIpv4 = struct('eth_ipv4', { eth: Eth, start: bytes(12), src: be32, dst: be32 }, { packed: true })
const EthIpv6 = struct('eth_ipv6', { eth: Eth, start: bytes(8), src: Host, dst: Host }, { packed: true })
const ETH_P = { ipv4: 0x0800, ipv6: 0x86dd }

/** How often a packet tries again when other CPUs take from the same bucket at the same moment. */
const TRIES = 16
/** How far ahead a packet may be sent when packets wait for their time instead of being dropped: 2 s. */
const HORIZON_NS = 2_000_000_000

/** Set before the program is loaded. `pace`: packets get a departure time that an fq qdisc keeps, instead of being dropped. */
export const mode = config('mode', { pace: bool, perHost: bool })

/** Can be changed while packets run. A byte costs `costQ20` / 2^20 ns; `burstNs` is the depth of the bucket, in time. */
export const limit = globals('limit', { costQ20: u64, burstNs: u64 })

/** `due`: when all that was let through will have been paid for, in ns of the monotonic clock. */
export const Bucket = struct('bucket', { due: u64, passed: u64, passedBytes: u64, dropped: u64, droppedBytes: u64 })
/** By remote address (IPv4 as ::ffff:a.b.c.d); where there is one bucket for all, its address is ::. */
export const buckets = map.lruHash('buckets', { key: Host, value: Bucket, maxEntries: 65_536 })

/**
 * A token bucket without a lock: it keeps no number of tokens but the time when it will be full again, which every packet
 * moves forward by one compare-and-exchange.
 */
export const tcShaper = tcx('tc_shaper', { direction: 'egress', target: '6.6' }, (b) => {
  const host = b.local(Host)
  b.if(mode.perHost, () => {
    b.packet.at(0, EthIpv4).match(({ eth, dst }) => {
      b.if(eth.proto.eq(ETH_P.ipv4), () => host.$set({ a: 0, b: 0, c: 0xffff, d: dst }))
    })
    b.packet.at(0, EthIpv6).match(({ eth, dst }) => {
      b.if(eth.proto.eq(ETH_P.ipv6), () => host.$copy(dst))
    })
  })
  const bucket = buckets.getOrInit(host).orReturn(b.OK)
  const length = b.ctx.wireLen.to(u64)
  const cost = length.mul(limit.costQ20).shr(20)
  const now = b.ktimeNs()
  const deepest = b.let(u64, limit.burstNs)
  b.if(mode.pace, () => deepest.update((ns) => ns.add(HORIZON_NS)))

  b.range(TRIES, () => {
    const due = bucket.due
    const start = due.max(now)
    b.if(start.sub(now).gt(deepest.get()), () => b.break())
    b.if(bucket.due.compareExchange(due, start.add(cost)).eq(due), () => {
      bucket.passed.atomicAdd(1)
      bucket.passedBytes.atomicAdd(length)
      b.if(
        mode.pace.and(() => start.sub(now).gt(limit.burstNs)),
        () => b.ctx.tstamp.set(start.sub(limit.burstNs)),
      )
      b.return(b.UNSPEC)
    })
  })
  bucket.dropped.atomicAdd(1)
  bucket.droppedBytes.atomicAdd(length)
  return b.SHOT
})
