import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { counts, KEYS, xdpCount } from '../../programs/xdp-count/xdp-count.bpf.ts'
import {
  bpfArbitraries,
  checkProgram,
  decodePacket,
  describePacket,
  harness,
  PropertyError,
} from '../../src/progrun/index.ts'
import { imageOf } from './cases.ts'

const arbitraries = bpfArbitraries(fc)

describe('generated packets', () => {
  test('well-formed ones decode without a problem', () => {
    fc.assert(
      fc.property(arbitraries.packet, (bytes) => {
        const problems = decodePacket(bytes).flatMap((layer) => layer.problems)
        expect(problems, describePacket(bytes)).toEqual([])
      }),
      { numRuns: 1000 },
    )
  })

  test('malformed ones often have something wrong, and all kinds of protocols appear', () => {
    const bad = fc.sample(arbitraries.malformedPacket, { numRuns: 500, seed: 1 })
    expect(
      bad.filter((bytes) => decodePacket(bytes).some((layer) => layer.problems.length > 0)).length,
    ).toBeGreaterThan(120)
    const good = fc.sample(arbitraries.packet, { numRuns: 500, seed: 1 })
    const seen = new Set(good.flatMap((bytes) => decodePacket(bytes).map(({ protocol }) => protocol)))
    for (const protocol of ['vlan', 'arp', 'ipv4', 'ipv6', 'ipv6Extension', 'tcp', 'udp', 'icmp', 'icmpv6', 'sctp'])
      expect([...seen]).toContain(protocol)
  })

  test('map states fit the map', () => {
    const spec = { name: 'm', type: 1, keySize: 2, valueSize: 4, maxEntries: 8, flags: 0 }
    fc.assert(
      fc.property(arbitraries.mapState(spec), (entries) => {
        expect(entries.length).toBeLessThanOrEqual(8)
        expect(new Set(entries.map(([key]) => key.join())).size).toBe(entries.length)
      }),
    )
  })
})

describe('checkProgram', () => {
  test('xdp_count counts every packet exactly once, whatever its bytes', async () => {
    using t = await harness(xdpCount)
    await checkProgram(t, xdpCount, (result, packet) => {
      expect(result.verdict).toBe('XDP_PASS')
      expect(result.packet).toEqual(packet)
      const [[, value], ...others] = t.map(counts).entries()
      expect(others).toEqual([])
      expect(value).toEqual({ packets: 1n, bytes: BigInt(packet.length) })
    })
  })

  test('a failure is shrunk to the smallest packet', async () => {
    using t = await harness(xdpCount, { backend: 'emulator' })
    const claim = checkProgram(t, xdpCount, () => t.map(counts).get(KEYS.truncated) !== undefined, { seed: 7 })
    await expect(claim).rejects.toThrow(PropertyError)
    const error = (await claim.catch((caught: unknown) => caught)) as PropertyError
    // an Ethernet header is the least that is not counted as cut short
    expect(error.packet.length).toBe(14)
    expect(error.message).toMatch(/^xdp_count: after \d+ packets \(seed 7\)/)
    expect(error.details[0]).toMatch(/^ethernet /)
  })

  test('a read behind the packet is found', async () => {
    // no bounds check: the verifier would never take it, the emulator stops it at the first short packet
    const image = imageOf({
      name: 'careless',
      type: 'xdp',
      text: 'r2 = *(u32 *)(r1 + 0)\n r0 = *(u8 *)(r2 + 20)\n exit',
      runs: [],
    })
    using t = await harness(image, { backend: 'emulator' })
    const error = await checkProgram(t, image.name, () => true, { packets: 'packet' }).catch(
      (caught: unknown) => caught,
    )
    expect(error).toBeInstanceOf(PropertyError)
    expect((error as PropertyError).message).toMatch(/out of bounds/)
    expect((error as PropertyError).packet.length).toBeLessThanOrEqual(20)
  })
})
