import fc from 'fast-check'
import { be16, bytes, struct, u16, xdp } from 'typebpf'
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
import { testWith } from '../requirements.ts'
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

  for (const backend of ['emulator', 'both'] as const)
    testWith(...(backend === 'both' ? (['bpf'] as const) : []))(
      `a header that ends too early is found, whatever the kernel refuses to run: ${backend}`,
      async () => {
        const Start = struct('start', { first: bytes(12), proto: be16 })
        const careless = xdp('careless', (b) => {
          const start = b.packet.at(0, Start).orReturn(b.PASS)
          b.if(start.proto.ne(0x0800), () => b.return(b.PASS))
          b.packet.at(14, u16).orReturn(b.ABORTED)
          return b.PASS
        })
        using t = await harness(careless, { backend })
        const error = await checkProgram(t, careless, ({ verdict }) => verdict !== 'XDP_ABORTED', {
          seed: 1,
          runs: 1000,
        }).catch((thrown: unknown) => thrown)
        expect(error).toBeInstanceOf(PropertyError)
        const { packet: found, message } = error as PropertyError
        // nothing smaller shows it
        expect([...found]).toEqual([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0])
        expect(message).toMatch(
          /^careless: after \d+ packets \(seed 1\): the property does not hold: it returned XDP_ABORTED on /,
        )
      },
    )
})
