import { describe } from 'vitest'
import { counts, denied, KEYS, xdpCount } from '../../programs/xdp-count/xdp-count.bpf.ts'
import { eth, ipv4, packet, type RunResult, tcp, udp } from '../../src/progrun/index.ts'
import { expect, packetText, test } from '../../src/progrun/vitest/index.ts'
import { CASES, type Case, imageOf } from './cases.ts'

const segment = packet(eth(), ipv4(), tcp())
const failure = (check: () => void): string => {
  try {
    check()
  } catch (error) {
    return (error as Error).message
  }
  return 'it passed'
}
const ring = CASES.find(({ name }) => name === 'sends a ring record') as Case

describe('matchers', () => {
  test('toReturn knows the names of the type', async ({ bpf }) => {
    const t = await bpf(xdpCount)
    const result = t.run(xdpCount, { packet: segment })
    expect(result).toReturn('XDP_PASS')
    expect(result).toReturn(2)
    expect(result).not.toReturn('XDP_DROP')
    expect(failure(() => expect(result).toReturn('XDP_DROP'))).toMatch(
      /^xdp_count returned XDP_PASS on emulator.*, expected XDP_DROP$/,
    )
    const typed = (): void => {
      // @ts-expect-error XDP has no TC_ACT_OK
      expect(result).toReturn('TC_ACT_OK')
    }
    expect(failure(typed)).toMatch(/xdp programs have no return value of that name/)
  })

  test('toEqualPacket names fields', async ({ bpf }) => {
    const t = await bpf(xdpCount)
    const result = t.run(xdpCount, { packet: segment })
    expect(result).toEqualPacket(segment)
    expect(result).toEqualPacket([eth(), ipv4(), tcp()])
    expect(failure(() => expect(result).toEqualPacket([eth(), ipv4({ ttl: 63 }), tcp()]))).toMatch(
      /differ in 2 fields \(xdp_count on emulator.*\):\n {2}ipv4\.ttl: 64, expected 63\n {2}ipv4\.checksum: /,
    )
  })

  test('toHaveMapState looks at the given entries, exact at all', async ({ bpf }) => {
    const t = await bpf(xdpCount, { maps: { denied: [[0x0a000063, 0n]] } })
    t.run(xdpCount, { packet: segment })
    t.run(xdpCount, { packet: [eth(), ipv4({ src: '10.0.0.99' }), udp()] })
    expect(t.map(counts)).toHaveMapState([
      [6, { packets: 1n }],
      [KEYS.arp, undefined],
    ])
    expect(t.map(denied)).toHaveMapState({ [0x0a000063]: 1 }, { exact: true })
    expect(failure(() => expect(t.map(counts)).toHaveMapState({ 6: { packets: 2n } }, { exact: true }))).toMatch(
      /map counts is different:\n {2}\[6\]: \{ packets: 1n.*expected \{ packets: 2n \}\n {2}\[17\]: .*expected \(absent\)/,
    )
  })

  test('toEmit finds ring records', async ({ bpf }) => {
    const image = imageOf(ring)
    const t = await bpf(image)
    const result = t.run(image.name, { packet: segment })
    expect(result).toEmit('events')
    expect(result).toEmit({ map: 'events', data: Uint8Array.of(7, 0, 0, 0, 0, 0, 0, 0), count: 1 })
    expect(result).not.toEmit('other')
  })

  test('toRunWithin counts instructions', async ({ bpf }) => {
    const t = await bpf(xdpCount, { backend: 'emulator' })
    const result = t.run(xdpCount, { packet: segment })
    expect(result).toRunWithin({ instructions: 100 })
    expect(failure(() => expect(result).toRunWithin({ instructions: 3 }))).toMatch(/\d+ instructions, the limit is 3/)
  })

  test('toPassVerifier and toFailVerifier ask the model', async ({ bpf: _ }) => {
    await expect(xdpCount).toPassVerifier()
    const careless = imageOf({
      name: 'careless',
      type: 'xdp',
      text: 'r2 = *(u32 *)(r1 + 0)\n r0 = *(u8 *)(r2 + 20)\n exit',
      runs: [],
    })
    await expect(careless).toFailVerifier(/invalid access to packet, off=20 size=1/)
    await expect(careless).not.toPassVerifier()
  })

  test('snapshots of maps and packets are text', async ({ bpf }) => {
    const t = await bpf(xdpCount)
    const result: RunResult<'xdp'> = t.run(xdpCount, { packet: segment })
    expect(t.mapState()).toMatchInlineSnapshot(`
      {
        "counts": {
          "6": {
            "bytes": 54n,
            "packets": 1n,
          },
        },
        "denied": {},
      }
    `)
    expect(packetText(result.packet)).toMatch(/^ethernet \(14 B at 0\)\n {2}dst: 02:00:00:00:00:02/)
  })
})
