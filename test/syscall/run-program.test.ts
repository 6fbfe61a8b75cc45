import { describe, expect, test } from 'vitest'
import { createJudge, FakeSys, type RunnableType, realSys, runProgram, runXdpFrames } from '../../src/syscall/index.ts'
import { ATTACH_TYPES, PROGRAM_FLAGS, type ProgramType } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { counter, imageOf } from './programs.ts'

const bpfTest = testWith('bpf')
const judge = createJudge
const packet = new Uint8Array(64)

function loaded(type: ProgramType, text: string, rest: Parameters<typeof imageOf>[2] = {}) {
  const result = judge().load(imageOf(type, text, rest))
  if (result.program === undefined) throw new Error(`${type}: ${result.message}\n${result.log}`)
  return { program: result.program, [Symbol.dispose]: () => result.close() }
}

describe('runs by program type', () => {
  bpfTest('xdp: metadata, interface, the packet that comes out', () => {
    // data - data_meta is 4: the first word of what went in
    const text = `r2 = *(u32 *)(r1 + 8)
r3 = *(u32 *)(r1 + 0)
r4 = r2
r4 += 4
r0 = 0
if r4 > r3 goto +1
r0 = *(u32 *)(r2 + 0)
exit`
    using xdp = loaded('xdp', text)
    const data = packet.slice()
    new DataView(data.buffer).setUint32(0, 77, true)
    const out = runProgram(xdp.program, 'xdp', { data, context: { data: 4 }, repeat: 3 })
    expect(out).toMatchObject({ retval: 77, dataSize: 64 })
    expect(out.context).toMatchObject({ data: 4, data_end: 64 })
    expect(runProgram(xdp.program, 'xdp', { data, dataOutSize: 10 }).data).toHaveLength(10)
    expect(() => runProgram(xdp.program, 'xdp', { data: new Uint8Array(13) })).toThrow(/EINVAL/)
    expect(() => runProgram(xdp.program, 'xdp', { data, context: { ingress_ifindex: 1e6 } })).toThrow(/E[A-Z]+/)
  })

  bpfTest('sched_cls: the context goes in and comes out', () => {
    using cls = loaded('sched_cls', 'r2 = *(u32 *)(r1 + 8)\nr2 += 1\n*(u32 *)(r1 + 8) = r2\nr0 = r2\nexit')
    const out = runProgram(cls.program, 'sched_cls', { data: packet, context: { mark: 41, cb4: 9, tstamp: 5n } })
    expect([out.retval, out.context.mark, out.context.cb4, out.context.tstamp]).toEqual([42, 42, 9, 5n])
  })

  const packets = ['sched_act', 'socket_filter', 'cgroup_skb', 'lwt_in', 'lwt_out', 'lwt_xmit'] as const
  for (const type of packets)
    bpfTest(`${type}: a packet and a verdict`, () => {
      using program = loaded(type, 'r0 = 1\nexit')
      const out = runProgram(program.program, type, { data: packet, repeat: 2 })
      expect([out.retval, out.data.length > 0]).toEqual([1, true])
    })

  bpfTest('raw_tracepoint: arguments and the CPU', () => {
    using sum = loaded('raw_tracepoint', 'r0 = *(u64 *)(r1 + 0)\nr2 = *(u64 *)(r1 + 8)\nr0 += r2\nexit')
    expect(runProgram(sum.program, 'raw_tracepoint', { args: [40n, 2n] })).toEqual({ retval: 42 })
    expect(runProgram(sum.program, 'raw_tracepoint', { args: [1n, 2n], cpu: 0 })).toEqual({ retval: 3 })
    expect(() => runProgram(sum.program, 'raw_tracepoint', { args: new Array(13).fill(0n) })).toThrow(/12 at most/)
    expect(() => runProgram(sum.program, 'raw_tracepoint', { args: [], cpu: 9999 })).toThrow(/ENXIO|ERANGE|EINVAL/)
  })

  bpfTest('sk_lookup, netfilter, flow_dissector, syscall', () => {
    using lookup = loaded('sk_lookup', 'r0 = *(u32 *)(r1 + 60)\nr0 &= 1\nexit', {
      expectedAttachType: ATTACH_TYPES.sk_lookup,
    })
    expect(() =>
      runProgram(lookup.program, 'sk_lookup', { context: { family: 2, protocol: 6, local_port: 80 } }),
    ).not.toThrow()
    expect(() =>
      runProgram(lookup.program, 'sk_lookup', {
        context: {
          family: 10,
          protocol: 17,
          local_port: 81,
          remote_ip6: new Uint8Array(16),
          local_ip6: new Uint8Array(16),
        },
        repeat: 2,
      }),
    ).not.toThrow()
    using filter = loaded('netfilter', 'r0 = 1\nexit', { expectedAttachType: ATTACH_TYPES.netfilter })
    expect(runProgram(filter.program, 'netfilter', { data: packet }).retval).toBe(1)
    using dissector = loaded('flow_dissector', 'r0 = 0\nexit', { expectedAttachType: ATTACH_TYPES.flow_dissector })
    expect(runProgram(dissector.program, 'flow_dissector', { data: packet }).keys).toHaveLength(56)
    using call = loaded('syscall', '*(u32 *)(r1 + 4) = 7\nr0 = *(u32 *)(r1 + 0)\nexit', {
      flags: PROGRAM_FLAGS.sleepable,
    })
    const out = runProgram(call.program, 'syscall', { context: new Uint8Array([5, 0, 0, 0, 0, 0, 0, 0]) })
    expect([out.retval, out.context]).toEqual([5, new Uint8Array([5, 0, 0, 0, 7, 0, 0, 0])])
  })

  bpfTest('live frames go through the program, in batches', () => {
    using frames = counter('xdp', 1)
    const { durationNs } = runXdpFrames(frames.program, { data: packet, frames: 1000, batchSize: 32 })
    expect(frames.count()).toBe(1000n)
    expect(durationNs).toBeGreaterThanOrEqual(0)
    expect(() => runXdpFrames(frames.program, { data: packet, frames: 1, batchSize: 257 })).toThrow(/1 to 256/)
    expect(() => runXdpFrames(frames.program, { data: new Uint8Array(4000), frames: 1 })).toThrow(/EINVAL|E2BIG/)
  })

  bpfTest('a type without runs says so', () => {
    using probe = counter('kprobe', 0)
    // A caller without types: the kernel's own answer is explained.
    expect(() => runProgram(probe.program, 'tracing' as RunnableType, {} as never)).toThrow(
      /no test run|EINVAL|ENOTSUPP/,
    )
  })

  test('what the kernel would refuse does not compile', () => {
    const sys = new FakeSys(() => 0)
    const program = { sys, fd: 3 }
    // @ts-expect-error a packet is needed
    expect(() => runProgram(program, 'xdp')).toThrow()
    // @ts-expect-error kprobes have no test run
    expect(() => runProgram(program, 'kprobe', {})).toThrow()
    // @ts-expect-error len is the kernel's
    expect(() => runProgram(program, 'sched_cls', { data: packet, context: { len: 64 } })).toThrow(/no len/)
    // @ts-expect-error raw tracepoints take no packet
    runProgram(program, 'raw_tracepoint', { data: packet })
    // @ts-expect-error raw tracepoints do not repeat
    runProgram(program, 'raw_tracepoint', { repeat: 2 })
    // @ts-expect-error sk_lookup needs its family
    expect(runProgram(program, 'sk_lookup', { context: {} })).toBeDefined()
    // @ts-expect-error families are IPv4 and IPv6
    runProgram(program, 'sk_lookup', { context: { family: 3 } })
    // @ts-expect-error syscall programs do not repeat
    runProgram(program, 'syscall', { repeat: 2 })
    // @ts-expect-error netfilter gives no packet back
    runProgram(program, 'netfilter', { data: packet, dataOutSize: 64 })
    // @ts-expect-error a netfilter run has no data
    expect(runProgram(program, 'netfilter', { data: packet }).data).toBeUndefined()
    // @ts-expect-error no live frames for skb types: xdp has its own function
    runProgram(program, 'sched_cls', { data: packet, batchSize: 3 })
    // @ts-expect-error tstamp is 64 bits wide
    runProgram(program, 'sched_cls', { data: packet, context: { tstamp: 5 } })
    expect(runProgram(program, 'tracing').retval).toBe(0)
    expect(runProgram(program, 'raw_tracepoint')).toEqual({ retval: 0 })
    expect(realSys).toBeTypeOf('function')
  })
})
