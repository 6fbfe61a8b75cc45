import { rawTracepoint, tc, xdp } from 'typebpf'
import { describe, expect, test } from 'vitest'
import { counts, xdpCount } from '../../programs/xdp-count/xdp-count.bpf.ts'
import { DifferenceError, eth, harness, ipv4, kernelUnavailable, packet, tcp } from '../../src/progrun/index.ts'
import { programTypeName } from '../../src/uapi/index.ts'
import { testWith } from '../requirements.ts'
import { CASES, imageOf } from './cases.ts'

describe('small programs of many kinds', () => {
  test('there are at least 40', () => {
    expect(CASES.length).toBeGreaterThanOrEqual(40)
    expect(new Set(CASES.map(({ name }) => name)).size).toBe(CASES.length)
  })

  for (const each of CASES) {
    test(`${each.name}: in the emulator`, async () => {
      const image = imageOf(each)
      using t = await harness(image, { backend: 'emulator' })
      for (const { options, returns } of each.runs) expect(t.run(image.name, options).returnValue).toBe(returns)
    })
    testWith('bpf')(`${each.name}: emulator and kernel agree`, async () => {
      const image = imageOf(each)
      using t = await harness(image, { backend: 'both' })
      expect(t.backend).toMatch(/^emulator \+ kernel \d/)
      for (const { options, returns } of each.runs) expect(t.run(image.name, options).returnValue).toBe(returns)
    })
  }
})

describe('the harness', () => {
  test('automatic means both where the kernel can be asked', async () => {
    using t = await harness(xdpCount)
    expect(t.backend.includes('kernel')).toBe(kernelUnavailable().length === 0)
    expect(programTypeName(t.images[0].type)).toBe('xdp')
  })

  testWith('bpf')('a difference is an error that shows both sides', async () => {
    using t = await harness(xdpCount, { backend: 'both' })
    const segment = packet(eth(), ipv4(), tcp())
    t.run(xdpCount, { packet: segment })
    // behind the harness's back
    const behind = t.emulator
    const index = t.images[0].maps.findIndex(({ name }) => name === 'counts')
    behind?.map(index).set(Uint8Array.of(6, 0, 0, 0), new Uint8Array(16).fill(1))
    expect(() => t.run(xdpCount, { packet: segment })).toThrow(DifferenceError)
    try {
      t.map(counts).get(6)
    } catch (error) {
      expect(error).toBeInstanceOf(DifferenceError)
      expect((error as DifferenceError).message).toMatch(
        /emulator and kernel [\d.]+\S* differ in map counts\[6\]\.packets, map counts\[6\]\.bytes/,
      )
      expect((error as DifferenceError).details[0]).toMatch(/packets: emulator 72340172838076674n, kernel .* 2n/)
    }
    expect.assertions(4)
  })

  test('reset gives the first contents back', async () => {
    using t = await harness(xdpCount)
    t.run(xdpCount, { packet: [eth(), ipv4(), tcp()] })
    expect(t.map(counts).size).toBe(1)
    t.reset()
    expect(t.map(counts).size).toBe(0)
    expect(t.mapState()).toEqual({ counts: {}, denied: {} })
  })

  test('what does not fit is explained before the kernel answers EINVAL', async () => {
    using t = await harness(xdpCount, { backend: kernelUnavailable().length === 0 ? 'kernel' : 'emulator' })
    const bad: [object, RegExp][] = [
      [{}, /xdp programs run on a packet, and none is given/],
      [{ packet: [eth()], repeat: 0 }, /repeat is 0/],
      [{ packet: [eth()], metadata: new Uint8Array(3) }, /a multiple of 4 up to 216/],
      [{ packet: [eth()], ctx: { egress_ifindex: 1 } }, /cannot set the context field egress_ifindex/],
    ]
    for (const [options, message] of bad)
      expect(() => t.run(xdpCount, options as { packet: Uint8Array })).toThrow(message)
    if (t.kernel !== undefined)
      expect(() => t.run(xdpCount, { packet: new Uint8Array(5) })).toThrow(/takes at least 14 bytes, this one has 5/)
    expect(() => t.run('nothing', {} as never)).toThrow(/there is no program nothing/)
    expect(() => t.map('nothing')).toThrow(/there is no map nothing/)
  })

  testWith('bpf')('contexts that the kernel refuses are explained too', async () => {
    const pass = xdp('pass', (b) => b.PASS)
    const ok = tc('ok', (b) => b.OK)
    const onEnter = rawTracepoint('on_enter', { event: 'sys_enter' }, () => 0)
    using t = await harness([pass, ok, onEnter], { backend: 'kernel' })
    const segment = packet(eth(), ipv4(), tcp())
    const bad: [() => unknown, RegExp][] = [
      [() => t.run(pass, { packet: segment, ctx: { rx_queue_index: 3 } }), /rx_queue_index is 3; .* ingress_ifindex/],
      [() => t.run(pass, { packet: segment, metadata: new Uint8Array(220) }), /a multiple of 4 up to 216/],
      [() => t.run(ok, { packet: segment, ctx: { wire_len: 53 } }), /wire_len is 53; .* length, 54, to 65536/],
      [() => t.run(ok, { packet: segment, ctx: { gso_segs: 65_536 } }), /gso_segs is 65536; .* at most 65535/],
      [() => t.run(onEnter, { cpu: 60_000 }), /CPU 60000 is not online here/],
    ]
    for (const [run, message] of bad) expect(run).toThrow(message)
    // and what is said to fit is taken
    expect(t.run(pass, { packet: segment, metadata: new Uint8Array(216) }).verdict).toBe('XDP_PASS')
    const most = { mark: 1, priority: 2, ifindex: 1, cb: [1, 2, 3, 4, 5], tstamp: 6n, wire_len: 54, gso_segs: 65_535 }
    expect(t.run(ok, { packet: segment, ctx: most }).ctx).toMatchObject(most)
  })

  test('types: what the kernel would refuse does not compile', async () => {
    using t = await harness(xdpCount, { backend: 'emulator' })
    const wrong = (): void => {
      // @ts-expect-error an XDP run has no args
      t.run(xdpCount, { packet: [eth()], args: [1n] })
      // @ts-expect-error an XDP run needs a packet
      t.run(xdpCount, {})
      // @ts-expect-error xdp_md has no mark
      t.run(xdpCount, { packet: [eth()], ctx: { mark: 1 } })
      // @ts-expect-error the key is a number
      t.map(counts).get('6')
    }
    expect(typeof wrong).toBe('function')
    const bytes: bigint | undefined = t.map(counts).get(6)?.bytes
    expect(bytes).toBeUndefined()
  })

  test('10,000 emulator runs of a parsing program take seconds at most', async () => {
    using t = await harness(xdpCount, { backend: 'emulator' })
    const segment = packet(eth(), ipv4(), tcp())
    const started = performance.now()
    for (let i = 0; i < 10_000; i++) t.run(xdpCount, { packet: segment })
    const took = performance.now() - started
    expect(t.map(counts).get(6)?.packets).toBe(10_000n)
    // bench/progrun.ts has the figure; here only what a busy machine may take
    expect(took).toBeLessThan(6000)
  })
})
