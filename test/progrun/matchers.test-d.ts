// What must not compile of the harness and its matchers. Checked by tsc: an unused @ts-expect-error is an error.
import { flowDissector, kprobe, map, skLookup, skMsg, struct, tc, u32, u64, xdp } from 'typebpf'
import { driveOwn, eth, type Harness, harness, ipv4, tcp } from 'typebpf/progrun'
import { expect } from 'typebpf/vitest'

declare const t: Harness
const value = struct('value', { packets: u64, last: u32 })
const counts = map.hash('counts', { key: u32, value, maxEntries: 4 })
const xdpProgram = xdp('a', (b) => b.PASS)
const tcProgram = tc('b', (b) => b.OK)
const probe = kprobe('c', { function: 'f' }, () => 0)
const lookup = skLookup('d', (b) => b.PASS)
const keys = flowDissector('e', (b) => b.OK)
const message = skMsg('f', (b) => b.PASS)
const packet = [eth(), ipv4(), tcp()]

export function runs(): void {
  // runs take what the kernel takes for the program's type
  t.run(xdpProgram, { packet, metadata: new Uint8Array(4), repeat: 3 })
  // @ts-expect-error a packet is needed
  t.run(xdpProgram, {})
  // @ts-expect-error only raw tracepoints have a CPU
  t.run(xdpProgram, { packet, cpu: 1 })
  t.run(tcProgram, { packet, ctx: { mark: 7 } })
  // @ts-expect-error metadata is XDP's
  t.run(tcProgram, { packet, metadata: new Uint8Array(4) })
  // @ts-expect-error the kernel does not let a test set the queue
  t.run(tcProgram, { packet, ctx: { queue_mapping: 7 } })
  // @ts-expect-error __sk_buff has no ingress_queue
  t.run(tcProgram, { packet, ctx: { ingress_queue: 7 } })
  t.run(lookup, {
    ctx: { family: 'ipv4', remoteAddress: '10.0.0.1', remotePort: 5, localAddress: '10.0.0.2', localPort: 6 },
  })
  // @ts-expect-error a look-up has no packet
  t.run(lookup, { packet })
  // @ts-expect-error a look-up needs its context
  t.run(lookup, {})
  t.run(keys, { packet })
  // @ts-expect-error flow dissectors take no context
  t.run(keys, { packet, ctx: {} })
  t.run(message, { packet: new Uint8Array(5), ctx: { family: 2 } })
  // @ts-expect-error a message is bytes, not headers
  t.run(message, { packet })
  // @ts-expect-error a probe is not repeated by BPF_PROG_RUN
  t.run(probe, { args: [1n], repeat: 2 })
}

export async function options(): Promise<void> {
  await harness(xdpProgram, { backend: 'both', programs: ['a'], ignoreGlobals: ['stamp'], time: 5n, cpu: 1 })
  // @ts-expect-error there is no such backend
  await harness(xdpProgram, { backend: 'virtual' })
  // @ts-expect-error time is in nanoseconds as a bigint
  await harness(xdpProgram, { time: 5 })
  // @ts-expect-error programs are named by text
  await harness(xdpProgram, { programs: [xdpProgram] })
  // @ts-expect-error nothing is known of a variable's type
  const unknown: number = t.global('total')
  await driveOwn(t, probe, { trigger: (link) => link.close() })
  // @ts-expect-error something must trigger it
  await driveOwn(t, probe, { pid: 1 })
  void unknown
}

export function matchers(): void {
  const xdpRun = t.run(xdpProgram, { packet })
  const tcRun = t.run(tcProgram, { packet })
  expect(xdpRun).toReturn('XDP_PASS')
  expect(xdpRun).not.toReturn('XDP_DROP')
  expect(xdpRun).toReturn(2)
  // @ts-expect-error a verdict of another type
  expect(xdpRun).toReturn('TC_ACT_OK')
  // @ts-expect-error a name that nobody knows
  expect(tcRun).toReturn('TC_ACT_MAYBE')
  expect(xdpRun).toEqualPacket(packet)
  // @ts-expect-error text is no packet
  expect(xdpRun).toEqualPacket('00ff')
  expect(xdpRun).toRunWithin({ instructions: 10 })
  // @ts-expect-error there is no limit of seconds
  expect(xdpRun).toRunWithin({ seconds: 1 })
  expect(t.map(counts)).toHaveMapState([[1, { packets: 1n }]])
  // @ts-expect-error keys of this map are numbers
  expect(t.map(counts)).toHaveMapState([['1', { packets: 1n }]])
  // @ts-expect-error 64-bit values are bigint
  expect(t.map(counts)).toHaveMapState([[1, { packets: 1 }]])
  // @ts-expect-error the value has no such field
  expect(t.map(counts)).toHaveMapState([[1, { bytes: 1n }]])
  t.map(counts).set(1, { packets: 1n, last: 2 })
  // @ts-expect-error a field is missing
  t.map(counts).set(1, { packets: 1n })
  // the verifier's answer comes later
  const answer: Promise<void> = expect(xdpProgram).toPassVerifier()
  // @ts-expect-error the kernels that can be asked are model, running, both
  const other: Promise<void> = expect(xdpProgram).toFailVerifier(/why/, { kernel: '6.18' })
  void [answer, other]
}
