import { describe, expect, test } from 'vitest'
import { DifferenceError, eth, harness, ipv4, packet, payload, udp } from '../../src/progrun/index.ts'
import { MAP_TYPES } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { imageOf } from './cases.ts'

const datagram = packet(eth(), ipv4(), udp({ dstPort: 53 }), payload('a question of some length'))

const perf = imageOf({
  name: 'sends',
  type: 'xdp',
  maps: [{ name: 'out', type: MAP_TYPES.perf_event_array, keySize: 4, valueSize: 4, maxEntries: 0, flags: 0 }],
  text: `
  *(u32 *)(r10 - 8) = 0x44434241
  *(u16 *)(r10 - 4) = 0x4645
  r2 = map[out]
  r3 = 0xffffffff ll
  r4 = r10
  r4 += -8
  r5 = 6
  call bpf_perf_event_output
  r0 = 2
  exit`,
  runs: [],
})

const ordered = (type: 'queue' | 'stack') =>
  imageOf({
    name: 'pushes',
    type: 'xdp',
    maps: [{ name: 'held', type: MAP_TYPES[type], keySize: 0, valueSize: 4, maxEntries: 8, flags: 0 }],
    text: `
  *(u32 *)(r10 - 4) = 11
  r1 = map[held]
  r2 = r10
  r2 += -4
  r3 = 0
  call bpf_map_push_elem
  *(u32 *)(r10 - 4) = 12
  r1 = map[held]
  r2 = r10
  r2 += -4
  r3 = 0
  call bpf_map_push_elem
  r0 = 2
  exit`,
    runs: [],
  })

const dissector = imageOf({
  name: 'dissects',
  type: 'flow_dissector',
  text: `
  r1 = *(u64 *)(r1 + 144)
  *(u16 *)(r1 + 2) = 34
  *(u8 *)(r1 + 9) = 17
  r0 = 0
  exit`,
  runs: [],
})

describe('what both backends are compared by', () => {
  testWith('bpf')('perf events, although the kernel fills them up to whole words', async () => {
    using t = await harness(perf, { backend: 'both' })
    for (let i = 0; i < 3; i++) {
      const { events } = t.run('sends', { packet: datagram })
      expect(events).toEqual([{ kind: 'perf', map: 'out', data: new TextEncoder().encode('ABCDEF') }])
    }
  })

  testWith('bpf')('perf events with bytes of the packet behind them', async () => {
    const samples = (length: number) =>
      imageOf({
        name: 'samples',
        type: 'xdp',
        maps: perf.maps,
        text: `
  *(u32 *)(r10 - 8) = 0x44434241
  r2 = map[out]
  r3 = ${`0x${length.toString(16)}ffffffff`} ll
  r4 = r10
  r4 += -8
  r5 = 4
  call bpf_perf_event_output
  exit`,
        runs: [],
      })
    using t = await harness(samples(20), { backend: 'both' })
    const { events, returnValue } = t.run('samples', { packet: datagram })
    expect(returnValue).toBe(0)
    expect([...events[0].data]).toEqual([...new TextEncoder().encode('ABCD'), ...datagram.subarray(0, 20)])
    // more than there is: both say EFAULT and send nothing
    using far = await harness(samples(2000), { backend: 'both' })
    expect(far.run('samples', { packet: datagram })).toMatchObject({ returnValue: -14, events: [] })
  })

  testWith('bpf')('a perf event that only one of them sends is a difference', async () => {
    using t = await harness(perf, { backend: 'both', helpers: { perf_event_output: 0 } })
    expect(() => t.run('sends', { packet: datagram })).toThrow(DifferenceError)
    expect(() => t.run('sends', { packet: datagram })).toThrow(/perf event 0/)
  })

  for (const type of ['queue', 'stack'] as const)
    testWith('bpf')(`the values of a ${type} in their order, which looking does not change`, async () => {
      using t = await harness(ordered(type), { backend: 'both' })
      t.run('pushes', { packet: datagram })
      t.run('pushes', { packet: datagram })
      const values = () =>
        t.kernel
          ?.map(0)
          .entries()
          .map(({ values: [value] }) => value[0])
      const expected = type === 'queue' ? [11, 12, 11, 12] : [12, 11, 12, 11]
      expect(values()).toEqual(expected)
      expect(values()).toEqual(expected)
      // a push that only the emulator's mock leaves out shows
      using other = await harness(ordered(type), { backend: 'both', helpers: { map_push_elem: 0 } })
      expect(() => other.run('pushes', { packet: datagram })).toThrow(/map held\[0\]/)
    })

  testWith('bpf')('the keys of a flow dissector', async () => {
    using t = await harness(dissector, { backend: 'both' })
    const { flowKeys, packet: out } = t.run('dissects', { packet: datagram })
    expect(out).toBeUndefined()
    const view = new DataView((flowKeys as Uint8Array).buffer, (flowKeys as Uint8Array).byteOffset)
    expect([view.getUint16(0, true), view.getUint16(2, true), view.getUint8(9)]).toEqual([14, 34, 17])
  })

  testWith('bpf')('a packet that grew by thousands of bytes comes out whole', async () => {
    const grows = imageOf({
      name: 'grows',
      type: 'sched_cls',
      text: 'r2 = 3000\n r3 = 0\n call bpf_skb_change_tail\n r0 = 0\n exit',
      runs: [],
    })
    using t = await harness(grows, { backend: 'both' })
    expect(t.run('grows', { packet: datagram }).packet).toHaveLength(3000)
    using alone = await harness(grows, { backend: 'kernel' })
    expect(alone.run('grows', { packet: datagram }).packet).toHaveLength(3000)
  })

  test('flow keys are there without a kernel too', async () => {
    using t = await harness(dissector, { backend: 'emulator' })
    expect(t.run('dissects', { packet: datagram }).flowKeys).toHaveLength(56)
  })
})

test('messages of sockets run in the emulator on their bytes', async () => {
  const shrink = imageOf({
    name: 'shrinks',
    type: 'sk_msg',
    text: `
  r2 = 0
  r3 = 2
  r4 = 0
  call bpf_msg_pop_data
  r0 = 1
  exit`,
    runs: [],
  })
  using t = await harness(shrink, { backend: 'auto' })
  const result = t.run({ name: 'shrinks', kind: 'sk_msg' }, { packet: Uint8Array.of(1, 2, 3) })
  expect(result).toMatchObject({ verdict: 'SK_PASS', packet: Uint8Array.of(3), backend: 'emulator' })
})
